//! Who is connected: how many at most, how long a client may let us wait, and who goes when the room is full.
//!
//! All clients of a loopback listener look alike, so that no share can be kept for the owner's by address. Instead a
//! full room closes the connection that has waited longest for its client, and a new one always comes in; what waits
//! for us (an answer, a stream that is read) is bounded by the shares of [`super::Limits`] and is never closed for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// From the first byte of a request (or from the connection's begin) to the end of its head.
pub const HEAD: Duration = Duration::from_secs(5);
/// Between two requests of one connection.
pub const IDLE: Duration = Duration::from_secs(60);
/// Until a client takes more of an answer.
pub const STALLED: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// Its request is not complete.
    Head,
    /// It waits for us.
    Answered,
    /// It follows the live stream; `own` if the page of this very listener opened it.
    Stream { own: bool },
}

#[derive(Debug)]
struct At {
    phase: Phase,
    since: Instant,
    /// Since when it takes nothing of what is written.
    stalled: Option<Instant>,
}

/// One connection.
#[derive(Debug)]
pub struct Seat(Mutex<At>);

impl Seat {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(At {
            phase: Phase::Head,
            since: now,
            stalled: None,
        }))
    }

    fn at(&self) -> MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut at = self.at();
        (at.phase, at.since) = (phase, Instant::now());
    }

    /// Bytes came.
    pub fn heard(&self) {
        if self.at().phase == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// A request is complete but for its body.
    pub fn asked(&self) {
        self.enter(Phase::Answered);
    }

    /// Its answer has ended.
    pub fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// Whether the client took what was written.
    pub fn takes(&self, taken: bool) {
        let mut at = self.at();
        at.stalled = match (taken, at.stalled) {
            (true, _) => None,
            (false, known) => Some(known.unwrap_or_else(Instant::now)),
        };
    }

    /// Since when the client lets us wait; `None` while it waits for us.
    fn waited_for(&self) -> Option<Instant> {
        let at = self.at();
        match at.phase {
            Phase::Idle | Phase::Head => Some(at.since),
            Phase::Answered | Phase::Stream { .. } => at.stalled,
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let at = self.at();
        let longer = |since: Instant, most: Duration| now.saturating_duration_since(since) > most;
        let slow = match at.phase {
            Phase::Idle => longer(at.since, IDLE),
            Phase::Head => longer(at.since, HEAD),
            Phase::Answered | Phase::Stream { .. } => false,
        };
        slow || at.stalled.is_some_and(|since| longer(since, STALLED))
    }

    /// Streams in the order in which they are closed: first who does not read, then who is not the page, then the oldest.
    fn rank(&self) -> Option<(bool, bool, Instant)> {
        let at = self.at();
        match at.phase {
            Phase::Stream { own } => Some((at.stalled.is_none(), own, at.since)),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Guests {
    next: u64,
    all: BTreeMap<u64, (Arc<Seat>, Option<AbortHandle>)>,
}

/// All connections.
pub struct Room {
    most: usize,
    streams: usize,
    guests: Mutex<Guests>,
}

impl Room {
    /// `most` connections, of which `streams` may follow the live stream.
    pub fn new(most: usize, streams: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            streams,
            guests: Mutex::default(),
        })
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in if there is a place; its task leaves by dropping what it gets.
    pub fn enter(self: &Arc<Self>) -> Option<Guest> {
        let mut guests = self.guests();
        if guests.all.len() >= self.most {
            return None;
        }
        guests.next += 1;
        let id = guests.next;
        let seat = Arc::new(Seat::new(Instant::now()));
        guests.all.insert(id, (seat.clone(), None));
        Some(Guest {
            room: self.clone(),
            id,
            seat,
        })
    }

    /// Remembers how a connection's task is ended.
    pub fn seated(&self, id: u64, task: AbortHandle) {
        if let Some((_, handle)) = self.guests().all.get_mut(&id) {
            *handle = Some(task);
        }
    }

    /// Closes the connection that lets us wait longest; false where all wait for us. Its place is free once its task has ended.
    pub fn make_place(&self) -> bool {
        let guests = self.guests();
        let waiting = guests
            .all
            .values()
            .filter_map(|(seat, task)| Some((seat.waited_for()?, task.as_ref()?)));
        let longest = waiting.min_by_key(|(since, _)| *since);
        longest.map(|(_, task)| task.abort()).is_some()
    }

    /// Closes connections whose time is over.
    pub fn sweep(&self) {
        let now = Instant::now();
        let guests = self.guests();
        let overdue = guests.all.values().filter(|(seat, _)| seat.is_overdue(now));
        overdue
            .filter_map(|(_, task)| task.as_ref())
            .for_each(AbortHandle::abort);
    }

    /// Makes a connection a listener of the live stream; where there are too many, one that matters less is closed.
    pub fn stream(&self, seat: &Seat, own: bool) {
        let guests = self.guests();
        let mut all: Vec<_> = guests
            .all
            .values()
            .filter_map(|(s, task)| Some((s.rank()?, task.as_ref()?)))
            .collect();
        all.sort_by_key(|(rank, _)| *rank);
        let over = (all.len() + 1).saturating_sub(self.streams);
        all.iter().take(over).for_each(|(_, task)| task.abort());
        seat.enter(Phase::Stream { own });
    }
}

/// A connection's place in the room, given back when it is dropped.
pub struct Guest {
    room: Arc<Room>,
    pub id: u64,
    pub seat: Arc<Seat>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.guests().all.remove(&self.id);
    }
}
