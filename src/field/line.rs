//! A physical link: one socket or serial port, owned in one place, lent to one request at a time.
//!
//! In: who asks, how urgent, by when due. Out: the connection, for one request. Setpoints go first, then polls by their due
//! time, then guests; nobody waits longer than the request in flight for a setpoint's turn.

use super::connection::Connection;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a request is for; earlier classes go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Setpoint,
    Poll,
    /// Scans and other masters behind the proxy.
    Guest,
}

/// Counters of a link, readable while a request is under way.
#[derive(Debug, Default)]
pub struct LineStats {
    /// Times the connection was made.
    pub opened: AtomicU64,
    /// Devices that use the line.
    pub users: AtomicUsize,
    /// Frames (TCP) or runs of bytes (RTU) that nobody waited for.
    pub dropped: AtomicU64,
}

#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
    pub stats: Arc<LineStats>,
}

struct Shared {
    queue: Mutex<Queue>,
}

type Place = (Class, Instant, u64);

struct Queue {
    /// Absent while a request is under way.
    idle: Option<Box<Connection>>,
    waiting: BTreeMap<Place, oneshot::Sender<Turn>>,
    arrivals: u64,
}

impl Line {
    pub fn new(connection: Connection) -> Self {
        let stats = connection.stats.clone();
        let queue = Queue {
            idle: Some(Box::new(connection)),
            waiting: BTreeMap::new(),
            arrivals: 0,
        };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
        });
        Self { shared, stats }
    }

    /// Waits for the connection. Dropping the future gives up the place.
    pub async fn turn(&self, class: Class, due: Option<Instant>) -> Option<Turn> {
        let receiver = match self.enter(class, due) {
            Ok(turn) => return Some(turn),
            Err(receiver) => receiver,
        };
        receiver.await.ok()
    }

    fn enter(&self, class: Class, due: Option<Instant>) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut queue = self.shared.lock();
        if let Some(connection) = queue.idle.take() {
            return Ok(Turn {
                connection: Some(connection),
                shared: self.shared.clone(),
            });
        }
        let (sender, receiver) = oneshot::channel();
        queue.arrivals += 1;
        let place = (class, due.unwrap_or_else(Instant::now), queue.arrivals);
        queue.waiting.insert(place, sender);
        Err(receiver)
    }

    /// Whether only one device uses the line.
    pub fn is_private(&self) -> bool {
        self.stats.users.load(Ordering::Relaxed) <= 1
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one request; gives the connection to the next in line when dropped.
pub struct Turn {
    connection: Option<Box<Connection>>,
    shared: Arc<Shared>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        loop {
            let next = {
                let mut queue = self.shared.lock();
                match queue.waiting.pop_first() {
                    Some((_, next)) => next,
                    None => {
                        queue.idle = Some(connection);
                        return;
                    }
                }
            };
            let turn = Turn {
                connection: Some(connection),
                shared: self.shared.clone(),
            };
            // Whoever gave up waiting is passed over; a turn sent and not taken comes back through its own drop.
            match next.send(turn) {
                Ok(()) => return,
                Err(mut back) => match back.connection.take() {
                    Some(same) => connection = same,
                    None => return,
                },
            }
        }
    }
}

impl Deref for Turn {
    type Target = Option<Box<Connection>>;
    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}
