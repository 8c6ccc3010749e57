//! Time: instants, intervals, grids, clocks, holidays. The only module that reads a clock.
//!
//! Inside everything is UTC; local time exists only in tariffs, in wishes ("departure 07:30") and in what people see.
//! Three kinds of time run the same rooms: a live site's, which goes on evenly and is told what the wall clock says
//! ([`SiteClock`]), a stepped one that a pacer moves (accelerated, or without the wire), and tokio's paused one (virtual,
//! with in-memory pipes).

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod site_clock;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
pub use site_clock::{SiteClock, Turn, Word};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub type Timestamp = DateTime<Utc>;

/// Whether an instant that came from outside (a file, a query, a person) can be meant: 1970 to 2199. Instants far beyond
/// leave no room for arithmetic (chrono ends at the year 262142), and nothing at a site is that far away.
pub fn is_believable(t: Timestamp) -> bool {
    (1970..2200).contains(&t.year())
}

/// Source of "now". Decisions never call it: they are handed a [`Timestamp`].
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The wall clock, for commands that are over in a moment; it may jump at any time.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Utc::now()
    }
}

/// A clock that stands still until it is moved: accelerated demos and virtual time without the wire.
#[derive(Debug)]
pub struct SteppedClock(AtomicI64);

impl SteppedClock {
    pub fn new(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(start.timestamp_micros())))
    }
    /// Moves forward to `t`; never backwards.
    pub fn advance_to(&self, t: Timestamp) {
        self.0.fetch_max(t.timestamp_micros(), Ordering::AcqRel);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        // Moved only by valid timestamps.
        DateTime::from_timestamp_micros(self.0.load(Ordering::Acquire)).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// tokio's own time shown as site time; with the runtime paused this is virtual time in lockstep with all pipes.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    epoch: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    /// Site time `epoch` is now.
    pub fn new(epoch: Timestamp) -> Self {
        Self {
            epoch,
            start: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.epoch + TimeDelta::from_std(self.start.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}

/// Waits for the next cycle in one of the kinds of time (DESIGN: one loop for all of them).
#[derive(Debug, Clone)]
pub enum Pacer {
    /// Real time, even whatever the wall clock does: `run`, `demo` and `twin` at speed 1.
    Live(Arc<SiteClock>),
    /// `speed` site seconds a second; an overloaded machine slows site time, no cycle is skipped.
    Scaled {
        clock: Arc<SteppedClock>,
        speed: f64,
        real_start: tokio::time::Instant,
        site_start: Timestamp,
    },
    /// tokio's (paused) clock.
    Tokio(TokioClock),
    /// As fast as possible: the clock jumps.
    Free(Arc<SteppedClock>),
}

impl Pacer {
    pub fn scaled(clock: Arc<SteppedClock>, speed: f64) -> Self {
        let site_start = clock.now();
        Self::Scaled {
            clock,
            speed,
            real_start: tokio::time::Instant::now(),
            site_start,
        }
    }

    /// Real time from now on.
    pub fn live() -> Self {
        Self::Live(SiteClock::new())
    }

    /// A look at the wall clock, where there is one; virtual and accelerated time cannot step.
    pub fn turn(&self) -> Turn {
        match self {
            Self::Live(clock) => clock.follow(),
            Self::Scaled { .. } | Self::Tokio(_) | Self::Free(_) => Turn::default(),
        }
    }

    /// The clock that belongs to this pace.
    pub fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Live(clock) => clock.clone(),
            Self::Scaled { clock, .. } | Self::Free(clock) => clock.clone(),
            Self::Tokio(c) => Arc::new(*c),
        }
    }

    /// Returns once site time has reached `t`.
    pub async fn wait_until(&mut self, t: Timestamp) {
        match self {
            Self::Live(clock) => {
                if let Ok(d) = (t - clock.now()).to_std() {
                    tokio::time::sleep(d).await;
                }
            }
            Self::Tokio(c) => {
                if let Ok(d) = (t - c.now()).to_std() {
                    tokio::time::sleep(d).await;
                }
            }
            Self::Free(clock) => clock.advance_to(t),
            Self::Scaled {
                clock,
                speed,
                real_start,
                site_start,
            } => {
                let ahead = (t - *site_start).as_seconds_f64() / *speed;
                let due = *real_start + std::time::Duration::from_secs_f64(ahead.max(0.0));
                let now = tokio::time::Instant::now();
                if due > now {
                    tokio::time::sleep_until(due).await;
                } else {
                    // Overloaded: let site time lag instead of rushing to catch up later.
                    *real_start += now - due;
                    tokio::task::yield_now().await;
                }
                clock.advance_to(t);
            }
        }
    }
}

/// Measures one piece of work: wall time for deadlines, CPU time of this thread for reports.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    wall: std::time::Instant,
    cpu_ms: f64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            wall: std::time::Instant::now(),
            cpu_ms: thread_cpu_ms(),
        }
    }
    pub fn wall(&self) -> std::time::Duration {
        self.wall.elapsed()
    }
    /// CPU milliseconds of this thread since the start.
    pub fn cpu_ms(&self) -> f64 {
        thread_cpu_ms() - self.cpu_ms
    }
}

fn thread_cpu_ms() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
}

/// Half-open stretch of time `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Interval {
    pub fn length(&self) -> TimeDelta {
        self.end - self.start
    }
    pub fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t < self.end
    }
}

/// Consecutive steps from `start`; steps may differ in length (a short first one, coarse later ones).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeGrid {
    pub start: Timestamp,
    /// Length of each step in seconds, all positive.
    pub steps_s: Vec<i64>,
}

impl TimeGrid {
    /// From `now` to the next multiple of `step`, then whole steps, until `horizon` is covered.
    pub fn aligned(now: Timestamp, step: TimeDelta, horizon: TimeDelta) -> Self {
        let step_s = step.num_seconds().max(1);
        let first = step_s - now.timestamp().rem_euclid(step_s);
        let mut steps_s = vec![first];
        let mut total = first;
        while total < horizon.num_seconds() {
            steps_s.push(step_s);
            total += step_s;
        }
        Self {
            start: DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now),
            steps_s,
        }
    }
    pub fn uniform(start: Timestamp, step: TimeDelta, count: usize) -> Self {
        Self {
            start,
            steps_s: vec![step.num_seconds(); count],
        }
    }
    pub fn len(&self) -> usize {
        self.steps_s.len()
    }
    pub fn is_empty(&self) -> bool {
        self.steps_s.is_empty()
    }
    pub fn end(&self) -> Timestamp {
        self.start + TimeDelta::seconds(self.steps_s.iter().sum())
    }
    pub fn intervals(&self) -> impl Iterator<Item = Interval> + '_ {
        self.steps_s.iter().scan(self.start, |at, s| {
            let start = *at;
            *at = start + TimeDelta::seconds(*s);
            Some(Interval { start, end: *at })
        })
    }
    /// Index of the step that holds `t`.
    pub fn index_of(&self, t: Timestamp) -> Option<usize> {
        self.intervals().position(|i| i.contains(t))
    }
    /// Length of each step in hours.
    pub fn hours(&self) -> Vec<f64> {
        self.steps_s.iter().map(|s| *s as f64 / 3600.0).collect()
    }
}

/// Start of the metering interval of length `step` that holds `t` (aligned to UTC, as 15-minute meters are everywhere).
pub fn floor_to(t: Timestamp, step: TimeDelta) -> Timestamp {
    let s = step.num_seconds().max(1);
    DateTime::from_timestamp(t.timestamp().div_euclid(s) * s, 0).unwrap_or(t)
}

/// The instant of a local wall-clock time; where it does not exist (spring) the first instant after the gap, where it is
/// ambiguous (autumn) the earlier one.
pub fn local_instant(tz: Tz, local: chrono::NaiveDateTime) -> Timestamp {
    match tz.from_local_datetime(&local).earliest() {
        Some(t) => t.to_utc(),
        None => local_instant(tz, local + TimeDelta::minutes(30)),
    }
}

/// Local midnight that starts the given local date.
pub fn local_midnight(tz: Tz, date: NaiveDate) -> Timestamp {
    local_instant(tz, date.and_time(chrono::NaiveTime::MIN))
}

/// Kind of day for tariffs and load profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DayKind {
    Work,
    Saturday,
    /// Sundays and public holidays.
    Sunday,
}

/// Public holidays by country (ISO code) plus a site's own list; unknown countries have only the site's own.
pub fn day_kind(date: NaiveDate, country: &str, extra: &[NaiveDate]) -> DayKind {
    if extra.contains(&date) || is_holiday(date, country) || date.weekday() == Weekday::Sun {
        DayKind::Sunday
    } else if date.weekday() == Weekday::Sat {
        DayKind::Saturday
    } else {
        DayKind::Work
    }
}

/// Countries whose public holidays [`day_kind`] knows.
pub const COUNTRIES: [&str; 4] = ["BE", "DE", "KR", "NL"];

/// Fixed and Easter-based public holidays (NL, DE, BE) and Korean ones (fixed days by law; lunar ones from the published
/// almanac for 2024–2030).
fn is_holiday(date: NaiveDate, country: &str) -> bool {
    let md = (date.month(), date.day());
    let from_easter = (date - easter(date.year())).num_days();
    match country {
        "NL" => matches!(md, (1, 1) | (4, 27) | (12, 25) | (12, 26)) || matches!(from_easter, 0 | 1 | 39 | 49 | 50),
        "DE" => {
            matches!(md, (1, 1) | (5, 1) | (10, 3) | (12, 25) | (12, 26)) || matches!(from_easter, -2 | 1 | 39 | 50)
        }
        "BE" => {
            matches!(md, (1, 1) | (5, 1) | (7, 21) | (8, 15) | (11, 1) | (11, 11) | (12, 25))
                || matches!(from_easter, 1 | 39 | 50)
        }
        "KR" => {
            matches!(
                md,
                (1, 1) | (3, 1) | (5, 5) | (6, 6) | (8, 15) | (10, 3) | (10, 9) | (12, 25)
            ) || korean_lunar(date)
        }
        _ => false,
    }
}

/// Seollal and Chuseok (three days each) and Buddha's birthday.
fn korean_lunar(date: NaiveDate) -> bool {
    type MonthDay = (u32, u32);
    const DAYS: [(i32, MonthDay, MonthDay, MonthDay); 7] = [
        // year, Seollal, Buddha's birthday, Chuseok
        (2024, (2, 10), (5, 15), (9, 17)),
        (2025, (1, 29), (5, 5), (10, 6)),
        (2026, (2, 17), (5, 24), (9, 25)),
        (2027, (2, 7), (5, 13), (9, 15)),
        (2028, (1, 27), (5, 2), (10, 3)),
        (2029, (2, 13), (5, 20), (9, 22)),
        (2030, (2, 3), (5, 9), (9, 12)),
    ];
    let day = |y, (m, d)| NaiveDate::from_ymd_opt(y, m, d).map(|h| (date - h).num_days());
    DAYS.iter()
        .filter(|(y, ..)| *y == date.year())
        .any(|(y, seollal, buddha, chuseok)| {
            day(*y, *buddha) == Some(0)
                || [seollal, chuseok]
                    .into_iter()
                    .any(|h| day(*y, *h).is_some_and(|n| n.abs() <= 1))
        })
}

/// Easter Sunday in the Gregorian calendar (anonymous algorithm, Meeus, Astronomical Algorithms ch. 8).
fn easter(year: i32) -> NaiveDate {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    NaiveDate::from_ymd_opt(year, (n / 31) as u32, (n % 31 + 1) as u32).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_starts_with_the_rest_of_the_interval() {
        let now = Utc.with_ymd_and_hms(2026, 5, 12, 10, 4, 10).unwrap();
        let grid = TimeGrid::aligned(now, TimeDelta::minutes(15), TimeDelta::hours(1));
        assert_eq!(grid.steps_s, [650, 900, 900, 900, 900]);
        assert_eq!(grid.index_of(now + TimeDelta::seconds(651)), Some(1));
    }

    #[test]
    fn local_times_survive_both_clock_changes() {
        let tz = chrono_tz::Europe::Amsterdam;
        let date = |m, d| NaiveDate::from_ymd_opt(2026, m, d).unwrap();
        let length = |d: NaiveDate| local_midnight(tz, d.succ_opt().unwrap()) - local_midnight(tz, d);
        assert_eq!(length(date(3, 29)), TimeDelta::hours(23));
        assert_eq!(length(date(10, 25)), TimeDelta::hours(25));
        let gap = local_instant(tz, date(3, 29).and_hms_opt(2, 30, 0).unwrap());
        assert_eq!(gap, Utc.with_ymd_and_hms(2026, 3, 29, 1, 0, 0).unwrap());
    }

    #[test]
    fn the_countries_named_are_those_whose_holidays_are_known() {
        let christmas = NaiveDate::from_ymd_opt(2026, 12, 25).unwrap();
        assert!(COUNTRIES.iter().all(|c| is_holiday(christmas, c)));
        assert!(!["FR", "ZZ", "Holland", ""].iter().any(|c| is_holiday(christmas, c)));
    }

    #[test]
    fn holidays_are_billed_as_sundays() {
        let d = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        assert_eq!(easter(2026), d(2026, 4, 5));
        assert_eq!(day_kind(d(2026, 9, 24), "KR", &[]), DayKind::Sunday);
        assert_eq!(day_kind(d(2026, 5, 14), "NL", &[]), DayKind::Sunday);
        assert_eq!(day_kind(d(2026, 5, 12), "NL", &[]), DayKind::Work);
    }
}
