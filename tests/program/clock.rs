//! The wall clock jumps: in the controller alone, by rows, and under the running program where libfaketime is installed.

use crate::support::live::{in_control, now, run_command, site, twin};
use crate::support::{Process, eventually, free_port};
use chrono::{Datelike, TimeDelta, Utc};
use madang::cycle::{CLOCK_WRONG, Config, Controller, CycleReport, Planner, PricePort};
use madang::journal::HashJournal;
use madang::model::{Policy, Rung};
use madang::reading::Quality;
use madang::site::{Mode, Site, builtin};
use madang::tariff::{PriceFiles, PriceSeries};
use madang::time::{Timestamp, Turn, Word};
use madang::twin::{Direct, World};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CYCLE: TimeDelta = TimeDelta::seconds(10);

/// Three days of hourly prices.
fn hourly(from: Timestamp) -> Option<Arc<PriceFiles>> {
    let row = |h| {
        format!(
            "{},0.1\n",
            (from + TimeDelta::hours(h)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        )
    };
    let rows: String = (0..72).map(row).collect();
    // A year that no price file may name has none.
    PriceSeries::parse(&format!("ts_utc,price\n{rows}"), "EUR")
        .ok()
        .map(|series| Arc::new(PriceFiles::from_iter([("prices.csv".to_owned(), Arc::new(series))])))
}

/// Prices at every hour of every year.
struct Always((Timestamp, Option<Arc<PriceFiles>>));

impl PricePort for Always {
    fn current(&mut self, now: Timestamp) -> Option<Arc<PriceFiles>> {
        let from = madang::time::floor_to(now, TimeDelta::hours(1)) - TimeDelta::hours(24);
        if self.0.0 != from {
            self.0 = (from, hourly(from));
        }
        self.0.1.clone()
    }
    fn version(&self) -> u64 {
        1
    }
}

/// A site in virtual time whose plant lives on an even axis, while the controller's clock can be set.
struct Play {
    site: Arc<Site>,
    world: Arc<Mutex<World>>,
    controller: Controller<Direct, HashJournal>,
    even: Timestamp,
    shift: TimeDelta,
    runtime: tokio::runtime::Runtime,
}

impl Play {
    fn of(name: &str, start: &str) -> Self {
        let start: Timestamp = start.parse().unwrap();
        let mut site: Site = builtin(name).unwrap();
        site.plant.mode = Mode::Control;
        site.plant.timing.cycle = CYCLE;
        let site = Arc::new(site);
        let world = Arc::new(Mutex::new(World::new(&site, 3, start, CYCLE).unwrap()));
        let field = Direct::new(world.clone(), site.clone());
        let config = Config {
            plant: Arc::new(site.plant.clone()),
            policy: Policy::Plan,
            deadline: None,
            explain: false,
            oracle: None,
        };
        let (prices, planner) = (Box::new(Always((start, hourly(start)))), Planner::inline());
        let controller = Controller::new(config, field, HashJournal::new(), prices, planner, None, start);
        Self {
            site,
            world,
            controller,
            even: start,
            shift: TimeDelta::zero(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    fn cycle(&mut self, turn: Turn) -> CycleReport {
        self.shift += turn.step.unwrap_or_default();
        let now = self.even + self.shift;
        self.controller.turn(turn, now);
        let report = self.runtime.block_on(self.controller.cycle(now));
        self.even += CYCLE;
        self.world.lock().unwrap().advance_to(self.even);
        report
    }

    fn cycles(&mut self, n: u32, mut each: impl FnMut(&CycleReport)) {
        for _ in 0..n {
            let report = self.cycle(Turn::default());
            each(&report);
        }
    }
}

fn set(step: TimeDelta) -> Turn {
    Turn {
        step: Some(step),
        word: Word::Believed,
    }
}

/// What was counted so far, whatever day the clock says it is.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    imported: f64,
    exported: f64,
    month: f64,
}

impl Counted {
    /// Counts another cycle of real length by the test's own sum.
    fn add(&mut self, report: &CycleReport) {
        let kw = report.snapshot.grid.and_then(|g| g.usable()).map_or(0.0, |g| g.as_kw());
        let hours = CYCLE.as_seconds_f64() / 3600.0;
        self.imported += kw.max(0.0) * hours;
        self.exported += (-kw).max(0.0) * hours;
        self.month += kw.max(0.0) * hours;
    }
    fn off(self, other: Self) -> f64 {
        let each = [
            self.imported - other.imported,
            self.exported - other.exported,
            self.month - other.month,
        ];
        each.into_iter().fold(0.0, |most, x| most.max(x.abs()))
    }
}

fn counted(report: &CycleReport) -> Counted {
    Counted {
        imported: report.state.today.imported.as_kwh(),
        exported: report.state.today.exported.as_kwh(),
        month: report.state.month.imported.as_kwh(),
    }
}

/// What must hold in every cycle behind a jump, as in any other.
fn check(play: &Play, report: &CycleReport, name: &str) {
    let at = report.snapshot.at;
    assert_ne!(report.state.rung, Rung::Safe, "{name}");
    for (id, values) in &report.snapshot.components {
        for (quantity, reading) in values {
            let name = format!("{name}: {id} {quantity:?}");
            assert!(
                !matches!(reading.quality(), Quality::Stale | Quality::Invalid),
                "{name} is {:?}, {} old",
                reading.quality(),
                reading.age(at)
            );
            assert!(reading.age(at) >= TimeDelta::zero(), "{name} was read in the future");
        }
    }
    for s in report.setpoints.iter() {
        let lease = s.valid_until - at;
        assert!(lease >= TimeDelta::seconds(30) && lease <= CYCLE * 4, "{name}: {lease}");
    }
    for (id, last) in &report.state.last {
        let (age, since) = (at - last.at, at - last.mode_since);
        let lived = play.even - "2026-05-12T00:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::days(1);
        assert!(age >= TimeDelta::zero() && age <= lived, "{name}: {id} told {age} ago");
        assert!(
            since >= TimeDelta::zero() && since <= lived,
            "{name}: {id} in this mode for {since}"
        );
    }
}

#[test]
fn a_jump_costs_no_cycle_no_lease_no_count_and_no_memory() {
    let second = TimeDelta::seconds;
    let rows = [
        second(1),
        second(-1),
        second(20),
        second(-20),
        second(-600),
        second(3600),
        second(-3600),
        TimeDelta::days(1),
        TimeDelta::days(-1),
        TimeDelta::days(365),
        TimeDelta::days(-365),
        TimeDelta::days(3650),
        TimeDelta::days(-3650),
    ];
    for site in ["home-amsterdam", "island-microgrid"] {
        for step in rows {
            let name = format!("{site}, {step}");
            let mut play = Play::of(site, "2026-05-12T10:00:00Z");
            // the first cycle begins to count
            play.cycles(1, |_| {});
            let mut own = Counted::default();
            play.cycles(180, |r| own.add(r));
            let slots = known_slots(&play);
            let report = play.cycle(set(step));
            own.add(&report);
            check(&play, &report, &name);
            assert!(
                report.alarms.iter().any(|a| a.code == "clock_set"),
                "{name}: it is said"
            );
            let mut last = report;
            for _ in 0..59 {
                let report = play.cycle(Turn::default());
                own.add(&report);
                check(&play, &report, &name);
                last = report;
            }
            assert_eq!(
                last.state.rung,
                Rung::Normal,
                "{name}: a plan for the new time is in force"
            );
            assert!(known_slots(&play) >= slots, "{name}: the forecaster forgot");
            // a clock set forward by more turns the day as time does
            if step <= TimeDelta::hours(1) {
                let off = counted(&last).off(own);
                assert!(
                    off < 1e-6,
                    "{name}: {:?}, and {own:?} by the test's sum",
                    counted(&last)
                );
            }
        }
    }
}

fn known_slots(play: &Play) -> usize {
    let series = play.controller.state.forecast.series.values();
    series.flat_map(|m| &m.slots).filter(|s| s.is_some()).count()
}

#[test]
fn a_clock_set_back_over_midnight_counts_the_day_and_the_month_once() {
    // local midnight of 1 June at 22:00 UTC
    let mut play = Play::of("home-amsterdam", "2026-05-31T21:50:00Z");
    let mut days = Vec::new();
    let mut last = Counted::default();
    let mut watch = |report: &CycleReport, days: &mut Vec<Timestamp>| {
        let (start, now) = (report.state.today.start, counted(report));
        if days.last() != Some(&start) {
            days.push(start);
        } else {
            assert!(
                now.imported >= last.imported && now.exported >= last.exported,
                "{now:?} after {last:?}"
            );
            assert!(now.month >= last.month, "{now:?} after {last:?}");
        }
        last = now;
    };
    play.cycles(90, |r| watch(r, &mut days));
    for _ in 0..3 {
        let report = play.cycle(set(TimeDelta::minutes(-10)));
        watch(&report, &mut days);
        play.cycles(60, |r| watch(r, &mut days));
    }
    assert_eq!(days.len(), 2, "{days:?}");
    assert_eq!(
        play.site.plant.tariff.month_start(days[1]),
        days[1],
        "the month began with the day"
    );
    assert_eq!(play.controller.state.month.month_start, days[1]);
    // a wrong year was corrected: the day is relabelled, what it counted stays
    let kept = last;
    let report = play.cycle(set(TimeDelta::days(-4000)));
    let now = counted(&report);
    assert!(now.imported >= kept.imported && now.month >= kept.month);
    assert!(report.state.today.start <= report.snapshot.at);
    assert!(report.state.month.month_start <= report.snapshot.at);
}

#[test]
fn a_window_that_a_clock_passes_twice_makes_no_peak() {
    let mut play = Play::of("apartment-seoul", "2026-05-12T10:00:00Z");
    play.controller.state.month.peaks = madang::tariff::Peaks::of(madang::units::Power::ZERO);
    let mut kw = Vec::new();
    let mut watch = |r: &CycleReport| kw.push(r.snapshot.grid.and_then(|g| g.usable()).map_or(0.0, |g| g.as_kw()));
    play.cycles(85, &mut watch);
    let report = play.cycle(set(TimeDelta::minutes(-14)));
    watch(&report);
    play.cycles(90, &mut watch);
    let peak = play.controller.state.month.peaks.peak.as_kw();
    // the highest mean of any quarter of an hour that really was
    let means = kw.windows(90).map(|w| w.iter().map(|k| k.max(0.0)).sum::<f64>() / 90.0);
    let most = means.fold(0.0, f64::max);
    assert!(peak > 0.5 * most, "{peak} kW of {most} kW: the window was closed");
    assert!(peak <= 1.05 * most, "{peak} kW, and never more than {most} kW");
}

#[test]
fn on_a_clock_that_cannot_be_right_the_rule_leads_until_it_is() {
    let mut play = Play::of("home-amsterdam", "1970-01-01T01:00:00Z");
    let wrong = Turn {
        step: None,
        word: Word::Wrong,
    };
    let mut report = play.cycle(wrong);
    for _ in 0..60 {
        report = play.cycle(wrong);
    }
    assert_eq!(report.state.rung, Rung::Rule);
    assert!(report.prices.is_none() && report.state.schedule.is_none());
    let said = report
        .alarms
        .iter()
        .find(|a| a.code == CLOCK_WRONG)
        .expect("it is said");
    assert!(said.text_en.contains("1970-01-01") && said.text_ko.contains("시계"));
    assert_eq!(known_slots(&play), 0, "nothing is learned under wrong hours");
    let right: Timestamp = "2026-05-12T10:00:00Z".parse().unwrap();
    play.cycle(set(right - play.even));
    let mut report = play.cycle(Turn::default());
    for _ in 0..3 {
        report = play.cycle(Turn::default());
    }
    assert_eq!(report.state.rung, Rung::Normal);
    assert!(report.prices.is_some());
    assert!(!report.alarms.iter().any(|a| a.code == CLOCK_WRONG));
}

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// `madang run` under a wall clock that a file moves; monotonic time is left alone.
fn faked(site: &Path, state: &Path, port: u16, offset: &Path) -> Process {
    let mut command = run_command(site, state, port);
    command
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    Process::start(&mut command)
}

fn cycles(page: &Value) -> i64 {
    page["counts"]["cycles"].as_i64().unwrap()
}

fn has_alarm(page: &Value, code: &str, text: &str) -> bool {
    let mut alarms = page["alarms"].as_array().unwrap().iter();
    alarms.any(|a| a["code"] == code && a["text_en"].as_str().unwrap().contains(text))
}

#[test]
fn the_running_program_makes_a_cycle_a_second_whatever_the_wall_clock_does() {
    if !Path::new(FAKETIME).exists() {
        assert!(
            std::env::var_os("MADANG_REQUIRE_PEERS").is_none(),
            "libfaketime is required"
        );
        return println!("skipped: libfaketime is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let (site, port) = (site("home-amsterdam", folder.path()), free_port());
    let offset = folder.path().join("offset");
    std::fs::write(&offset, "+0s\n").unwrap();
    let _devices = twin(&site, &[]);
    let mut running = faked(&site, &folder.path().join("state"), port, &offset);
    in_control(port);
    const DAY: i64 = 86_400;
    // offsets; each is a jump from the time of the one before, or from the controller's own
    let rows = [
        (-30, "clock_set", "back by 30 s"),
        (-3630, "clock_set", "back by 1 h"),
        (-3629, "clock_set", "forward by 1 s"),
        (20_000, "clock_set", "forward by 6 h 33 min"),
        (20_000 + 365 * DAY, "clock_not_believed", "forward by 365 d"),
        (20_000 - 3650 * DAY, "clock_not_believed", "back by 3650 d"),
        (0, "clock_set", "back by 5 h 33 min"),
    ];
    // A jump into another month begins its books anew.
    let month = |s: i64| {
        let local = (Utc::now() + TimeDelta::seconds(s)).with_timezone(&chrono_tz::Europe::Amsterdam);
        (local.year(), local.month())
    };
    let mut at = 0;
    for (s, code, text) in rows {
        let before = std::mem::replace(&mut at, s);
        // a clock that is not believed turns no month
        let turned = code == "clock_set" && month(s) != month(before);
        let (first, begun) = (now(port).expect("it answers"), Instant::now());
        let books = |page: &Value| page["month"]["imported_kwh"].as_f64().unwrap();
        std::fs::write(&offset, format!("{s:+}s\n")).unwrap();
        std::thread::sleep(Duration::from_secs(4));
        let after = now(port).expect("it still answers");
        let (made, due) = (cycles(&after) - cycles(&first), begun.elapsed().as_secs_f64());
        assert!(made as f64 >= due - 1.5, "{s} s: {made} cycles in {due:.1} s");
        assert!(has_alarm(&after, code, text), "{s} s: {}", after["alarms"]);
        assert!(turned || books(&after) >= books(&first), "{s} s: books ran backwards");
    }
    eventually("a plan is in force", Duration::from_secs(10), || {
        (now(port)?["rung"] == "normal").then_some(())
    });
    running.signal("-TERM");
    assert!(running.wait(Duration::from_secs(5)).is_some_and(|s| s.success()));
}
