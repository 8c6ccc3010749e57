//! The running program against the twin's devices over real sockets: its end, its death, dead devices, people's orders.

use crate::support::{Process, eventually, free_port, get, http};
use madang::cycle::Record;
use madang::journal::{read_segment, segments};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

/// A copy of a shipped site whose devices lie on free ports, so that tests run side by side.
fn site(name: &str, folder: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("sites").join(name);
    let to = folder.join(name);
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let text = std::fs::read_to_string(to.join("site.toml")).unwrap();
    let mut ports = BTreeMap::new();
    let lines = text.lines().map(|line| match line.split_once("127.0.0.1:") {
        Some((head, tail)) => {
            let (port, rest) = tail.split_at(tail.find('"').unwrap());
            let port = ports.entry(port.to_owned()).or_insert_with(free_port);
            format!("{head}127.0.0.1:{port}{rest}\n")
        }
        None => format!("{line}\n"),
    });
    let text: String = lines.collect();
    std::fs::write(to.join("site.toml"), text).unwrap();
    to
}

/// Simulated devices of a site, listening.
fn twin(site: &Path, extra: &[&str]) -> Process {
    let mut command = Command::new(MADANG);
    command
        .arg("twin")
        .arg(site)
        .arg("--json")
        .args(extra)
        .stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let list: Value = serde_json::from_str(&line).unwrap();
    assert!(!list["devices"].as_array().unwrap().is_empty());
    process
}

fn controller(site: &Path, state: &Path, port: u16) -> Process {
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(site)
        .arg("--state")
        .arg(state)
        .args(["--port", &port.to_string()]);
    Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn now(port: u16) -> Option<Value> {
    serde_json::from_str(&get(port, "/api/v1/now")?).ok()
}

fn rung(port: u16) -> Option<String> {
    Some(now(port)?["rung"].as_str()?.to_owned())
}

fn in_control(port: u16) {
    eventually("the controller follows a plan", Duration::from_secs(30), || {
        (rung(port)? == "normal").then_some(())
    });
}

fn metric(port: u16, name: &str) -> Option<f64> {
    let text = get(port, "/metrics")?;
    let line = text.lines().find(|l| l.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// All records of a journal, oldest first; none of them torn but for the very end.
fn records(state: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    for (_, path) in segments(&state.join("journal")).unwrap() {
        all.extend(read_segment(&path).unwrap().entries.into_iter().map(|e| e.record));
    }
    all
}

#[test]
fn both_signals_end_it_within_five_seconds_with_devices_released_and_everything_flushed() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (site, state, port) = (
            site("home-amsterdam", folder.path()),
            folder.path().join("state"),
            free_port(),
        );
        let _devices = twin(&site, &[]);
        let mut running = controller(&site, &state, port);
        in_control(port);
        eventually("a setpoint is verified", Duration::from_secs(20), || {
            metric(port, "madang_write_verified_total").filter(|n| *n > 0.0)
        });
        let asked = Instant::now();
        running.signal(signal);
        let status = running.wait(Duration::from_secs(5));
        assert!(
            status.is_some_and(|s| s.success()),
            "{signal}: {status:?} after {:?}",
            asked.elapsed()
        );
        let last = records(&state);
        let released = last.iter().rev().take(5).any(
            |r| matches!(r, Record::Written { reports } if reports.iter().any(|w| w.command.starts_with("release"))),
        );
        assert!(released, "{signal}: the journal shows what was released");
        assert!(
            matches!(last.last(), Some(Record::Light { .. } | Record::Change { .. })),
            "{signal}: the last state is kept"
        );
    }
}

#[test]
fn a_dead_device_is_shown_within_three_seconds_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (site, port) = (site("home-amsterdam", folder.path()), free_port());
    let _others: Vec<Process> = ["grid", "ev", "heat-pump"]
        .iter()
        .map(|c| twin(&site, &["--component", c]))
        .collect();
    let inverter = twin(&site, &["--component", "battery"]);
    let _running = controller(&site, &folder.path().join("state"), port);
    in_control(port);
    let online = "madang_device_online{component=\"inverter\"";
    let up = "madang_battery_up{component=\"battery\"";
    assert_eq!((metric(port, online), metric(port, up)), (Some(1.0), Some(1.0)));
    drop(inverter);
    let killed = Instant::now();
    eventually("the page shows it stale", Duration::from_secs(10), || {
        let page = now(port)?;
        let battery = page["components"]
            .as_array()?
            .iter()
            .find(|c| c["id"] == "battery")?
            .clone();
        let stale = battery["power_kw"].is_null() && battery["device"]["online"] == false;
        (stale && metric(port, online) == Some(0.0) && metric(port, up) == Some(0.0)).then_some(())
    });
    let took = killed.elapsed();
    assert!(took <= Duration::from_millis(3_500), "shown after {took:?}");
    let alarms = get(port, "/api/v1/alarms").unwrap();
    assert!(
        alarms.contains("device inverter (") && alarms.contains(" is silent"),
        "{alarms}"
    );
    let _back = twin(&site, &["--component", "battery"]);
    eventually("it is read again", Duration::from_secs(20), || {
        (metric(port, up)? > 0.5).then_some(())
    });
    in_control(port);
}

#[test]
fn people_are_heard_over_the_command_line_and_only_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (site, state, port) = (
        site("home-amsterdam", folder.path()),
        folder.path().join("state"),
        free_port(),
    );
    let _devices = twin(&site, &[]);
    let _running = controller(&site, &state, port);
    in_control(port);
    let body = "{\"mode\":\"observe\"}";
    assert_eq!(http(port, "POST", "/api/v1/mode", "", body).unwrap().0, 401);
    assert_eq!(
        http(port, "POST", "/api/v1/mode", "Authorization: Bearer wrong\r\n", body)
            .unwrap()
            .0,
        401
    );
    let set = |args: &[&str]| {
        let out = Command::new(MADANG)
            .arg("set")
            .arg(&site)
            .arg("--state")
            .arg(&state)
            .args(args)
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(set(&["override", "battery", "-1 kW", "--for", "10m"]).0, Some(0));
    eventually("the override is in force", Duration::from_secs(10), || {
        let page = now(port)?;
        let battery = page["components"]
            .as_array()?
            .iter()
            .find(|c| c["id"] == "battery")?
            .clone();
        (battery["reason"]["code"] == "override" && !battery["override"].is_null()).then_some(())
    });
    let (code, why) = set(&["override", "roof", "1 kW"]);
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("there is no component `roof`"), "{why}");
    assert_eq!(set(&["limit", "import", "3 kW", "--until", "23:59"]).0, Some(0));
    eventually("the limit is shown", Duration::from_secs(3), || {
        (now(port)?["limits"][0]["power_kw"] == 3.0).then_some(())
    });
    assert_eq!(set(&["mode", "observe"]).0, Some(0));
    eventually("it observes", Duration::from_secs(3), || {
        (now(port)?["mode"] == "observe").then_some(())
    });
    let overridden = |page: Value| {
        let components = page["components"].as_array().unwrap();
        let battery = components.iter().find(|c| c["id"] == "battery").unwrap();
        battery["override"].clone()
    };
    let told = overridden(now(port).unwrap());
    assert_eq!(
        told["in_force"], false,
        "nothing is in force that is not written: {told}"
    );
    let before = metric(port, "madang_write_issued_total").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(
        metric(port, "madang_write_issued_total"),
        Some(before),
        "observe writes nothing"
    );
    assert_eq!(set(&["mode", "control"]).0, Some(0));
    in_control(port);
    assert_eq!(set(&["release"]).0, Some(0));
    eventually("everything is handed back", Duration::from_secs(5), || {
        (rung(port)? == "released").then_some(())
    });
    assert_eq!(overridden(now(port).unwrap()), Value::Null, "no badge stays");
    assert_eq!(set(&["mode", "control"]).0, Some(0));
    in_control(port);
    let told = overridden(now(port).unwrap());
    assert_eq!(told, Value::Null, "and no old order comes back with control");
}

#[test]
fn a_second_controller_on_the_same_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (site, state, port) = (
        site("home-amsterdam", folder.path()),
        folder.path().join("state"),
        free_port(),
    );
    let _devices = twin(&site, &[]);
    let _first = controller(&site, &state, port);
    eventually("the first runs", Duration::from_secs(20), || now(port));
    let second = Command::new(MADANG)
        .arg("run")
        .arg(&site)
        .arg("--state")
        .arg(&state)
        .args(["--port", "0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3));
    let why = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(why.contains("another controller uses the state folder"), "{why}");
}

/// Moments of death; CI asks for more.
fn kills() -> u32 {
    std::env::var("MADANG_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6)
}

#[test]
fn killed_at_any_moment_it_goes_on_from_its_state_and_every_write_is_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (site, state) = (site("home-amsterdam", folder.path()), folder.path().join("state"));
    let devices = twin(&site, &[]);
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut month_kwh, mut decisions) = (0.0, 0);
    for kill in 0..kills() {
        let port = free_port();
        let mut running = controller(&site, &state, port);
        let first = eventually("it starts within seconds", Duration::from_secs(10), || now(port));
        let goes_on = first["month"]["imported_kwh"].as_f64().unwrap();
        assert!(
            goes_on >= month_kwh - 1e-6,
            "kill {kill}: {goes_on} kWh after {month_kwh}"
        );
        std::thread::sleep(Duration::from_millis(dice.u64(0..3_000)));
        // What it showed ten seconds ago at the latest must still be known after its death.
        month_kwh = now(port).map_or(month_kwh, |n| n["month"]["imported_kwh"].as_f64().unwrap());
        running.signal("-9");
        assert!(running.wait(Duration::from_secs(5)).is_some());
        month_kwh -= 10.0 / 3600.0 * 8.0;
        decisions = check_journal(&records(&state), decisions, kill);
    }
    drop(devices);
}

/// Each write follows an intent that named it, and no decision number is used twice.
fn check_journal(records: &[Record], known: u64, kill: u32) -> u64 {
    let mut intended: BTreeMap<String, u64> = BTreeMap::new();
    let mut highest = known;
    let mut written = 0;
    for record in records {
        match record {
            Record::Intent { setpoints } => {
                for s in setpoints {
                    intended.insert(s.component.to_string(), s.decision.0);
                    highest = highest.max(s.decision.0);
                }
            }
            Record::Written { reports } => {
                for w in reports.iter().filter(|w| !w.writes.is_empty() && w.value.is_some()) {
                    written += 1;
                    assert!(
                        intended.contains_key(w.component.as_str()),
                        "kill {kill}: {w:?} was never intended"
                    );
                }
            }
            _ => {}
        }
    }
    assert!(
        written > 0 || kill < 3,
        "kill {kill}: nothing was written in all that time"
    );
    highest
}

#[test]
fn wrong_answers_are_never_taken_for_values() {
    for fault in [
        "battery:short=30%",
        "battery:late=30%",
        "grid:garbage=20%",
        "grid:exception=30%",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (site, port) = (site("home-amsterdam", folder.path()), free_port());
        let _devices = twin(&site, &["--fault", fault]);
        let _running = controller(&site, &folder.path().join("state"), port);
        eventually("it runs", Duration::from_secs(20), || now(port));
        let end = Instant::now() + Duration::from_secs(6);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(400));
            let page = now(port).expect("it still answers");
            for c in page["components"].as_array().unwrap() {
                let soc = c["soc"].as_f64();
                assert!(soc.is_none_or(|s| (0.2..=1.0).contains(&s)), "{fault}: {c}");
                let kw = c["power_kw"].as_f64();
                assert!(kw.is_none_or(|p| p.abs() < 20.0), "{fault}: {c}");
            }
        }
    }
}

fn say(port: u16, state: &Path, path: &str, body: &str) -> u16 {
    let access = std::fs::read_to_string(state.join("api.json")).unwrap();
    let access: Value = serde_json::from_str(&access).unwrap();
    let token = format!("Authorization: Bearer {}\r\n", access["token"].as_str().unwrap());
    http(port, "POST", &format!("/api/v1/{path}"), &token, body).unwrap().0
}

fn whole_state(port: u16) -> Value {
    let text = eventually("it answers", Duration::from_secs(20), || get(port, "/api/v1/state"));
    serde_json::from_str(&text).unwrap()
}

/// The full form kills a thousand times (tests by processes, before a release).
#[test]
fn what_was_answered_done_is_in_force_after_a_kill_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (site, state) = (site("home-amsterdam", folder.path()), folder.path().join("state"));
    let _devices = twin(&site, &[]);
    for (n, wait_ms) in [0, 0, 300, 1_500].into_iter().enumerate() {
        let port = free_port();
        let mut running = controller(&site, &state, port);
        eventually("it runs", Duration::from_secs(20), || now(port));
        let kw = 3.0 + n as f64 / 100.0;
        let mode = ["control", "observe"][n % 2];
        let said = [
            (
                "limit",
                format!("{{\"direction\":\"import\",\"power_kw\":{kw},\"for_minutes\":60}}"),
            ),
            (
                "override",
                format!("{{\"component\":\"battery\",\"value\":\"{kw} kW\",\"for_minutes\":60}}"),
            ),
            ("mode", format!("{{\"mode\":\"{mode}\"}}")),
        ];
        for (path, body) in &said {
            assert_eq!(say(port, &state, path, body), 200, "{path} {body}");
        }
        std::thread::sleep(Duration::from_millis(wait_ms));
        running.signal("-9");
        assert!(running.wait(Duration::from_secs(5)).is_some());
        let port = free_port();
        let _again = controller(&site, &state, port);
        let after = whole_state(port);
        let told = after["limits"].as_array().into_iter().flatten();
        let kept = told.filter(|l| l["direction"] == "import" && l["power"] == kw).count();
        assert_eq!(kept, 1, "{:?}", after["limits"]);
        assert_eq!(
            after["overrides"]["battery"]["target"]["power"], kw,
            "{:?}",
            after["overrides"]
        );
        assert_eq!(after["mode"], mode);
    }
}

#[test]
fn a_state_folder_that_cannot_be_used_stops_no_control_and_no_word_is_called_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (site, state, port) = (
        site("home-amsterdam", folder.path()),
        folder.path().join("file/state"),
        free_port(),
    );
    std::fs::write(folder.path().join("file"), "").unwrap();
    let _devices = twin(&site, &[]);
    let mut command = Command::new(MADANG);
    let arguments = [Path::new("run"), &site, Path::new("--state"), &state];
    command.args(arguments).args(["--port", &port.to_string()]);
    let mut running = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    in_control(port);
    let alarms = || now(port).map(|n| n["alarms"].to_string()).unwrap_or_default();
    for code in ["journal", "history", "state_folder"] {
        assert!(
            alarms().contains(&format!("\"code\":\"{code}\"")),
            "{code}: {}",
            alarms()
        );
    }
    drop(running.0.stdout.take());
    // Room comes: recording begins by itself, and the alarms go.
    std::fs::remove_file(folder.path().join("file")).unwrap();
    eventually("all is kept again", Duration::from_secs(30), || {
        let quiet = !["journal", "history", "state_folder"]
            .iter()
            .any(|c| alarms().contains(&format!("\"code\":\"{c}\"")));
        (quiet && state.join("api.json").exists() && state.join("history.db").exists()).then_some(())
    });
    eventually("a whole state is written", Duration::from_secs(10), || {
        let whole = |r: &Record| matches!(r, Record::Keyframe { .. });
        records(&state).iter().any(whole).then_some(())
    });
    assert_eq!(say(port, &state, "mode", "{\"mode\":\"control\"}"), 200);
    running.signal("-TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).and_then(|s| s.code()), Some(0));
}
