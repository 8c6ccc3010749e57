//! The bounded queue between the control loop and the thread that keeps the journal.

use crate::cycle::{Notice, Told};
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Waiting records hold no more than this; a whole state of a large site is about a megabyte.
const MOST_BYTES: usize = 16 << 20;
const MOST_ORDERS: usize = 1024;
/// So many of people's words still find room where nothing else does.
const WORDS_ROOM: usize = 64;

/// One record for the disk, in its written form.
pub struct Order {
    pub at: Timestamp,
    pub json: Vec<u8>,
    pub keyframe: bool,
    /// People's words with who waits for them; they go to the disk at once.
    pub words: Option<(Vec<u8>, Told)>,
}

#[derive(Default)]
struct Inner {
    orders: VecDeque<Order>,
    bytes: usize,
    /// Records that found no room, since the keeper last asked.
    dropped: u64,
    /// Orders taken in and orders done, since the start.
    queued: u64,
    done: u64,
    /// Since when the keeper is at work on one thing.
    busy_since: Option<Instant>,
    /// Asked to make all durable; cleared when it is.
    flush: bool,
    closing: bool,
    ended: bool,
    wants_keyframe: bool,
    /// By code; those with an end go by themselves.
    notices: BTreeMap<&'static str, (Notice, Option<Instant>)>,
    hash: String,
}

/// Shared by both sides. No lock is held while a disk is waited for.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    turned: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("journal queue")
    }
}

/// What the keeper does next.
pub enum Next {
    Order(Box<Order>),
    /// Nothing came; `flush`: somebody waits until all is durable.
    Nothing {
        flush: bool,
    },
    Close,
}

impl Queue {
    /// A thread that panicked while it held the lock leaves counters and lists that are still whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Gives the order back where there is no room, or nobody to take it.
    pub fn push(&self, order: Order) -> Result<(), Box<Order>> {
        let mut inner = self.lock();
        let bytes = inner.bytes.saturating_add(order.json.len());
        let room = if order.words.is_some() { WORDS_ROOM } else { 0 };
        let full = inner.orders.len() >= MOST_ORDERS + room || (room == 0 && bytes > MOST_BYTES);
        if inner.ended || full {
            inner.dropped = inner.dropped.saturating_add(1);
            return Err(Box::new(order));
        }
        inner.bytes = bytes;
        inner.queued = inner.queued.saturating_add(1);
        inner.orders.push_back(order);
        self.turned.notify_all();
        Ok(())
    }

    /// The keeper's wait for work.
    pub fn next(&self, patience: Duration) -> Next {
        let mut inner = self.lock();
        inner.busy_since = None;
        if inner.orders.is_empty() && !inner.closing && !inner.flush {
            let waited = self.turned.wait_timeout(inner, patience);
            inner = waited.map_or_else(|e| e.into_inner().0, |(inner, _)| inner);
        }
        inner.busy_since = Some(Instant::now());
        if let Some(order) = inner.orders.pop_front() {
            inner.bytes = inner.bytes.saturating_sub(order.json.len());
            return Next::Order(Box::new(order));
        }
        if inner.closing {
            return Next::Close;
        }
        Next::Nothing { flush: inner.flush }
    }

    pub fn done(&self) {
        let mut inner = self.lock();
        inner.done = inner.done.saturating_add(1);
        self.turned.notify_all();
    }

    pub fn flushed(&self) {
        self.lock().flush = false;
        self.turned.notify_all();
    }

    /// The thread has ended, well or not.
    pub fn ended(&self) {
        self.lock().ended = true;
        self.turned.notify_all();
    }

    /// Waits until everything taken in so far is done; false if patience ends first.
    pub fn wait_done(&self, patience: Duration) -> bool {
        let target = self.lock().queued;
        self.wait(patience, |i| i.done >= target)
    }

    /// Waits until everything taken in so far is durable.
    pub fn flush(&self, patience: Duration) -> bool {
        self.lock().flush = true;
        self.turned.notify_all();
        self.wait(patience, |i| !i.flush && i.orders.is_empty())
    }

    /// Tells the thread to end after what is queued; waits for it a while.
    pub fn close(&self, patience: Duration) -> bool {
        self.lock().closing = true;
        self.turned.notify_all();
        self.wait(patience, |i| i.ended)
    }

    fn wait(&self, patience: Duration, over: impl Fn(&Inner) -> bool) -> bool {
        let waited = self
            .turned
            .wait_timeout_while(self.lock(), patience, |i| !over(i) && !i.ended);
        waited.is_ok_and(|(inner, _)| over(&inner))
    }

    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    pub fn want_keyframe(&self) {
        self.lock().wants_keyframe = true;
    }

    pub fn take_wants_keyframe(&self) -> bool {
        std::mem::take(&mut self.lock().wants_keyframe)
    }

    /// Shows a notice until it is cleared, or for a time; true if it was not shown before.
    pub fn show(&self, notice: Notice, length: Option<Duration>) -> bool {
        let end = length.and_then(|l| Instant::now().checked_add(l));
        self.lock().notices.insert(notice.code, (notice, end)).is_none()
    }

    /// True if there was one.
    pub fn clear(&self, code: &str) -> bool {
        self.lock().notices.remove(code).is_some()
    }

    pub fn notices(&self) -> Vec<Notice> {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.notices.retain(|_, (_, end)| end.is_none_or(|e| now < e));
        inner.notices.values().map(|(n, _)| n.clone()).collect()
    }

    /// How long the keeper has been at one thing while others wait.
    pub fn stuck_for(&self) -> Duration {
        let inner = self.lock();
        let waiting = !inner.orders.is_empty();
        inner
            .busy_since
            .filter(|_| waiting)
            .map_or(Duration::ZERO, |t| t.elapsed())
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub fn set_hash(&self, hash: String) {
        self.lock().hash = hash;
    }

    pub fn hash(&self) -> String {
        self.lock().hash.clone()
    }
}
