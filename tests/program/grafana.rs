//! The dashboards and alert rules: each query names only what the controller makes, and returns data on real servers.

use crate::support::{Process, encode, eventually, free_port, get, http, program, victoria};
use chrono::{TimeDelta, TimeZone, Utc};
use madang::backtest::{RunSpec, run_watched};
use madang::cycle::samples;
use madang::model::Policy;
use madang::telemetry::Metrics;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const SITES: [&str; 3] = ["home-amsterdam", "apartment-seoul", "island-microgrid"];

fn grafana() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = grafana().join("dashboards");
    let files = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
    let mut all: Vec<(String, Value)> = files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                serde_json::from_str(&text).unwrap(),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Panels with queries, rows left out.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let list = dashboard["panels"].as_array().unwrap();
    list.iter().filter(|p| p["type"] != "row").collect()
}

/// `dashboard/panel` and query.
fn queries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, dashboard) in &dashboards() {
        for panel in panels(dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{name}/{}", panel["title"].as_str().unwrap());
                all.push((place, target["expr"].as_str().unwrap().to_owned()));
            }
        }
    }
    all
}

/// Every `madang_…` name in a query.
fn names(query: &str) -> BTreeSet<String> {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("madang_"))
        .map(str::to_owned)
        .collect()
}

/// Names of all metrics that a day of the shipped sites gives.
fn made() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in SITES {
        let site = Arc::new(madang::site::builtin(name).unwrap());
        let spec = RunSpec {
            site: site.clone(),
            policy: Policy::Plan,
            seed: 1,
            start: Utc.with_ymd_and_hms(2026, 5, 11, 22, 0, 0).unwrap(),
            days: 1,
            cycle: TimeDelta::minutes(1),
            wire: true,
            faults: Vec::new(),
        };
        let texts = RefCell::new(BTreeSet::new());
        let watch = |report: &madang::cycle::CycleReport| {
            texts
                .borrow_mut()
                .extend(samples(&site.plant, report).iter().map(|s| s.metric()));
        };
        run_watched(&spec, &watch).unwrap();
        all.extend(texts.into_inner());
        let text = Metrics::new(&site.plant.name).text(&[]);
        let lines = text.lines().filter_map(|l| l.strip_prefix("# TYPE "));
        all.extend(lines.filter_map(|l| l.split(' ').next()).map(str::to_owned));
    }
    all
}

#[test]
fn every_query_names_only_metrics_that_the_controller_makes() {
    let made = made();
    let mut unknown = Vec::new();
    let alerts = std::fs::read_to_string(grafana().join("alerts/madang.yaml")).unwrap();
    let rules = alerts.lines().filter_map(|l| l.trim().strip_prefix("expr: "));
    let rules = rules.map(|expr| ("alerts".to_owned(), expr.to_owned()));
    for (place, query) in queries().into_iter().chain(rules) {
        for name in names(&query).difference(&made) {
            unknown.push(format!("{place}: {name}"));
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}\nknown: {made:#?}");
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit() {
    for (name, dashboard) in &dashboards() {
        let variables: Vec<&str> = dashboard["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        assert_eq!(variables, ["datasource", "site"], "{name}");
        assert_eq!(dashboard["editable"], false, "{name}");
        let mut ids = BTreeSet::new();
        for panel in panels(dashboard) {
            let title = panel["title"].as_str().unwrap();
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{name}/{title}: number used twice"
            );
            assert!(
                panel["description"].as_str().unwrap().len() > 15,
                "{name}/{title}: no description"
            );
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty());
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}/{title}");
            for target in panel["targets"].as_array().unwrap() {
                let query = target["expr"].as_str().unwrap();
                assert!(query.contains("site=\"$site\""), "{name}/{title}: every site at once");
                assert!(!target["legendFormat"].as_str().unwrap().is_empty(), "{name}/{title}");
            }
        }
    }
}

#[test]
fn promtool_accepts_the_alert_rules_and_their_tests() {
    let Some(promtool) = program("promtool") else { return };
    for args in [["check", "rules", "madang.yaml"], ["test", "rules", "test.yaml"]] {
        let said = Command::new(&promtool)
            .args(args)
            .current_dir(grafana().join("alerts"))
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

/// A live demo of a site; the PV is told a limit, so that the series of limits exists at any time of day.
fn demo(site: &str, folder: &Path) -> (Process, u16) {
    let (port, state) = (free_port(), folder.join(site));
    let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
    command
        .args(["demo", "--site", site, "--port", &port.to_string(), "--state"])
        .arg(&state)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::start(&mut command);
    eventually("the demo controls", Duration::from_secs(240), || get(port, "/readyz"));
    let access = std::fs::read_to_string(state.join("api.json")).unwrap();
    let access: Value = serde_json::from_str(&access).unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", access["token"].as_str().unwrap());
    let body = r#"{"component":"pv","value":"2 kW","for_minutes":60}"#;
    let answer = http(port, "POST", "/api/v1/override", &headers, body);
    assert_eq!(answer.as_ref().map(|a| a.0), Some(200), "{answer:?}");
    (process, port)
}

fn scrape_config(folder: &Path, ports: &[u16]) -> PathBuf {
    let targets: Vec<String> = ports.iter().map(|p| format!("\"127.0.0.1:{p}\"")).collect();
    let text = format!(
        "scrape_configs:\n- job_name: madang\n  scrape_interval: 1s\n  static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    let path = folder.join("scrape.yml");
    std::fs::write(&path, text).unwrap();
    path
}

fn prometheus(program: &Path, config: &Path, folder: &Path) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    (Process::start(&mut command), port)
}

/// Number of series that a query gives now; a message where it is refused.
fn series(port: u16, query: &str) -> Result<usize, String> {
    let path = format!("/api/v1/query?query={}", encode(query));
    let (status, body) = http(port, "GET", &path, "", "").ok_or("no answer")?;
    if status != 200 {
        return Err(body);
    }
    let answer: Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    Ok(answer["data"]["result"].as_array().map_or(0, Vec::len))
}

/// Runs every query for every site; each must give data for at least one of them.
fn check_queries(server: &str, port: u16) {
    let mut empty = Vec::new();
    for (place, query) in queries() {
        let mut found = 0;
        for site in SITES {
            let query = query.replace("$site", site).replace("$__rate_interval", "30s");
            found += series(port, &query).unwrap_or_else(|why| panic!("{server}: {place}: {query}: {why}"));
        }
        if found == 0 {
            empty.push(format!("{place}: {query}"));
        }
    }
    assert!(empty.is_empty(), "{server} has nothing for {empty:#?}");
}

#[test]
fn every_query_returns_data_on_prometheus_and_on_victoriametrics() {
    let (Some(vm), Some(prom)) = (program("victoria-metrics"), program("prometheus")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let demos: Vec<(Process, u16)> = SITES.iter().map(|site| demo(site, folder.path())).collect();
    let ports: Vec<u16> = demos.iter().map(|d| d.1).collect();
    let config = scrape_config(folder.path(), &ports);
    let (_prometheus, prom_port) = prometheus(&prom, &config, folder.path());
    let vm_port = free_port();
    let extra = [format!("-promscrape.config={}", config.display())];
    let _victoria = victoria(&vm, &folder.path().join("vm"), vm_port, &extra);
    for port in [prom_port, vm_port] {
        eventually("all demos are scraped several times", Duration::from_secs(60), || {
            let query = "count(count_over_time(madang_cycle_done_total[30s]) > 5)";
            let path = format!("/api/v1/query?query={}", encode(query));
            let answer: Value = serde_json::from_str(&get(port, &path)?).ok()?;
            (answer["data"]["result"][0]["value"][1] == "3").then_some(())
        });
    }
    check_queries("Prometheus", prom_port);
    check_queries("VictoriaMetrics", vm_port);
}
