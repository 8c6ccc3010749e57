//! `madang run` against devices that are not ours: a hybrid inverter and a meter behind pymodbus, with offsets from pysunspec2.

use crate::support::{Process, eventually, free_port, get, python};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

const SITE: &str = r#"
schema = "site/1"
name = "peer-plant"
mode = "control"
[location]
latitude = "48.1 deg"
longitude = "11.6 deg"
time_zone = "Europe/Berlin"
country = "DE"
[connection_point]
import_max = "10 kW"
export_max = "6 kW"
phases = 3
voltage = "230 V"
fuse = "35 A"
meter = "grid"
[components.grid]
kind = "meter"
[components.pv]
kind = "pv"
peak = "6 kW"
inverter_max = "6 kW"
tilt = "30 deg"
azimuth = "180 deg"
[components.battery]
kind = "battery"
capacity = "10 kWh"
soc_min = "5 %"
soc_max = "100 %"
charge_max = "5 kW"
discharge_max = "5 kW"
charge_efficiency = "95 %"
discharge_efficiency = "95 %"
[components.home]
kind = "load"
daily = "10 kWh"
shape = "household"
max = "9 kW"
[devices.inverter]
address = "tcp://127.0.0.1:INVERTER"
profile = "sunspec"
components = ["pv", "battery"]
control = true
writes_per_day = 100000
[devices.meter]
address = "tcp://127.0.0.1:METER"
profile = "eastron-sdm630"
components = ["grid"]
identity_confirmed = true
[tariff]
currency = "EUR"
tax = "19 %"
[tariff.import]
kind = "flat"
price = "0.25 EUR/kWh"
[tariff.export]
kind = "flat"
price = "0.07 EUR/kWh"
[timing]
cycle = "1 s"
interval = "15 min"
horizon = "24 h"
"#;

/// Lines the plant has told so far.
type Told = Arc<Mutex<Vec<Value>>>;

fn plant(python: &Path, inverter: u16, meter: u16) -> (Process, Told) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/gen24_plant.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([inverter.to_string(), meter.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process::start(&mut command);
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
    (process, told)
}

fn site(folder: &Path, inverter: u16, meter: u16) -> PathBuf {
    let text = SITE
        .replace("INVERTER", &inverter.to_string())
        .replace("METER", &meter.to_string());
    std::fs::write(folder.join("site.toml"), text).unwrap();
    folder.to_owned()
}

fn state(told: &Told) -> Option<Value> {
    told.lock().unwrap().iter().rev().find_map(|l| l.get("state").cloned())
}

/// Moments and values of the writes to one point.
fn writes(told: &Told, point: &str) -> Vec<(f64, Vec<i64>)> {
    let lines = told.lock().unwrap();
    let of_point = lines.iter().filter(|l| l["point"] == point);
    let values = |l: &Value| {
        l["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_i64().unwrap())
            .collect()
    };
    of_point.map(|l| (l["t"].as_f64().unwrap(), values(l))).collect()
}

fn battery_kw(port: u16) -> Option<f64> {
    let now: Value = serde_json::from_str(&get(port, "/api/v1/now")?).ok()?;
    let battery = now["components"]
        .as_array()?
        .iter()
        .find(|c| c["id"] == "battery")?
        .clone();
    battery["power_kw"].as_f64()
}

#[test]
fn a_foreign_plant_is_read_each_second_planned_for_controlled_refreshed_and_released() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (inverter, meter, port) = (free_port(), free_port(), free_port());
    let (_plant, told) = plant(&python, inverter, meter);
    let site = site(folder.path(), inverter, meter);
    let dir = folder.path().join("state");
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(&site)
        .arg("--state")
        .arg(&dir)
        .args(["--port", &port.to_string()]);
    let mut running = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));

    // It plans, and takes the surplus of 1.4 kW by a setpoint of its own.
    eventually("a plan is made", Duration::from_secs(20), || get(port, "/api/v1/plan"));
    eventually(
        "the plant is told to store its surplus",
        Duration::from_secs(20),
        || {
            let plant = state(&told)?;
            let obeyed = plant["mode"].as_i64()? & 3 != 0 && (plant["battery_w"].as_f64()? - 1400.0).abs() < 150.0;
            obeyed.then_some(())
        },
    );

    // A person's order is shown and obeyed as well: discharging 1 kW, which the plant would never do by itself.
    let mut set = Command::new(MADANG);
    set.arg("set")
        .arg(&site)
        .arg("--state")
        .arg(&dir)
        .args(["override", "battery", "-1 kW", "--for", "10m"]);
    assert!(set.status().unwrap().success());
    eventually(
        "the plant discharges as told and the page shows it",
        Duration::from_secs(10),
        || {
            let watts = state(&told)?["battery_w"].as_f64()?;
            ((watts + 1000.0).abs() < 60.0 && (battery_kw(port)? + 1.0).abs() < 0.06).then_some(())
        },
    );

    // Held steady it is refreshed well before the 60 s after which the device would fall back.
    let held = writes(&told, "124.OutWRte").len();
    let before = state(&told).unwrap()["reads"].clone();
    std::thread::sleep(Duration::from_secs(45));
    let refreshed = writes(&told, "124.OutWRte");
    let gaps: Vec<f64> = refreshed.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(refreshed.len() > held, "no refresh in 45 s");
    assert!(gaps.iter().all(|g| *g <= 30.0), "{gaps:?}");
    assert_eq!(
        refreshed.last().unwrap().1[3],
        60,
        "the reversion time is armed with each write"
    );
    let after = state(&told).unwrap()["reads"].clone();
    let cycles = after["meter"].as_f64().unwrap() - before["meter"].as_f64().unwrap();
    assert!(
        (40.0..110.0).contains(&cycles),
        "the meter was asked {cycles} times in 45 s"
    );

    // The end: released, within five seconds, and the plant is its own master again.
    running.signal("-TERM");
    let status = running.wait(Duration::from_secs(5));
    assert!(status.is_some_and(|s| s.success()), "{status:?}");
    assert_eq!(writes(&told, "124.StorCtl_Mod").last().unwrap().1, [0]);
    eventually("the plant stores its own surplus again", Duration::from_secs(5), || {
        let plant = state(&told)?;
        (plant["mode"] == 0 && plant["battery_w"].as_f64()? > 1300.0).then_some(())
    });
}
