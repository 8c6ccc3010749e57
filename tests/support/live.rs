//! The running program against the twin's devices over real sockets.

use super::{Process, eventually, free_port, get};
use madang::cycle::Record;
use madang::journal::{read_segment, segments};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub const MADANG: &str = env!("CARGO_BIN_EXE_madang");

/// A copy of a shipped site whose devices lie on free ports, so that tests run side by side.
pub fn site(name: &str, folder: &Path) -> PathBuf {
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
pub fn twin(site: &Path, extra: &[&str]) -> Process {
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

pub fn controller(site: &Path, state: &Path, port: u16) -> Process {
    let mut command = run_command(site, state, port);
    Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// `madang run`, its output still to be said.
pub fn run_command(site: &Path, state: &Path, port: u16) -> Command {
    let mut command = Command::new(MADANG);
    command
        .arg("run")
        .arg(site)
        .arg("--state")
        .arg(state)
        .args(["--port", &port.to_string()]);
    command
}

pub fn now(port: u16) -> Option<Value> {
    serde_json::from_str(&get(port, "/api/v1/now")?).ok()
}

pub fn rung(port: u16) -> Option<String> {
    Some(now(port)?["rung"].as_str()?.to_owned())
}

pub fn in_control(port: u16) {
    eventually("the controller follows a plan", Duration::from_secs(30), || {
        (rung(port)? == "normal").then_some(())
    });
}

pub fn metric(port: u16, name: &str) -> Option<f64> {
    let text = get(port, "/metrics")?;
    let line = text.lines().find(|l| l.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// All records of a journal, oldest first; none of them torn but for the very end.
pub fn records(state: &Path) -> Vec<Record> {
    let mut all = Vec::new();
    for (_, path) in segments(&state.join("journal")).unwrap() {
        all.extend(read_segment(&path).unwrap().entries.into_iter().map(|e| e.record));
    }
    all
}
