//! `bench live`: what a running controller costs: start to first cycle, memory, share of a core. Two processes of this very
//! program over loopback sockets: the twin's devices of a site, and `run` against them.

use super::{BAD, DONE};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Cycles are left to settle, then watched.
const SETTLE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(20);
/// What a controller of twelve chargers may cost (README).
const START_S: f64 = 2.0;
const MEMORY_MB: f64 = 40.0;
const CORE_PERCENT: f64 = 5.0;

/// Measures one site; status 1 if a target is missed.
pub fn live(site: &str, as_json: bool) -> Result<u8, u8> {
    let measured = measure(site).map_err(|why| {
        eprintln!("{why}");
        BAD
    })?;
    let ok = measured.start_s <= START_S && measured.memory_mb <= MEMORY_MB && measured.core_percent <= CORE_PERCENT;
    if as_json {
        let row = json!({"site": site, "start_s": measured.start_s, "memory_mb": measured.memory_mb,
            "core_percent": measured.core_percent, "cycles": measured.cycles, "ok": ok});
        println!("{}", json!({ "live": row }));
    } else {
        let row = |what: &str, value: f64, unit: &str, target: f64| {
            println!(
                "{what:<28}{value:>9.2} {unit:<4} target {target:>5} {unit:<4} ratio {:.2}",
                value / target
            );
        };
        println!("{site}, {} cycles of 1 s watched", measured.cycles);
        row("start to first cycle", measured.start_s, "s", START_S);
        row("resident memory", measured.memory_mb, "MB", MEMORY_MB);
        row("share of a core", measured.core_percent, "%", CORE_PERCENT);
    }
    Ok(if ok { DONE } else { BAD })
}

struct Measured {
    start_s: f64,
    memory_mb: f64,
    core_percent: f64,
    cycles: u64,
}

/// A process that ends with the measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn measure(site: &str) -> Result<Measured, String> {
    let folder = std::env::temp_dir().join(format!("madang-bench-{}", std::process::id()));
    let result = measure_in(site, &folder);
    if let Err(why) = std::fs::remove_dir_all(&folder) {
        tracing::debug!("{} stays: {why}", folder.display());
    }
    result
}

fn measure_in(site: &str, folder: &Path) -> Result<Measured, String> {
    let place = copy_with_free_ports(site, folder)?;
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut twin = start(
        Command::new(&me)
            .arg("twin")
            .arg(&place)
            .arg("--json")
            .stdout(Stdio::piped()),
    )?;
    let out = twin.0.stdout.take().ok_or("the twin has no output")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
    let port = free_port()?;
    let begun = Instant::now();
    let mut command = Command::new(&me);
    command
        .arg("run")
        .arg(&place)
        .arg("--state")
        .arg(folder.join("state"))
        .args(["--port", &port.to_string()]);
    let controller = start(command.stdout(Stdio::null()))?;
    let first = first_cycle(port, begun)?;
    std::thread::sleep(SETTLE);
    let (cpu, cycles) = (cpu_s(controller.0.id())?, cycles(port)?);
    let watched = Instant::now();
    std::thread::sleep(WATCH);
    let used = cpu_s(controller.0.id())? - cpu;
    Ok(Measured {
        start_s: first.as_secs_f64(),
        memory_mb: memory_mb(controller.0.id())?,
        core_percent: 100.0 * used / watched.elapsed().as_secs_f64(),
        cycles: self::cycles(port)? - cycles,
    })
}

fn start(command: &mut Command) -> Result<Running, String> {
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    command
        .spawn()
        .map(Running)
        .map_err(|e| format!("cannot start {command:?}: {e}"))
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

/// The site in a folder of its own, its devices on ports nobody uses.
fn copy_with_free_ports(site: &str, folder: &Path) -> Result<PathBuf, String> {
    let source = crate::site::source(site).map_err(|e| e.to_string())?;
    let place = folder.join("site");
    std::fs::create_dir_all(&place).map_err(|e| e.to_string())?;
    let mut text = String::new();
    for line in source.text.lines() {
        match line.split_once("127.0.0.1:") {
            Some((head, tail)) => {
                let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit());
                text += &format!("{head}127.0.0.1:{}{rest}\n", free_port()?);
            }
            None => text += &format!("{line}\n"),
        }
    }
    std::fs::write(place.join("site.toml"), text).map_err(|e| e.to_string())?;
    for (name, content) in crate::site::builtin(site).into_iter().flat_map(|s| s.files) {
        std::fs::write(place.join(name), content).map_err(|e| e.to_string())?;
    }
    Ok(place)
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

fn first_cycle(port: u16, begun: Instant) -> Result<Duration, String> {
    while begun.elapsed() < Duration::from_secs(30) {
        if get(port, "/api/v1/now").is_some() {
            return Ok(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("the controller made no cycle in 30 s".into())
}

fn cycles(port: u16) -> Result<u64, String> {
    let text = get(port, "/api/v1/now").ok_or("the controller does not answer any more")?;
    let now: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    now["counts"]["cycles"]
        .as_u64()
        .ok_or_else(|| "the controller does not count cycles".into())
}

/// Resident memory as the kernel counts it.
fn memory_mb(pid: u32) -> Result<f64, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kb: f64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .map_err(|_| "VmRSS is not a number")?;
    Ok(kb / 1024.0)
}

/// User and system time of a process; a clock tick is 10 ms on Linux.
fn cpu_s(pid: u32) -> Result<f64, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| e.to_string())?;
    let (_, fields) = text.rsplit_once(')').ok_or("no stat")?;
    let ticks = |i: usize| fields.split_whitespace().nth(i).and_then(|t| t.parse::<f64>().ok());
    // utime and stime are fields 14 and 15 of stat(5); two stand before the name's end.
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in stat")?;
    Ok((user + system) / 100.0)
}
