//! The latest report and its JSON, and who wants to hear of the next.

use super::past::{Past, Told};
use super::standing::Standing;
use super::{now, plan};
use crate::cycle::CycleReport;
use crate::site::Site;
use crate::time::Timestamp;
use axum::body::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The process counts as alive while cycles are younger than this.
const ALIVE: Duration = Duration::from_secs(10);

/// A text made when it is first asked for, at most once a cycle however many ask.
type Once = OnceLock<Bytes>;

/// The report of one cycle, and the texts made of it.
pub struct Latest {
    site: Arc<Site>,
    pub report: CycleReport,
    at: Instant,
    standing: Standing,
    now: Once,
    plan: OnceLock<Option<Bytes>>,
    state: Once,
}

const DATA: &str = "\ndata: ";
const END: &str = "\n\n";

/// An event of the live stream; its JSON is a part of it, so that both share their memory.
fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}{DATA}{data}{END}").into()
}

fn data(event: &Bytes, name: &str) -> Bytes {
    event.slice("event: ".len() + name.len() + DATA.len()..event.len() - END.len())
}

impl Latest {
    pub fn now_event(&self) -> Bytes {
        let made = self
            .now
            .get_or_init(|| event("now", &now::view(&self.site.plant, &self.report, &self.standing)));
        made.clone()
    }

    /// JSON of `/now`.
    pub fn now(&self) -> Bytes {
        data(&self.now_event(), "now")
    }

    /// `None` before the first plan.
    pub fn plan_event(&self) -> Option<Bytes> {
        let make = || plan::view(&self.site.plant, &self.report).map(|view| event("plan", &view));
        self.plan.get_or_init(make).clone()
    }

    /// JSON of `/plan`.
    pub fn plan(&self) -> Option<Bytes> {
        self.plan_event().map(|event| data(&event, "plan"))
    }

    /// JSON of `/state`.
    pub fn state(&self) -> Bytes {
        let make = || json!(*self.report.state).to_string().into();
        self.state.get_or_init(make).clone()
    }

    /// A cycle has ended lately.
    pub fn is_alive(&self) -> bool {
        self.at.elapsed() < ALIVE
    }
}

/// Holds the newest report; older ones are forgotten, so that slow listeners skip instead of waiting.
pub struct Hub {
    pub(super) site: Arc<Site>,
    pub(super) token: String,
    latest: watch::Sender<Option<Arc<Latest>>>,
    past: Mutex<Past>,
}

impl Hub {
    pub fn new(site: Arc<Site>, token: String) -> Arc<Self> {
        Arc::new(Self {
            site,
            token,
            latest: watch::channel(None).0,
            past: Mutex::default(),
        })
    }

    /// Takes the report of a cycle. Texts are made by who asks for them, never by the control loop that calls this.
    pub fn publish(&self, report: &CycleReport) {
        self.remember(report);
        let before = self.latest();
        let standing = before.as_ref().map_or_else(Standing::default, |l| l.standing.clone());
        self.latest.send_replace(Some(Arc::new(Latest {
            site: self.site.clone(),
            report: report.clone(),
            at: Instant::now(),
            standing: standing.next(&self.site.plant, report),
            now: Once::new(),
            plan: OnceLock::new(),
            state: Once::new(),
        })));
    }

    /// Takes the decisions of a cycle for the page's chart, also of one that was played before the live loop.
    pub fn remember(&self, report: &CycleReport) {
        self.past().take(&self.site.plant, report);
    }

    /// The decisions in force at an instant; `None` where that is not remembered.
    pub(super) fn decided_at(&self, t: Timestamp) -> Option<Vec<Told>> {
        self.past().at(t)
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest report.
    pub(super) fn latest(&self) -> Option<Arc<Latest>> {
        self.latest.borrow().clone()
    }

    pub(super) fn listen(&self) -> watch::Receiver<Option<Arc<Latest>>> {
        self.latest.subscribe()
    }
}
