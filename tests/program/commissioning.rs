//! Commissioning tools against real sockets: scan, proxy and the command test, with devices of ours and of pymodbus.

use crate::support::{Process, eventually, free_port, get, python};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

fn madang(args: &[&str]) -> Output {
    Command::new(MADANG).args(args).stdin(Stdio::null()).output().unwrap()
}

fn document(out: &Output) -> Value {
    let shown = || {
        format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        )
    };
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", shown()))
}

/// A child that says something once it is ready; what it says.
fn ready(command: &mut Command) -> (Process, String) {
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut line = String::new();
    let mut out = BufReader::new(process.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    // The rest is drained, so that the child never waits for us.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    (process, line)
}

fn twin(site: &str, extra: &[&str]) -> (Process, Value) {
    let (process, line) = ready(
        Command::new(MADANG)
            .args(["twin", site, "--free-ports", "--json"])
            .args(extra),
    );
    (process, serde_json::from_str(&line).unwrap())
}

fn address_of(devices: &Value, name: &str) -> String {
    let all = devices["devices"].as_array().unwrap();
    let device = all.iter().find(|d| d["device"] == name).unwrap();
    device["address"].as_str().unwrap().to_owned()
}

const BASE: &str = "schema = \"site/1\"\nname = \"scanned\"\n[location]\nlatitude = \"52 deg\"\nlongitude = \"5 deg\"\n\
    time_zone = \"Europe/Amsterdam\"\ncountry = \"NL\"\n[connection_point]\nimport_max = \"8 kW\"\nexport_max = \"8 kW\"\n\
    phases = 3\nvoltage = \"230 V\"\nfuse = \"25 A\"\nmeter = \"grid\"\n[components.home]\nkind = \"load\"\ndaily = \"9 kWh\"\n\
    shape = \"household\"\nmax = \"7 kW\"\n[tariff]\ncurrency = \"EUR\"\n\
    [tariff.import]\nkind = \"flat\"\nprice = \"0.3 EUR/kWh\"\n[tariff.export]\nkind = \"flat\"\nprice = \"0.1 EUR/kWh\"\n";

fn check(folder: &Path, text: &str) -> Value {
    std::fs::write(folder.join("site.toml"), text).unwrap();
    document(&madang(&["check", folder.to_str().unwrap(), "--json"]))
}

#[test]
fn each_device_of_a_home_is_recognised_and_its_fragment_passes_the_check() {
    let (_twin, devices) = twin("home-amsterdam", &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut text = BASE.to_owned();
    for (device, profile, confidence, feeds) in [
        ("meter", "sunspec", "confirmed", json!(["meter"])),
        ("inverter", "sunspec", "confirmed", json!(["pv", "battery"])),
        ("charger", "alfen-eve", "likely", json!(["charge-point"])),
        ("heat-pump", "generic-heat-pump", "confirmed", json!(["heat-pump"])),
    ] {
        let address = address_of(&devices, device);
        let out = madang(&["scan", &address, "--units", "1-2", "--pace", "5 ms", "--json"]);
        let report = document(&out);
        assert_eq!(out.status.code(), Some(0), "{report:#}");
        let found = report["found"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{report:#}");
        let told = (
            &found[0]["profile"],
            &found[0]["confidence"],
            &found[0]["feeds"],
            &found[0]["unit_id"],
        );
        assert_eq!(
            told,
            (&json!(profile), &json!(confidence), &feeds, &json!(1)),
            "{report:#}"
        );
        text += report["site_toml"].as_str().unwrap();
    }
    let checked = check(folder.path(), &text);
    assert_eq!(checked[0]["ok"], true, "{checked:#}\n{text}");
}

#[test]
fn a_meter_without_identity_is_likely_and_two_units_are_told_apart() {
    let Some(python) = python() else { return };
    let f = |v: f32| {
        let b = v.to_be_bytes();
        [u16::from_be_bytes([b[0], b[1]]), u16::from_be_bytes([b[2], b[3]])]
    };
    let mut live = vec![0u16; 80];
    for (at, v) in [
        (0, 231.5),
        (2, 230.9),
        (4, 229.8),
        (6, 4.4),
        (8, 1.2),
        (10, 0.6),
        (12, -980.0),
        (14, 250.0),
        (16, 120.0),
        (52, -610.0),
        (70, 49.98),
        (72, 1234.5),
    ] {
        live[at..at + 2].copy_from_slice(&f(v));
    }
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/profile_server.py");
    let spans = json!([["input", 0, live], ["input", 346, vec![0u16; 12]]]).to_string();
    let (_server, line) = ready(Command::new(python).arg(script).args([&port.to_string(), "7", &spans]));
    assert_eq!(line.trim(), "listening");
    let address = format!("tcp://127.0.0.1:{port}");
    let report = document(&madang(&["scan", &address, "--pace", "5 ms", "--json"]));
    let found = &report["found"][0];
    assert_eq!(
        (&found["profile"], &found["unit_id"]),
        (&json!("eastron-sdm630"), &json!(7)),
        "{report:#}"
    );
    assert_eq!(found["confidence"], "likely", "{report:#}");
    assert_eq!(found["identity"]["status"], "unchecked");
    assert_eq!(report["found"].as_array().unwrap().len(), 1, "{report:#}");
    assert!(report["site_toml"].as_str().unwrap().contains("unit = 7"), "{report:#}");
}

/// A TCP device that answers every unit id as itself: an SDM630 in f32, input registers.
fn any_unit() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut words = vec![0u16; 400];
    for (at, v) in [(0usize, 230.0f32), (2, 231.0), (4, 229.0), (70, 50.0), (72, 1234.5)] {
        let b = v.to_be_bytes();
        words[at] = u16::from_be_bytes([b[0], b[1]]);
        words[at + 1] = u16::from_be_bytes([b[2], b[3]]);
    }
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut frame = [0u8; 12];
            while stream.read_exact(&mut frame).is_ok() {
                let word = |i: usize| usize::from(u16::from_be_bytes([frame[i], frame[i + 1]]));
                let pdu = match words.get(word(8)..word(8) + word(10)) {
                    Some(part) if frame[7] == 4 => {
                        let bytes = part.iter().flat_map(|w| w.to_be_bytes());
                        [4, (part.len() * 2) as u8].into_iter().chain(bytes).collect()
                    }
                    _ => vec![frame[7] | 0x80, 2],
                };
                let mut answer = vec![frame[0], frame[1], 0, 0, 0, pdu.len() as u8 + 1, frame[6]];
                answer.extend(pdu);
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    address
}

#[test]
fn a_device_that_ignores_the_unit_id_is_told_once() {
    let report = document(&madang(&[
        "scan",
        &any_unit(),
        "--units",
        "1-20",
        "--pace",
        "1 ms",
        "--json",
    ]));
    let found = report["found"].as_array().unwrap();
    assert_eq!((found.len(), &found[0]["unit_id"]), (1, &json!(1)), "{report:#}");
    assert!(report["notes"].to_string().contains("every unit id"), "{report:#}");
    let two = document(&madang(&[
        "scan",
        &any_unit(),
        "--units",
        "4-5",
        "--pace",
        "1 ms",
        "--json",
    ]));
    assert_eq!(two["found"].as_array().unwrap().len(), 2, "{two:#}");
}

/// A device that refuses everything: what it was asked, when, and over how many connections at once.
struct Refuser {
    address: String,
    asked: Arc<Mutex<Vec<(Instant, u8)>>>,
    most_at_once: Arc<Mutex<(usize, usize)>>,
}

fn refuser() -> Refuser {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let (asked, most_at_once) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((0, 0))));
    let (log, count) = (asked.clone(), most_at_once.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (log, count) = (log.clone(), count.clone());
            std::thread::spawn(move || {
                let mut now = count.lock().unwrap();
                *now = (now.0 + 1, now.1.max(now.0 + 1));
                drop(now);
                refuse_all(stream, &log);
                count.lock().unwrap().0 -= 1;
            });
        }
    });
    Refuser {
        address,
        asked,
        most_at_once,
    }
}

fn refuse_all(mut stream: TcpStream, log: &Mutex<Vec<(Instant, u8)>>) {
    let mut frame = [0u8; 12];
    while stream.read_exact(&mut frame).is_ok() {
        log.lock().unwrap().push((Instant::now(), frame[7]));
        let answer = [frame[0], frame[1], 0, 0, 0, 3, frame[6], frame[7] | 0x80, 2];
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

#[test]
fn a_scan_only_reads_over_one_connection_with_a_gap_and_says_when_nothing_fits() {
    let device = refuser();
    let out = madang(&["scan", &device.address, "--units", "3", "--pace", "40 ms", "--json"]);
    assert_eq!(out.status.code(), Some(1));
    let report = document(&out);
    assert_eq!(
        (&report["found"], &report["unknown"]),
        (&json!([]), &json!([3])),
        "{report:#}"
    );
    let asked = device.asked.lock().unwrap();
    assert!(asked.len() >= 3, "{}", asked.len());
    assert!(
        asked.iter().all(|(_, fc)| (1..=4).contains(fc)),
        "something else than a read"
    );
    let gaps = asked.windows(2).map(|w| w[1].0 - w[0].0);
    assert!(gaps.min().unwrap() >= Duration::from_millis(35));
    assert_eq!(device.most_at_once.lock().unwrap().1, 1);
}

#[test]
fn an_address_where_nobody_listens_is_unreachable_in_one_sentence() {
    let out = madang(&["scan", &format!("tcp://127.0.0.1:{}", free_port())]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!((out.status.code(), why.lines().count()), (Some(3), 1), "{why}");
}

/// One Modbus TCP exchange; `None` where the server hangs up.
fn exchange(stream: &mut TcpStream, unit: u8, pdu: &[u8]) -> Option<Vec<u8>> {
    let mut frame = vec![0x12, 0x34, 0, 0];
    frame.extend((pdu.len() as u16 + 1).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&frame).ok()?;
    let mut header = [0u8; 7];
    stream.read_exact(&mut header).ok()?;
    assert_eq!((&header[0..4], header[6]), (&[0x12, 0x34, 0, 0][..], unit));
    let mut answer = vec![0u8; usize::from(u16::from_be_bytes([header[4], header[5]])) - 1];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

fn proxy(device: &str, extra: &[&str]) -> (Process, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let (process, line) = ready(
        Command::new(MADANG)
            .args(["proxy", device, "--listen", &listen])
            .args(extra),
    );
    assert!(line.contains("is served on"), "{line}");
    (process, port)
}

#[test]
fn masters_share_a_one_client_device_and_may_not_write_unless_allowed() {
    let (_twin, devices) = twin("home-amsterdam", &["--fault", "battery:one-client"]);
    let device = address_of(&devices, "inverter");
    let (mut first, port) = proxy(&device, &["--clients", "2"]);
    let mut masters: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    let marker = [3, 4, 0x53, 0x75, 0x6E, 0x53];
    for master in &mut masters {
        for _ in 0..5 {
            assert_eq!(exchange(master, 1, &[3, 0x9C, 0x40, 0, 2]).unwrap(), marker);
        }
    }
    // A third is hung up on; the two go on.
    let mut third = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(exchange(&mut third, 1, &[3, 0x9C, 0x40, 0, 2]), None);
    assert_eq!(
        exchange(&mut masters[0], 1, &[16, 0x9C, 0x40, 0, 1, 2, 0, 1]).unwrap(),
        [0x90, 1]
    );
    assert_eq!(exchange(&mut masters[0], 1, &[6, 0x9C, 0x40, 0, 1]).unwrap(), [0x86, 1]);
    // The device's own refusal is passed on, a unit that is not there is a target that does not answer.
    assert_eq!(exchange(&mut masters[1], 1, &[3, 0, 5, 0, 2]).unwrap(), [0x83, 2]);
    assert_eq!(
        exchange(&mut masters[1], 9, &[3, 0x9C, 0x40, 0, 2]).unwrap(),
        [0x83, 11]
    );
    drop(masters);
    first.signal("-TERM");
    assert!(first.wait(Duration::from_secs(5)).is_some_and(|s| s.success()));

    // Where WMaxLimPct of model 123 lies is the map's business; here only that the allowed register is written.
    let read = document(&madang(&["read", &device, "--profile", "sunspec", "--json"]));
    assert_eq!(read["identity"]["status"], "confirmed");
    let (_second, port) = proxy(&device, &["--allow-writes", "1:0-65535"]);
    let mut master = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let answer = exchange(&mut master, 1, &[6, 0x9C, 0x40, 0, 1]).unwrap();
    assert_ne!(answer, [0x86, 1], "an allowed write reaches the device: {answer:?}");
}

type Told = Arc<Mutex<Vec<Value>>>;

/// The plant behind pymodbus: its inverter's and its meter's address, and what it tells.
fn plant(ways: &str) -> Option<(Process, String, String, Told)> {
    let (inverter, meter) = (free_port(), free_port());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/gen24_plant.py");
    let mut command = Command::new(python()?);
    command
        .arg(script)
        .args([inverter.to_string(), meter.to_string(), ways.to_owned()]);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let told = Told::default();
    let (lines, out) = (told.clone(), process.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(serde_json::from_str(&line).unwrap());
        }
    });
    eventually("the plant listens", Duration::from_secs(20), || {
        (!told.lock().unwrap().is_empty()).then_some(())
    });
    let address = |port: u16| format!("tcp://127.0.0.1:{port}");
    Some((process, address(inverter), address(meter), told))
}

fn last_mode(told: &Told) -> Option<i64> {
    let lines = told.lock().unwrap();
    let last = lines.iter().rev().find(|l| l["point"] == "124.StorCtl_Mod")?;
    last["values"][0].as_i64()
}

fn commission<'a>(inverter: &'a str, meter: &'a str) -> Vec<&'a str> {
    vec![
        "commission",
        inverter,
        "--profile",
        "sunspec",
        "--command",
        "battery_power",
        "--rating",
        "5 kW",
        "--meter",
        meter,
        "--meter-profile",
        "eastron-sdm630",
        "--patience",
        "4 s",
        "--hold",
        "2 s",
        "--yes",
        "--json",
    ]
}

fn outcome(report: &Value, test: &str) -> String {
    let tests = report["tests"].as_array().unwrap();
    let found = tests.iter().find(|t| t["test"] == test);
    found.map_or("absent".into(), |t| t["outcome"].as_str().unwrap().to_owned())
}

#[test]
fn a_good_battery_earns_its_marks_and_is_given_back() {
    let Some((_plant, inverter, meter, told)) = plant("hasty") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut args = commission(&inverter, &meter);
    args.extend(["--reversion", "10 s", "--site", folder.path().to_str().unwrap()]);
    let out = madang(&args);
    let report = document(&out);
    for test in [
        "identity",
        "readings",
        "sign",
        "scale",
        "limit_zero",
        "limit_one",
        "limit_full",
        "hold",
        "clipping",
        "reversion",
    ] {
        assert_eq!(outcome(&report, test), "passed", "{test}: {report:#}");
    }
    // Nobody says whether the registers of model 124 wear.
    assert_eq!(outcome(&report, "wear"), "not_tried");
    assert_eq!(outcome(&report, "foreign_mode"), "not_tried");
    assert_eq!(
        (out.status.code(), &report["released"]),
        (Some(0), &json!(true)),
        "{report:#}"
    );
    assert_eq!(last_mode(&told), Some(0));
    // The marks stand in the site folder and the check speaks by them.
    let port = inverter.rsplit(':').next().unwrap();
    let text = format!(
        "{BASE}[components.grid]\nkind = \"meter\"\n[components.battery]\nkind = \"battery\"\ncapacity = \"10 kWh\"\n\
         charge_max = \"5 kW\"\ndischarge_max = \"5 kW\"\n[devices.inverter]\naddress = \"tcp://127.0.0.1:{port}\"\n\
         profile = \"sunspec\"\ncomponents = [\"battery\"]\ncontrol = true\n[devices.meter]\naddress = \"{meter}\"\n\
         profile = \"eastron-sdm630\"\ncomponents = [\"grid\"]\n"
    );
    let checked = check(folder.path(), &text).to_string();
    assert!(
        checked.contains("8 of 10 marks, not tried wear, foreign_mode"),
        "{checked}"
    );
}

#[test]
fn a_battery_that_turns_the_wrong_way_fails_and_is_not_asked_for_more() {
    let Some((_plant, inverter, meter, told)) = plant("inverted") else {
        return;
    };
    let out = madang(&commission(&inverter, &meter));
    let report = document(&out);
    assert_eq!(
        (out.status.code(), outcome(&report, "sign")),
        (Some(1), "failed".into()),
        "{report:#}"
    );
    assert_eq!(outcome(&report, "limit_full"), "absent", "{report:#}");
    assert_eq!((&report["released"], last_mode(&told)), (&json!(true), Some(0)));
}

#[test]
fn an_interrupt_gives_the_battery_back_at_once() {
    let Some((_plant, inverter, meter, told)) = plant("") else {
        return;
    };
    let mut command = Command::new(MADANG);
    let mut args = commission(&inverter, &meter);
    args.extend(["--hold", "600 s"]);
    args.retain(|a| *a != "2 s");
    let at = args.iter().position(|a| *a == "--hold").unwrap();
    args.remove(at);
    let mut running = Process::start(command.args(&args).stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("the battery is in our hands", Duration::from_secs(20), || {
        last_mode(&told).filter(|mode| *mode != 0)
    });
    running.signal("-INT");
    let status = running.wait(Duration::from_secs(8));
    assert_eq!(status.and_then(|s| s.code()), Some(1));
    assert_eq!(last_mode(&told), Some(0));
}

#[test]
fn a_vendor_s_sunspec_device_is_proposed_with_the_vendor_s_profile() {
    let Some((_plant, inverter, ..)) = plant("") else {
        return;
    };
    let report = document(&madang(&[
        "scan", &inverter, "--units", "1", "--pace", "1 ms", "--json",
    ]));
    assert_eq!(report["found"][0]["profile"], "fronius-gen24", "{report:#}");
    assert_eq!(report["found"][0]["feeds"], json!(["pv", "battery"]), "{report:#}");
    // What models 124 and 121 say of ratings is proposed; how many modules there are nobody asked.
    let text = report["site_toml"].as_str().unwrap();
    let line = |key: &str| {
        let starts = format!("{key} = ");
        text.lines().find(|l| l.starts_with(&starts)).unwrap_or_default()
    };
    for key in ["charge_max", "discharge_max", "inverter_max"] {
        assert!(line(key).contains("as the device says"), "{key}: {text}");
    }
    assert!(
        line("peak").contains("CHECK") && line("capacity").contains("CHECK"),
        "{text}"
    );
}

#[test]
fn nothing_is_written_without_a_yes() {
    let Some((_plant, inverter, meter, told)) = plant("") else {
        return;
    };
    let args: Vec<&str> = commission(&inverter, &meter)
        .into_iter()
        .filter(|a| *a != "--yes")
        .collect();
    assert_eq!(madang(&args).status.code(), Some(2));
    assert!(told.lock().unwrap().iter().all(|l| l.get("write").is_none()));
}

#[test]
fn a_running_controller_lets_others_read_over_its_own_connection() {
    let (_twin, devices) = twin("home-amsterdam", &["--fault", "battery:one-client"]);
    let folder = tempfile::tempdir().unwrap();
    let (port, listen) = (free_port(), free_port());
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("sites/home-amsterdam");
    std::fs::copy(shipped.join("prices.csv"), folder.path().join("prices.csv")).unwrap();
    let mut text = std::fs::read_to_string(shipped.join("site.toml")).unwrap();
    for (device, there) in [
        ("meter", 15220),
        ("inverter", 15221),
        ("charger", 15222),
        ("heat-pump", 15223),
    ] {
        text = text.replace(&format!("tcp://127.0.0.1:{there}"), &address_of(&devices, device));
    }
    text += &format!("[[proxy]]\ndevice = \"inverter\"\nlisten = \"127.0.0.1:{listen}\"\n");
    std::fs::write(folder.path().join("site.toml"), text).unwrap();
    let state = folder.path().join("state");
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(folder.path())
        .arg("--state")
        .arg(&state)
        .args(["--port", &port.to_string()]);
    let _running = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let soc = || {
        let now: Value = serde_json::from_str(&get(port, "/api/v1/now")?).ok()?;
        let all = now["components"].as_array()?;
        all.iter().find(|c| c["id"] == "battery")?["power_kw"].as_f64()
    };
    eventually("the controller reads the battery", Duration::from_secs(20), soc);
    let mut master = TcpStream::connect(("127.0.0.1", listen)).unwrap();
    for _ in 0..5 {
        let marker = exchange(&mut master, 1, &[3, 0x9C, 0x40, 0, 2]).unwrap();
        assert_eq!(marker, [3, 4, 0x53, 0x75, 0x6E, 0x53]);
    }
    assert_eq!(exchange(&mut master, 1, &[6, 0x9C, 0x40, 0, 1]).unwrap(), [0x86, 1]);
    eventually("the controller still reads the battery", Duration::from_secs(5), soc);
}

/// The commands of docs/commissioning.md as they stand there, in order, word by word.
fn guide() -> Vec<Vec<String>> {
    let text = include_str!("../../docs/commissioning.md");
    let mut inside = None;
    let mut all = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(language), None) => inside = Some(language.is_empty()),
            (None, Some(true)) => all.extend(line.strip_prefix("madang ").map(words)),
            _ => {}
        }
    }
    all
}

/// Words of a command line; quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(i, part)| match i % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// A command that goes on until it is told to stop: it says something within its time, and ends well.
fn goes_on(args: &[&str], meanwhile: impl FnOnce()) {
    let (mut running, line) = ready(Command::new(MADANG).args(args));
    assert!(!line.is_empty(), "{args:?} says nothing");
    meanwhile();
    running.signal("-INT");
    let status = running.wait(Duration::from_secs(15));
    assert_eq!(status.and_then(|s| s.code()), Some(0), "{args:?}");
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let (_twin, devices) = twin("home-amsterdam", &[]);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (site, file) = (place("my-site"), folder.path().join("my-site/site.toml"));
    // The site file: what the guide shows, and what the scans propose.
    let guide_text = include_str!("../../docs/commissioning.md");
    let shown = guide_text
        .split("```toml\n")
        .nth(1)
        .and_then(|t| t.split("```").next())
        .unwrap();
    let mut text = shown.to_owned();
    for device in ["meter", "inverter", "charger", "heat-pump"] {
        let found = document(&madang(&[
            "scan",
            &address_of(&devices, device),
            "--units",
            "1",
            "--pace",
            "1 ms",
            "--json",
        ]));
        text += found["site_toml"].as_str().unwrap();
        text += "\n";
    }
    std::fs::create_dir(&site).unwrap();
    std::fs::write(&file, &text).unwrap();
    let (listen, out) = (format!("127.0.0.1:{}", free_port()), place("inverter.jsonl"));
    let (inverter, state) = (address_of(&devices, "inverter"), place("state"));
    let mut done = Vec::new();
    for command in guide() {
        let put = |w: &String| match w.as_str() {
            "tcp://192.168.1.30:502" => inverter.clone(),
            "my-site" => site.clone(),
            "127.0.0.1:5020" => listen.clone(),
            "inverter.jsonl" => out.clone(),
            "60s" => "1s".to_owned(),
            other => other.to_owned(),
        };
        let mut args: Vec<String> = command.iter().map(put).collect();
        let mut more = |list: &[&str]| args.extend(list.iter().map(|w| (*w).to_owned()));
        let port = free_port().to_string();
        match command[0].as_str() {
            "run" => more(&["--state", &state, "--port", &port]),
            "commission" => more(&["--yes", "--patience", "3 s", "--hold", "1 s"]),
            "scan" => more(&["--pace", "1 ms"]),
            _ => {}
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match command[0].as_str() {
            // It runs since the beginning.
            "twin" => {}
            "run" => goes_on(&args, || {
                eventually("the page answers", Duration::from_secs(20), || {
                    get(port.parse().unwrap(), "/api/v1/now")
                });
            }),
            "proxy" => goes_on(&args, || {
                let report = document(&madang(&[
                    "read",
                    &format!("tcp://{listen}"),
                    "--profile",
                    "sunspec",
                    "--json",
                ]));
                assert_eq!(report["identity"]["status"], "confirmed");
            }),
            _ => {
                let out = madang(&args);
                let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
                assert_eq!(out.status.code(), Some(0), "{args:?}: {said}");
            }
        }
        if command[0] == "commission" {
            // Step 7: the owner's consent, where it stands already as a remark.
            let signed = text.replace("# mode =", "mode =").replace("# control =", "control =");
            std::fs::write(&file, signed.replace("# identity_confirmed =", "identity_confirmed =")).unwrap();
            let warned = document(&madang(&["check", &site, "--json"])).to_string();
            assert!(
                warned.contains("battery_power on Twin Hybrid") && warned.contains("of 10 marks"),
                "{warned}"
            );
        }
        done.push(command[0].clone());
    }
    let steps = [
        "twin",
        "scan",
        "check",
        "read",
        "plan",
        "run",
        "commission",
        "check",
        "run",
        "proxy",
        "record",
    ];
    assert_eq!(done, steps, "the guide has these steps");
    assert!(Path::new(&out).exists() && folder.path().join("inverter.expected.json").exists());
}

/// Registers by unit and address, as a raw Modbus/TCP server holds them.
type Registers = std::collections::BTreeMap<(u8, u16), u16>;
/// Says whether a write of these words to this address is refused, with which exception.
type Refuses = Box<dyn Fn(u16, &[u16]) -> Option<u8> + Send + Sync>;

/// A raw server: units that hold nothing are silent, registers that are not there are refused.
fn raw(registers: Registers, refuses: Refuses) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let held = Arc::new((Mutex::new(registers), refuses));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let held = held.clone();
            std::thread::spawn(move || answer_raw(stream, &held));
        }
    });
    address
}

fn answer_raw(mut stream: TcpStream, held: &(Mutex<Registers>, Refuses)) {
    let mut head = [0u8; 7];
    while stream.read_exact(&mut head).is_ok() {
        let mut pdu = vec![0u8; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        if stream.read_exact(&mut pdu).is_err() {
            return;
        }
        let (unit, mut registers) = (head[6], held.0.lock().unwrap());
        if !registers.keys().any(|(u, _)| *u == unit) {
            continue;
        }
        let word = |i: usize| u16::from_be_bytes([pdu[i], pdu[i + 1]]);
        let refused = |code: u8| vec![pdu[0] | 0x80, code];
        let answer = match pdu[0] {
            3 => {
                let words: Option<Vec<u16>> = (word(1)..)
                    .take(usize::from(word(3)))
                    .map(|a| registers.get(&(unit, a)).copied())
                    .collect();
                words.map_or_else(
                    || refused(2),
                    |w| {
                        let bytes = w.iter().flat_map(|w| w.to_be_bytes());
                        [3, (w.len() * 2) as u8].into_iter().chain(bytes).collect()
                    },
                )
            }
            6 | 16 => {
                let from = if pdu[0] == 6 { 3 } else { 6 };
                let words: Vec<u16> = pdu[from..]
                    .chunks(2)
                    .map(|b| u16::from_be_bytes([b[0], b[1]]))
                    .collect();
                match (held.1)(word(1), &words) {
                    Some(code) => refused(code),
                    None => {
                        registers.extend((word(1)..).zip(words).map(|(a, w)| ((unit, a), w)));
                        pdu[..5].to_vec()
                    }
                }
            }
            _ => refused(1),
        };
        let length = (answer.len() as u16 + 1).to_be_bytes();
        let frame = [&[head[0], head[1], 0, 0, length[0], length[1], unit], answer.as_slice()].concat();
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

fn text_words(text: &str, count: usize) -> Vec<u16> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(count * 2, 0);
    bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

fn common(maker: &str, model: &str, serial: &str) -> Vec<u16> {
    let parts = [
        vec![1, 65],
        text_words(maker, 16),
        text_words(model, 16),
        text_words("", 8),
        text_words("1.0", 8),
    ];
    [parts.concat(), text_words(serial, 16), vec![1]].concat()
}

/// Model 103 that gives so many watts.
fn inverter_103(watts: i16) -> Vec<u16> {
    let mut words = vec![0u16; 52];
    (words[0], words[1]) = (103, 50);
    // A, phases, A_SF; voltages, V_SF; W, W_SF; Hz, Hz_SF; WH.
    words[2..7].copy_from_slice(&[150, 50, 50, 50, 0xFFFF]);
    words[7..14].copy_from_slice(&[4000, 4000, 4000, 2300, 2301, 2302, 0xFFFF]);
    words[14..18].copy_from_slice(&[watts as u16, 0, 5000, 0xFFFE]);
    words[24..27].copy_from_slice(&[18, 54_919, 0]);
    words[38] = 4;
    words
}

/// Model 203 that imports so many watts, by the standard's sign, a third on each phase.
fn meter_203(watts: i16) -> Vec<u16> {
    let mut words = vec![0u16; 107];
    (words[0], words[1]) = (203, 105);
    words[2..7].copy_from_slice(&[66, 22, 22, 22, 0xFFFF]);
    words[7..16].copy_from_slice(&[2300, 2300, 2301, 2302, 4000, 4000, 4000, 4000, 0xFFFF]);
    let third = (watts / 3) as u16;
    words[16..23].copy_from_slice(&[5000, 0xFFFE, watts as u16, third, third, third, 0]);
    words[39] = 1000;
    words[47] = 5000;
    words
}

fn at_40000(unit: u8, models: &[Vec<u16>]) -> Registers {
    let all = [vec![0x5375, 0x6E53], models.concat(), vec![0xFFFF, 0]].concat();
    (40_000..).zip(all).map(|(a, w)| ((unit, a), w)).collect()
}

/// An inverter and its meter in one map, in both orders and of several makers: what the scan proposes reads PV from the
/// inverter and the grid from the meter, and passes `check`.
#[test]
fn the_meter_of_an_inverter_is_proposed_as_what_it_is_and_reads_itself() {
    let (edge, acme) = ("SolarEdge", "Acme");
    for (maker, meter_first, watts, profile) in [
        // The vendor counts export as positive.
        (edge, false, 1500, "solaredge-sunspec"),
        (acme, false, -1500, "sunspec"),
        (acme, true, -1500, "sunspec"),
    ] {
        let inverter = [common(maker, "INV10K", "A1"), inverter_103(2400)].concat();
        let meter = [common(maker, "MTR-3Y-400V-A", "M1"), meter_203(watts)].concat();
        let models = if meter_first {
            [meter, inverter]
        } else {
            [inverter, meter]
        };
        let address = raw(at_40000(1, &models), Box::new(|_, _| Some(1)));
        let report = document(&madang(&["scan", &address, "--units", "1", "--pace", "1 ms", "--json"]));
        let found = &report["found"][0];
        assert_eq!(
            (&found["profile"], &found["feeds"]),
            (&json!(profile), &json!(["pv", "meter"])),
            "{report:#}"
        );
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{BASE}{}", report["site_toml"].as_str().unwrap());
        let checked = check(folder.path(), &text);
        assert_eq!(checked[0]["ok"], true, "{checked:#}\n{text}");
        let now = measured(folder.path(), &["grid", "pv"]);
        let close =
            |name: &str, kw: f64| assert!((now[name] - kw).abs() < 0.01, "{maker} {meter_first}: {name} {now:?}");
        close("grid", -1.5);
        close("pv", -2.4);
    }
}

/// What `run` shows of these components once it knows them, kW.
fn measured(site: &Path, components: &[&str]) -> std::collections::BTreeMap<String, f64> {
    let port = free_port();
    let state = site.join("state");
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(site)
        .arg("--state")
        .arg(&state)
        .args(["--port", &port.to_string()]);
    let _running = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("the controller reads its components", Duration::from_secs(30), || {
        let now: Value = serde_json::from_str(&get(port, "/api/v1/now")?).ok()?;
        let all = now["components"].as_array()?;
        let power = |name: &&str| {
            let component = all.iter().find(|c| c["id"] == **name)?;
            Some(((*name).to_owned(), component["power_kw"].as_f64()?))
        };
        components.iter().map(power).collect()
    })
}

#[test]
fn an_inverter_without_a_meter_feeds_no_grid() {
    let address = raw(
        at_40000(1, &[common("Acme", "INV", "A1"), inverter_103(2400)]),
        Box::new(|_, _| Some(1)),
    );
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{BASE}[components.grid]\nkind = \"meter\"\n[components.pv]\nkind = \"pv\"\npeak = \"5 kW\"\n[devices.inverter]\n\
         address = \"{address}\"\nprofile = \"sunspec\"\ncomponents = [\"grid\", \"pv\"]\n"
    );
    std::fs::write(folder.path().join("site.toml"), text).unwrap();
    let port = free_port();
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(folder.path())
        .arg("--state")
        .arg(folder.path().join("state"))
        .args(["--port", &port.to_string()]);
    let _running = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("PV is read, the grid is not known", Duration::from_secs(30), || {
        let now: Value = serde_json::from_str(&get(port, "/api/v1/now")?).ok()?;
        let all = now["components"].as_array()?;
        let power = |name: &str| all.iter().find(|c| c["id"] == name).map(|c| c["power_kw"].clone());
        let pv = power("pv")?.as_f64()?;
        assert!((pv + 2.4).abs() < 0.01, "{now:#}");
        assert!(power("grid")?.is_null(), "{now:#}");
        Some(())
    });
}

#[test]
fn unit_zero_is_found_where_nobody_else_answers_and_may_be_asked_for() {
    let registers = || at_40000(0, &[common("Acme", "MTR", "M1"), meter_203(900)]);
    for units in [&["--units", "0-2"][..], &["--patience", "20 ms"]] {
        let address = raw(registers(), Box::new(|_, _| Some(1)));
        let out = madang(&[&["scan", &address, "--pace", "1 ms", "--json"], units].concat());
        let report = document(&out);
        assert_eq!(out.status.code(), Some(0), "{report:#}");
        assert_eq!(report["found"][0]["unit_id"], 0, "{report:#}");
        assert!(report["site_toml"].as_str().unwrap().contains("unit = 0"), "{report:#}");
    }
    let out = madang(&["scan", "rtu+tcp://127.0.0.1:1", "--units", "0"]);
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn a_common_model_that_is_too_short_is_told_with_its_length() {
    let short = [
        vec![1, 15],
        text_words("ACMECELL", 4),
        text_words("HOME", 2),
        vec![0; 9],
        inverter_103(820),
    ]
    .concat();
    let address = raw(at_40000(100, &[short]), Box::new(|_, _| Some(1)));
    let out = madang(&["scan", &address, "--units", "100", "--pace", "1 ms", "--json"]);
    let report = document(&out);
    assert_eq!(out.status.code(), Some(1), "{report:#}");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("unit 100") && notes.contains("says that it is 15 registers long"),
        "{notes}"
    );
    let out = madang(&["read", &address, "--profile", "sunspec", "--unit", "100"]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && why.contains("15 registers long"),
        "{why}"
    );
}

/// A battery inverter that takes a limit of discharging (47077) down, and refuses so many times to have it raised.
fn stubborn(refusals: u32) -> String {
    let mut registers = Registers::new();
    for (from, count) in [
        (30_000, 120),
        (32_000, 120),
        (37_000, 160),
        (37_740, 60),
        (47_000, 120),
        (47_240, 20),
        (47_410, 10),
    ] {
        registers.extend((from..).take(count).map(|a| ((1, a), 0)));
    }
    let mut put = |at: u16, words: &[u16]| registers.extend((at..).zip(words).map(|(a, w)| ((1, a), *w)));
    put(30_000, &text_words("SUN2000-10KTL-M1", 15));
    put(30_073, &[0, 10_000]);
    for at in [37_046, 37_048, 47_075, 47_077] {
        put(at, &[0, 5_000]);
    }
    put(37_760, &[610]);
    let left = Mutex::new(refusals);
    raw(
        registers,
        Box::new(move |at, words| {
            let mut left = left.lock().unwrap();
            let raises = at == 47_077 && words.iter().any(|w| *w > 0) && *left > 0;
            raises.then(|| {
                *left -= 1;
                4
            })
        }),
    )
}

#[test]
fn a_release_that_is_refused_is_tried_again_and_what_stays_is_told() {
    for (refusals, code) in [(1, 0), (99, 1)] {
        let address = stubborn(refusals);
        let write = |value: &str| {
            madang(&[
                "write",
                &address,
                "--profile",
                "huawei-sun2000-luna2000",
                "battery_discharge_limit",
                value,
                "--yes",
            ])
        };
        let out = write("0 kW");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let out = write("release");
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{why}");
        if code == 1 {
            assert!(
                why.contains("tried 3 times") && why.contains("stays in force: its `discharge_limit` shows 0 kW"),
                "{why}"
            );
        }
    }
}

#[test]
fn a_twin_whose_ports_are_taken_says_so_and_moves_only_when_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("sites/home-amsterdam");
    let folder = tempfile::tempdir().unwrap();
    let mut text = std::fs::read_to_string(shipped.join("site.toml")).unwrap();
    for there in [15220, 15221, 15222] {
        text = text.replace(&format!("127.0.0.1:{there}"), &format!("127.0.0.1:{}", free_port()));
    }
    text = text.replace("127.0.0.1:15223", &format!("127.0.0.1:{port}"));
    std::fs::write(folder.path().join("site.toml"), text).unwrap();
    std::fs::copy(shipped.join("prices.csv"), folder.path().join("prices.csv")).unwrap();
    let site = folder.path().to_str().unwrap();
    let out = madang(&["twin", site, "--json"]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{why}");
    assert!(
        why.contains(&format!("127.0.0.1:{port} (heat-pump)")) && why.contains("--free-ports"),
        "{why}"
    );
    let (_twin, devices) = twin(site, &[]);
    assert_ne!(address_of(&devices, "heat-pump"), format!("tcp://127.0.0.1:{port}"));
}

#[test]
fn a_profile_file_has_a_twin_that_is_read_by_it() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiles/acme-pump.toml");
    let profile = profile.to_str().unwrap();
    let mut command = Command::new(MADANG);
    command.args(["twin", "--profile", profile, "--listen", "127.0.0.1:0", "--json"]);
    let (_twin, line) = ready(&mut command);
    let devices: Value = serde_json::from_str(&line).unwrap();
    let report = document(&madang(&[
        "read",
        &address_of(&devices, "device"),
        "--profile",
        profile,
        "--json",
    ]));
    let points = report["points"].as_array().unwrap();
    let power = points.iter().find(|p| p["name"] == "heatpump_power").unwrap();
    assert_eq!(
        (&power["quality"], power["value"].is_f64()),
        (&json!("good"), true),
        "{report:#}"
    );
    let out = madang(&["twin", "--profile", "no-such.toml"]);
    assert_eq!(out.status.code(), Some(2));
}

/// A hybrid in two maps: SunSpec models and the vendor's own registers behind one unit, found by scan and read by one profile.
#[test]
fn a_storedge_is_found_whole_and_reads_pv_battery_and_grid() {
    let mut command = Command::new(MADANG);
    command.args([
        "twin",
        "--profile",
        "solaredge-storedge",
        "--listen",
        "127.0.0.1:0",
        "--json",
    ]);
    let (_twin, line) = ready(&mut command);
    let devices: Value = serde_json::from_str(&line).unwrap();
    let address = address_of(&devices, "device");
    let report = document(&madang(&[
        "read",
        &address,
        "--profile",
        "solaredge-storedge",
        "--json",
    ]));
    let points = report["points"].as_array().unwrap();
    let value = |name: &str| {
        points
            .iter()
            .find(|p| p["name"] == name)
            .and_then(|p| p["value"].as_f64())
    };
    for name in ["pv_power", "battery_power", "soc", "active_power", "ac_power"] {
        assert!(value(name).is_some(), "{name}: {report:#}");
    }
    let sum = value("pv_power").unwrap() + value("battery_power").unwrap() + value("ac_power").unwrap().abs();
    assert!(sum.is_finite(), "{report:#}");
}
