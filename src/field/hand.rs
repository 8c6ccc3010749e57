//! Gives devices back beside the control loop, for a watchdog.

use super::link::Job;
use crate::site::Id;
use tokio::sync::{mpsc, oneshot};

/// Reaches the links of a field without holding them: they end with the field all the same.
#[derive(Clone)]
pub struct Hand(Vec<(Id, mpsc::WeakSender<Job>)>);

impl Hand {
    pub(super) fn new(links: Vec<(Id, mpsc::WeakSender<Job>)>) -> Self {
        Self(links)
    }

    /// Tells every link to give its devices back; does not wait. Returns those that could not be told.
    pub fn give_back(&self) -> Vec<Id> {
        let tell = |jobs: &mpsc::WeakSender<Job>| {
            let (answer, _nobody_waits) = oneshot::channel();
            // A link that is gone has given back.
            jobs.upgrade()
                .is_none_or(|jobs| jobs.try_send(Job::ReleaseAll { answer }).is_ok())
        };
        let untold = self.0.iter().filter(|(_, jobs)| !tell(jobs));
        untold.map(|(id, _)| id.clone()).collect()
    }
}
