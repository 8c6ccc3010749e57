//! The writing side: a bounded queue and a thread that commits every few seconds.

use super::chunk::pack_tick;
use super::seal::seal;
use super::store::{Fault, file_of, millis, open_to_write, set_aside};
use crate::cycle::{Claim, Kept, Notice, Sample};
use crate::time::Timestamp;
use rusqlite::{Connection, Transaction, params};
use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A killed process loses no more than this.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// A power cut loses no more than this: commits are made durable together, to spare the card.
const DURABLE_EVERY: Duration = Duration::from_secs(60);
const QUEUE: usize = 256;
/// More than this waits for the disk only after a long failure; then the oldest go.
const HELD: usize = 3600;
const SEAL_EVERY_MS: i64 = 300_000;
/// How long the start and the end of the process wait for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// A thread that has not come round for this long waits for a disk that does not answer.
const STUCK: Duration = Duration::from_secs(20);

const HISTORY: Kept = Kept {
    code: "history",
    en: "the history of measurements is",
    ko: "측정 이력이",
};

type Batch = (Timestamp, Vec<Sample>);

/// Takes the samples of each cycle; never waits.
#[derive(Debug)]
pub struct Historian {
    queue: Option<mpsc::SyncSender<Batch>>,
    dropped: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<Notice>>>,
    thread: Option<JoinHandle<()>>,
    /// When the thread last came round: it does so every few seconds unless the disk holds it.
    turned: Arc<Mutex<Instant>>,
    over: mpsc::Receiver<()>,
    folder: PathBuf,
}

impl Historian {
    /// Starts the thread, which opens or creates the file once the folder is claimed. A file that cannot be used is a
    /// notice, and is tried again; the error is a thread that cannot be started.
    pub fn start(path: &Path, keep_days: u32, claim: Claim) -> Result<Self, String> {
        let (queue, batches) = mpsc::sync_channel(QUEUE);
        let trouble = Arc::new(Mutex::new(None));
        let (shown, dropped) = (trouble.clone(), Arc::new(AtomicU64::new(0)));
        let mut writer = Writer::new(path.to_owned(), keep_days, claim, dropped.clone());
        let turned = Arc::new(Mutex::new(Instant::now()));
        let turns = turned.clone();
        let (opened, open) = mpsc::sync_channel(1);
        let (ended, over) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("historian".into());
        let thread = thread
            .spawn(move || {
                let outcome = writer.open();
                writer.show(&shown, outcome.err());
                let _nobody_waits = opened.send(());
                writer.serve(&batches, &shown, &turns);
                let _nobody_waits = ended.send(());
            })
            .map_err(|e| format!("cannot start a thread for the historian: {e}"))?;
        // Readers find the file where the disk is quick; a slow one holds nobody.
        let _slow = open.recv_timeout(PATIENCE);
        Ok(Self {
            queue: Some(queue),
            dropped,
            trouble,
            thread: Some(thread),
            turned,
            over,
            folder: path.parent().unwrap_or(path).to_owned(),
        })
    }

    /// Hands over one instant; a full queue drops it and counts.
    pub fn record(&self, at: Timestamp, samples: Vec<Sample>) {
        let taken = self.queue.as_ref().is_some_and(|q| q.try_send((at, samples)).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Like [`Self::record`], but waits for room: for playing the past faster than it was.
    pub fn record_waiting(&self, at: Timestamp, samples: Vec<Sample>) {
        let taken = self.queue.as_ref().is_some_and(|q| q.send((at, samples)).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Instants that were not stored since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why the file does not take what is written, while it does not.
    pub fn trouble(&self) -> Option<Notice> {
        let ended = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        if !ended && self.turned.lock().is_ok_and(|t| t.elapsed() > STUCK) {
            return Some(HISTORY.not_now(&self.folder, "no answer", ErrorKind::TimedOut));
        }
        match self.trouble.lock() {
            Ok(trouble) if !ended => trouble.clone(),
            _ => Some(Notice {
                code: HISTORY.code,
                en: "the history is not kept: its thread has ended. Control goes on. Restart the service".into(),
                ko: "측정 이력이 중단됨: 이력 스레드가 종료되었습니다. 제어는 계속됩니다. 서비스를 다시 시작하십시오"
                    .into(),
            }),
        }
    }

    /// Writes what is queued and closes the file; a disk that does not answer is not waited for long.
    pub fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        if self.over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the historian still waits for the disk; its last seconds may be lost");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the historian stopped in the middle of its work");
        }
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    path: PathBuf,
    keep_days: u32,
    claim: Claim,
    open: Option<Open>,
    /// Keys by our own number, which is what `held` speaks.
    numbers: HashMap<String, u32>,
    keys: Vec<String>,
    held: VecDeque<(i64, Vec<(u32, f64)>)>,
    lost: Arc<AtomicU64>,
    sealed_at: i64,
    durable_at: Instant,
}

/// A file that is open.
struct Open {
    conn: Connection,
    /// Which file that was when it was opened.
    file: Option<(u64, u64)>,
    /// Number of a series in the file, by our own number.
    ids: HashMap<u32, u32>,
}

impl Writer {
    fn new(path: PathBuf, keep_days: u32, claim: Claim, lost: Arc<AtomicU64>) -> Self {
        Self {
            path,
            keep_days,
            claim,
            open: None,
            numbers: HashMap::new(),
            keys: Vec::new(),
            held: VecDeque::new(),
            lost,
            sealed_at: i64::MIN,
            durable_at: Instant::now(),
        }
    }

    fn open(&mut self) -> Result<(), Fault> {
        let same = |o: &Open| file_of(&self.path) == o.file;
        if self.open.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.open = None;
        (self.claim)()?;
        let conn = open_to_write(&self.path)?;
        self.open = Some(Open {
            conn,
            file: file_of(&self.path),
            ids: HashMap::new(),
        });
        Ok(())
    }

    fn serve(&mut self, batches: &mpsc::Receiver<Batch>, trouble: &Mutex<Option<Notice>>, turned: &Mutex<Instant>) {
        let mut due = Instant::now() + COMMIT_EVERY;
        loop {
            if let Ok(mut turned) = turned.lock() {
                *turned = Instant::now();
            }
            let wait = due.saturating_duration_since(Instant::now());
            let open = match batches.recv_timeout(wait) {
                Ok((at, samples)) => {
                    self.hold(at, &samples);
                    true
                }
                Err(mpsc::RecvTimeoutError::Timeout) => true,
                Err(mpsc::RecvTimeoutError::Disconnected) => false,
            };
            if !open || Instant::now() >= due {
                let outcome = self.store();
                self.show(trouble, outcome.err());
                due = Instant::now() + COMMIT_EVERY;
            }
            if !open {
                return;
            }
        }
    }

    fn hold(&mut self, at: Timestamp, samples: &[Sample]) {
        let mut values = Vec::with_capacity(samples.len());
        for sample in samples {
            values.push((self.number(sample.key()), sample.value));
        }
        if self.held.len() >= HELD {
            self.held.pop_front();
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.held.push_back((millis(at), values));
    }

    fn number(&mut self, key: String) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// Stores what is held; on failure it stays held for the next time. A file whose pages are damaged is set aside.
    fn store(&mut self) -> Result<(), Fault> {
        self.open()?;
        let outcome = self.commit();
        if let Err(Fault {
            kind: ErrorKind::InvalidData,
            ..
        }) = &outcome
        {
            self.open = None;
            set_aside(&self.path).map_err(|e| Fault {
                kind: e.kind(),
                text: format!("history {}: {e}", self.path.display()),
            })?;
        }
        outcome
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let Some(Open { conn, ids, .. }) = &mut self.open else {
            return Ok(());
        };
        if let Some(newest) = self.held.back().map(|(at, _)| *at) {
            let tx = conn.transaction()?;
            let mut known = ids.clone();
            for (at, values) in &self.held {
                let numbers = values.iter().map(|(n, _)| *n);
                learn(&tx, &mut known, &self.keys, numbers)?;
                let stored: Vec<_> = values.iter().filter_map(|(n, v)| Some((*known.get(n)?, *v))).collect();
                tx.prepare_cached("INSERT OR REPLACE INTO tick (at, body) VALUES (?1, ?2)")?
                    .execute(params![at, pack_tick(&stored)])?;
            }
            tx.commit()?;
            *ids = known;
            self.held.clear();
            if newest.saturating_sub(self.sealed_at) >= SEAL_EVERY_MS {
                self.sealed_at = newest;
                seal(conn, newest, self.keep_days)?;
            }
        }
        if self.durable_at.elapsed() >= DURABLE_EVERY {
            self.durable_at = Instant::now();
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    fn show(&self, trouble: &Mutex<Option<Notice>>, fault: Option<Fault>) {
        let notice = fault.map(|f| {
            let folder = self.path.parent().unwrap_or(&self.path);
            HISTORY.not_now(folder, &f.text, f.kind)
        });
        if let Ok(mut shown) = trouble.lock() {
            match (&*shown, &notice) {
                (None, Some(n)) => tracing::error!("{}; the last {HELD} instants are held meanwhile", n.en),
                (Some(_), None) => tracing::info!("history {}: it takes samples again", self.path.display()),
                _ => {}
            }
            *shown = notice;
        }
    }
}

/// Finds or makes the file's numbers of series.
fn learn(
    tx: &Transaction,
    known: &mut HashMap<u32, u32>,
    keys: &[String],
    numbers: impl Iterator<Item = u32>,
) -> Result<(), Fault> {
    for number in numbers {
        let Some(key) = keys.get(number as usize).filter(|_| !known.contains_key(&number)) else {
            continue;
        };
        tx.prepare_cached("INSERT OR IGNORE INTO series (key) VALUES (?1)")?
            .execute([key])?;
        let mut find = tx.prepare_cached("SELECT id FROM series WHERE key = ?1")?;
        known.insert(number, find.query_row([key], |r| r.get(0))?);
    }
    Ok(())
}
