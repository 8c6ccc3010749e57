//! The thread of the links: one runtime, on which nothing else runs.

use std::future::Future;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::runtime::{EnterGuard, Handle};
use tokio::sync::oneshot;

/// Carries the tasks of all links of a live controller. It outlives the field, so that links can give back what a field that
/// is gone has left.
pub struct LinkThread {
    handle: Handle,
    /// Each task holds a clone of the sender; the receiver notices when the last has ended.
    alive: Sender<()>,
    ended: Mutex<Receiver<()>>,
    stop: oneshot::Sender<()>,
}

impl LinkThread {
    /// Starts the thread.
    pub fn start() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start the runtime of the links: {e}"))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            // Told to stop, or the owner is gone.
            let _told = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("links".into()).spawn(serve);
        thread.map_err(|e| format!("cannot start a thread for the links: {e}"))?;
        let (alive, ended) = channel();
        Ok(Self {
            handle,
            alive,
            ended: Mutex::new(ended),
            stop,
        })
    }

    /// Runs something beside the links on their thread: what must be heard while the control loop is held up.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        self.handle.spawn(async move {
            task.await;
            drop(alive);
        });
    }

    /// Waits until all links have given back what they held and ended, which they do when their field is dropped; false if
    /// some had not after `patience`.
    pub fn finish(self, patience: Duration) -> bool {
        drop(self.alive);
        let ended = self.ended.into_inner().map(|ended| ended.recv_timeout(patience));
        // The thread may have ended by itself.
        let _gone = self.stop.send(());
        matches!(ended, Ok(Err(RecvTimeoutError::Disconnected)))
    }
}
