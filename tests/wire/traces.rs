//! Recorded traffic as fixtures: every tests/traces/*.jsonl is replayed as a Modbus server and read by its profile; what is read
//! must be what stands beside it. Adding a trace (madang record) adds no code.

use crate::support::Process;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MADANG: &str = env!("CARGO_BIN_EXE_madang");

fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut traces: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    traces.sort();
    traces
}

fn replay(trace: &Path) -> (Process, String) {
    let mut command = Command::new(MADANG);
    command.arg("twin").arg("--trace").arg(trace).arg("--json");
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let devices: Value = serde_json::from_str(&line).unwrap();
    (process, devices["devices"][0]["address"].as_str().unwrap().to_owned())
}

fn read(address: &str, profile: &str, unit: u64) -> Value {
    let unit = unit.to_string();
    let out = Command::new(MADANG)
        .args(["read", address, "--profile", profile, "--unit", &unit, "--json"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn same(ours: &Value, expected: &Value) -> bool {
    match (ours.as_f64(), expected.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 + 1e-9 * b.abs(),
        _ => ours == expected,
    }
}

#[test]
fn every_recorded_device_is_read_as_it_was() {
    let all = traces();
    assert!(all.len() >= 2, "there are {} traces", all.len());
    for trace in all {
        let beside = trace.with_extension("expected.json");
        let text = std::fs::read_to_string(&beside).unwrap_or_else(|e| panic!("{}: {e}", beside.display()));
        let expected: Value = serde_json::from_str(&text).unwrap();
        let (_server, address) = replay(&trace);
        let profile = expected["profile"].as_str().unwrap();
        let ours = read(&address, profile, expected["unit_id"].as_u64().unwrap());
        let name = trace.file_name().unwrap().to_string_lossy().into_owned();
        for (key, value) in expected["identity"].as_object().unwrap() {
            assert_eq!(&ours["identity"][key], value, "{name}: {key}");
        }
        let points = ours["points"].as_array().unwrap();
        let wanted = expected["points"].as_object().unwrap();
        assert!(wanted.len() >= 5, "{name} has {} points", wanted.len());
        for (point, told) in wanted {
            let found = points
                .iter()
                .find(|p| p["name"] == *point)
                .unwrap_or_else(|| panic!("{name}: no {point}"));
            for key in ["value", "unit", "quality"] {
                assert!(
                    same(&found[key], &told[key]),
                    "{name}: {point} {key} is {} instead of {}",
                    found[key],
                    told[key]
                );
            }
        }
    }
}
