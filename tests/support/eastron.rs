//! A foreign Eastron meter (`tests/peers/eastron.py`), and what `madang` must find of it by any way in.

use super::{Process, eventually};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// The server: `["serial", port]` or `["tls", folder, port]`.
pub fn serve<A: AsRef<OsStr>>(python: &Path, way: &[A]) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/eastron.py");
    let mut server = Command::new(python);
    server.arg(script).args(way);
    Process::start(server.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Read in two requests, with the right values, once it answers. `madang` runs a command and adds address and the like.
pub fn is_read(madang: impl Fn(&[&str]) -> Output) {
    let read = ["read", "--profile", "eastron-sdm630", "--json"];
    let report: Value = eventually("the meter answers", Duration::from_secs(20), || {
        serde_json::from_slice(&madang(&read).stdout).ok()
    });
    let value = |name: &str| {
        let points = report["points"].as_array().unwrap();
        let point = points.iter().find(|p| p["name"] == name).unwrap();
        point["value"].as_f64().unwrap()
    };
    for (name, expected) in [("active_power", 1.234), ("voltage_l1", 231.5), ("frequency", 49.98)] {
        assert!((value(name) - expected).abs() < 1e-4, "{name}: {report}");
    }
    assert_eq!(report["requests"], 2);
}

/// Found by a scan as what it is; the proposed fragment.
pub fn is_found(madang: impl Fn(&[&str]) -> Output, units: &str) -> String {
    let profiles = "eastron-sdm630,eastron-sdm120";
    let out = madang(&[
        "scan",
        "--units",
        units,
        "--pace",
        "5 ms",
        "--profiles",
        profiles,
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let first = &report["found"][0];
    assert_eq!(
        (out.status.code(), &first["unit_id"], &first["profile"]),
        (Some(0), &1.into(), &"eastron-sdm630".into()),
        "{report}"
    );
    report["site_toml"].as_str().unwrap_or_default().to_owned()
}
