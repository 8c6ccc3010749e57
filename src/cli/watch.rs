//! The watchdog of a live controller: a thread that nothing holds up. It notices that no cycle ends, gives the devices back, tells
//! the service manager the truth, and ends the process where its end hangs.

use super::{UNREACHABLE, output};
use crate::cycle::{Beat, Trouble};
use crate::field::Hand;
use sd_notify::NotifyState;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// It looks this often.
const LOOK: Duration = Duration::from_millis(200);
/// A longer pause between two looks was not the loop's: the whole process stood still (a suspend, SIGSTOP).
const LOOK_MOST: Duration = Duration::from_secs(1);
/// Without the end of a cycle for this long, or for [`CYCLES`], the devices are given back. A cycle waits for its devices four fifths
/// of its length at most and works a few milliseconds; ten seconds are more than any disk or page has cost it, a third of
/// a setpoint's lease of 30 s, and half of the service manager's 20 s (packaging/madang.service).
const PATIENCE: Duration = Duration::from_secs(10);
const CYCLES: u32 = 3;
/// The service manager is told this often that all is well.
const FEED: Duration = Duration::from_secs(1);
/// From the signal to the end: five seconds are promised.
const END: Duration = Duration::from_millis(4_500);
/// The alarm of a hold-up stands this long after it.
const SHOWN: Duration = Duration::from_secs(600);

/// What the watchdog looks at, and what it acts with.
pub struct Watched {
    pub beat: Arc<Beat>,
    pub hand: Hand,
    /// True once the process is to end.
    pub told: watch::Receiver<bool>,
    /// Control cycle in real time.
    pub cycle: Duration,
}

/// Ends when it is dropped.
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    held_up: HeldUp,
}

/// When no cycle ended last, and for how long.
#[derive(Clone, Default)]
pub struct HeldUp(Arc<Mutex<Option<(Instant, u64)>>>);

impl HeldUp {
    pub fn trouble(&self) -> Option<Trouble> {
        let (at, s) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        (at.elapsed() < SHOWN).then(|| Trouble {
            code: "held_up",
            part: None,
            en: format!(
                "no cycle ended for {s} s; the devices were given back, control began again from safe setpoints"
            ),
            ko: format!("{s}초 동안 제어 주기가 끝나지 않아 제어권을 장치에 반환했다가 안전 설정값부터 다시 시작함"),
        })
    }
    fn set(&self, s: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), s));
    }
}

impl Watchdog {
    pub fn start(watched: Watched) -> Result<Self, String> {
        let (stop, stopped) = channel();
        let held_up = HeldUp::default();
        let mut look = Look::new(watched, held_up.clone(), Manager::start()?);
        let thread = std::thread::Builder::new().name("watchdog".into());
        let thread = thread.spawn(move || {
            while matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                look.again();
            }
        });
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.map_err(|e| format!("cannot start a thread for the watchdog: {e}"))?),
            held_up,
        })
    }

    pub fn held_up(&self) -> HeldUp {
        self.held_up.clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watchdog had stopped in the middle of its work");
        }
    }
}

/// Between two looks.
struct Look {
    watched: Watched,
    held_up: HeldUp,
    manager: Manager,
    cycles: u64,
    looked: Instant,
    /// Since the last end of a cycle, pauses of the whole process left out.
    silent: Duration,
    given_back: bool,
    fed: Option<Instant>,
    told_at: Option<Instant>,
}

impl Look {
    fn new(watched: Watched, held_up: HeldUp, manager: Manager) -> Self {
        Self {
            watched,
            held_up,
            manager,
            cycles: 0,
            looked: Instant::now(),
            silent: Duration::ZERO,
            given_back: false,
            fed: None,
            told_at: None,
        }
    }

    fn again(&mut self) {
        let gone = self.looked.elapsed().min(LOOK_MOST);
        self.looked = Instant::now();
        if *self.watched.told.borrow() {
            return self.ending();
        }
        let cycles = self.watched.beat.cycles();
        if cycles == self.cycles {
            self.silent += gone;
            if !self.given_back && self.silent >= PATIENCE.max(self.watched.cycle * CYCLES) {
                self.give_back();
            }
        } else {
            self.alive(cycles);
        }
        // Ready is said after the first cycle.
        let well = self.cycles > 0 && !self.given_back;
        if well && self.fed.is_none_or(|t| t.elapsed() >= FEED) {
            self.fed = Some(Instant::now());
            self.manager.tell(Say::Alive);
        }
    }

    fn alive(&mut self, cycles: u64) {
        if self.given_back {
            self.held_up.set(self.silent.as_secs());
            tracing::warn!("cycles end again; control goes on from safe setpoints");
        }
        if self.cycles == 0 {
            self.manager.tell(Say::Ready);
        }
        (self.cycles, self.silent, self.given_back) = (cycles, Duration::ZERO, false);
    }

    fn give_back(&mut self) {
        self.given_back = true;
        self.watched.beat.hand_back();
        let untold = self.watched.hand.give_back();
        tracing::error!(
            "no cycle has ended for {} s; the devices are given back",
            self.silent.as_secs()
        );
        for id in untold {
            tracing::error!("the link of {id} takes no orders; its device is given back by its lease");
        }
    }

    /// The loop ends by itself, gives back and closes; where that hangs, this is the end.
    fn ending(&mut self) {
        let Some(told_at) = self.told_at else {
            self.told_at = Some(Instant::now());
            return self.manager.tell(Say::Stopping);
        };
        if told_at.elapsed() < END {
            return;
        }
        // Devices that the loop had given back hold nothing any more, and nothing is written to them.
        self.watched.hand.give_back();
        output::err("ERROR the end hangs; the process ends without waiting for it\n");
        output::finish(LOOK);
        std::process::exit(UNREACHABLE.into());
    }
}

#[derive(Clone, Copy)]
enum Say {
    Ready,
    Alive,
    Stopping,
}

/// The service manager, told by a thread of its own: its socket may be full.
struct Manager(SyncSender<Say>);

impl Manager {
    fn start() -> Result<Self, String> {
        let (say, words) = sync_channel(4);
        let thread = std::thread::Builder::new().name("service manager".into());
        thread
            .spawn(move || tell_all(&words))
            .map_err(|e| format!("cannot start a thread for the service manager: {e}"))?;
        Ok(Self(say))
    }

    fn tell(&self, say: Say) {
        // It listens to nobody just now; the next word comes in a second.
        let _full = self.0.try_send(say);
    }
}

/// Does nothing where no service manager listens.
fn tell_all(words: &Receiver<Say>) {
    while let Ok(say) = words.recv() {
        let state = match say {
            Say::Ready => NotifyState::Ready,
            Say::Alive => NotifyState::Watchdog,
            Say::Stopping => NotifyState::Stopping,
        };
        if let Err(why) = sd_notify::notify(&[state]) {
            tracing::debug!("the service manager cannot be told: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Field, LinkThread};

    #[test]
    fn ten_seconds_without_a_cycle_give_the_devices_back_and_a_process_that_stood_still_does_not() {
        let site = crate::site::builtin("home-amsterdam").unwrap();
        let links = LinkThread::start().unwrap();
        let options = crate::cli::run::options(&site, 1.0).unwrap();
        let field = Field::on_thread(&site, options, &links).unwrap();
        let (beat, held_up) = (Arc::new(Beat::default()), HeldUp::default());
        let (_tell, told) = watch::channel(false);
        let watched = Watched {
            beat: beat.clone(),
            hand: field.hand(),
            told,
            cycle: Duration::from_secs(1),
        };
        let mut look = Look::new(watched, held_up.clone(), Manager::start().unwrap());
        let after = |s: u64, look: &mut Look| {
            look.looked = Instant::now().checked_sub(Duration::from_secs(s)).unwrap();
            look.again();
        };
        beat.ended();
        after(0, &mut look);
        assert!(look.fed.is_some(), "all is well");
        after(30, &mut look);
        assert!(look.silent <= LOOK_MOST && !look.given_back, "the process stood still");
        (0..8).for_each(|_| after(1, &mut look));
        assert!(!look.given_back, "{:?}", look.silent);
        let fed = look.fed;
        (0..3).for_each(|_| after(1, &mut look));
        assert!(look.given_back && beat.was_handed_back(), "{:?}", look.silent);
        look.fed = None;
        after(1, &mut look);
        assert!(
            look.fed.is_none() && fed.is_some(),
            "the service manager is told the truth"
        );
        assert!(!beat.was_handed_back(), "given back once");
        assert!(held_up.trouble().is_none());
        beat.ended();
        after(0, &mut look);
        assert!(!look.given_back && look.fed.is_some());
        let said = held_up.trouble().expect("people are told");
        assert!(said.en.contains("no cycle ended for 13 s"), "{}", said.en);
    }
}
