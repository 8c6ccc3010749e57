//! The page, the API and the live stream, over a real socket and a real report.

mod support;

use chrono::{TimeDelta, TimeZone, Utc};
use madang::backtest::{RunSpec, run_watched};
use madang::cycle::{Answer, CycleReport, Heard, NotDone};
use madang::model::{PeopleInput, Policy};
use madang::site::{Mode, Site};
use madang::web::{Exits, Hub, serve};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use support::{eventually, get, http};
use tokio::sync::{mpsc, watch};

const TOKEN: &str = "0123456789abcdef";

/// The last report of a day of the home, made once.
fn day() -> &'static (Arc<Site>, CycleReport) {
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

struct Server {
    hub: Arc<Hub>,
    port: u16,
    stop: watch::Sender<bool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Answers what people say with `answer`; without one nobody listens to them.
fn server(answer: Option<fn(PeopleInput) -> Answer>) -> Server {
    let hub = Hub::new(day().0.clone(), TOKEN.to_owned());
    let (inbox, mut heard) = mpsc::channel::<Heard>(4);
    let (stop, stopped) = watch::channel(false);
    let (tell_port, port) = std::sync::mpsc::channel();
    let exits = Exits {
        hub: hub.clone(),
        inbox,
        history: None,
        metrics: Arc::new(|| "madang_x 1\n".to_owned()),
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

fn published() -> Server {
    let server = server(Some(|input| Ok(format!("{input:?}"))));
    server.hub.publish(&day().1);
    server
}

fn post(port: u16, path: &str, token: &str, body: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let (status, body) = http(port, "POST", path, &headers, body).unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn ui() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/web/ui")
}

fn scripts() -> Vec<(String, String)> {
    let files = std::fs::read_dir(ui()).unwrap().map(|f| f.unwrap().path());
    let scripts = files.filter(|p| p.extension().is_some_and(|e| e == "js"));
    scripts
        .map(|p| {
            (
                p.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&p).unwrap(),
            )
        })
        .collect()
}

/// What stands between `start` and `end`, everywhere in a text.
fn between<'t>(text: &'t str, start: &'t str, end: char) -> impl Iterator<Item = &'t str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[test]
fn vendored_files_are_those_that_were_reviewed() {
    let vendor = ui().join("vendor");
    let list = std::fs::read_to_string(vendor.join("SHA256SUMS")).unwrap();
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let found = Sha256::digest(std::fs::read(vendor.join(name)).unwrap());
        let found: String = found.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, sum, "{name}");
        listed.insert(name.to_owned());
    }
    let files = std::fs::read_dir(&vendor).unwrap().map(|f| f.unwrap().file_name());
    let names: BTreeSet<String> = files.map(|n| n.to_string_lossy().into_owned()).collect();
    let own = ["README.md", "SHA256SUMS"].map(str::to_owned);
    assert_eq!(names, listed.into_iter().chain(own).collect());
}

#[test]
fn every_word_and_every_module_of_the_page_exists() {
    let words = std::fs::read_to_string(ui().join("words.js")).unwrap();
    let table = words.split("};").next().unwrap();
    for (name, text) in scripts() {
        for key in between(&text, " t('", '\'')
            .chain(between(&text, "{t('", '\''))
            .chain(between(&text, "(t('", '\''))
        {
            let (bare, quoted) = (format!("\n  {key}: ["), format!("\n  '{key}': ["));
            assert!(
                table.contains(&bare) || table.contains(&quoted),
                "{name}: no word for {key}"
            );
        }
        for module in between(&text, "from '/", '\'') {
            assert!(ui().join(module).is_file(), "{name}: no module {module}");
        }
    }
    for line in table.lines().filter(|l| l.contains(": [")) {
        let second = line.rsplit_once(", '").map(|(_, ko)| ko);
        assert!(second.is_some_and(|ko| ko.len() > 3), "one language only: {line}");
    }
}

#[test]
fn the_page_comes_with_a_policy_that_allows_no_inline_code() {
    let server = published();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    let answer = lines.join("\n");
    assert!(
        answer.contains("default-src 'self'") && !answer.contains("unsafe"),
        "{answer}"
    );
    assert!(!answer.contains("access-control"), "no other origin may read: {answer}");
    assert!(!answer.contains("<script>") && !answer.contains(" style="), "{answer}");
    for name in ["app.js", "style.css", "icon.svg", "vendor/htm-preact.js"] {
        assert!(get(server.port, &format!("/{name}")).is_some(), "{name}");
        assert!(Path::new(&ui()).join(name).is_file());
    }
}

#[test]
fn every_documented_read_answers_with_json() {
    let server = published();
    let document = get(server.port, "/api/v1/openapi.json").unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The stream has no end; history and series need a historian, which this server lacks.
        if methods.get("get").is_none() || ["live", "history", "series"].iter().any(|p| path.ends_with(p)) {
            continue;
        }
        // One read asks about a component.
        let asked = if path.ends_with("why") {
            "?component=battery"
        } else {
            ""
        };
        let body = get(server.port, &format!("{path}{asked}")).unwrap_or_else(|| panic!("{path} does not answer"));
        assert!(serde_json::from_str::<Value>(&body).is_ok(), "{path}");
    }
    let now: Value = serde_json::from_str(&get(server.port, "/api/v1/now").unwrap()).unwrap();
    let sentence = now["sentence"]["ko"].as_str().unwrap();
    assert!(sentence.chars().any(|c| ('가'..='힣').contains(&c)), "{sentence}");
    let home = now["components"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["id"] == "home")
        .unwrap();
    assert!(
        home["power_kw"].as_f64().unwrap() > 0.0,
        "what no device measures is shown: {home}"
    );
}

#[test]
fn nothing_is_shown_before_the_first_cycle() {
    let server = server(None);
    let status = |path: &str| http(server.port, "GET", path, "", "").unwrap().0;
    assert_eq!(
        (status("/healthz"), status("/readyz"), status("/api/v1/now")),
        (503, 503, 503)
    );
    server.hub.publish(&day().1);
    assert_eq!(
        (status("/healthz"), status("/readyz"), status("/api/v1/now")),
        (200, 200, 200)
    );
}

#[test]
fn readiness_says_why_it_is_not_given() {
    let server = server(None);
    let mut report = day().1.clone();
    let mut state = (*report.state).clone();
    state.mode = Mode::Observe;
    report.state = Arc::new(state);
    server.hub.publish(&report);
    let (status, body) = http(server.port, "GET", "/readyz", "", "").unwrap();
    assert_eq!((status, body.as_str()), (503, "Observing: writes nothing\n"));
}

#[test]
fn a_request_under_another_name_is_refused() {
    let server = published();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET /api/v1/now HTTP/1.0\r\nHost: rebound.example\r\n\r\n").unwrap();
    let first = BufReader::new(stream).lines().next().unwrap().unwrap();
    assert!(first.contains("421"), "{first}");
}

#[test]
fn changes_need_the_token_and_a_body_that_makes_sense() {
    let server = published();
    let check = |token: &str, path: &str, body: &str, expected: u16| {
        let (status, answer) = post(server.port, path, token, body);
        assert_eq!(status, expected, "{path} {body}: {answer}");
    };
    check("", "/api/v1/release", "{}", 401);
    check("0123456789abcdee", "/api/v1/release", "{}", 401);
    check("0123456789abcdef0", "/api/v1/release", "{}", 401);
    check(TOKEN, "/api/v1/release", "{}", 200);
    check(TOKEN, "/api/v1/mode", r#"{"mode":"control"}"#, 200);
    check(TOKEN, "/api/v1/mode", r#"{"mode":"loud"}"#, 422);
    check(TOKEN, "/api/v1/mode", "not json", 422);
    check(
        TOKEN,
        "/api/v1/limit",
        r#"{"direction":"import","power_kw":3,"for_minutes":60}"#,
        200,
    );
    check(TOKEN, "/api/v1/limit", r#"{"direction":"import","power_kw":3}"#, 422);
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"battery","value":"-2 kW","for_minutes":30}"#,
        200,
    );
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"battery","value":"2 A","for_minutes":30}"#,
        422,
    );
    check(
        TOKEN,
        "/api/v1/override",
        r#"{"component":"moon","value":"2 kW","for_minutes":30}"#,
        422,
    );
    check(
        TOKEN,
        "/api/v1/ev",
        r#"{"component":"ev","mode":"fast","colour":"red"}"#,
        422,
    );
    let large = format!(r#"{{"mode":"{}"}}"#, "x".repeat(20_000));
    check(TOKEN, "/api/v1/mode", &large, 413);
}

#[test]
fn the_loops_answer_reaches_the_person() {
    let server = server(Some(|_| Err(NotDone::Refused("no car is plugged in".to_owned()))));
    server.hub.publish(&day().1);
    let (status, answer) = post(server.port, "/api/v1/ev", TOKEN, r#"{"component":"ev","mode":"fast"}"#);
    assert_eq!((status, answer["error"].as_str()), (422, Some("no car is plugged in")));
}

#[test]
fn a_loop_that_does_not_answer_is_not_waited_for() {
    let server = server(None);
    server.hub.publish(&day().1);
    let (status, _) = post(server.port, "/api/v1/release", TOKEN, "{}");
    assert_eq!(status, 504);
}

/// A listener of the live stream, after the answer's head.
fn listen(port: u16) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0);
    }
    reader
}

fn next_event(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(name) = line.trim().strip_prefix("event: ") {
            return name.to_owned();
        }
    }
}

#[test]
fn a_listener_hears_each_cycle_and_each_new_plan() {
    let server = published();
    let mut reader = listen(server.port);
    let mut heard = Vec::new();
    for _ in 0..3 {
        server.hub.publish(&day().1);
        heard.push(next_event(&mut reader));
        if heard.len() == 1 {
            heard.push(next_event(&mut reader));
        }
    }
    assert_eq!(heard, ["now", "plan", "now", "now"]);
}

#[test]
fn listeners_that_do_not_read_cost_nothing_and_are_counted() {
    let server = published();
    let silent: Vec<_> = (0..32).map(|_| listen(server.port)).collect();
    let (status, _) = http(server.port, "GET", "/api/v1/live", "", "").unwrap();
    assert_eq!(status, 503, "the thirty-third is refused");
    // Far more than all their buffers hold.
    for _ in 0..500 {
        server.hub.publish(&day().1);
    }
    assert!(get(server.port, "/api/v1/now").is_some());
    drop(silent);
    eventually("their places are free again", Duration::from_secs(20), || {
        server.hub.publish(&day().1);
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).ok()?;
        write!(stream, "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let first = BufReader::new(stream).lines().next()?.ok()?;
        first.contains("200").then_some(())
    });
}
