//! The journal under a real controller: what is written is read back, and a torn end costs only the end.

use chrono::TimeDelta;
use madang::cycle::{Config, Controller, JournalPort, Planner, PricePort, Record, Stop, recover, run};
use madang::journal::{FileJournal, Limits, Place, read_segment, segments};
use madang::model::{ControllerState, Direction, ExternalLimit, PeopleInput, Policy, Rung, Source, Words};
use madang::site::{Mode, Plant, Site, builtin, builtin_names};
use madang::tariff::{PriceFiles, PriceSeries};
use madang::time::{Pacer, SteppedClock, Timestamp};
use madang::twin::{Direct, World};
use madang::units::Power;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc as channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

struct SitePrices(Option<Arc<PriceFiles>>);

impl PricePort for SitePrices {
    fn current(&mut self, _now: Timestamp) -> Option<Arc<PriceFiles>> {
        self.0.clone()
    }
    fn version(&self) -> u64 {
        1
    }
}

fn start() -> Timestamp {
    "2026-05-12T04:00:00Z".parse().unwrap()
}

fn plant(name: &str) -> Arc<Plant> {
    Arc::new(builtin(name).unwrap().plant)
}

/// Opens the journal of the home in a state folder.
fn open(state: &Path, limits: Limits) -> (FileJournal, Option<ControllerState>) {
    let place = Place::own(state.to_owned(), plant("home-amsterdam"));
    FileJournal::open(place, limits, start()).unwrap()
}

fn segment(state: &Path, number: u32) -> PathBuf {
    state.join(format!("journal/{number:06}.journal"))
}

/// Every good record of a state folder, but for the one that opens a file.
fn records(state: &Path) -> Vec<Record> {
    let known = segments(&state.join("journal")).unwrap();
    let all = known.iter().flat_map(|(_, path)| read_segment(path).unwrap().entries);
    let all = all.map(|e| e.record).filter(|r| !matches!(r, Record::Opened { .. }));
    all.collect()
}

fn note(text: &str) -> Record {
    Record::Note { text: text.into() }
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
    let place = Place::own(folder.to_owned(), Arc::new(site.plant.clone()));
    let (journal, restored) = FileJournal::open(place, limits, start()).unwrap();
    let prices = site
        .read_file("prices.csv")
        .ok()
        .and_then(|t| PriceSeries::parse(&t, &site.plant.tariff.currency).ok())
        .map(|series| PriceFiles::from_iter([("prices.csv".to_owned(), Arc::new(series))]));
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
        let place = Place::own(folder.path().to_owned(), plant(&name));
        let (_, restored) = FileJournal::open(place, Limits::DEFAULT, start()).unwrap();
        let restored = restored.expect("a keyframe");
        for (_, path) in segments(&folder.path().join("journal")).unwrap() {
            let torn = read_segment(&path).unwrap().chain.torn;
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
    let known = segments(&folder.path().join("journal")).unwrap();
    let bytes: u64 = known.iter().map(|(_, p)| p.metadata().unwrap().len()).sum();
    assert!(known.len() >= 2 && known[0].0 > 1, "{known:?}");
    assert!(bytes < 4_500_000, "{bytes} bytes kept");
    let (_, restored) = open(folder.path(), small);
    assert_eq!(restored.unwrap().today, ended.today);
}

#[test]
fn records_after_a_restart_follow_in_the_same_chain() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["first", "second", "third"] {
        let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
        journal.append(start(), &note(text)).unwrap();
        journal.commit().unwrap();
    }
    assert_eq!(records(folder.path()), [note("first"), note("second"), note("third")]);
    assert_eq!(read_segment(&segment(folder.path(), 1)).unwrap().chain.torn, None);
}

#[test]
fn a_light_state_after_another_is_only_what_changed_and_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
    let mut state = ControllerState::fresh(&plant("home-amsterdam"), start());
    journal
        .append(
            start(),
            &Record::Keyframe {
                state: Box::new(state.clone()),
            },
        )
        .unwrap();
    for n in 0..10 {
        state.today.costs.energy += 0.25;
        let told = (n % 3 == 0).then(|| order(Power::kw(f64::from(n)), start() + TimeDelta::days(1)));
        state.limits = told.into_iter().collect();
        journal
            .append(
                start(),
                &Record::Light {
                    state: Box::new(state.light()),
                },
            )
            .unwrap();
        journal.commit().unwrap();
        let dead = copied(folder.path());
        assert_eq!(
            open(dead.path(), Limits::DEFAULT).1.unwrap().limits,
            state.limits,
            "{n}"
        );
    }
    drop(journal);
    let found = records(folder.path());
    let whole = found.iter().filter(|r| matches!(r, Record::Light { .. })).count();
    let changes = found.iter().filter(|r| matches!(r, Record::Change { .. })).count();
    assert_eq!((whole, changes), (1, 9));
    let (_, restored) = open(folder.path(), Limits::DEFAULT);
    assert_eq!(restored.unwrap().today, state.today);
}

fn written(folder: &Path) -> Vec<u8> {
    run_site("home-amsterdam", folder, TimeDelta::minutes(20), Limits::DEFAULT);
    std::fs::read(segment(folder, 1)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_cut_or_spoiled_anywhere_gives_back_every_good_record(cut in 0.0..1.0_f64, garbage in proptest::collection::vec(any::<u8>(), 0..64), flip in proptest::option::of(0.0..1.0_f64)) {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let whole = BYTES.get_or_init(|| written(tempfile::tempdir().unwrap().path()));
        let folder = tempfile::tempdir().unwrap();
        let path = segment(folder.path(), 1);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = whole[..(whole.len() as f64 * cut) as usize].to_vec();
        let lines = bytes.iter().filter(|b| **b == b'\n').count();
        if let (Some(flip), true) = (flip, !bytes.is_empty()) {
            let at = ((bytes.len() - 1) as f64 * flip) as usize;
            bytes[at] ^= 0x20;
        }
        bytes.extend_from_slice(&garbage);
        std::fs::write(&path, &bytes).unwrap();
        let before = read_segment(&path).unwrap();
        // A flipped byte costs its record, and the next where it stands in the hash or the end of the line.
        let spoiled = if flip.is_some() { 3 } else { 0 };
        prop_assert!(before.entries.len() + spoiled >= lines, "{} of {lines} records", before.entries.len());
        let (mut journal, restored) = open(folder.path(), Limits::DEFAULT);
        let expected = recover(before.entries.iter().map(|e| e.record.clone()));
        prop_assert_eq!(restored, expected);
        journal.append(start(), &note("after")).unwrap();
        journal.commit().unwrap();
        let after = records(folder.path());
        let opened = before.entries.iter().filter(|e| matches!(e.record, Record::Opened { .. })).count();
        prop_assert_eq!(after.len() + opened, before.entries.len() + 1);
        prop_assert_eq!(after.last(), Some(&note("after")));
        let kept = std::fs::read(path.with_extension("torn")).map_or(0, |t| t.len() as u64);
        let now = std::fs::read(&path).unwrap();
        if kept > 0 {
            prop_assert_eq!(kept + before.chain.good_bytes, bytes.len() as u64, "nothing is thrown away");
        } else {
            prop_assert!(now.starts_with(&bytes), "what is damaged stays as it is");
        }
    }
}

/// The home's journal of 2026-11-30 (commit 354b205), killed right after a person's word was answered.
#[test]
fn a_journal_of_version_0_1_is_read_and_its_last_word_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal_of_0_1/000001.journal");
    std::fs::create_dir_all(folder.path().join("journal")).unwrap();
    std::fs::copy(&old, segment(folder.path(), 1)).unwrap();
    let (mut journal, restored) = open(folder.path(), Limits::DEFAULT);
    let restored = restored.unwrap();
    assert_eq!(import(&restored), Some(Power::kw(4.25)));
    assert!(restored.schedule.is_some());
    journal.append(start(), &note("after")).unwrap();
    drop(journal);
    let read = |number| read_segment(&segment(folder.path(), number)).unwrap();
    assert_eq!(
        std::fs::read(segment(folder.path(), 1)).unwrap(),
        std::fs::read(&old).unwrap()
    );
    let next = read(2);
    assert_eq!(
        (read(1).entries.len(), next.entries.len(), &next.chain.torn),
        (8, 2, &None)
    );
    let first = &next.entries[0].record;
    assert!(
        matches!(first, Record::Opened { .. }),
        "the chain goes on in a segment that says whose it is"
    );
}

#[test]
fn a_flip_in_any_record_is_found_also_in_the_first_one_and_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
    for i in 0..5 {
        journal.append(start(), &note(&format!("record {i}"))).unwrap();
    }
    drop(journal);
    let path = segment(folder.path(), 1);
    let whole = std::fs::read(&path).unwrap();
    let starts: Vec<usize> = std::iter::once(0)
        .chain(
            whole
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'\n')
                .map(|(i, _)| i + 1),
        )
        .collect();
    for (n, from) in starts.iter().take(6).enumerate() {
        // In the time, in the content: the record itself goes.
        for offset in [75, 110] {
            let mut bytes = whole.clone();
            bytes[from + offset] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let read = read_segment(&path).unwrap();
            assert_eq!(read.entries.len(), 5, "record {n} is flipped, and only it is lost");
            assert!(
                read.chain.torn.unwrap().starts_with(&format!("byte {from}:")),
                "record {n}"
            );
        }
    }
}

#[test]
fn every_torn_end_is_kept_under_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = segment(folder.path(), 1);
    for n in 0..3 {
        let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
        journal.append(start(), &note("good")).unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&b"x".repeat(n + 1));
        std::fs::write(&path, &bytes).unwrap();
    }
    drop(open(folder.path(), Limits::DEFAULT));
    let kept = |ending: &str| std::fs::read(path.with_extension(ending)).unwrap().len();
    assert_eq!([kept("torn"), kept("2.torn"), kept("3.torn")], [1, 2, 3]);
    assert_eq!(records(folder.path()).len(), 3);
}

/// A state in which a person has said these.
fn told(inputs: &[PeopleInput]) -> ControllerState {
    let mut state = ControllerState::fresh(&plant("home-amsterdam"), start());
    for input in inputs {
        match input {
            PeopleInput::Limit { power, until, .. } => state.limits.tell(order(*power, *until)).unwrap(),
            PeopleInput::Release => (state.mode, state.rung) = (Mode::Observe, Rung::Released),
            _ => {}
        }
    }
    state
}

fn limit(kw: f64) -> PeopleInput {
    PeopleInput::Limit {
        source: Source::person(),
        direction: Direction::Import,
        power: Power::kw(kw),
        until: start() + TimeDelta::days(1),
        said_at: None,
    }
}

/// A person's limit of what is imported.
fn order(power: Power, until: Timestamp) -> ExternalLimit {
    ExternalLimit {
        source: Source::person(),
        direction: Direction::Import,
        power,
        until,
        said_at: None,
    }
}

/// What may be imported by order.
fn import(state: &ControllerState) -> Option<Power> {
    state.limits.tightest(Direction::Import, start()).map(|l| l.power)
}

/// Says something and gives what the person is told, once.
fn keep(journal: &mut FileJournal, at: Timestamp, inputs: &[PeopleInput]) -> channel::Receiver<Result<(), String>> {
    let (tell, heard) = channel::channel();
    let record = Record::People {
        input: inputs.last().unwrap().clone(),
    };
    let words = Words::of(&told(inputs), at);
    journal.keep(at, &record, &words, Box::new(move |kept| tell.send(kept).unwrap()));
    heard
}

const SOON: Duration = Duration::from_secs(20);

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(to.path().join("journal")).unwrap();
    for part in ["", "journal"] {
        for file in std::fs::read_dir(from.join(part)).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                std::fs::copy(&file, to.path().join(part).join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    to
}

#[test]
fn what_was_acknowledged_is_on_the_disk_at_that_moment_in_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
    let whole = ControllerState::fresh(&plant("home-amsterdam"), start());
    journal
        .append(start(), &Record::Keyframe { state: Box::new(whole) })
        .unwrap();
    for n in 0..20 {
        // Each tighter than the last: no word lifts an earlier one.
        let (at, kw) = (start() + TimeDelta::seconds(n), 4.0 - n as f64 / 100.0);
        let heard = keep(&mut journal, at, &[limit(kw)]);
        assert_eq!(heard.recv_timeout(SOON), Ok(Ok(())));
        // The folder as it is when the process dies now; each of the two places alone is enough.
        for lost in ["", "people.json", "journal"] {
            let dead = copied(folder.path());
            match lost {
                "" => {}
                "journal" => std::fs::remove_dir_all(dead.path().join(lost)).unwrap(),
                file => std::fs::remove_file(dead.path().join(file)).unwrap(),
            }
            let (_, restored) = open(dead.path(), Limits::DEFAULT);
            let kept = restored.and_then(|s| import(&s));
            assert_eq!(kept, Some(Power::kw(kw)), "without {lost:?}");
        }
    }
}

#[test]
fn no_damage_to_the_journal_forgets_a_release_or_a_limit() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("emptied", |p| std::fs::write(p, "").unwrap()),
        ("noise", |p| std::fs::write(p, [7u8; 5000]).unwrap()),
        ("a folder in its place", |p| {
            std::fs::remove_file(p).unwrap();
            std::fs::create_dir(p).unwrap();
        }),
        ("gone", |p| std::fs::remove_file(p).unwrap()),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
        let heard = keep(&mut journal, start(), &[limit(4.5), PeopleInput::Release]);
        assert_eq!(heard.recv_timeout(SOON), Ok(Ok(())));
        drop(journal);
        damage(&segment(folder.path(), 1));
        let (mut journal, restored) = open(folder.path(), Limits::DEFAULT);
        let restored = restored.unwrap_or_else(|| panic!("{what}: nothing is restored"));
        assert_eq!(
            (restored.mode, restored.rung),
            (Mode::Observe, Rung::Released),
            "{what}"
        );
        assert_eq!(import(&restored), Some(Power::kw(4.5)), "{what}");
        journal.append(start(), &note("goes on")).unwrap();
        journal.commit().unwrap();
        assert_eq!(records(folder.path()).last(), Some(&note("goes on")), "{what}");
    }
}

#[test]
fn damaged_words_are_set_aside_and_the_journal_still_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
    assert_eq!(
        keep(&mut journal, start(), &[limit(4.5)]).recv_timeout(SOON),
        Ok(Ok(()))
    );
    drop(journal);
    let file = folder.path().join("people.json");
    let text = std::fs::read_to_string(&file).unwrap().replacen("4.5", "6.5", 1);
    std::fs::write(&file, text).unwrap();
    let (mut journal, restored) = open(folder.path(), Limits::DEFAULT);
    assert_eq!(restored.and_then(|s| import(&s)), Some(Power::kw(4.5)));
    assert!(file.with_extension("broken").exists());
    assert!(
        journal
            .notices()
            .iter()
            .any(|n| n.code == "journal_damaged" && n.en.contains("people.json"))
    );
}

#[test]
fn a_number_that_json_cannot_hold_never_reaches_the_disk_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path(), Limits::DEFAULT);
    let mut state = ControllerState::fresh(&plant("home-amsterdam"), start());
    let keyframe = |state: &ControllerState| Record::Keyframe {
        state: Box::new(state.clone()),
    };
    state.today.costs.energy = f64::INFINITY;
    let why = journal.append(start(), &keyframe(&state)).unwrap_err();
    assert!(why.contains("today.costs.energy"), "{why}");
    assert!(
        journal
            .notices()
            .iter()
            .any(|n| n.code == "journal" && n.en.contains("today.costs.energy"))
    );
    state.today.costs.energy = 1.5;
    journal.append(start(), &keyframe(&state)).unwrap();
    assert!(journal.notices().is_empty(), "{:?}", journal.notices());
    drop(journal);
    assert_eq!(records(folder.path()), [keyframe(&state)]);
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !check() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_folder_that_cannot_be_used_stops_nobody_is_said_and_recording_resumes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A file where the folder should be: nothing can be made or read in it, as on a disk that is not there.
    std::fs::write(&state, "").unwrap();
    let (mut journal, restored) = open(&state, Limits::DEFAULT);
    assert_eq!(restored, None);
    let heard = keep(&mut journal, start(), &[limit(4.5)]);
    let told = heard.recv_timeout(SOON).unwrap();
    assert!(told.is_err(), "it is not kept, and said so");
    let codes: Vec<_> = journal.notices().iter().map(|n| n.code).collect();
    assert_eq!(codes, ["journal", "people_words"]);
    std::fs::remove_file(&state).unwrap();
    eventually("recording resumes", || journal.notices().is_empty());
    assert!(journal.wants_keyframe());
    journal.append(start(), &note("again")).unwrap();
    journal.commit().unwrap();
    let found = records(&state);
    assert!(
        matches!(&found[0], Record::Note { text } if text.contains("records were lost")),
        "{found:?}"
    );
    assert_eq!(found.last(), Some(&note("again")));
    let dead = copied(&state);
    let (_, restored) = open(dead.path(), Limits::DEFAULT);
    assert!(
        restored.is_some_and(|s| import(&s).is_some()),
        "the word was kept later"
    );
}

#[test]
fn a_folder_removed_while_running_is_begun_anew_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (mut journal, _) = open(&state, Limits::DEFAULT);
    journal.append(start(), &note("before")).unwrap();
    journal.commit().unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    eventually("it is said", || {
        journal.notices().iter().any(|n| n.en.contains("was removed"))
    });
    assert!(journal.wants_keyframe());
    journal.append(start(), &note("after")).unwrap();
    journal.commit().unwrap();
    assert_eq!(records(&state), [note("after")]);
}

#[test]
fn a_disk_that_hangs_holds_nobody_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // The folder is asked for before it is opened: a question without an answer is a disk that hangs.
    let hangs = Arc::new(Mutex::new(()));
    let asked = hangs.clone();
    let place = Place {
        claim: Arc::new(move || {
            drop(asked.lock().unwrap());
            Ok(())
        }),
        ..Place::own(folder.path().to_owned(), plant("home-amsterdam"))
    };
    let (mut journal, _) = FileJournal::open(place, Limits::DEFAULT, start()).unwrap();
    let hanging = hangs.lock().unwrap();
    std::fs::remove_dir_all(folder.path().join("journal")).unwrap();
    eventually("the folder is asked for", || {
        journal.notices().iter().any(|n| n.en.contains("was removed"))
    });
    let heard = keep(&mut journal, start(), &[limit(4.5)]);
    let begun = Instant::now();
    let mut refused = 0;
    for _ in 0..3000 {
        refused += u32::from(journal.append(start(), &note("while it hangs")).is_err());
        journal.sent();
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?} for 3,000 records");
    assert!(
        (1900..3000).contains(&refused),
        "the queue is bounded: {refused} refused"
    );
    assert!(heard.try_recv().is_err(), "nothing is acknowledged");
    eventually("it is said", || {
        journal.notices().iter().any(|n| n.en.contains("does not answer"))
    });
    let closed = Instant::now();
    assert!(journal.commit().is_err());
    assert!(closed.elapsed() < Duration::from_secs(3));
    drop(hanging);
    assert_eq!(
        heard.recv_timeout(SOON),
        Ok(Ok(())),
        "the word is kept once the disk answers"
    );
    eventually("it goes on", || {
        journal.notices().iter().all(|n| !n.en.contains("does not answer"))
    });
    journal.append(start(), &note("again")).unwrap();
    journal.commit().unwrap();
    let found = records(folder.path());
    let lost = |r: &Record| matches!(r, Record::Note { text } if text.contains("records were lost"));
    assert_eq!(found.iter().filter(|r| lost(r)).count(), 1, "drops are noted");
    assert_eq!(found.last(), Some(&note("again")));
}

#[test]
fn odd_things_in_the_folder_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    let pipe = segment(folder.path(), 1);
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    std::fs::write(journal.join("4294967295.journal"), "").unwrap();
    std::fs::write(journal.join("x.journal"), "").unwrap();
    std::fs::create_dir(folder.path().join("people.json")).unwrap();
    let begun = Instant::now();
    let (mut journal, restored) = open(folder.path(), Limits::DEFAULT);
    assert!(begun.elapsed() < Duration::from_secs(5) && restored.is_none());
    journal.append(start(), &note("goes on")).unwrap();
    journal.commit().unwrap();
    assert_eq!(records(folder.path()), [note("goes on")]);
}

#[test]
fn a_journal_of_another_site_from_before_it_said_so_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal_of_0_1/000001.journal");
    std::fs::create_dir_all(folder.path().join("journal")).unwrap();
    std::fs::copy(&old, segment(folder.path(), 1)).unwrap();
    let island = Place::own(folder.path().to_owned(), plant("island-microgrid"));
    let (mut journal, restored) = FileJournal::open(island, Limits::DEFAULT, start()).unwrap();
    assert_eq!(restored, None);
    assert!(journal.notices().iter().any(|n| n.en.contains("another site")));
    let kept = folder.path().join("journal.other-site/000001.journal");
    assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(old).unwrap());
}
