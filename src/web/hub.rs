//! The latest report as JSON, and who wants to hear of the next.

use super::{now, plan};
use crate::cycle::CycleReport;
use crate::site::Site;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The process counts as alive while cycles are younger than this.
const ALIVE: Duration = Duration::from_secs(10);

/// What a listener of the live stream gets: the state now, and the number of the plan it belongs to.
#[derive(Debug, Clone)]
pub struct Event {
    pub now: Arc<str>,
    pub plan_id: Option<u64>,
}

/// Holds the newest report; older ones are forgotten, so that slow listeners skip instead of waiting.
pub struct Hub {
    pub(super) site: Arc<Site>,
    pub(super) token: String,
    latest: Mutex<Option<(Arc<CycleReport>, Instant)>>,
    events: watch::Sender<Option<Event>>,
}

impl Hub {
    pub fn new(site: Arc<Site>, token: String) -> Arc<Self> {
        Arc::new(Self {
            site,
            token,
            latest: Mutex::new(None),
            events: watch::channel(None).0,
        })
    }

    /// Takes the report of a cycle.
    pub fn publish(&self, report: &CycleReport) {
        *self.latest() = Some((Arc::new(report.clone()), Instant::now()));
        if self.events.receiver_count() > 0 {
            let now = now::view(&self.site.plant, report).to_string();
            let plan_id = report.state.schedule.as_ref().map(|s| s.id);
            self.events.send_replace(Some(Event {
                now: now.into(),
                plan_id,
            }));
        }
    }

    /// The newest report.
    pub(super) fn report(&self) -> Option<Arc<CycleReport>> {
        self.latest().as_ref().map(|(report, _)| report.clone())
    }

    /// A cycle has ended lately.
    pub(super) fn is_alive(&self) -> bool {
        self.latest().as_ref().is_some_and(|(_, at)| at.elapsed() < ALIVE)
    }

    pub(super) fn listen(&self) -> watch::Receiver<Option<Event>> {
        self.events.subscribe()
    }

    pub(super) fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    /// JSON of the plan in force.
    pub(super) fn plan(&self) -> Option<String> {
        Some(plan::view(&self.site.plant, &*self.report()?)?.to_string())
    }

    fn latest(&self) -> MutexGuard<'_, Option<(Arc<CycleReport>, Instant)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
