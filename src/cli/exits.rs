//! The side exits of a live controller: journal, historian, sinks, metrics, page. Opened, fed and closed here.

pub use super::folder::ApiAccess;
use super::folder::StateFolder;
use crate::cycle::{Alarm, CycleReport, Heard, HistoryRead, Notice, samples};
use crate::history::{Historian, History};
use crate::journal::{FileJournal, Limits, Place};
use crate::model::{ControllerState, Identity};
use crate::site::Site;
use crate::telemetry::{Metrics, Sink, Status};
use crate::time::Timestamp;
use crate::web::{self, Hub};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

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
    web: Option<(watch::Sender<bool>, JoinHandle<()>)>,
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
        let (listener, port) = listen(places.port)?;
        let access = ApiAccess {
            url: format!("http://127.0.0.1:{port}"),
            token,
        };
        folder.publish(&access);
        let (people, inbox) = mpsc::channel(16);
        let history: Arc<dyn HistoryRead> = Arc::new(History::when_there(&database));
        let exits = web::Exits {
            hub: hub.clone(),
            inbox: people,
            history: Some(history),
            metrics: metrics_text(&metrics, sink.as_ref()),
        };
        let web = Some(start_web(listener, exits)?);
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
        if self.stored_at.is_none_or(|t| now - t >= every || now < t) {
            self.stored_at = Some(now);
            self.historian.record(now, all.clone());
        }
        self.metrics.update(all);
        self.hub.publish(report);
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

fn listen(port: u16) -> Result<(std::net::TcpListener, u16), String> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|e| {
        format!("cannot listen on 127.0.0.1:{port}: {e}; another controller may run there, choose one with --port")
    })?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    Ok((listener, port))
}

/// The page has a thread of its own: however slow a browser is, control does not notice.
fn start_web(
    listener: std::net::TcpListener,
    exits: web::Exits,
) -> Result<(watch::Sender<bool>, JoinHandle<()>), String> {
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the page: {e}"))?;
    let serve = move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => web::serve(listener, exits, stopped).await,
                Err(why) => tracing::error!("the page cannot be served: {why}"),
            }
        });
        // A handler that still works must not hold the process up.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("web".into()).spawn(serve);
    Ok((
        stop,
        thread.map_err(|e| format!("cannot start a thread for the page: {e}"))?,
    ))
}
