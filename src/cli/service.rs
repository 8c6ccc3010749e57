//! A live controller: one loop, its exits, its watchdog, its end. `run` and `demo` differ only in what they hand in.

use super::exits::{Exits, Opened};
use super::falls::{Care, Falls};
use super::live::Screen;
use super::panics;
use super::watch::{HeldUp, Watchdog, Watched};
use crate::backtest::NoMarket;
use crate::cycle::{Beat, Config, Controller, Heard, Planner, PricePort, Stop, run};
use crate::field::{Field, Hand, LinkThread};
use crate::journal::FileJournal;
use crate::model::ControllerState;
use crate::site::Site;
use crate::time::Pacer;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// Wall-clock bound of a plan in a live controller.
const DEADLINE: Duration = Duration::from_secs(1);
/// Exits have this long to write what they hold; the rest of the five seconds belongs to giving back.
const CLOSE: Duration = Duration::from_millis(1_500);
/// Links have this long to give back what a loop that fell has left.
const LEFT: Duration = Duration::from_secs(3);

/// What a live controller is made of.
pub struct Service {
    pub site: Arc<Site>,
    pub field: Field,
    pub links: LinkThread,
    pub prices: Box<dyn PricePort>,
    pub pacer: Pacer,
    pub opened: Opened,
    /// State to go on from instead of the journal's.
    pub restored: Option<ControllerState>,
    /// Who plans: one of `plan::CONTROLLERS`.
    pub solver: String,
    /// State folder.
    pub state: PathBuf,
    /// Control cycle in real time.
    pub cycle: Duration,
}

impl Service {
    /// Runs until SIGINT or SIGTERM; then devices are given back, and everything is flushed, within five seconds.
    ///
    /// # Errors
    /// The loop stopped in the middle of a cycle; devices were given back all the same.
    pub async fn serve(self) -> Result<(), String> {
        let falls = Falls::of(&self.state);
        let care = falls.care();
        let Opened {
            exits,
            journal,
            restored,
            inbox,
        } = self.opened;
        let restored = self.restored.or(restored);
        if let Pacer::Live(clock) = &self.pacer {
            clock.knowing(restored.as_ref().and_then(ControllerState::newest));
        }
        let config = Config {
            plant: Arc::new(self.site.plant.clone()),
            policy: care.policy(),
            deadline: Some(DEADLINE),
            explain: true,
            oracle: None,
        };
        let prices: Box<dyn PricePort> = if care == Care::Usual {
            self.prices
        } else {
            Box::new(NoMarket)
        };
        let planner = Planner::threaded(&self.solver).map_err(|e| format!("cannot start the planner's thread: {e}"))?;
        let hand = self.field.hand();
        let now = self.pacer.clock().now();
        let restored = restored.map(|s| care.state(s));
        let controller = Controller::new(config, self.field, journal, prices, planner, restored, now);
        let looping = Looping {
            controller,
            exits,
            inbox,
            pacer: self.pacer,
            site: self.site,
            cycle: self.cycle,
        };
        looping.run(hand, self.links, falls).await
    }
}

/// Everything that the loop uses.
struct Looping {
    controller: Controller<Field, FileJournal>,
    exits: Exits,
    inbox: mpsc::Receiver<Heard>,
    pacer: Pacer,
    site: Arc<Site>,
    cycle: Duration,
}

impl Looping {
    async fn run(mut self, hand: Hand, links: LinkThread, mut falls: Falls) -> Result<(), String> {
        let beat = Arc::new(Beat::default());
        // On the thread of the links: a signal is heard while the loop is held up.
        let told = {
            let _entered = links.handle().enter();
            told_to_stop()?
        };
        let watchdog = Watchdog::start(Watched {
            beat: beat.clone(),
            hand,
            told: told.clone(),
            cycle: self.cycle,
        })?;
        self.watch(&falls, watchdog.held_up());
        pause(falls.care().pause(), told.clone()).await;
        let stop = Stop { at: None, told, beat };
        let ended = AssertUnwindSafe(self.cycles(stop, &mut falls)).catch_unwind().await;
        let fell = ended.is_err();
        self.close(links, if fell { LEFT } else { CLOSE });
        let noted = beside("falls", move || if fell { falls.fell() } else { falls.forget() });
        if noted.recv_timeout(CLOSE).is_err() {
            tracing::error!("the state folder does not answer");
        }
        drop(watchdog);
        match fell {
            true => Err("control stopped in the middle of a cycle; the devices were given back".into()),
            false => Ok(()),
        }
    }

    /// What goes on beside the loop becomes alarms.
    fn watch(&mut self, falls: &Falls, held_up: HeldUp) {
        let fallen = falls.trouble();
        let all = move || {
            let mut all = panics::troubles();
            all.extend(held_up.trouble());
            all.extend(fallen.clone());
            all
        };
        self.controller.watch(Box::new(all));
    }

    async fn cycles(&mut self, stop: Stop, falls: &mut Falls) {
        let mut screen = Screen::new();
        let (exits, plant) = (&mut self.exits, &self.site.plant);
        run(
            &mut self.controller,
            &mut self.pacer,
            &mut self.inbox,
            stop,
            |mut report| {
                exits.take(&mut report);
                screen.show(plant, &report);
                if falls.is_over() {
                    let falls = falls.clone();
                    drop(beside("falls", move || falls.forget()));
                }
            },
        )
        .await;
    }

    /// Closing waits for threads and disks, and nobody waits for it longer than he may.
    fn close(self, links: LinkThread, patience: Duration) {
        let (controller, exits) = (self.controller, self.exits);
        let closed = beside("closing", move || {
            // The field goes with it, and the links end.
            drop(controller);
            exits.finish();
        });
        if !links.finish(patience) {
            tracing::error!("some links did not end in time; their devices are given back by their own timers");
        }
        if closed.recv_timeout(CLOSE).is_err() {
            tracing::error!("history or page did not close in time; the process ends without waiting for them");
        }
    }
}

/// Does something that may be held up (a disk that does not answer) on a thread of its own; the receiver hears of its end.
fn beside(name: &str, work: impl FnOnce() + Send + 'static) -> Receiver<()> {
    let (done, ended) = channel();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        work();
        // Nobody waits any more.
        let _late = done.send(());
    });
    if let Err(why) = thread {
        tracing::error!("cannot start a thread ({name}): {why}");
    }
    ended
}

async fn pause(length: Duration, mut told: watch::Receiver<bool>) {
    if length.is_zero() {
        return;
    }
    tracing::error!("control fell again and again; it begins in {} s", length.as_secs());
    tokio::select! {
        _ = told.changed() => {}
        () = tokio::time::sleep(length) => {}
    }
}

/// Turns true on SIGINT or SIGTERM.
pub fn told_to_stop() -> Result<watch::Receiver<bool>, String> {
    let said = |e: std::io::Error| format!("cannot listen for signals: {e}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(said)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(said)?;
    let (stop, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Nobody listens any more: the loop has ended by itself.
        let _ended = stop.send(true);
    });
    Ok(told)
}
