//! The journal under a real controller: what is written is read back, and a torn end costs only the end.

use chrono::TimeDelta;
use madang::cycle::{Config, Controller, JournalPort, Planner, PricePort, Record, Stop, recover, run};
use madang::journal::{FileJournal, Limits, read_segment, segments};
use madang::model::{ControllerState, Policy};
use madang::site::{Mode, Site, builtin, builtin_names};
use madang::tariff::PriceSeries;
use madang::time::{Pacer, SteppedClock, Timestamp};
use madang::twin::{Direct, World};
use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

struct SitePrices(Option<Arc<PriceSeries>>);

impl PricePort for SitePrices {
    fn current(&mut self, _now: Timestamp) -> Option<Arc<PriceSeries>> {
        self.0.clone()
    }
    fn version(&self) -> u64 {
        1
    }
}

fn start() -> Timestamp {
    "2026-05-12T04:00:00Z".parse().unwrap()
}

/// Runs a site in virtual time without the wire; gives the state it ended with.
fn run_site(name: &str, folder: &Path, length: TimeDelta, limits: Limits) -> ControllerState {
    let mut site: Site = builtin(name).unwrap();
    site.plant.mode = Mode::Control;
    site.plant.timing.cycle = TimeDelta::seconds(10);
    let site = Arc::new(site);
    let world = Arc::new(Mutex::new(
        World::new(&site, 3, start(), TimeDelta::seconds(10)).unwrap(),
    ));
    let field = Direct::new(world.clone(), site.clone());
    let (journal, restored) = FileJournal::open(folder, limits).unwrap();
    let prices = site
        .read_file("prices.csv")
        .ok()
        .and_then(|t| PriceSeries::parse(&t).ok());
    let config = Config {
        plant: Arc::new(site.plant.clone()),
        policy: Policy::Plan,
        deadline: None,
        explain: false,
        oracle: None,
    };
    let prices = Box::new(SitePrices(prices.map(Arc::new)));
    let mut controller = Controller::new(config, field, journal, prices, Planner::inline(), restored, start());
    let (_keep, told) = watch::channel(false);
    let (_people, mut inbox) = mpsc::channel(1);
    let stop = Stop {
        at: Some(start() + length),
        told,
        beat: Default::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut pacer = Pacer::Free(SteppedClock::new(start()));
    runtime.block_on(run(&mut controller, &mut pacer, &mut inbox, stop, |r| {
        world.lock().unwrap().advance_to(r.snapshot.at);
    }));
    controller.state
}

#[test]
fn what_every_site_records_is_read_back_and_goes_on_where_it_was() {
    for name in builtin_names() {
        let folder = tempfile::tempdir().unwrap();
        let ended = run_site(&name, folder.path(), TimeDelta::minutes(40), Limits::DEFAULT);
        let (_, restored) = FileJournal::open(folder.path(), Limits::DEFAULT).unwrap();
        let restored = restored.expect("a keyframe");
        for (path, torn) in segments(folder.path())
            .unwrap()
            .into_iter()
            .map(|(_, p)| (p.clone(), read_segment(&p).unwrap().torn))
        {
            assert_eq!(torn, None, "{name}: {}", path.display());
        }
        assert_eq!(restored.sessions, ended.sessions, "{name}");
        assert_eq!(restored.month, ended.month, "{name}");
        assert_eq!(restored.today, ended.today, "{name}");
        assert_eq!(restored.schedule, ended.schedule, "{name}");
        assert_eq!(restored.forecast.series, ended.forecast.series, "{name}");
        assert!(
            restored.next_decision > ended.next_decision,
            "{name}: decision numbers are used once"
        );
    }
}

#[test]
fn a_large_segment_is_followed_by_another_and_the_oldest_are_retired() {
    let folder = tempfile::tempdir().unwrap();
    let small = Limits {
        segment_bytes: 100_000,
        total_bytes: 1_500_000,
        ..Limits::DEFAULT
    };
    let ended = run_site("home-amsterdam", folder.path(), TimeDelta::hours(7), small);
    let known = segments(folder.path()).unwrap();
    let bytes: u64 = known.iter().map(|(_, p)| p.metadata().unwrap().len()).sum();
    assert!(known.len() >= 2 && known[0].0 > 1, "{known:?}");
    assert!(bytes < 4_500_000, "{bytes} bytes kept");
    let (_, restored) = FileJournal::open(folder.path(), small).unwrap();
    assert_eq!(restored.unwrap().today, ended.today);
}

#[test]
fn records_after_a_restart_follow_in_the_same_chain() {
    let folder = tempfile::tempdir().unwrap();
    let note = |text: &str| Record::Note { text: text.into() };
    for text in ["first", "second", "third"] {
        let (mut journal, _) = FileJournal::open(folder.path(), Limits::DEFAULT).unwrap();
        journal.append(start(), &note(text)).unwrap();
        journal.commit().unwrap();
    }
    let segment = read_segment(&folder.path().join("000001.journal")).unwrap();
    let records: Vec<Record> = segment.entries.into_iter().map(|e| e.record).collect();
    assert_eq!(records, [note("first"), note("second"), note("third")]);
    assert_eq!(segment.torn, None);
}

fn written(folder: &Path) -> Vec<u8> {
    run_site("home-amsterdam", folder, TimeDelta::minutes(20), Limits::DEFAULT);
    std::fs::read(folder.join("000001.journal")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_cut_or_spoiled_anywhere_opens_with_its_good_beginning(cut in 0.0..1.0_f64, garbage in proptest::collection::vec(any::<u8>(), 0..64), flip in proptest::option::of(0.0..1.0_f64)) {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let whole = BYTES.get_or_init(|| written(tempfile::tempdir().unwrap().path()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000001.journal");
        let mut bytes = whole[..(whole.len() as f64 * cut) as usize].to_vec();
        if let (Some(flip), true) = (flip, !bytes.is_empty()) {
            let at = ((bytes.len() - 1) as f64 * flip) as usize;
            bytes[at] ^= 0x20;
        }
        bytes.extend_from_slice(&garbage);
        std::fs::write(&path, &bytes).unwrap();
        let before = read_segment(&path).unwrap();
        let (mut journal, restored) = FileJournal::open(folder.path(), Limits::DEFAULT).unwrap();
        let expected = recover(before.entries.iter().map(|e| e.record.clone()));
        prop_assert_eq!(restored, expected);
        journal.append(start(), &Record::Note { text: "after".into() }).unwrap();
        let after = read_segment(&path).unwrap();
        prop_assert_eq!(after.torn, None);
        prop_assert_eq!(after.entries.len(), before.entries.len() + 1);
        let kept = std::fs::read(path.with_extension("torn")).map_or(0, |t| t.len() as u64);
        prop_assert_eq!(kept + before.good_bytes, bytes.len() as u64, "nothing is thrown away");
    }
}
