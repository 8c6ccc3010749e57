//! The side exits of a live controller: journal, historian, sinks, metrics, page. Opened, fed and closed here.

use super::access::{self, ApiAccess};
use super::folder::StateFolder;
use super::page::{self, Page};
use crate::cycle::{Alarm, CLOCK_WRONG, CycleReport, Heard, HistoryRead, Notice, samples};
use crate::history::{Historian, History};
use crate::journal::{FileJournal, Limits, Past, Place};
use crate::model::{ControllerState, Identity};
use crate::site::Site;
use crate::telemetry::{Metrics, Sink, Status};
use crate::time::Timestamp;
use crate::web::{self, Hub};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// What is put where.
pub struct Places {
    /// State folder of this controller.
    pub state: PathBuf,
    /// Port of page and API on 127.0.0.1; 0 takes a free one.
    pub port: u16,
}

/// What the control loop starts with.
pub struct Opened {
    pub exits: Exits,
    pub journal: FileJournal,
    pub restored: Option<ControllerState>,
    pub inbox: mpsc::Receiver<Heard>,
}

/// Everything that takes reports. Fields are dropped in this order when the process ends early.
pub struct Exits {
    site: Arc<Site>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    historian: Historian,
    sink: Option<Arc<Mutex<Option<Sink>>>>,
    stored_at: Option<Timestamp>,
    web: Option<Page>,
    pub access: ApiAccess,
    /// Held as long as the process uses the folder.
    folder: Arc<StateFolder>,
    /// Since when each notice of the exits stands.
    since: BTreeMap<&'static str, Timestamp>,
}

type SharedSink = Arc<Mutex<Option<Sink>>>;

impl Exits {
    /// Locks the state folder and opens all exits; the page listens when this returns. A folder or file that cannot be used
    /// becomes an alarm, and is tried again.
    pub fn open(site: &Arc<Site>, places: &Places, now: Timestamp) -> Result<Opened, String> {
        access::for_us_only();
        let folder = StateFolder::open(&places.state, Identity::of(&site.plant))?;
        let place = Place {
            state: places.state.clone(),
            plant: Arc::new(site.plant.clone()),
            claim: folder.claim(),
        };
        let (journal, restored) = FileJournal::open(place, Limits::DEFAULT, now)?;
        let database = places.state.join("history.db");
        let historian = Historian::start(&database, site.plant.telemetry.keep_days, folder.claim())?;
        let sink = start_sink(site, &database, now)?;
        let metrics = Arc::new(Metrics::new(&site.plant.name));
        let token = folder.token()?;
        let hub = Hub::new(site.clone(), token.clone());
        let (listener, port) = page::listen(places.port)?;
        let access = ApiAccess::of(port, token);
        folder.publish(&access);
        let (people, inbox) = mpsc::channel(16);
        let history: Arc<dyn HistoryRead> = Arc::new(History::when_there(&database));
        let exits = web::Exits {
            hub: hub.clone(),
            inbox: people,
            history: Some(history),
            journal: Some(Arc::new(Past::of(&places.state))),
            metrics: metrics_text(&metrics, sink.as_ref()),
            connections: page::connections(site),
        };
        let web = Some(page::start(listener, exits)?);
        let exits = Self {
            site: site.clone(),
            hub,
            metrics,
            historian,
            sink,
            stored_at: None,
            web,
            access,
            folder,
            since: BTreeMap::new(),
        };
        Ok(Opened {
            exits,
            journal,
            restored,
            inbox,
        })
    }

    /// Adds what the exits themselves have to say, and hands a cycle's report to everybody; never waits.
    pub fn take(&mut self, report: &mut CycleReport) {
        report.alarms.extend(self.alarms(report.snapshot.at));
        let report = &*report;
        let all = samples(&self.site.plant, report);
        let (now, every) = (report.snapshot.at, self.site.plant.telemetry.every);
        let dated = report.alarms.iter().all(|a| a.code != CLOCK_WRONG);
        if dated && self.stored_at.is_none_or(|t| now - t >= every || now < t) {
            if self.stored_at.is_some_and(|t| now < t) {
                self.rewind(now);
            }
            self.stored_at = Some(now);
            self.historian.record(now, all.clone());
        }
        self.metrics.update(all);
        self.hub.publish(report);
    }

    /// The clock was set back: sinks go back too.
    fn rewind(&self, now: Timestamp) {
        if let Some(sink) = self
            .sink
            .as_ref()
            .and_then(|s| s.lock().ok())
            .as_deref()
            .and_then(Option::as_ref)
        {
            sink.rewind(now);
        }
    }

    /// What the historian and the folder do not keep.
    fn alarms(&mut self, now: Timestamp) -> Vec<Alarm> {
        let notices = self.folder.notices().into_iter().chain(self.historian.trouble());
        let notices: Vec<Notice> = notices.collect();
        self.since.retain(|code, _| notices.iter().any(|n| n.code == *code));
        let alarm = |n: Notice| Alarm {
            code: n.code.into(),
            component: None,
            text_en: n.en,
            text_ko: n.ko,
            since: *self.since.entry(n.code).or_insert(now),
        };
        notices.into_iter().map(alarm).collect()
    }

    /// Stores the samples of a past instant, waiting for room: for what is played before the live loop.
    pub fn take_past(&mut self, report: &CycleReport) {
        self.hub.remember(report);
        self.historian
            .record_waiting(report.snapshot.at, samples(&self.site.plant, report));
        self.stored_at = Some(report.snapshot.at);
    }

    /// Flushes and closes everything; bounded by the sinks' time-outs.
    pub fn finish(mut self) {
        if let Some((stop, thread)) = self.web.take() {
            // The page's thread may have ended by itself; then nobody listens.
            let _gone = stop.send(true);
            join(thread, "page");
        }
        self.historian.finish();
        if let Some(sink) = self.sink.take().and_then(|s| s.lock().ok()?.take()) {
            sink.finish();
        }
    }
}

fn join(thread: JoinHandle<()>, name: &str) {
    if thread.join().is_err() {
        tracing::error!("the thread of the {name} stopped in the middle of its work");
    }
}

fn start_sink(site: &Site, database: &Path, now: Timestamp) -> Result<Option<SharedSink>, String> {
    let Some(config) = &site.plant.telemetry.influx else {
        return Ok(None);
    };
    let feed = Box::new(History::when_there(database));
    let sink = Sink::start(&site.plant.name, config, feed, now)?;
    Ok(Some(Arc::new(Mutex::new(Some(sink)))))
}

fn metrics_text(metrics: &Arc<Metrics>, sink: Option<&SharedSink>) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (metrics, sink) = (metrics.clone(), sink.cloned());
    Arc::new(move || {
        let status = |s: &SharedSink| -> Option<Status> { Some(s.lock().ok()?.as_ref()?.status()) };
        let sinks: Vec<_> = sink.iter().filter_map(status).map(|s| ("influx", s)).collect();
        metrics.text(&sinks)
    })
}
