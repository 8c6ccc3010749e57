//! InfluxDB v2 writes through `influxdb2`, from the historian by cursor: an outage is caught up with, however long.

use super::lines;
use crate::cycle::HistoryFeed;
use crate::site::{Id, InfluxConfig};
use crate::time::Timestamp;
use chrono::TimeDelta;
use influxdb2::api::write::TimestampPrecision;
use influxdb2::{Client, ClientBuilder};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Name of the cursor in the historian.
const CURSOR: &str = "influx";
/// A server's "stored" is not durable for a few seconds: after any trouble this much is sent again (same stamps and
/// values, so that nothing counts twice).
const REWIND: TimeDelta = TimeDelta::seconds(10);
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Instants asked for at a time, and bytes of one request.
const BATCH: usize = 200;
const BODY_MAX: usize = 1 << 20;
/// The cursor goes to disk after this much progress.
const KEEP_EVERY: TimeDelta = TimeDelta::seconds(10);

/// How the sink does, for `/metrics` and the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Seconds of samples not yet sent; `None` before the first.
    pub lag_s: Option<f64>,
    /// Values sent since the start.
    pub sent: u64,
    pub trouble: Option<String>,
}

/// A thread that sends what the historian stores.
#[derive(Debug)]
pub struct Sink {
    stop: Option<mpsc::Sender<()>>,
    status: Arc<Mutex<Status>>,
    again_from: Arc<Mutex<Option<Timestamp>>>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts sending. `since`: where a sink that never sent begins.
    pub fn start(
        site: &Id,
        config: &InfluxConfig,
        feed: Box<dyn HistoryFeed>,
        since: Timestamp,
    ) -> Result<Self, String> {
        let mut sender = Sender::new(site, config, feed, since)?;
        let (status, again_from) = (sender.status.clone(), sender.again_from.clone());
        let (stop, stopped) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start the InfluxDB sink: {e}"))?;
        let thread = std::thread::Builder::new()
            .name("influx".into())
            .spawn(move || sender.serve(&runtime, &stopped))
            .map_err(|e| format!("cannot start a thread for InfluxDB: {e}"))?;
        Ok(Self {
            stop: Some(stop),
            status,
            again_from,
            thread: Some(thread),
        })
    }

    /// The clock was set back to `t`: what is stored from there on is new, although it is not later than what was sent.
    pub fn rewind(&self, t: Timestamp) {
        if let Ok(mut from) = self.again_from.lock() {
            *from = Some(from.map_or(t, |known| known.min(t)));
        }
    }

    pub fn status(&self) -> Status {
        self.status.lock().map_or_else(
            |_| Status {
                lag_s: None,
                sent: 0,
                trouble: Some("the sink has ended".into()),
            },
            |s| s.clone(),
        )
    }

    /// Sends what is left, if the server takes it, and ends.
    pub fn finish(mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the InfluxDB sink stopped in the middle of its work");
        }
    }
}

struct Sender {
    site: String,
    org: String,
    bucket: String,
    client: Client,
    feed: Box<dyn HistoryFeed>,
    status: Arc<Mutex<Status>>,
    /// Told by [`Sink::rewind`].
    again_from: Arc<Mutex<Option<Timestamp>>>,
    /// Everything up to here was taken by the server.
    cursor: Option<Timestamp>,
    kept: Option<Timestamp>,
    since: Timestamp,
    pause: Duration,
}

impl Sender {
    fn new(site: &Id, config: &InfluxConfig, feed: Box<dyn HistoryFeed>, since: Timestamp) -> Result<Self, String> {
        if !config.url.starts_with("http://") || reqwest::Url::parse(&config.url).is_err() {
            return Err(format!(
                "telemetry.influx.url `{}` is not an http:// address; put a TLS proxy beside the controller for https",
                config.url
            ));
        }
        let token = match &config.token_env {
            Some(name) => std::env::var(name)
                .map_err(|_| format!("telemetry.influx.token_env: the environment has no variable `{name}`"))?,
            None => String::new(),
        };
        let http = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT);
        let client = ClientBuilder::with_builder(http, &config.url, &config.org, token)
            .build()
            .map_err(|e| format!("cannot make an InfluxDB client: {e}"))?;
        Ok(Self {
            site: site.to_string(),
            org: config.org.clone(),
            bucket: config.bucket.clone(),
            client,
            feed,
            status: Arc::new(Mutex::new(Status {
                lag_s: None,
                sent: 0,
                trouble: None,
            })),
            again_from: Arc::default(),
            cursor: None,
            kept: None,
            since,
            pause: PAUSE,
        })
    }

    fn serve(&mut self, runtime: &tokio::runtime::Runtime, stop: &mpsc::Receiver<()>) {
        loop {
            let more = runtime.block_on(self.send_next());
            let wait = match more {
                Ok(true) => Duration::ZERO,
                Ok(false) | Err(_) => self.pause,
            };
            self.note(more.err());
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) | Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.last_words(runtime);
    }

    /// Sends one batch; true if there may be more at once.
    async fn send_next(&mut self) -> Result<bool, String> {
        let cursor = self.place()?;
        let ticks = self.feed.after(cursor, BATCH)?;
        let Some(last) = ticks.last().map(|t| t.at) else {
            return Ok(false);
        };
        let full = ticks.len() >= BATCH;
        let (mut body, mut values) = (Vec::new(), 0);
        for tick in &ticks {
            values += lines::append(&mut body, &self.site, tick);
            if body.len() >= BODY_MAX {
                self.post(std::mem::take(&mut body)).await?;
                self.cursor = Some(tick.at);
            }
        }
        if !body.is_empty() {
            self.post(body).await?;
        }
        self.cursor = Some(last);
        self.count(values);
        self.keep(false)?;
        Ok(full)
    }

    /// The cursor in force; after a restart the stored one, rewound.
    fn place(&mut self) -> Result<Timestamp, String> {
        if let Some(from) = self.again_from.lock().ok().and_then(|mut from| from.take()) {
            self.cursor = self.cursor.map(|c| c.min(from));
            self.kept = None;
        }
        if let Some(cursor) = self.cursor {
            return Ok(cursor);
        }
        let stored = self.feed.cursor(CURSOR)?;
        let cursor = stored.map_or(self.since, |t| t - REWIND);
        self.cursor = Some(cursor);
        Ok(cursor)
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), String> {
        self.client
            .write_line_protocol_with_precision(&self.org, &self.bucket, body, TimestampPrecision::Milliseconds)
            .await
            .map_err(|e| format!("InfluxDB does not take the samples: {e}"))
    }

    fn keep(&mut self, now: bool) -> Result<(), String> {
        let Some(cursor) = self.cursor else { return Ok(()) };
        if now || self.kept.is_none_or(|k| cursor - k >= KEEP_EVERY) {
            self.feed.set_cursor(CURSOR, cursor)?;
            self.kept = Some(cursor);
        }
        Ok(())
    }

    fn count(&self, values: usize) {
        if let Ok(mut status) = self.status.lock() {
            status.sent += values as u64;
        }
    }

    /// Keeps the status; on the first trouble says so and goes back, on the following ones waits longer.
    fn note(&mut self, trouble: Option<String>) {
        let Ok(mut status) = self.status.lock() else { return };
        match (&status.trouble, &trouble) {
            (None, Some(why)) => {
                tracing::warn!("{why}; what is recorded meanwhile is sent later");
                self.cursor = self.cursor.map(|c| c - REWIND);
                self.pause = PAUSE;
            }
            (Some(_), Some(_)) => self.pause = (self.pause * 2).min(PAUSE_MAX),
            (Some(_), None) => {
                tracing::info!("InfluxDB takes samples again");
                self.pause = PAUSE;
            }
            (None, None) => {}
        }
        status.trouble = trouble;
        status.lag_s = self
            .cursor
            .map(|c| (crate::time::Clock::now(&crate::time::SystemClock) - c).as_seconds_f64());
    }

    fn last_words(&mut self, runtime: &tokio::runtime::Runtime) {
        let unsent = runtime.block_on(async { tokio::time::timeout(TIMEOUT / 5, self.send_next()).await });
        if !matches!(unsent, Ok(Ok(_))) {
            tracing::info!("some samples wait in the historian for the next start");
        }
        if let Err(why) = self.keep(true) {
            tracing::warn!("{why}");
        }
    }
}
