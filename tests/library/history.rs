//! The historian: what goes in comes out, sealed or not; old days thin out; a broken file stops nobody.

use chrono::TimeDelta;
use madang::cycle::{Claim, HistoryFeed, HistoryRead, Sample, Tick};
use madang::history::{Historian, History};
use madang::site::Id;
use madang::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn start() -> Timestamp {
    "2026-05-12T00:00:00Z".parse().unwrap()
}

/// A folder that nobody else can have used.
fn ours() -> Claim {
    Arc::new(|| Ok(()))
}

fn samples(i: i64) -> Vec<Sample> {
    let sample = |kind, field, component: Option<&str>, value| Sample {
        kind,
        field,
        component: component.map(Id::new),
        value,
    };
    let mut all = vec![
        sample("battery", "active_power_watts", Some("battery"), (i % 100) as f64),
        sample("grid", "energy_import_watthours_total", Some("meter"), 1e6 + i as f64),
    ];
    // A series that comes and goes.
    if i % 3 == 0 {
        all.push(sample("day", "cost", None, -0.5));
    }
    all
}

/// Records `count` instants, `every` apart, and closes the file.
fn record(path: &Path, from: Timestamp, every: TimeDelta, count: i64, keep_days: u32) {
    let historian = Historian::start(path, keep_days, ours()).unwrap();
    for i in 0..count {
        historian.record(from + every * i as i32, samples(i));
        if i % 100 == 99 {
            // The queue is bounded and never waits, so the test does.
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }
    assert_eq!(historian.dropped(), 0);
    historian.finish();
}

fn everything(history: &History, mut after: Timestamp) -> Vec<Tick> {
    let mut all = Vec::new();
    loop {
        let ticks = history.after(after, 500).unwrap();
        let Some(last) = ticks.last() else { return all };
        assert!(ticks[0].at > after);
        after = last.at;
        all.extend(ticks);
    }
}

#[test]
fn sealed_and_recent_instants_come_back_complete_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let every = TimeDelta::seconds(10);
    record(&path, start(), every, 900, 90);
    record(&path, start() + every * 900, every, 30, 90);
    let history = History::open(&path).unwrap();
    let all = everything(&history, start() - every);
    assert_eq!(all.len(), 930);
    for (n, tick) in all.iter().enumerate() {
        assert_eq!(tick.at, start() + every * n as i32);
        let i = if n < 900 { n as i64 } else { n as i64 - 900 };
        let mut expected: Vec<(String, f64)> = samples(i).iter().map(|s| (s.key(), s.value)).collect();
        let mut found: Vec<(String, f64)> = tick.values.iter().map(|(k, v)| (k.to_string(), *v)).collect();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected, "instant {n}");
    }
}

#[test]
fn means_are_the_same_whether_sealed_recent_or_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    record(&path, start(), TimeDelta::seconds(10), 900, 90);
    let history = History::open(&path).unwrap();
    let means = history
        .read(
            "battery.active_power_watts.battery",
            start(),
            start() + TimeDelta::hours(3),
            TimeDelta::seconds(1000),
        )
        .unwrap();
    assert_eq!(means.len(), 9);
    assert!(means.iter().all(|(_, v)| (*v - 49.5).abs() < 1e-9), "{means:?}");
    assert_eq!(
        history
            .read("no.such", start(), start() + TimeDelta::hours(1), TimeDelta::minutes(1))
            .unwrap(),
        []
    );
    assert!(
        history
            .read("day.cost", start(), start() + TimeDelta::days(9), TimeDelta::seconds(1))
            .is_err()
    );
    assert!(history.keys().unwrap().contains(&"day.cost".to_owned()));
}

#[test]
fn days_older_than_kept_stay_as_quarter_hour_means() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    record(&path, start(), TimeDelta::minutes(5), 4 * 288, 2);
    let history = History::open(&path).unwrap();
    let day = |n: i64| {
        let from = start() + TimeDelta::days(n);
        history.read(
            "grid.energy_import_watthours_total.meter",
            from,
            from + TimeDelta::days(1),
            TimeDelta::minutes(5),
        )
    };
    assert_eq!(day(0).unwrap().len(), 96, "thinned");
    assert_eq!(day(3).unwrap().len(), 288, "still whole");
    assert!(
        (day(0).unwrap()[1].1 - (1e6 + 4.0)).abs() < 1e-9,
        "mean of instants 3, 4, 5"
    );
}

#[test]
fn a_sink_finds_its_place_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    record(&path, start(), TimeDelta::seconds(10), 5, 90);
    let history = History::open(&path).unwrap();
    assert_eq!(history.cursor("influx").unwrap(), None);
    history.set_cursor("influx", start() + TimeDelta::seconds(20)).unwrap();
    drop(history);
    let history = History::open(&path).unwrap();
    let at = history.cursor("influx").unwrap().unwrap();
    assert_eq!(history.after(at, 100).unwrap().len(), 2);
}

#[test]
fn a_file_that_is_not_a_database_is_kept_aside_and_recording_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    record(&path, start(), TimeDelta::seconds(10), 3, 90);
    assert_eq!(
        everything(&History::open(&path).unwrap(), start() - TimeDelta::days(1)).len(),
        3
    );
    assert_eq!(std::fs::read(path.with_extension("broken")).unwrap().len(), 10_000);
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_second_broken_file_is_kept_beside_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    for size in [5000, 6000] {
        std::fs::write(&path, vec![7; size]).unwrap();
        record(&path, start(), TimeDelta::seconds(10), 3, 90);
        for tail in ["-wal", "-shm"] {
            let _absent = std::fs::remove_file(folder.path().join(format!("history.db{tail}")));
        }
    }
    let kept = |ending| std::fs::read(path.with_extension(ending)).unwrap().len();
    assert_eq!((kept("broken"), kept("2.broken")), (5000, 6000));
}

#[test]
fn a_folder_that_cannot_be_used_is_said_and_its_samples_are_stored_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, "").unwrap();
    let path = state.join("history.db");
    let historian = Historian::start(&path, 90, ours()).unwrap();
    let history = History::when_there(&path);
    assert!(history.keys().is_err());
    for i in 0..10 {
        historian.record(start() + TimeDelta::seconds(i), samples(i));
    }
    eventually("it is said", || {
        historian.trouble().is_some_and(|n| n.code == "history")
    });
    std::fs::remove_file(&state).unwrap();
    eventually("it resumes", || historian.trouble().is_none());
    eventually("nothing is lost", || {
        history
            .after(start() - TimeDelta::days(1), 100)
            .is_ok_and(|t| t.len() == 10)
    });
    assert_eq!(historian.dropped(), 0);
}

#[test]
fn a_file_removed_or_damaged_while_it_is_written_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let historian = Historian::start(&path, 90, ours()).unwrap();
    let history = History::when_there(&path);
    let stored = |n: i64| {
        historian.record(start() + TimeDelta::seconds(n), samples(n));
        eventually("the instant is stored", || {
            let after = start() + TimeDelta::seconds(n - 1);
            history.after(after, 10).is_ok_and(|t| t.len() == 1)
        });
    };
    stored(1);
    for tail in ["", "-wal", "-shm"] {
        std::fs::remove_file(folder.path().join(format!("history.db{tail}"))).unwrap();
    }
    stored(2);
    assert_eq!(
        history.after(start(), 10).unwrap().len(),
        1,
        "what was in the removed file is gone"
    );
}
