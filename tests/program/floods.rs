//! The page of a controller under a flood: cycles go on, memory and descriptors stay bounded, the owner is served.

use crate::support::{Process, eventually, free_port, get};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Descriptors the controller may open: as few as leave the page a hundred connections.
const DESCRIPTORS: u32 = 256;

struct Demo {
    process: Process,
    port: u16,
    state: tempfile::TempDir,
    /// What it printed so far.
    printed: Arc<Mutex<String>>,
}

impl Demo {
    fn start() -> Self {
        let (port, state) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new("sh");
        let demo = "ulimit -n $1; exec $2 demo --port $3 --state $4";
        command.args([
            "-c",
            demo,
            "sh",
            &DESCRIPTORS.to_string(),
            env!("CARGO_BIN_EXE_madang"),
            &port.to_string(),
        ]);
        command.arg(state.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let printed = Arc::new(Mutex::new(String::new()));
        let (lines, all) = (
            BufReader::new(process.0.stdout.take().unwrap()).lines(),
            printed.clone(),
        );
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|l| *all.lock().unwrap() += &(l + "\n"))
        });
        let demo = Self {
            process,
            port,
            state,
            printed,
        };
        eventually("the demo controls", Duration::from_secs(240), || get(port, "/readyz"));
        demo
    }

    fn now(&self) -> Value {
        serde_json::from_str(&get(self.port, "/api/v1/now").expect("it answers")).unwrap()
    }

    fn cycles(&self) -> u64 {
        self.now()["counts"]["cycles"].as_u64().unwrap()
    }

    /// Open descriptors, and resident memory in kB.
    fn holds(&self) -> (usize, u64) {
        let proc = Path::new("/proc").join(self.process.0.id().to_string());
        let status = std::fs::read_to_string(proc.join("status")).unwrap();
        let memory = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        let kb = memory.trim().trim_end_matches(" kB").parse().unwrap();
        (std::fs::read_dir(proc.join("fd")).unwrap().count(), kb)
    }

    /// Ten seconds under a load: each begun second has its cycle, no link fails, and nothing grows.
    fn withstands(&self, load: &str, mut more: impl FnMut()) {
        let (cycles, (_, memory), begun) = (self.cycles(), self.holds(), Instant::now());
        let mut most = 0;
        while begun.elapsed() < Duration::from_secs(10) {
            more();
            most = most.max(self.holds().0);
            std::thread::sleep(Duration::from_millis(200));
        }
        let seconds = begun.elapsed().as_secs();
        let done = self.cycles() - cycles;
        let grown = self.holds().1.saturating_sub(memory);
        println!("{load}: {done} cycles in {seconds} s, {most} descriptors, {grown} kB more");
        assert!(done + 2 >= seconds, "{load}: {done} cycles in {seconds} s");
        assert!(most < DESCRIPTORS as usize - 40, "{load}: {most} descriptors");
        assert!(grown < 20_000, "{load}: {grown} kB more");
        let now = self.now();
        let offline = now["components"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["device"]["online"] == false);
        assert_eq!((now["rung"].as_str(), offline), (Some("normal"), None), "{load}");
    }
}

fn connect(port: u16, first: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    // It may be closed at once.
    let _closed = stream.write_all(first.as_bytes());
    Some(stream)
}

#[test]
fn control_goes_on_under_floods() {
    let demo = Demo::start();
    let port = demo.port;
    let mut held: Vec<TcpStream> = (0..1_000).filter_map(|_| connect(port, "")).collect();
    demo.withstands("1,000 idle connections", || {
        held.extend((0..50).filter_map(|_| connect(port, "")))
    });
    let head = "GET /api/v1/now HTTP/1.1\r\nHost: localhost\r\n";
    held = (0..500).filter_map(|_| connect(port, head)).collect();
    demo.withstands("500 heads that do not end", || {
        for stream in &mut held {
            let _closed = stream.write_all(b"X-a: b\r\n");
        }
    });
    let live = "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    held = (0..1_000).filter_map(|_| connect(port, live)).collect();
    demo.withstands("1,000 live streams nobody reads", || {
        held.extend((0..20).filter_map(|_| connect(port, live)))
    });
    drop(held);
    let why = "GET /api/v1/why?component=battery HTTP/1.0\r\nHost: localhost\r\n\r\n";
    demo.withstands("alternatives, 100 at a time", || {
        let mut asked: Vec<TcpStream> = (0..100).filter_map(|_| connect(port, why)).collect();
        for stream in &mut asked {
            let mut answer = Vec::new();
            let _refused = stream.read_to_end(&mut answer);
        }
    });
}

#[test]
fn the_token_stands_in_one_file_and_nobody_else_reads_the_state() {
    let demo = Demo::start();
    let access = demo.state.path().join("api.json");
    let access: Value = serde_json::from_str(&std::fs::read_to_string(access).unwrap()).unwrap();
    let token = access["token"].as_str().unwrap().to_owned();
    assert!(access["page"].as_str().unwrap().contains(&token), "{access}");

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(demo.state.path()), 0o700);
    let mut folders = vec![demo.state.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
            assert_eq!(mode(&file) & 0o077, 0, "{} is open to others", file.display());
            if file.is_dir() {
                folders.push(file);
            }
        }
    }

    // What it printed tells where the token stands, and a command line that reaches it as it is.
    let printed = demo.printed.lock().unwrap().clone();
    assert!(printed.contains("api.json") && !printed.contains(&token), "{printed}");
    let line = printed
        .lines()
        .find_map(|l| l.strip_prefix("say "))
        .unwrap_or_else(|| panic!("{printed}"));
    let programs = Path::new(env!("CARGO_BIN_EXE_madang")).parent().unwrap();
    let mut shell = Command::new("/bin/sh");
    let out = shell.args(["-c", line.trim()]).env("PATH", programs).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    eventually("it observes", Duration::from_secs(10), || {
        (demo.now()["mode"] == "observe").then_some(())
    });
}
