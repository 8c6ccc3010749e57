//! Device profiles against Modbus servers that are not ours: every point is read with its name, value, sign, unit and quality;
//! every command makes exactly the writes it should, and none of them is left half-way.

use crate::support::{Process, free_port, python, shared};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The peer, and the lines it says.
fn peer(python: &Path, args: &[&str]) -> (Process, Receiver<Value>) {
    let mut command = Command::new(python);
    command.arg(root().join("tests/peers/profile_peer.py")).args(args);
    let mut process = Process::start(command.stdout(Stdio::piped()));
    let out = BufReader::new(process.0.stdout.take().unwrap());
    let (say, heard) = channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if say.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    (process, heard)
}

fn madang(args: &[&str]) -> Output {
    Command::new(MADANG).args(args).output().unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// Runs `work` on every item, a few at a time.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = Mutex::new(items.iter());
    std::thread::scope(|s| {
        for _ in 0..6 {
            s.spawn(|| {
                loop {
                    let Some(item) = next.lock().unwrap().next() else {
                        return;
                    };
                    work(item);
                }
            });
        }
    });
}

fn compare(device: &Value) {
    let (profile, address) = (device["profile"].as_str().unwrap(), device["address"].as_str().unwrap());
    let out = madang(&["read", address, "--profile", profile, "--json"]);
    assert!(out.status.success(), "{profile}: {}", said(&out));
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    let points = found["points"].as_array().unwrap();
    for expected in device["points"].as_array().unwrap() {
        let name = &expected["name"];
        let p = points.iter().find(|p| p["name"] == *name);
        let p = p.unwrap_or_else(|| panic!("{profile}: no point {name}"));
        let same = match (expected["value"].as_f64(), p["value"].as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(1e-3),
            _ => expected["value"] == p["value"],
        };
        let rest = (&expected["unit"], &expected["quality"]) == (&p["unit"], &p["quality"]);
        assert!(same && rest, "{profile}: {p} instead of {expected}");
    }
    assert_eq!(found["identity"]["status"], device["identity"], "{profile}");
    assert!(
        found["requests"].as_u64() <= device["requests"].as_u64(),
        "{profile}: {} requests",
        found["requests"]
    );
}

#[test]
fn every_point_of_every_profile_is_read_from_a_server_that_is_not_ours() {
    let Some(python) = python() else { return };
    let facts = shared("devices").map_or("-".to_owned(), |p| p.display().to_string());
    let builtin = root().join("src/profile/builtin");
    let (_server, heard) = peer(&python, &["read", &facts, builtin.to_str().unwrap()]);
    let told = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let devices = told["devices"].as_array().unwrap();
    assert!(devices.len() >= 31, "{} devices", devices.len());
    each(devices, compare);
}

#[test]
fn another_device_is_refused_and_silence_is_told_apart() {
    let Some(python) = python() else { return };
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let all = json!([{"port": port, "units": {"1": {}}}]);
    std::fs::write(&config, all.to_string()).unwrap();
    let (_server, heard) = peer(&python, &["write", config.to_str().unwrap()]);
    heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let address = format!("tcp://127.0.0.1:{port}");
    for args in [
        vec!["read", &address, "--profile", "abb-b23-b24"],
        vec![
            "write",
            &address,
            "--profile",
            "comap-intelilite4",
            "genset_start",
            "on",
            "--yes",
        ],
    ] {
        let out = madang(&args);
        let why = said(&out);
        assert_eq!(out.status.code(), Some(1), "{why}");
        assert!(why.contains("was expected") && why.lines().count() == 1, "{why}");
    }
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let out = madang(&[
        "write",
        &nobody,
        "--profile",
        "alfen-eve",
        "evse_current_limit",
        "16 A",
        "--yes",
    ]);
    assert_eq!(out.status.code(), Some(3), "{}", said(&out));
    assert_eq!(said(&out).lines().count(), 1, "{}", said(&out));
}

/// (function, unit, address, words)
type Wire = (u64, u64, u64, Vec<u64>);

/// (unit, table, address, words)
type Held = (u16, &'static str, u16, Vec<u16>);

struct Row {
    profile: &'static str,
    command: &'static str,
    value: &'static str,
    /// Registers that are not zero.
    holds: Vec<Held>,
    set: Vec<Wire>,
    release: Vec<Wire>,
}

fn f32_words(v: f32, low_first: bool) -> Vec<u64> {
    let b = v.to_bits();
    let w = vec![u64::from(b >> 16), u64::from(b & 0xFFFF)];
    if low_first { w.into_iter().rev().collect() } else { w }
}

fn held(words: &[u64]) -> Vec<u16> {
    words.iter().map(|w| *w as u16).collect()
}

/// A GEN24's SunSpec map from 40000 on: 10 kW inverter, 5 kW battery, percentages in hundredths. Written by the models' letter
/// (offsets count from each model's ID register), not by our tables.
fn gen24() -> Vec<Held> {
    const HUNDREDTH: u16 = 0xFFFE;
    /// Model, length, registers that are not zero.
    type Shown = (u16, u16, &'static [(usize, u16)]);
    let models: [Shown; 7] = [
        (1, 66, &[]),
        (103, 50, &[]),
        // WRtg, WRtg_SF
        (120, 26, &[(3, 1000), (4, 1)]),
        // WMax, WMax_SF
        (121, 30, &[(2, 1000), (22, 1)]),
        // WMaxLimPct, WMaxLimPct_SF
        (123, 24, &[(5, 10_000), (23, HUNDREDTH)]),
        // WChaMax, OutWRte, InWRte, InOutWRte_SF
        (124, 24, &[(2, 5_000), (12, 10_000), (13, 10_000), (25, HUNDREDTH)]),
        (160, 88, &[(8, 4)]),
    ];
    let mut words = vec![0x5375, 0x6E53];
    for (id, length, points) in models {
        let mut model = vec![0; usize::from(length) + 2];
        (model[0], model[1]) = (id, length);
        points.iter().for_each(|(offset, word)| model[*offset] = *word);
        words.extend(model);
    }
    words.extend([0xFFFF, 0]);
    vec![(1, "only", 40_000, words)]
}

/// The commands that SunSpec discovery makes for it: rates and timer first, the mode last.
fn gen24_rows(row: &mut impl FnMut(&'static str, &'static str, &'static str, Vec<Held>, Vec<Wire>, Vec<Wire>)) {
    const FRONIUS: &str = "fronius-gen24";
    // Model 123 has its ID at 40182, model 124 at 40208.
    let limit = |pct| vec![(16, 1, 40_187, vec![pct, 0, 60, 0, 1])];
    let lifted = || vec![(16, 1, 40_191, vec![0])];
    row(FRONIUS, "pv_limit", "2 kW", gen24(), limit(2_000), lifted());
    row(FRONIUS, "pv_limit", "0 kW", gen24(), limit(0), lifted());
    row(FRONIUS, "pv_limit", "80 kW", gen24(), limit(10_000), lifted());
    let mode = |bits| (16, 1, 40_213, vec![bits]);
    let rates = |out, into| (16, 1, 40_220, vec![out, into, 0, 60]);
    let armed = |out, into, bits| vec![(16, 1, 40_225, vec![1]), rates(out, into), mode(bits)];
    let free = || vec![mode(0), (16, 1, 40_220, vec![10_000, 10_000])];
    let below_zero = |pct: u64| 65_536 - pct;
    let charge = armed(below_zero(6_000), 10_000, 2);
    row(FRONIUS, "battery_power", "3 kW", gen24(), charge, free());
    let discharge = armed(10_000, below_zero(6_000), 1);
    row(FRONIUS, "battery_power", "-3 kW", gen24(), discharge, free());
    row(FRONIUS, "battery_power", "0 kW", gen24(), armed(0, 0, 3), free());
    let most = armed(below_zero(10_000), 10_000, 2);
    row(FRONIUS, "battery_power", "80 kW", gen24(), most, free());
    row(FRONIUS, "battery_hold", "on", gen24(), armed(0, 0, 3), free());
    let into = |pct| vec![rates(10_000, pct), mode(1)];
    let into_free = || vec![mode(0), (16, 1, 40_221, vec![10_000])];
    row(
        FRONIUS,
        "battery_charge_limit",
        "2 kW",
        gen24(),
        into(4_000),
        into_free(),
    );
    row(
        FRONIUS,
        "battery_charge_limit",
        "80 kW",
        gen24(),
        into(10_000),
        into_free(),
    );
    let out_free = vec![mode(0), (16, 1, 40_220, vec![10_000])];
    let out = vec![rates(4_000, 10_000), mode(2)];
    row(FRONIUS, "battery_discharge_limit", "2 kW", gen24(), out, out_free);
}

/// One row a command and value: what the device shows, what must be written, what gives it back.
fn rows() -> Vec<Row> {
    let mut all = Vec::new();
    let mut row = |profile, command, value, holds, set, release| {
        all.push(Row {
            profile,
            command,
            value,
            holds,
            set,
            release,
        });
    };
    gen24_rows(&mut row);
    let hi = |v| f32_words(v, false);
    let lo = |v| f32_words(v, true);
    let (abb, alfen, menn) = ("abb-terra-ac", "alfen-eve", "mennekes-amtron-compact-2s");
    row(
        abb,
        "evse_current_limit",
        "16 A",
        vec![(1, "holding", 0x4022, vec![0, 16000])],
        vec![(16, 1, 0x4100, vec![0, 16000])],
        vec![],
    );
    row(
        abb,
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(16, 1, 0x4100, vec![0, 0])],
        vec![],
    );
    row(
        abb,
        "evse_current_limit",
        "80 A",
        vec![(1, "holding", 0x4022, vec![0, 32000])],
        vec![(16, 1, 0x4100, vec![0, 32000])],
        vec![],
    );
    row(abb, "evse_enable", "on", vec![], vec![(6, 1, 0x4105, vec![0])], vec![]);
    row(abb, "evse_enable", "off", vec![], vec![(6, 1, 0x4105, vec![1])], vec![]);
    row(abb, "cable_lock", "on", vec![], vec![(6, 1, 0x4103, vec![1])], vec![]);
    row(
        abb,
        "failsafe",
        "8 A",
        vec![(1, "holding", 0x4024, vec![8])],
        vec![(6, 1, 0x4109, vec![8])],
        vec![],
    );
    row(
        alfen,
        "evse_current_limit",
        "16 A",
        vec![(1, "holding", 1206, held(&hi(16.0)))],
        vec![(16, 1, 1210, hi(16.0))],
        vec![],
    );
    row(
        alfen,
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(16, 1, 1210, hi(0.0))],
        vec![],
    );
    row(alfen, "evse_phases", "3", vec![], vec![(6, 1, 1215, vec![3])], vec![]);
    let ident = |text: &str, n: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(2 * n, 0);
        bytes
            .chunks(2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .collect::<Vec<_>>()
    };
    let comap = || {
        vec![
            (1, "holding", 1307, ident("InteliLite4-AMF", 16)),
            (1, "holding", 1382, vec![2]),
            (1, "holding", 1298, vec![7]),
        ]
    };
    row(
        "comap-intelilite4",
        "genset_start",
        "on",
        comap(),
        vec![(5, 1, 4700, vec![1])],
        vec![(5, 1, 4700, vec![0])],
    );
    let deif = vec![
        (1, "input", 770, ident("AGC150GEN", 6)),
        (1, "input", 1018, vec![64, 8]),
    ];
    row(
        "deif-agc150",
        "genset_start",
        "on",
        deif,
        vec![(16, 1, 6, vec![8193]), (16, 1, 6, vec![2049])],
        vec![(16, 1, 6, vec![1])],
    );
    let dse = vec![
        (10, "holding", 768, vec![1, 7320, 0, 0, 1]),
        (10, "holding", 4098, vec![0xC000]),
        (10, "holding", 1408, vec![3]),
    ];
    row(
        "dse-genset",
        "genset_start",
        "on",
        dse,
        vec![(16, 10, 4104, vec![35732, 29803])],
        vec![(16, 10, 4104, vec![35733, 29802])],
    );
    let auto = |mode, w| vec![(16, 247, 47511, vec![mode, w])];
    row("goodwe-et", "battery_power", "3 kW", vec![], auto(11, 3000), auto(1, 0));
    row(
        "goodwe-et",
        "battery_power",
        "-3 kW",
        vec![],
        auto(12, 3000),
        auto(1, 0),
    );
    row("goodwe-et", "battery_power", "0 kW", vec![], auto(8, 0), auto(1, 0));
    row(
        "goodwe-et",
        "export_limit",
        "5 kW",
        vec![],
        vec![(16, 247, 47509, vec![1, 5000])],
        vec![(16, 247, 47509, vec![0])],
    );
    row(
        "heidelberg-energy-control",
        "evse_current_limit",
        "10 A",
        vec![],
        vec![(16, 1, 261, vec![100])],
        vec![],
    );
    row(
        "heidelberg-energy-control",
        "evse_current_limit",
        "20 A",
        vec![],
        vec![(16, 1, 261, vec![160])],
        vec![],
    );
    row(
        "heidelberg-energy-control",
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(16, 1, 261, vec![0])],
        vec![],
    );
    let huawei = "huawei-sun2000-luna2000";
    let rated = || vec![(1, "holding", 37046, vec![0, 5000, 0, 4000])];
    let forced = |at, w, mode| {
        vec![
            (6, 1, 47087, vec![1]),
            (16, 1, at, vec![0, w]),
            (6, 1, 47083, vec![2]),
            (6, 1, 47246, vec![0]),
            (6, 1, 47100, vec![mode]),
        ]
    };
    row(
        huawei,
        "battery_power",
        "3 kW",
        rated(),
        forced(47247, 3000, 1),
        vec![(6, 1, 47100, vec![0])],
    );
    row(
        huawei,
        "battery_power",
        "9 kW",
        rated(),
        forced(47247, 5000, 1),
        vec![(6, 1, 47100, vec![0])],
    );
    row(
        huawei,
        "battery_power",
        "-9 kW",
        rated(),
        forced(47249, 4000, 2),
        vec![(6, 1, 47100, vec![0])],
    );
    row(
        huawei,
        "battery_power",
        "0 kW",
        rated(),
        forced(47247, 0, 1),
        vec![(6, 1, 47100, vec![0])],
    );
    row(
        huawei,
        "battery_charge_limit",
        "9 kW",
        rated(),
        vec![(16, 1, 47075, vec![0, 5000])],
        vec![(16, 1, 47075, vec![0, 5000])],
    );
    row(
        huawei,
        "battery_discharge_limit",
        "2 kW",
        rated(),
        vec![(16, 1, 47077, vec![0, 2000])],
        vec![(16, 1, 47077, vec![0, 4000])],
    );
    row(
        huawei,
        "export_limit",
        "60 %",
        vec![],
        vec![(6, 1, 47418, vec![600]), (6, 1, 47415, vec![7])],
        vec![(6, 1, 47415, vec![0])],
    );
    let keba = "keba-p30-p40";
    row(
        keba,
        "evse_current_limit",
        "16 A",
        vec![(255, "holding", 1100, vec![0, 16000])],
        vec![(6, 255, 5004, vec![16000])],
        vec![],
    );
    row(
        keba,
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(6, 255, 5004, vec![0])],
        vec![],
    );
    row(keba, "evse_enable", "on", vec![], vec![(6, 255, 5014, vec![1])], vec![]);
    row(
        keba,
        "evse_phases",
        "1",
        vec![(255, "holding", 1550, vec![0, 3])],
        vec![(6, 255, 5052, vec![0])],
        vec![],
    );
    row(
        keba,
        "heartbeat",
        "30 s",
        vec![(255, "holding", 1602, vec![0, 30])],
        vec![(6, 255, 5018, vec![30])],
        vec![],
    );
    row(
        menn,
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(16, 50, 0x302, hi(16.0)), (6, 50, 0xD05, vec![1])],
        vec![],
    );
    row(
        menn,
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(6, 50, 0xD05, vec![0])],
        vec![],
    );
    row(
        menn,
        "heartbeat",
        "on",
        vec![],
        vec![(6, 50, 0xD00, vec![0x55AA])],
        vec![],
    );
    row(menn, "evse_phases", "3", vec![], vec![(6, 50, 0xD04, vec![0])], vec![]);
    row(
        "mennekes-amtron-ecu",
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(16, 255, 1000, vec![16])],
        vec![],
    );
    row(
        "phoenix-em-cp-pp-eth",
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(6, 180, 300, vec![16]), (5, 180, 400, vec![1])],
        vec![],
    );
    row(
        "phoenix-em-cp-pp-eth",
        "evse_current_limit",
        "0 A",
        vec![],
        vec![(5, 180, 400, vec![0])],
        vec![],
    );
    row(
        "phoenix-em-cp-pp-eth",
        "evse_enable",
        "on",
        vec![],
        vec![(5, 180, 400, vec![1])],
        vec![],
    );
    row(
        "phoenix-ev-cc-wallbe",
        "evse_current_limit",
        "16 A",
        vec![(255, "holding", 528, vec![10])],
        vec![(6, 255, 528, vec![16]), (5, 255, 400, vec![1])],
        vec![],
    );
    row(
        "phoenix-ev-cc-wallbe",
        "evse_current_limit",
        "16 A",
        vec![(255, "holding", 528, vec![60])],
        vec![(6, 255, 528, vec![160]), (5, 255, 400, vec![1])],
        vec![],
    );
    row(
        "phoenix-ev-cc-wallbe",
        "evse_enable",
        "off",
        vec![],
        vec![(5, 255, 400, vec![0])],
        vec![],
    );
    row(
        "schneider-evlink-pro",
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(6, 255, 4004, vec![16])],
        vec![],
    );
    row(
        "schneider-evlink-pro",
        "heartbeat",
        "on",
        vec![],
        vec![(6, 255, 4000, vec![1])],
        vec![],
    );
    let sma = |min_c: u64, max_c: u64, min_d: u64, max_d: u64, mode: u64| {
        let v = |a: u64, w: u64| (16, 3, a, vec![0, w]);
        vec![
            v(40793, min_c),
            v(40795, max_c),
            v(40797, min_d),
            v(40799, max_d),
            v(40801, 0),
            v(40236, mode),
        ]
    };
    let v = |a: u64, w: u64| (16, 3, a, vec![0, w]);
    let sma_back = || {
        vec![
            v(40236, 2424),
            v(40793, 0),
            v(40795, 10000),
            v(40797, 0),
            v(40799, 10000),
        ]
    };
    row(
        "sma-hybrid-se",
        "battery_power",
        "3 kW",
        vec![(3, "holding", 31393, vec![0, 3000])],
        sma(3000, 3000, 0, 0, 2289),
        sma_back(),
    );
    row(
        "sma-hybrid-se",
        "battery_power",
        "-3 kW",
        vec![(3, "holding", 31395, vec![0, 3000])],
        sma(0, 0, 3000, 3000, 2290),
        sma_back(),
    );
    row(
        "sma-hybrid-se",
        "battery_power",
        "0 kW",
        vec![],
        sma(0, 0, 0, 0, 2289),
        sma_back(),
    );
    row(
        "sma-hybrid-se",
        "battery_power_direct",
        "-3 kW",
        vec![(3, "holding", 31395, vec![0, 3000])],
        vec![(16, 3, 40149, vec![0, 3000, 0, 802])],
        vec![v(40151, 803)],
    );
    row(
        "sma-sunny-island",
        "battery_power",
        "3 kW",
        vec![],
        vec![(16, 3, 40149, vec![65535, 62536, 0, 802])],
        vec![v(40151, 803)],
    );
    let edge = "solaredge-storedge";
    let max = || vec![(1, "holding", 0xE144, [held(&lo(5000.0)), held(&lo(4000.0))].concat())];
    let told = |c: f32, d: f32, word| {
        vec![
            (6, 1, 0xE004, vec![4]),
            (16, 1, 0xE00B, vec![60, 0]),
            (16, 1, 0xE00E, lo(c)),
            (16, 1, 0xE010, lo(d)),
            (6, 1, 0xE00D, vec![word]),
        ]
    };
    let edge_back = || {
        vec![
            (16, 1, 0xE00E, lo(5000.0)),
            (16, 1, 0xE010, lo(4000.0)),
            (6, 1, 0xE00D, vec![7]),
        ]
    };
    row(edge, "battery_power", "3 kW", max(), told(3000.0, 0.0, 3), edge_back());
    row(edge, "battery_power", "-9 kW", max(), told(0.0, 4000.0, 4), edge_back());
    row(edge, "battery_power", "0 kW", max(), told(0.0, 0.0, 0), edge_back());
    row(
        edge,
        "pv_limit",
        "60 %",
        vec![],
        vec![(6, 1, 0xF001, vec![60])],
        vec![(6, 1, 0xF001, vec![100])],
    );
    row(
        edge,
        "export_limit",
        "5 kW",
        vec![(1, "holding", 0xE000, vec![4, 1])],
        vec![
            (16, 1, 0xE002, lo(5000.0)),
            (6, 1, 0xE001, vec![0]),
            (6, 1, 0xE000, vec![5]),
        ],
        vec![(6, 1, 0xE000, vec![4])],
    );
    let sg = |a, b| vec![(6, 1, 4000, vec![1]), (6, 1, 4001, vec![a]), (6, 1, 4002, vec![b])];
    let sg_back = || vec![(6, 1, 4001, vec![0]), (6, 1, 4002, vec![0])];
    row(
        "stiebel-wpm-sg-ready",
        "sg_ready",
        "boost",
        vec![(1, "input", 5000, vec![3])],
        sg(1, 0),
        sg_back(),
    );
    row(
        "stiebel-wpm-sg-ready",
        "sg_ready",
        "lock",
        vec![(1, "input", 5000, vec![1])],
        sg(0, 1),
        sg_back(),
    );
    let grow = |w, c| vec![(6, 1, 13051, vec![w]), (6, 1, 13050, vec![c]), (6, 1, 13049, vec![2])];
    let grow_back = || vec![(6, 1, 13050, vec![0xCC]), (6, 1, 13049, vec![0])];
    row(
        "sungrow-sh",
        "battery_power",
        "3 kW",
        vec![],
        grow(3000, 0xAA),
        grow_back(),
    );
    row(
        "sungrow-sh",
        "battery_power",
        "-3 kW",
        vec![],
        grow(3000, 0xBB),
        grow_back(),
    );
    row(
        "sungrow-sh",
        "battery_power",
        "0 kW",
        vec![],
        grow(0, 0xCC),
        grow_back(),
    );
    row(
        "sungrow-sh",
        "battery_discharge_limit",
        "2.5 kW",
        vec![],
        vec![(6, 1, 33047, vec![250])],
        vec![],
    );
    row(
        "sungrow-sh",
        "battery_charge_limit",
        "0 kW",
        vec![],
        vec![(6, 1, 33046, vec![1])],
        vec![],
    );
    row(
        "sungrow-sh",
        "export_limit",
        "5 kW",
        vec![],
        vec![(6, 1, 13073, vec![5000]), (6, 1, 13086, vec![0xAA])],
        vec![(6, 1, 13086, vec![0x55])],
    );
    let vestel = "vestel-evc04-webasto-unite";
    row(
        vestel,
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(6, 255, 5004, vec![16])],
        vec![],
    );
    row(
        vestel,
        "evse_current_limit",
        "4 A",
        vec![],
        vec![(6, 255, 5004, vec![0])],
        vec![],
    );
    row(vestel, "heartbeat", "on", vec![], vec![(6, 255, 6000, vec![1])], vec![]);
    let victron = "victron-gx-ess";
    row(
        victron,
        "grid_setpoint",
        "-3 kW",
        vec![],
        vec![(16, 100, 2716, vec![65535, 62536])],
        vec![],
    );
    let ess = |w| {
        vec![
            (6, 100, 2902, vec![3]),
            (6, 227, 37, vec![w]),
            (6, 227, 40, vec![w]),
            (6, 227, 41, vec![w]),
        ]
    };
    row(
        victron,
        "battery_power",
        "3 kW",
        vec![],
        ess(1000),
        vec![(6, 100, 2902, vec![2])],
    );
    row(
        victron,
        "battery_power",
        "-3 kW",
        vec![],
        ess(64536),
        vec![(6, 100, 2902, vec![2])],
    );
    let hold = |w| vec![(6, 227, 38, vec![w]), (6, 227, 39, vec![w])];
    row(victron, "battery_hold", "on", vec![], hold(1), hold(0));
    row(
        "webasto-next",
        "evse_current_limit",
        "16 A",
        vec![],
        vec![(6, 255, 5004, vec![16])],
        vec![],
    );
    row(
        "webasto-next",
        "heartbeat",
        "on",
        vec![],
        vec![(6, 255, 6000, vec![1])],
        vec![],
    );
    row(
        "webasto-next",
        "evse_enable",
        "off",
        vec![],
        vec![(6, 255, 5006, vec![2])],
        vec![],
    );
    all
}

/// A row on a device of its own, whole or with one of its writes refused.
struct Try {
    row: usize,
    port: u16,
    fail: Option<usize>,
}

/// The profile without its pacing, so that the test is quick.
fn hurried(folder: &Path, profile: &str, port: u16) -> String {
    let text = std::fs::read_to_string(root().join(format!("src/profile/builtin/{profile}.toml"))).unwrap();
    let slow = ["connect_delay_ms", "gap_ms", "min_read_ms", "min_write_ms"];
    let quick: Vec<&str> = text
        .lines()
        .filter(|l| !slow.iter().any(|s| l.starts_with(s)))
        .collect();
    // A folder of its own: tries of one profile run side by side.
    let folder = folder.join(port.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{profile}.toml"));
    std::fs::write(&file, quick.join("\n")).unwrap();
    file.display().to_string()
}

fn spans(row: &Row) -> Value {
    let mut units = serde_json::Map::new();
    for unit in row.set.iter().map(|w| w.1) {
        units.entry(unit.to_string()).or_insert(json!({}));
    }
    for (unit, table, at, words) in &row.holds {
        let spans = units.entry(unit.to_string()).or_insert(json!({}));
        let list = spans.as_object_mut().unwrap().entry(*table).or_insert(json!([]));
        list.as_array_mut().unwrap().push(json!([at, words]));
    }
    if row.profile == "fronius-gen24" {
        // Nothing SunSpec behind the unit of its meter.
        units.insert("200".into(), json!({"only": [[65_000, [0]]]}));
    }
    if row.profile == "solaredge-storedge" {
        // Its SunSpec part: common model of 65 registers, inverter, end.
        let mut words = vec![0u16; 2 + 67 + 52];
        (words[0], words[1], words[2], words[3]) = (0x5375, 0x6E53, 1, 65);
        (words[69], words[70]) = (103, 50);
        words.extend([0xFFFF, 0]);
        let own = units.entry("1").or_insert(json!({}));
        let list = own.as_object_mut().unwrap().entry("holding").or_insert(json!([]));
        list.as_array_mut().unwrap().push(json!([40_000, words]));
    }
    if row.profile == "victron-gx-ess" {
        units.entry("100").or_insert(json!({}));
        units.entry("227").or_insert(json!({}));
    }
    units.into()
}

fn wire(v: &Value) -> Wire {
    let n = |key: &str| v[key].as_u64().unwrap();
    let words = v["words"].as_array().unwrap().iter().map(|w| w.as_u64().unwrap());
    (n("fc"), n("unit"), n("addr"), words.collect())
}

/// Its release turns one bit back, and that bit's write is the last: whatever fails, the bit was never turned.
fn never_turned(row: &Row) -> bool {
    (row.profile, row.command) == ("solaredge-storedge", "export_limit")
}

#[test]
fn every_command_makes_exactly_its_writes_and_a_refusal_at_any_step_takes_them_back() {
    let Some(python) = python() else { return };
    let rows = rows();
    let covered: std::collections::BTreeSet<_> = rows.iter().map(|r| (r.profile, r.command)).collect();
    assert_eq!(
        covered.len(),
        54,
        "the 53 commands of the fact files, and the limit of discharging that SunSpec has besides"
    );
    let mut tries = Vec::new();
    for (row, r) in rows.iter().enumerate() {
        let steps = std::iter::once(None).chain((0..r.set.len()).map(Some));
        tries.extend(steps.map(|fail| Try {
            row,
            port: free_port(),
            fail,
        }));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let devices: Vec<Value> = tries
        .iter()
        .map(|t| json!({"port": t.port, "units": spans(&rows[t.row]), "fail": t.fail}))
        .collect();
    std::fs::write(&config, Value::from(devices).to_string()).unwrap();
    let (_server, heard) = peer(&python, &["write", config.to_str().unwrap()]);
    heard.recv_timeout(Duration::from_secs(300)).unwrap();
    let broken = Mutex::new(Vec::new());
    each(&tries, |t| {
        let r = &rows[t.row];
        let profile = hurried(folder.path(), r.profile, t.port);
        let address = format!("tcp://127.0.0.1:{}", t.port);
        let base = ["write", &address, "--profile", &profile, r.command];
        let run = |value: &str| madang(&[&base[..], &[value, "--yes"]].concat());
        let out = run(r.value);
        let wanted = if t.fail.is_none() { 0 } else { 1 };
        if out.status.code() != Some(wanted) {
            let what = format!(
                "{} {} {} fail {:?}: {:?} {}",
                r.profile,
                r.command,
                r.value,
                t.fail,
                out.status.code(),
                said(&out)
            );
            broken.lock().unwrap().push(what);
        }
        if t.fail.is_none() {
            let out = run("release");
            let back = if r.release.is_empty() { 1 } else { 0 };
            if out.status.code() != Some(back) {
                broken
                    .lock()
                    .unwrap()
                    .push(format!("{} {} release: {}", r.profile, r.command, said(&out)));
            }
        }
    });
    let writes: Vec<Value> = heard.try_iter().collect();
    for t in &tries {
        let r = &rows[t.row];
        let here = writes.iter().filter(|w| w["port"] == t.port);
        let found: Vec<Wire> = here.map(wire).collect();
        let begun = t.fail.map_or(r.set.len(), |k| k + 1);
        let back = r.release.iter().filter(|_| t.fail.is_none() || !never_turned(r));
        let expected: Vec<Wire> = r.set.iter().take(begun).chain(back).cloned().collect();
        if found != expected {
            let what = format!(
                "{} {} {} fail {:?}:\n  {found:?} instead of\n  {expected:?}",
                r.profile, r.command, r.value, t.fail
            );
            broken.lock().unwrap().push(what);
        }
    }
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What `madang write` says it would write; nobody needs to be there.
fn would_write(args: &[&str]) -> Value {
    let out = madang(&[&["write", "tcp://127.0.0.1:1"], args, &["--json"]].concat());
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_value_that_is_cut_is_told_with_what_is_written_instead() {
    let victron = ["--profile", "victron-gx-ess", "--unit", "100"];
    for (command, value, told) in [
        ("grid_setpoint", "40 kW", None),
        ("grid_setpoint", "1500 kW", Some(1000.0)),
        ("battery_power", "150 kW", Some(90.0)),
        ("battery_power", "-150 kW", Some(-90.0)),
    ] {
        let plan = would_write(&[&victron[..], &[command, value]].concat());
        match told {
            None => assert_eq!(
                (&plan["note"], &plan["value_told"]),
                (&Value::Null, &plan["value"]),
                "{plan:#}"
            ),
            Some(kw) => {
                assert_eq!(plan["value_told"], kw, "{plan:#}");
                let note = plan["note"].as_str().unwrap();
                assert!(note.contains("is not what the device is told"), "{note}");
            }
        }
    }
    let out = madang(&[
        "write",
        "tcp://127.0.0.1:1",
        "--profile",
        "victron-gx-ess",
        "--unit",
        "100",
        "battery_power",
        "150 kW",
    ]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.contains("150 kW is not what the device is told: `battery_power` takes 90 kW here"),
        "{text}"
    );
}

#[test]
fn a_percentage_is_one_of_the_rating_that_is_told_or_that_the_site_has() {
    let folder = tempfile::tempdir().unwrap();
    let site = std::fs::read_to_string(root().join("sites/home-amsterdam/site.toml")).unwrap();
    let site = site.replace("tcp://127.0.0.1:15222", "tcp://127.0.0.1:1");
    std::fs::write(folder.path().join("site.toml"), site).unwrap();
    let place = folder.path().to_str().unwrap();
    for (args, value) in [
        (
            vec![
                "--profile",
                "generic-heat-pump",
                "--rating",
                "3 kW",
                "heatpump_power",
                "60 %",
            ],
            1.8,
        ),
        (
            vec!["--profile", "alfen-eve", "--site", place, "evse_current_limit", "50 %"],
            8.0,
        ),
        (
            vec![
                "--profile",
                "sma-hybrid-se",
                "--option",
                "rated_discharge=8",
                "battery_power",
                "-50 %",
            ],
            -4.0,
        ),
    ] {
        let plan = would_write(&args);
        let found = plan["value"].as_f64().unwrap();
        assert!((found - value).abs() < 1e-9, "{args:?}: {plan:#}");
    }
}

#[test]
fn a_percentage_of_nothing_names_the_rating_that_is_unknown() {
    let Some(python) = python() else { return };
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let all = json!([{"port": port, "units": {"1": {"holding": [[0, vec![0u16; 64]]]}}}]);
    std::fs::write(&config, all.to_string()).unwrap();
    let (_server, heard) = peer(&python, &["write", config.to_str().unwrap()]);
    heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let profile = root().join("tests/profiles/acme-pump.toml");
    let address = format!("tcp://127.0.0.1:{port}");
    let out = madang(&[
        "write",
        &address,
        "--profile",
        profile.to_str().unwrap(),
        "heatpump_power",
        "60 %",
    ]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    let why = said(&out);
    assert!(why.contains("rating is unknown") && why.contains("--rating"), "{why}");
}

/// Every hybrid feeds PV and battery: what its twin shows of both is measured, with the plant's signs.
#[tokio::test(start_paused = true)]
async fn every_hybrid_profile_feeds_pv_and_battery() {
    use madang::cycle::FieldPort;
    use madang::field::{Dial, Field, Options, Wire};
    use madang::reading::Quantity::{ActivePower, StateOfCharge};
    use madang::time::{Clock, TokioClock};
    use std::sync::{Arc, Mutex};
    let noon = "2026-05-12T11:00:00Z".parse::<madang::time::Timestamp>().unwrap();
    let mut tried = 0;
    for name in madang::profile::builtin_names() {
        let profile = madang::profile::builtin(name).unwrap();
        if !["hybrid", "ess_gateway"].contains(&profile.kind.as_str()) {
            continue;
        }
        tried += 1;
        assert_eq!(madang::site::unfed(&profile, &["pv", "battery"]), [], "{name}");
        let site = Arc::new(madang::twin::lone(&profile, None, "127.0.0.1", 1502).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new(noon));
        let world = madang::twin::World::new(&site, 1, noon, chrono::TimeDelta::seconds(1)).unwrap();
        let world = Arc::new(Mutex::new(world));
        let pipes = madang::twin::Pipes::new(&site, &world, &clock, &[], 1).unwrap();
        let dial = Dial::Pipes(Arc::new(move |device| {
            Ok(Box::new(pipes.dial(device)?) as Box<dyn Wire>)
        }));
        let options = Options {
            patience: Duration::from_secs(2),
            silent_after: chrono::TimeDelta::hours(1),
        };
        let mut field = Field::new(&site, &dial, options).unwrap();
        let mut measured = std::collections::BTreeMap::new();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            for m in field.scan(clock.now()).await.measurements {
                if let Some(v) = m.reading.usable() {
                    measured.insert((m.component.as_str().to_owned(), m.quantity), v);
                }
            }
        }
        let of = |c: &str, q| measured.get(&(c.to_owned(), q)).copied();
        let (pv, battery) = (of("pv", ActivePower), of("battery", ActivePower));
        assert!(pv.is_some_and(|kw| kw < -0.3), "{name}: PV at noon {pv:?}");
        assert!(
            battery.is_some() && of("battery", StateOfCharge).is_some_and(|s| (0.05..=1.0).contains(&s)),
            "{name}: {measured:?}"
        );
        let truth = |c: &str| {
            world
                .lock()
                .unwrap()
                .read(&madang::site::Id::new(c), ActivePower)
                .unwrap()
        };
        for (component, kw) in [("pv", pv), ("battery", battery)] {
            let (kw, truth) = (kw.unwrap(), truth(component));
            assert!(
                (kw - truth).abs() < 0.3 + 0.1 * truth.abs(),
                "{name}: {component} {kw} instead of {truth}"
            );
        }
    }
    assert!(tried >= 7, "{tried} hybrids");
}
