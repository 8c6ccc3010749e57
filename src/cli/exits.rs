//! The side exits of a live controller: journal, historian, sinks, metrics, page. Opened, fed and closed here.

use crate::cycle::{CLOCK_WRONG, CycleReport, Heard, HistoryRead, samples};
use crate::history::{Historian, History};
use crate::journal::{FileJournal, Limits};
use crate::model::ControllerState;
use crate::site::Site;
use crate::telemetry::{Metrics, Sink, Status};
use crate::time::Timestamp;
use crate::web::{self, Hub};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
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

/// How others on this machine reach the controller (`madang set`); readable only by its user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiAccess {
    pub url: String,
    pub token: String,
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
    _lock: File,
}

type SharedSink = Arc<Mutex<Option<Sink>>>;

impl Exits {
    /// Locks the state folder and opens all exits; the page listens when this returns.
    pub fn open(site: &Arc<Site>, places: &Places, now: Timestamp) -> Result<Opened, String> {
        let folder = &places.state;
        std::fs::create_dir_all(folder)
            .map_err(|e| format!("cannot make the state folder {}: {e}", folder.display()))?;
        let lock = lock(folder)?;
        let (journal, restored) = FileJournal::open(&folder.join("journal"), Limits::DEFAULT)?;
        let database = folder.join("history.db");
        let historian = Historian::start(&database, site.plant.telemetry.keep_days)?;
        let sink = start_sink(site, &database, now)?;
        let metrics = Arc::new(Metrics::new(&site.plant.name));
        let token = token(folder)?;
        let hub = Hub::new(site.clone(), token.clone());
        let (listener, port) = listen(places.port)?;
        let access = ApiAccess {
            url: format!("http://127.0.0.1:{port}"),
            token,
        };
        keep_access(folder, &access)?;
        let (people, inbox) = mpsc::channel(16);
        let history: Arc<dyn HistoryRead> = Arc::new(History::open(&database)?);
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
            _lock: lock,
        };
        Ok(Opened {
            exits,
            journal,
            restored,
            inbox,
        })
    }

    /// Hands a cycle's report to everybody; never waits.
    pub fn take(&mut self, report: &CycleReport) {
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
    let feed = Box::new(History::open(database)?);
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

/// One controller per state folder.
fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join("lock");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "another controller uses the state folder {}; stop it, or give this one its own with --state",
            folder.display()
        )),
        Err(std::fs::TryLockError::Error(e)) => Err(format!("cannot lock {}: {e}", path.display())),
    }
}

/// The token of this folder, made once: 128 bits from the system.
fn token(folder: &Path) -> Result<String, String> {
    let known = std::fs::read_to_string(folder.join("api.json")).ok();
    if let Some(access) = known.and_then(|text| serde_json::from_str::<ApiAccess>(&text).ok()) {
        return Ok(access.token);
    }
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| format!("cannot make an access token: {e}"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn keep_access(folder: &Path, access: &ApiAccess) -> Result<(), String> {
    let path = folder.join("api.json");
    let said = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    let text = serde_json::to_string_pretty(access).map_err(|e| e.to_string())?;
    // Written beside and moved, so that nobody reads half of it.
    let draft = folder.join("api.json.new");
    let _absent = std::fs::remove_file(&draft);
    let mut file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .map_err(said)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(said)?;
    std::fs::rename(&draft, &path).map_err(said)
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
