//! Telemetry against real servers: what arrives, under which name, and what an outage costs.

use crate::support::{encode, eventually, free_port, get, program, victoria};
use chrono::TimeDelta;
use madang::cycle::Sample;
use madang::history::{Historian, History};
use madang::site::{Id, InfluxConfig};
use madang::telemetry::{Metrics, Sink, Status};
use madang::time::Timestamp;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn samples(i: i64) -> Vec<Sample> {
    let sample = |kind, field, component: Option<&str>, value| Sample {
        kind,
        field,
        component: component.map(Id::new),
        value,
    };
    vec![
        sample("battery", "active_power_watts", Some("battery"), i as f64),
        sample("grid", "energy_import_watthours_total", Some("meter"), 1e6 + i as f64),
        sample("day", "cost", None, -0.5),
    ]
}

fn start() -> Timestamp {
    let now = chrono::Utc::now() - TimeDelta::hours(2);
    madang::time::floor_to(now, TimeDelta::hours(1))
}

fn config(port: u16) -> InfluxConfig {
    InfluxConfig {
        url: format!("http://127.0.0.1:{port}"),
        org: "home".into(),
        bucket: "madang".into(),
        token_env: None,
    }
}

/// Values of `madang_battery_active_power_watts` in the server, in order of time.
fn stored(port: u16) -> Vec<f64> {
    // Fresh samples are shown after a flush.
    let _flushed = get(port, "/internal/force_flush");
    let selector = encode("madang_battery_active_power_watts{site=\"home\",component=\"battery\"}");
    let body = get(port, &format!("/api/v1/export?match%5B%5D={selector}")).unwrap_or_default();
    let mut pairs: Vec<(i64, f64)> = Vec::new();
    for line in body.lines() {
        let series: serde_json::Value = serde_json::from_str(line).unwrap();
        let list = |key: &str| series[key].as_array().unwrap().clone();
        let values = list("values").into_iter().map(|v| v.as_f64().unwrap());
        pairs.extend(list("timestamps").into_iter().map(|t| t.as_i64().unwrap()).zip(values));
    }
    pairs.sort_by_key(|p| p.0);
    pairs.dedup_by_key(|p| p.0);
    pairs.into_iter().map(|p| p.1).collect()
}

/// Records in real time: what a server may lose counts in its seconds.
fn record(historian: &Historian, from: i64, to: i64) {
    for i in from..to {
        historian.record(chrono::Utc::now(), samples(i));
        std::thread::sleep(Duration::from_millis(40));
    }
}

fn sink(path: &Path, port: u16) -> Sink {
    let feed = Box::new(History::open(path).unwrap());
    Sink::start(&Id::new("home"), &config(port), feed, start() - TimeDelta::hours(1)).unwrap()
}

#[test]
fn every_sample_arrives_although_the_server_is_killed_and_the_controller_restarts() {
    let Some(vm) = program("victoria-metrics") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("history.db"), folder.path().join("vm"));
    let port = free_port();
    let historian = Historian::start(&path, 90, std::sync::Arc::new(|| Ok(()))).unwrap();
    let server = victoria(&vm, &data, port, &[]);
    let first = sink(&path, port);
    record(&historian, 0, 200);
    let some = |n: usize| move || (stored(port).len() >= n).then_some(());
    eventually("the first samples arrive", Duration::from_secs(30), some(50));
    // Killed hard: what it acknowledged in its last seconds is lost, and must be sent again.
    server.signal("-9");
    drop(server);
    record(&historian, 200, 275);
    eventually("the outage is noticed", Duration::from_secs(20), || {
        first.status().trouble
    });
    first.finish();
    let second = sink(&path, port);
    let server = victoria(&vm, &data, port, &[]);
    record(&historian, 275, 300);
    let expected: Vec<f64> = (0..300).map(f64::from).collect();
    eventually("all samples are there", Duration::from_secs(60), some(300));
    assert_eq!(stored(port), expected);
    assert_eq!(second.status().trouble, None);
    second.finish();
    drop(server);
}

#[test]
fn the_metrics_text_satisfies_promtool() {
    let metrics = Metrics::new(&Id::new("home"));
    metrics.update(samples(7));
    let status = Status {
        lag_s: Some(0.5),
        sent: 12,
        trouble: None,
    };
    let text = metrics.text(&[("influx", status)]);
    let line = "madang_battery_active_power_watts{component=\"battery\",site=\"home\"} 7\n";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("# TYPE madang_grid_energy_import_watthours_total counter\n"),
        "{text}"
    );
    let Some(promtool) = program("promtool") else { return };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = check.wait_with_output().unwrap();
    assert!(out.status.success(), "{}\n{text}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}

#[test]
fn a_url_that_cannot_work_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let _historian = Historian::start(&path, 90, std::sync::Arc::new(|| Ok(()))).unwrap();
    for url in ["https://example.org", "nonsense", "http://"] {
        let config = InfluxConfig {
            url: url.into(),
            ..config(1)
        };
        let feed = Box::new(History::open(&path).unwrap());
        let refused = Sink::start(&Id::new("home"), &config, feed, start()).unwrap_err();
        assert!(refused.contains("telemetry.influx.url"), "{refused}");
    }
}
