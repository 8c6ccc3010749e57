//! Foreign peers: pysunspec2 and mbpoll read our twin, we read maps that pymodbus serves. What both see must agree, so that
//! `twin` and `field` cannot share a mistake.

use crate::support::{Process, free_port, program, python};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// The twin of a site; its devices and where they listen.
fn twin(site: &str) -> (Process, Value) {
    let mut command = Command::new(MADANG);
    command
        .args(["twin", site, "--free-ports", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (process, serde_json::from_str(&line).unwrap())
}

fn port_of(devices: &Value, name: &str) -> u16 {
    let all = devices["devices"].as_array().unwrap();
    let device = all.iter().find(|d| d["device"] == name).unwrap();
    device["address"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn read(port: u16, profile: &str, extra: &[&str]) -> Output {
    let address = format!("tcp://127.0.0.1:{port}");
    Command::new(MADANG)
        .args(["read", &address, "--profile", profile, "--json"])
        .args(extra)
        .output()
        .unwrap()
}

fn read_json(port: u16, profile: &str) -> Value {
    let out = read(port, profile, &[]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn value(report: &Value, point: &str) -> f64 {
    let points = report["points"].as_array().unwrap();
    let found = points
        .iter()
        .find(|p| p["name"] == point)
        .unwrap_or_else(|| panic!("no {point} in {points:?}"));
    assert_eq!(found["quality"], "good", "{found}");
    found["value"].as_f64().unwrap_or_else(|| panic!("{found}"))
}

fn near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: we read {ours}, the peer {theirs}"
    );
}

fn pysunspec(python: &Path, port: u16, write: bool) -> Value {
    let mut command = Command::new(python);
    command.arg(script("read_sunspec.py")).args([&port.to_string(), "1"]);
    if write {
        command.arg("write");
    }
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn pysunspec2_discovers_our_twin_and_reads_what_we_read() {
    let Some(python) = python() else { return };
    let (_twin, devices) = twin("home-amsterdam");
    let port = port_of(&devices, "inverter");
    let (theirs, ours) = (pysunspec(&python, port, false), read_json(port, "sunspec"));
    assert_eq!(theirs["models"], json!([1, 103, 120, 121, 122, 123, 124, 160]));
    let peer = |model: &str, point: &str| theirs["values"][model][point].as_f64().unwrap();
    near("soc", value(&ours, "soc"), peer("124", "ChaState"), 0.2);
    near("AC power", value(&ours, "active_power"), -peer("103", "W") / 1e3, 0.3);
    let pv = peer("160", "module[1].DCW") + peer("160", "module[2].DCW");
    near("PV", value(&ours, "pv_power"), -pv / 1e3, 0.3);
    let battery = peer("160", "module[3].DCW") - peer("160", "module[4].DCW");
    near("battery", value(&ours, "battery_power"), battery / 1e3, 0.3);
    assert_eq!(ours["identity"]["status"], "confirmed");
    assert_eq!(ours["identity"]["manufacturer"], theirs["values"]["1"]["Mn"]);

    let port = port_of(&devices, "meter");
    let (theirs, ours) = (pysunspec(&python, port, false), read_json(port, "sunspec"));
    assert_eq!(theirs["models"], json!([1, 203]));
    // A counter that has not counted yet reads as not there.
    let peer = |point: &str| theirs["values"]["203"][point].as_f64().unwrap_or(0.0);
    near("grid power", value(&ours, "active_power"), peer("W") / 1e3, 0.5);
    near("import", value(&ours, "energy_import"), peer("TotWhImp") / 1e3, 0.02);
    near("voltage", value(&ours, "voltage_l1"), peer("PhVphA"), 2.0);
}

#[test]
fn a_foreign_master_controls_our_twin_by_the_same_registers() {
    let Some(python) = python() else { return };
    let (_twin, devices) = twin("home-amsterdam");
    let port = port_of(&devices, "inverter");
    pysunspec(&python, port, true);
    let ours = read_json(port, "sunspec");
    near("charging at 20 % of 5 kW", value(&ours, "battery_power"), 1.0, 0.06);
}

#[test]
fn mbpoll_reads_our_twin() {
    let Some(mbpoll) = program("mbpoll") else { return };
    let (_twin, devices) = twin("home-amsterdam");
    let port = port_of(&devices, "meter").to_string();
    // 1-based reference of register 40000: "Su", "nS".
    let out = Command::new(mbpoll)
        .args([
            "-m",
            "tcp",
            "-p",
            &port,
            "-a",
            "1",
            "-t",
            "4:hex",
            "-r",
            "40001",
            "-c",
            "2",
            "-1",
            "127.0.0.1",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("0x5375") && text.contains("0x6E53"), "{text}");
}

fn f32_words(v: f32) -> Vec<u16> {
    let b = v.to_be_bytes();
    vec![u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]])]
}

fn f64_words(v: f64) -> Vec<u16> {
    v.to_be_bytes()
        .chunks(2)
        .map(|c| u16::from_be_bytes([c[0], c[1]]))
        .collect()
}

/// A span of registers with f32 values at some addresses, zero between.
fn span(start: u16, count: u16, values: &[(u16, Vec<u16>)]) -> Vec<u16> {
    let mut words = vec![0; usize::from(count)];
    for (at, value) in values {
        let at = usize::from(at - start);
        words[at..at + value.len()].copy_from_slice(value);
    }
    words
}

fn serve(python: &Path, spans: &Value) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(python);
    command
        .arg(script("profile_server.py"))
        .args([&port.to_string(), "1", &spans.to_string()]);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "listening");
    (process, port)
}

#[test]
fn a_meter_map_served_by_pymodbus_is_read_with_names_signs_and_units() {
    let Some(python) = python() else { return };
    let f = |at: u16, v: f32| (at, f32_words(v));
    let live = [
        f(0, 231.5),
        f(6, 4.25),
        f(12, -980.0),
        f(52, -1540.0),
        f(70, 49.98),
        f(72, 1234.5),
        f(74, 321.25),
    ];
    let (_server, port) = serve(
        &python,
        &json!([
            ["input", 0, span(0, 80, &live)],
            ["input", 346, span(346, 12, &[f(346, 400.5)])]
        ]),
    );
    let ours = read_json(port, "eastron-sdm630");
    for (point, expected) in [
        ("voltage_l1", 231.5),
        ("current_l1", 4.25),
        ("active_power_l1", -0.98),
        ("active_power", -1.54),
        ("frequency", 49.98),
        ("energy_import", 1234.5),
        ("energy_export", 321.25),
    ] {
        near(point, value(&ours, point), expected, 1e-3);
    }
    assert_eq!(ours["identity"]["status"], "unchecked");
    assert!(ours["requests"].as_u64().unwrap() <= 2, "{ours}");
}

#[test]
fn a_charger_map_served_by_pymodbus_is_read_with_its_state() {
    let Some(python) = python() else { return };
    let f = |at: u16, v: f32| (at, f32_words(v));
    let meter = [
        f(306, 229.0),
        f(320, 15.5),
        f(338, 3550.0),
        f(344, 10650.0),
        (374, f64_words(7_654_321.0)),
    ];
    let mut status = span(1200, 16, &[f(1206, 16.0), f(1210, 14.0), f(1212, 6.0)]);
    status[0] = 1;
    // "C2", padded, two characters a register.
    status[1] = u16::from_be_bytes(*b"C2");
    let (_server, port) = serve(
        &python,
        &json!([["holding", 300, span(300, 125, &meter)], ["holding", 1200, status]]),
    );
    let ours = read_json(port, "alfen-eve");
    near("evse_power", value(&ours, "evse_power"), 10.65, 1e-6);
    near("energy_import", value(&ours, "energy_import"), 7654.321, 1e-6);
    near("current_limit", value(&ours, "current_limit"), 14.0, 1e-6);
    let points = ours["points"].as_array().unwrap();
    let state = points.iter().find(|p| p["name"] == "evse_state").unwrap();
    assert!(state["value"].as_str().unwrap().starts_with('C'), "{state}");
}

#[test]
fn what_does_not_answer_or_is_something_else_is_said_in_one_sentence() {
    let out = read(free_port(), "sunspec", &[]);
    assert_eq!(out.status.code(), Some(3));
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(why.lines().count(), 1, "{why}");
    let Some(python) = python() else { return };
    let (_server, port) = serve(&python, &json!([["holding", 0, [1, 2, 3]]]));
    let out = read(port, "sunspec", &[]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{why}");
    assert!(why.contains("is not a sunspec"), "{why}");
}
