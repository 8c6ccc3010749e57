//! Work that takes long, beside the thread of the page: so many pieces at once, so many that wait, and no more.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Nothing more is taken on now.
#[derive(Debug, Clone, Copy)]
pub struct Full;

#[derive(Clone)]
pub struct Desk {
    working: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Desk {
    /// `at_once` pieces of work, and `waiting` more requests.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            working: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once + waiting)),
        }
    }

    /// A place for one request, held while it waits and works.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Full> {
        self.places.clone().try_acquire_owned().map_err(|_| Full)
    }

    /// Does a piece of work on a thread of its own once it is its turn. A client that goes away does not end work that has
    /// begun, which therefore counts until it ends.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let turn = self.working.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|e| e.to_string())
    }
}
