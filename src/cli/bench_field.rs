//! `madang bench field`: what the links cost, against a raw ping-pong in C (the limit) and libmodbus in the same run.
//!
//! Client and server share one core, so that the ratios do not depend on where a scheduler puts them. The helpers in C are
//! compiled at bench time; where there is no compiler or no libmodbus the part says "skipped".

use super::c_program::{compile, numbers};
use super::{BAD, DONE};
use crate::field::{Client, Dial, Paced, paced, scan_cost};
use crate::profile::{self, Block, Every, Point, Profile, Table};
use crate::site::{Address, Id, Parity, SerialLine};
use crate::time::{Clock, SystemClock};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RESPONDER: &str = include_str!("bench_field/responder.c");
const PINGPONG: &str = include_str!("bench_field/pingpong.c");
const LIBMODBUS: &str = include_str!("bench_field/libmodbus.c");

const REQUESTS: u32 = 30_000;
const ROUNDS: usize = 5;
const SIZES: [u16; 2] = [10, 125];
const DEVICES: usize = 1000;
const SECONDS: u32 = 5;

/// Targets of the links.
const MOST_OF_LIMIT: f64 = 1.3;
const MOST_CPU: f64 = 15.0;
const MOST_LATE_MS: f64 = 25.0;
const MOST_RSS_MIB: f64 = 32.0;
const MOST_SCAN_REQUESTS: u64 = 2;

pub fn field(as_json: bool) -> Result<u8, u8> {
    let folder = std::env::temp_dir().join(format!("madang-bench-{}", std::process::id()));
    let measured = std::fs::create_dir_all(&folder)
        .map_err(|e| format!("cannot make {}: {e}", folder.display()))
        .and_then(|()| measure(&folder));
    // A temporary folder that stays is no harm.
    let _left = std::fs::remove_dir_all(&folder);
    let parts = measured.map_err(|why| {
        eprintln!("{why}");
        BAD
    })?;
    if as_json {
        println!("{}", json!({"field": parts}));
    } else {
        parts.iter().for_each(show);
    }
    let mut targets = parts.iter().filter_map(|p| p["targets"].as_array()).flatten();
    let missed = targets.any(|t| t["holds"] == json!(false));
    Ok(if missed { BAD } else { DONE })
}

fn measure(folder: &Path) -> Result<Vec<Value>, String> {
    let mut parts = Vec::new();
    match compile(folder, "responder", RESPONDER, &[]) {
        Some(responder) => {
            // Children inherit the core.
            stay_on_one_core();
            raise_file_limit();
            let tools = Tools {
                pingpong: compile(folder, "pingpong", PINGPONG, &[]),
                libmodbus: compile(folder, "libmodbus", LIBMODBUS, &["-I/usr/include/modbus", "-lmodbus"]),
            };
            let many = Server::start(&responder, DEVICES)?;
            for registers in SIZES {
                parts.push(per_request(&tools, many.port, registers)?);
            }
            parts.push(many_devices(many.port)?);
        }
        None => parts.push(json!({"part": "requests and devices", "skipped": "there is no C compiler (cc)"})),
    }
    parts.push(serial_scan()?);
    Ok(parts)
}

struct Tools {
    pingpong: Option<PathBuf>,
    libmodbus: Option<PathBuf>,
}

/// The answering process; ends when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(program: &Path, addresses: usize) -> Result<Self, String> {
        let mut command = Command::new(program);
        command
            .arg(addresses.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|e| format!("cannot start the responder: {e}"))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
        }
        let port = line
            .trim()
            .parse()
            .map_err(|_| "the responder does not listen".to_owned())?;
        Ok(Self { child, port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn stay_on_one_core() {
    let mut one = rustix::thread::CpuSet::new();
    if let Ok(now) = rustix::thread::sched_getaffinity(None)
        && let Some(first) = (0..rustix::thread::CpuSet::MAX_CPU).find(|c| now.is_set(*c))
    {
        one.set(first);
        // Where it is not allowed the numbers are only less steady.
        let _free = rustix::thread::sched_setaffinity(None, &one);
    }
}

fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it connections fail, and are counted.
    let _low = setrlimit(Resource::Nofile, limit);
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// Seconds of CPU and of the clock that a C client prints.
fn run_c(program: &Path, port: u16, registers: u16) -> Result<(f64, f64), String> {
    let args = [port.to_string(), registers.to_string(), REQUESTS.to_string()];
    numbers(program, &args).map(|[cpu, wall]| (cpu, wall))
}

fn run_ours(port: u16, registers: u16) -> Result<(f64, f64), String> {
    runtime()?.block_on(async {
        let link = many_blocks()?.link;
        let address = Address::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        let mut client = Client::new(Dial::Sockets, Id::new("bench"), address, link);
        let ask = |e: crate::field::WireError| e.to_string();
        client.read(1, Table::Holding, 0, registers).await.map_err(ask)?;
        let (begun, used) = (Instant::now(), cpu());
        for _ in 0..REQUESTS {
            client.read(1, Table::Holding, 0, registers).await.map_err(ask)?;
        }
        Ok((cpu() - used, begun.elapsed().as_secs_f64()))
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|e| format!("cannot start the runtime: {e}"))
}

/// Best of several rounds each, taken in turn: on a shared machine the least disturbed round is the cost.
fn per_request(tools: &Tools, port: u16, registers: u16) -> Result<Value, String> {
    let (mut ours, mut limit, mut libmodbus) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (tool, into) in [(&tools.pingpong, &mut limit), (&tools.libmodbus, &mut libmodbus)] {
            if let Some(program) = tool {
                into.push(run_c(program, port, registers)?);
            }
        }
        ours.push(run_ours(port, registers)?);
    }
    let micros = |runs: &[(f64, f64)]| best(runs.iter().map(|r| r.0 / f64::from(REQUESTS) * 1e6));
    let rate =
        |runs: &[(f64, f64)]| best(runs.iter().map(|r| r.1)).map(|s| f64::from(REQUESTS) * f64::from(registers) / s);
    let shown = |runs: &[(f64, f64)]| match (micros(runs), rate(runs)) {
        (Some(us), Some(rate)) => json!({"cpu_us": round(us), "registers_per_s": rate.round()}),
        _ => json!("skipped"),
    };
    let of_limit = micros(&ours).zip(micros(&limit)).map(|(a, b)| a / b);
    let of_libmodbus = micros(&ours).zip(micros(&libmodbus)).map(|(a, b)| a / b);
    Ok(json!({
        "part": format!("{registers} registers a request"), "requests": REQUESTS,
        "ours": shown(&ours), "limit": shown(&limit), "libmodbus": shown(&libmodbus),
        "of_limit": of_limit.map(round), "of_libmodbus": of_libmodbus.map(round),
        "targets": [
            target(format!("CPU per request at most {MOST_OF_LIMIT} × the raw C ping-pong"), of_limit.map(|r| r <= MOST_OF_LIMIT)),
            target("less CPU per request than libmodbus".into(), of_libmodbus.map(|r| r < 1.0)),
        ],
    }))
}

/// What is aimed at, and whether it holds; nothing where the machine lacks what it is measured against.
fn target(what: String, holds: Option<bool>) -> Value {
    json!({"what": what, "holds": holds})
}

fn best(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

/// A meter whose map takes four block reads of 60 registers, five points in each.
fn many_blocks() -> Result<Profile, String> {
    let mut p = profile::builtin("eastron-sdm630").ok_or("there is no profile eastron-sdm630")?;
    let (Some(block), Some(point)) = (p.blocks.first().cloned(), p.points.first().cloned()) else {
        return Err("profile eastron-sdm630 reads nothing".into());
    };
    let blocks = (0..4).map(|b| Block {
        name: format!("b{b}"),
        addr: b * 100,
        count: 60,
        every: Every::Fast,
        ..block.clone()
    });
    let points = (0..20).map(|i| Point {
        name: format!("voltage_{i}"),
        addr: i / 5 * 100 + i % 5 * 12,
        ..point.clone()
    });
    (p.blocks, p.points) = (blocks.collect(), points.collect());
    p.identify.clear();
    Ok(p)
}

fn many_devices(port: u16) -> Result<Value, String> {
    let profile = many_blocks()?;
    let host = |i: usize| std::net::Ipv4Addr::from(0x7F00_0001 + i as u32).to_string();
    let addresses: Vec<Address> = (0..DEVICES).map(|i| Address::Tcp { host: host(i), port }).collect();
    let before = resident_mib()?;
    let mut begun = (Instant::now(), cpu());
    let run = runtime()?.block_on(paced(
        &addresses,
        &profile,
        Duration::from_secs(1),
        SECONDS,
        SystemClock.now(),
        || begun = (Instant::now(), cpu()),
    ));
    let share = 100.0 * (cpu() - begun.1) / begun.0.elapsed().as_secs_f64();
    let Paced { mut late_ms, failed } = run;
    late_ms.sort_by(f64::total_cmp);
    let at = |q: f64| {
        late_ms
            .get(((late_ms.len() as f64 * q) as usize).min(late_ms.len().saturating_sub(1)))
            .copied()
    };
    let (p50, p99) = at(0.5).zip(at(0.99)).ok_or("no device answered")?;
    let rss = resident_mib()?;
    Ok(json!({
        "part": format!("{DEVICES} devices, 4 block reads a second each"), "seconds": SECONDS, "polls": late_ms.len(),
        "failed": failed, "cpu_percent": round(share), "late_p50_ms": round(p50), "late_p99_ms": round(p99),
        "rss_mib": round(rss), "rss_before_mib": round(before),
        "targets": [
            target("every poll brings its values".into(), Some(failed == 0)),
            target(format!("at most {MOST_CPU} % of one core"), Some(share <= MOST_CPU)),
            target(format!("the 99th percentile at most {MOST_LATE_MS} ms late"), Some(p99 <= MOST_LATE_MS)),
            target(format!("the whole process at most {MOST_RSS_MIB} MiB resident"), Some(rss <= MOST_RSS_MIB)),
        ],
    }))
}

/// Resident memory of this process, all of it; the devices live in another.
fn resident_mib() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| format!("no memory figures: {e}"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|k| k / 1024.0).ok_or_else(|| "no memory figures".to_owned())
}

fn serial_scan() -> Result<Value, String> {
    let profile = profile::builtin("eastron-sdm630").ok_or("there is no profile eastron-sdm630")?;
    let line = SerialLine {
        baud: 9600,
        parity: Parity::None,
        stop_bits: 1,
    };
    let cost = runtime()?.block_on(scan_cost(&profile, line, SystemClock.now()))?;
    Ok(json!({
        "part": "SDM630 at 9600 baud, one full scan", "requests": cost.requests, "points": cost.points,
        "wire_ms": round(cost.wire_s * 1e3),
        "targets": [target(format!("at most {MOST_SCAN_REQUESTS} requests"), Some(cost.requests <= MOST_SCAN_REQUESTS))],
    }))
}

fn show(part: &Value) {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    println!("{}", text(&part["part"]));
    for (key, value) in part.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("part" | "targets", _) => {}
            (_, Value::Object(inner)) => {
                let inner: Vec<_> = inner.iter().map(|(k, v)| format!("{k} {v}")).collect();
                println!("  {key:<16}{}", inner.join(", "));
            }
            _ => println!("  {key:<16}{}", text(value)),
        }
    }
    for t in part["targets"].as_array().into_iter().flatten() {
        let word = match t["holds"].as_bool() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "skipped",
        };
        println!("  {word:<9}{}", text(&t["what"]));
    }
}
