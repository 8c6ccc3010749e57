//! The clock of a live controller: it goes on evenly whatever somebody does to the wall clock.
//!
//! It is anchored to the wall clock and carried by `CLOCK_BOOTTIME`, which nobody can set and which counts a suspend too.
//! Once a cycle [`SiteClock::follow`] compares it with the wall clock:
//!
//! - a small difference is slewed away, so slowly that time never stands still and no interval is wrong by more than
//!   [`SLEW`];
//! - a larger one is a *step*: the clock jumps, and whoever keeps instants is told by how much;
//! - one beyond [`WILD`] is not believed: the clock keeps its own time, which was right a moment ago and cannot jump, and
//!   follows when the time daemon vouches for it or the wall clock has stood there for [`PROBATION`];
//! - a clock that started before anything could be is [`Word::Wrong`], and follows the wall clock until that can be true.

use super::{Clock, Timestamp};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Differences below this are slewed. Time daemons step by more than this (systemd-timesyncd 0.4 s, chrony's usual 1 s) and
/// slew the rest themselves, which the steady clock follows.
const STEP_AT: TimeDelta = TimeDelta::milliseconds(400);
/// Largest change of rate while slewing; ages and energies are wrong by no more than this.
const SLEW: f64 = 0.005;
/// A difference is worked off over about this long.
const SLEW_OVER: Duration = Duration::from_secs(10);
/// No time zone taken for another and no change of daylight saving time is off by more (UTC-12 to UTC+14).
const WILD: TimeDelta = TimeDelta::hours(26);
/// A wild time that stood this long is the time: somebody has set it and left it, and people were told all the while.
const PROBATION: Duration = Duration::from_secs(3600);
/// systemd-timesyncd touches this file with every synchronisation (systemd-timesyncd.service(8)), at most 34 minutes apart.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
const VOUCHED_FOR: TimeDelta = TimeDelta::minutes(35);
/// Nobody ran Madang before: 2026-01-01T00:00:00Z.
const EARLIEST_S: i64 = 1_767_225_600;

/// Both clocks at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Both {
    pub wall: Timestamp,
    /// Since some fixed moment; never goes back.
    pub steady: Duration,
}

impl Both {
    fn read() -> Self {
        Self {
            wall: DateTime::<Utc>::from(SystemTime::now()),
            steady: steady(),
        }
    }
}

fn steady() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(t.tv_sec).unwrap_or(0),
        u32::try_from(t.tv_nsec).unwrap_or(0),
    )
}

/// The time daemon has synchronised lately by this very wall clock. A kernel that says "not synchronised" says nothing: containers
/// do so for ever.
fn synchronized(wall: Timestamp) -> bool {
    let touched = std::fs::metadata(SYNCHRONIZED).and_then(|about| about.modified());
    touched.is_ok_and(|at| (wall - DateTime::<Utc>::from(at)).abs() <= VOUCHED_FOR)
}

/// What the clock's owner may say of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Word {
    #[default]
    Believed,
    /// The wall clock jumped by this much and is not believed; site time goes on from before.
    Held(TimeDelta),
    /// Site time cannot be right and there is no better one: nothing that needs the calendar may be decided on it.
    Wrong,
}

/// What came of a look at the wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Site time jumped by this much; instants kept by their age move along.
    pub step: Option<TimeDelta>,
    pub word: Word,
}

/// Site time of a live controller; see the head of this file.
#[derive(Debug)]
pub struct SiteClock(Mutex<Course>);

impl SiteClock {
    /// Starts at the wall clock's time.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Course::new(Both::read(), None))))
    }

    /// A former process was at work at `known`: a clock that stands a good deal before it is wrong.
    pub fn knowing(&self, known: Option<Timestamp>) {
        let mut course = self.course();
        let now = course.at(steady());
        course.word = course.judged(now, known);
    }

    /// Looks at the wall clock.
    pub fn follow(&self) -> Turn {
        self.course().follow(Both::read(), synchronized)
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SiteClock {
    fn now(&self) -> Timestamp {
        self.course().at(steady())
    }
}

/// The rule, without a clock of its own.
#[derive(Debug, Clone)]
struct Course {
    /// Site time at `since`.
    site: Timestamp,
    since: Duration,
    /// Added to the steady clock's rate for [`SLEW_OVER`] at most.
    rate: f64,
    word: Word,
    /// Since when the wall clock stands where it is not believed.
    stands_since: Duration,
}

impl Course {
    fn new(both: Both, known: Option<Timestamp>) -> Self {
        let mut course = Self {
            site: both.wall,
            since: both.steady,
            rate: 0.0,
            word: Word::Believed,
            stands_since: both.steady,
        };
        course.word = course.judged(both.wall, known);
        course
    }

    fn judged(&self, now: Timestamp, known: Option<Timestamp>) -> Word {
        let before = known.is_some_and(|known| now < known - WILD);
        if before || !may_be(now) {
            Word::Wrong
        } else {
            Word::Believed
        }
    }

    fn at(&self, steady: Duration) -> Timestamp {
        let gone = steady.saturating_sub(self.since);
        let slewed = gone.min(SLEW_OVER).as_secs_f64() * self.rate;
        let more = TimeDelta::from_std(gone).unwrap_or(TimeDelta::MAX) + TimeDelta::microseconds((slewed * 1e6) as i64);
        self.site.checked_add_signed(more).unwrap_or(self.site)
    }

    fn follow(&mut self, both: Both, vouched: impl Fn(Timestamp) -> bool) -> Turn {
        let now = self.at(both.steady);
        let off = both.wall - now;
        (self.site, self.since, self.rate) = (now, both.steady, 0.0);
        if off.abs() < STEP_AT {
            self.rate = (off.as_seconds_f64() / SLEW_OVER.as_secs_f64()).clamp(-SLEW, SLEW);
            self.settle(both);
            return self.turn(None);
        }
        if self.word == Word::Wrong || off.abs() <= WILD {
            self.site = both.wall;
            self.word = match self.word {
                Word::Wrong if !may_be(both.wall) => Word::Wrong,
                _ => Word::Believed,
            };
            self.stands_since = both.steady;
            return self.turn(Some(off));
        }
        self.hold(off, both, vouched(both.wall))
    }

    /// Back where it was, or on probation.
    fn settle(&mut self, both: Both) {
        let stood = both.steady.saturating_sub(self.stands_since) >= PROBATION;
        match self.word {
            Word::Held(_) => self.word = Word::Believed,
            Word::Wrong if stood && may_be(both.wall) => self.word = Word::Believed,
            Word::Wrong | Word::Believed => {}
        }
    }

    /// The wall clock is far off: own time goes on until somebody vouches for it or it has stood there long enough.
    fn hold(&mut self, off: TimeDelta, both: Both, vouched: bool) -> Turn {
        let same = matches!(self.word, Word::Held(known) if (known - off).abs() < STEP_AT);
        if !same {
            self.stands_since = both.steady;
            self.word = Word::Held(off);
        }
        let stood = both.steady.saturating_sub(self.stands_since) >= PROBATION;
        if !((stood || vouched) && may_be(both.wall)) {
            return self.turn(None);
        }
        (self.site, self.word) = (both.wall, Word::Believed);
        self.turn(Some(off))
    }

    fn turn(&self, step: Option<TimeDelta>) -> Turn {
        Turn { step, word: self.word }
    }
}

fn may_be(t: Timestamp) -> bool {
    t.timestamp() >= EARLIEST_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    /// A course that was followed each second for a while, and both clocks after it.
    struct Bench {
        course: Course,
        both: Both,
        vouched: bool,
    }

    impl Bench {
        fn at(wall: Timestamp, known: Option<Timestamp>) -> Self {
            let both = Both {
                wall,
                steady: Duration::from_secs(1000),
            };
            let course = Course::new(both, known);
            Self {
                course,
                both,
                vouched: false,
            }
        }
        /// A second passes; the wall clock also jumps by `jump`.
        fn second(&mut self, jump: TimeDelta) -> Turn {
            let before = self.course.at(self.both.steady);
            self.both.steady += Duration::from_secs(1);
            self.both.wall += TimeDelta::seconds(1) + jump;
            let turn = self.course.follow(self.both, |_| self.vouched);
            let gone = self.course.at(self.both.steady) - before - turn.step.unwrap_or_default();
            let off = (gone - TimeDelta::seconds(1)).abs();
            assert!(off <= TimeDelta::microseconds(5_010), "a second took {gone}");
            turn
        }
        fn seconds(&mut self, n: u32) -> Turn {
            (0..n).fold(Turn::default(), |_, _| self.second(TimeDelta::zero()))
        }
        fn off(&self) -> TimeDelta {
            self.both.wall - self.course.at(self.both.steady)
        }
    }

    #[test]
    fn a_second_lasts_a_second_whatever_the_wall_clock_does() {
        let rows = [
            ("slewed", TimeDelta::milliseconds(300), None, Word::Believed),
            ("slewed back", TimeDelta::milliseconds(-300), None, Word::Believed),
            ("a second", TimeDelta::seconds(1), Some(1), Word::Believed),
            ("a second back", TimeDelta::seconds(-1), Some(-1), Word::Believed),
            ("an hour", TimeDelta::hours(1), Some(3600), Word::Believed),
            ("an hour back", TimeDelta::hours(-1), Some(-3600), Word::Believed),
            ("a day back", TimeDelta::days(-1), Some(-86_400), Word::Believed),
            ("a year", TimeDelta::days(365), None, Word::Held(TimeDelta::days(365))),
            (
                "ten years",
                TimeDelta::days(3650),
                None,
                Word::Held(TimeDelta::days(3650)),
            ),
            (
                "ten years back",
                TimeDelta::days(-3650),
                None,
                Word::Held(TimeDelta::days(-3650)),
            ),
        ];
        for (name, jump, step, word) in rows {
            let mut bench = Bench::at(start(), None);
            bench.seconds(5);
            let turn = bench.second(jump);
            assert_eq!(turn.step.map(|s| s.num_seconds()), step, "{name}");
            assert_eq!(turn.word, word, "{name}");
            bench.seconds(200);
            if word == Word::Believed {
                assert!(
                    bench.off().abs() < TimeDelta::milliseconds(1),
                    "{name}: {}",
                    bench.off()
                );
            }
        }
    }

    #[test]
    fn a_wild_time_is_believed_after_an_hour_and_at_once_when_it_comes_back() {
        let mut bench = Bench::at(start(), None);
        bench.second(TimeDelta::days(365));
        assert_eq!(bench.seconds(3590).word, Word::Held(TimeDelta::days(365)));
        let mut back = Bench {
            course: bench.course.clone(),
            both: bench.both,
            vouched: false,
        };
        let turn = back.second(TimeDelta::days(-365));
        assert_eq!((turn.step, turn.word), (None, Word::Believed), "it came back");
        let accepted = (0..20).find_map(|_| bench.second(TimeDelta::zero()).step);
        assert_eq!(accepted, Some(TimeDelta::days(365)));
        assert_eq!(bench.seconds(1).word, Word::Believed);
    }

    #[test]
    fn a_wild_time_that_the_time_daemon_vouches_for_is_the_time() {
        let mut bench = Bench::at(start(), None);
        bench.vouched = true;
        let turn = bench.second(TimeDelta::days(9));
        assert_eq!((turn.step, turn.word), (Some(TimeDelta::days(9)), Word::Believed));
        assert_eq!(
            bench.second(TimeDelta::days(-3650)).step,
            None,
            "but for one that cannot be"
        );
    }

    #[test]
    fn a_wild_time_that_cannot_be_is_never_believed() {
        let mut bench = Bench::at(start(), None);
        bench.second(TimeDelta::days(-3650));
        assert_eq!(bench.seconds(8000).word, Word::Held(TimeDelta::days(-3650)));
    }

    #[test]
    fn a_wrong_year_at_boot_is_said_until_the_right_one_comes() {
        let boot = DateTime::from_timestamp(3600, 0).unwrap();
        let mut bench = Bench::at(boot, None);
        assert_eq!(bench.seconds(8000).word, Word::Wrong, "1970 never becomes true");
        let turn = bench.second(start() - boot);
        assert_eq!(turn.step, Some(start() - boot));
        assert_eq!(turn.word, Word::Believed);
        // the former process was at work later than this: believed when nobody corrects it for an hour
        let mut bench = Bench::at(start(), Some(start() + TimeDelta::days(400)));
        assert_eq!(bench.seconds(3590).word, Word::Wrong);
        assert_eq!(bench.seconds(20).word, Word::Believed);
        // a journal that was closed a moment ago by a clock half a day ahead is no reason
        let bench = Bench::at(start(), Some(start() + TimeDelta::hours(12)));
        assert_eq!(bench.course.word, Word::Believed);
    }
}
