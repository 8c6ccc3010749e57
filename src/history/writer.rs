//! The writing side: a bounded queue and a thread that commits every few seconds.

use super::chunk::pack_tick;
use super::seal::{seal, text};
use super::store::{millis, open_to_write};
use crate::cycle::Sample;
use crate::time::Timestamp;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// A killed process loses no more than this.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
const QUEUE: usize = 256;
/// More than this waits for the disk only after a long failure; then the oldest go.
const HELD: usize = 3600;
const SEAL_EVERY_MS: i64 = 300_000;

type Batch = (Timestamp, Vec<Sample>);

/// Takes the samples of each cycle; never waits.
#[derive(Debug)]
pub struct Historian {
    queue: Option<mpsc::SyncSender<Batch>>,
    dropped: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Historian {
    /// Opens or creates the file and starts the thread.
    pub fn start(path: &Path, keep_days: u32) -> Result<Self, String> {
        let conn = open_to_write(path)?;
        let (queue, batches) = mpsc::sync_channel(QUEUE);
        let trouble = Arc::new(Mutex::new(None));
        let mut writer = Writer::new(conn, keep_days)?;
        let (shown, dropped) = (trouble.clone(), Arc::new(AtomicU64::new(0)));
        let lost = dropped.clone();
        let thread = std::thread::Builder::new().name("historian".into());
        let thread = thread
            .spawn(move || writer.serve(&batches, &shown, &lost))
            .map_err(|e| format!("cannot start a thread for the historian: {e}"))?;
        Ok(Self {
            queue: Some(queue),
            dropped,
            trouble,
            thread: Some(thread),
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
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .map_or_else(|_| Some("the historian has ended".into()), |t| t.clone())
    }

    /// Writes what is queued and closes the file.
    pub fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
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
    conn: Connection,
    keep_days: u32,
    ids: HashMap<String, u32>,
    held: Vec<(i64, Vec<(u32, f64)>)>,
    sealed_at: i64,
}

impl Writer {
    fn new(conn: Connection, keep_days: u32) -> Result<Self, String> {
        let mut ids = HashMap::new();
        {
            let mut rows = conn.prepare("SELECT key, id FROM series").map_err(text)?;
            let pairs = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).map_err(text)?;
            for pair in pairs {
                let (key, id) = pair.map_err(text)?;
                ids.insert(key, id);
            }
        }
        Ok(Self {
            conn,
            keep_days,
            ids,
            held: Vec::new(),
            sealed_at: i64::MIN,
        })
    }

    fn serve(&mut self, batches: &mpsc::Receiver<Batch>, trouble: &Mutex<Option<String>>, lost: &AtomicU64) {
        let mut due = std::time::Instant::now() + COMMIT_EVERY;
        loop {
            let wait = due.saturating_duration_since(std::time::Instant::now());
            let open = match batches.recv_timeout(wait) {
                Ok((at, samples)) => {
                    self.hold(at, &samples, lost);
                    true
                }
                Err(mpsc::RecvTimeoutError::Timeout) => true,
                Err(mpsc::RecvTimeoutError::Disconnected) => false,
            };
            if !open || std::time::Instant::now() >= due {
                let outcome = self.commit();
                show(trouble, outcome.err());
                due = std::time::Instant::now() + COMMIT_EVERY;
            }
            if !open {
                return;
            }
        }
    }

    fn hold(&mut self, at: Timestamp, samples: &[Sample], lost: &AtomicU64) {
        let mut values = Vec::with_capacity(samples.len());
        for sample in samples {
            match self.id(sample.key()) {
                Ok(id) => values.push((id, sample.value)),
                Err(why) => tracing::warn!("{why}"),
            }
        }
        if self.held.len() >= HELD {
            self.held.remove(0);
            lost.fetch_add(1, Ordering::Relaxed);
        }
        self.held.push((millis(at), values));
    }

    fn id(&mut self, key: String) -> Result<u32, String> {
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let insert = "INSERT INTO series (key) VALUES (?1)";
        self.conn.execute(insert, [&key]).map_err(text)?;
        let id = u32::try_from(self.conn.last_insert_rowid()).map_err(|e| e.to_string())?;
        self.ids.insert(key, id);
        Ok(id)
    }

    /// Stores what is held, in one transaction; on failure it stays held for the next time.
    fn commit(&mut self) -> Result<(), String> {
        let Some(newest) = self.held.last().map(|(at, _)| *at) else {
            return Ok(());
        };
        let tx = self.conn.transaction().map_err(text)?;
        for (at, values) in &self.held {
            tx.prepare_cached("INSERT OR REPLACE INTO tick (at, body) VALUES (?1, ?2)")
                .and_then(|mut s| s.execute(params![at, pack_tick(values)]))
                .map_err(text)?;
        }
        tx.commit().map_err(text)?;
        self.held.clear();
        if newest.saturating_sub(self.sealed_at) >= SEAL_EVERY_MS {
            self.sealed_at = newest;
            seal(&mut self.conn, newest, self.keep_days)?;
        }
        Ok(())
    }
}

fn show(trouble: &Mutex<Option<String>>, outcome: Option<String>) {
    if let Ok(mut shown) = trouble.lock() {
        if let (None, Some(why)) = (&*shown, &outcome) {
            tracing::error!("{why}; what cannot be stored is held for a while");
        }
        *shown = outcome;
    }
}
