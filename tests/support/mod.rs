//! What integration tests share: other programs, their processes, small HTTP.
#![allow(dead_code)] // each test binary uses a part of it

pub mod day;
pub mod eastron;
pub mod korean;
pub mod live;
pub mod meter;
pub mod papers;
pub mod saying;
pub mod server;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A program of this machine; without it the test is skipped, saying so, unless `MADANG_REQUIRE_PEERS` is set.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("MADANG_REQUIRE_PEERS").is_none(),
            "`{name}` is required and not installed"
        );
        println!("skipped: `{name}` is not installed");
    }
    found
}

/// Real series and cases beside the project; absent on a user's machine.
pub fn shared(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MADANG_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = root.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A child process that ends with the test.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null());
        Self(
            command
                .spawn()
                .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}")),
        )
    }
    pub fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
    /// Exit status, or `None` if it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<std::process::ExitStatus> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A port nobody listens on: below those that the system gives to outgoing connections, and never the same one twice in
/// this process, so that it is still free when a server comes to bind it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = (std::process::id() % 80) as u16 * 150;
    loop {
        let port = 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `ready` gives something, and panics with `what` if it never does.
pub fn eventually<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One HTTP/1.0 exchange on loopback: status and body; `None` where nobody answers.
pub fn http(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

pub fn get(port: u16, path: &str) -> Option<String> {
    http(port, "GET", path, "", "")
        .filter(|(status, _)| *status == 200)
        .map(|(_, body)| body)
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// Debian's VictoriaMetrics on a free port.
pub fn victoria(program: &std::path::Path, folder: &std::path::Path, port: u16, extra: &[String]) -> Process {
    let mut command = Command::new(program);
    command
        .arg(format!("-storageDataPath={}", folder.display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args([
            "-retentionPeriod=10y",
            "-search.latencyOffset=0s",
            "-dedup.minScrapeInterval=1ms",
        ])
        .args(extra)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let process = Process::start(&mut command);
    eventually("VictoriaMetrics listens", Duration::from_secs(20), || {
        get(port, "/health")
    });
    process
}

/// The Python of the foreign peers, with what they need installed (`.ci/run` makes it).
pub fn python() -> Option<PathBuf> {
    let told = std::env::var_os("MADANG_PYTHON").map(PathBuf::from);
    let python = told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"));
    let import = Command::new(&python)
        .args(["-c", "import pymodbus, sunspec2"])
        .stderr(Stdio::null())
        .status();
    if import.is_ok_and(|s| s.success()) {
        return Some(python);
    }
    assert!(
        std::env::var_os("MADANG_REQUIRE_PEERS").is_none(),
        "{} with pymodbus and pysunspec2 is required",
        python.display()
    );
    println!(
        "skipped: {} with pymodbus and pysunspec2 is not there",
        python.display()
    );
    None
}
