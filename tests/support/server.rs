//! Page and API over a real socket and a real report, without a controller behind them.
#![allow(dead_code)] // each test binary uses a part of it

use super::http;
use chrono::{TimeDelta, TimeZone, Utc};
use madang::backtest::{RunSpec, run_watched};
use madang::cycle::{Answer, CycleReport, Effect, Heard, HistoryRead, InForce, JournalRead, Reply};
use madang::model::{LastTarget, PeopleInput, Policy, Reason, ReasonCode, Target};
use madang::site::{Id, Mode, Site};
use madang::time::Timestamp;
use madang::units::Power;
use madang::web::{CONNECTIONS_MAX, Exits, Hub, serve};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

pub const TOKEN: &str = "0123456789abcdef";

/// The last report of a day of the home, made once.
pub fn day() -> &'static (Arc<Site>, CycleReport) {
    static DAY: OnceLock<(Arc<Site>, CycleReport)> = OnceLock::new();
    DAY.get_or_init(|| {
        let mut site = madang::site::builtin("home-amsterdam").unwrap();
        site.plant.mode = Mode::Control;
        let spec = RunSpec {
            site: Arc::new(site),
            policy: Policy::Plan,
            seed: 1,
            start: Utc.with_ymd_and_hms(2026, 5, 11, 22, 0, 0).unwrap(),
            days: 1,
            cycle: TimeDelta::minutes(1),
            wire: false,
            faults: Vec::new(),
        };
        let last = RefCell::new(None);
        run_watched(&spec, &|report| *last.borrow_mut() = Some(report.clone())).unwrap();
        (spec.site, last.into_inner().unwrap())
    })
}

/// A historian that knows nothing, and says which questions reach it.
pub struct NoSeries;

impl HistoryRead for NoSeries {
    fn keys(&self) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _: &str, from: Timestamp, to: Timestamp, step: TimeDelta) -> Result<Vec<(Timestamp, f64)>, String> {
        assert!(from < to && step > TimeDelta::zero(), "{from} {to} {step}");
        Ok(Vec::new())
    }
}

pub struct Server {
    pub hub: Arc<Hub>,
    pub port: u16,
    stop: watch::Sender<bool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// A journal of everything up to a day before the report of [`day`].
struct Yesterday;

impl JournalRead for Yesterday {
    fn decided(&self, at: Timestamp) -> Result<Option<BTreeMap<Id, LastTarget>>, String> {
        let known = day().1.snapshot.at - TimeDelta::days(1);
        let last = LastTarget {
            target: Target::Power(Power::kw(2.0)),
            at,
            mode_since: at,
            reason: Reason::new(ReasonCode::StoreSurplus),
        };
        Ok((at <= known).then(|| BTreeMap::from([(Id::new("battery"), last)])))
    }
}

/// A reply that says what was heard.
pub fn said(input: &PeopleInput) -> Reply {
    Reply {
        done: format!("{input:?}"),
        done_ko: "완료".into(),
        effect: Effect::Full,
        in_force: InForce::Released,
        notes: Vec::new(),
    }
}

/// Answers what people say with `answer`; without one nobody listens to them.
pub fn server(answer: Option<fn(PeopleInput) -> Answer>) -> Server {
    server_of(answer, CONNECTIONS_MAX)
}

pub fn server_of(answer: Option<fn(PeopleInput) -> Answer>, connections: usize) -> Server {
    let hub = Hub::new(day().0.clone(), TOKEN.to_owned());
    let (inbox, mut heard) = mpsc::channel::<Heard>(4);
    let (stop, stopped) = watch::channel(false);
    let (tell_port, port) = std::sync::mpsc::channel();
    let exits = Exits {
        hub: hub.clone(),
        inbox,
        history: Some(Arc::new(NoSeries)),
        journal: Some(Arc::new(Yesterday)),
        metrics: Arc::new(|| "madang_x 1\n".to_owned()),
        connections,
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell_port.send(listener.local_addr().unwrap().port()).unwrap();
            let people = async {
                let mut unanswered = Vec::new();
                while let Some((input, back)) = heard.recv().await {
                    match answer {
                        Some(answer) => back.send(answer(input)).unwrap(),
                        None => unanswered.push(back),
                    }
                }
            };
            tokio::join!(serve(listener, exits, stopped), people);
        });
    });
    let port = port.recv().unwrap();
    Server { hub, port, stop }
}

pub fn published() -> Server {
    let server = server(Some(|input| Ok(said(&input))));
    server.hub.publish(&day().1);
    server
}

pub fn post(port: u16, path: &str, token: &str, body: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let (status, body) = http(port, "POST", path, &headers, body).unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

pub const LIVE: &str = "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
pub const OWN_LIVE: &str = "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\r\n";

/// A listener of the live stream, after the answer's head.
pub fn listen(port: u16) -> BufReader<TcpStream> {
    listen_as(port, LIVE)
}

pub fn listen_as(port: u16, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    reader
}

pub fn next_event(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(name) = line.trim().strip_prefix("event: ") {
            return name.to_owned();
        }
    }
}
