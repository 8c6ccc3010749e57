//! Modbus RTU: faults of a serial line over a real socket, and a foreign slave on a pseudo terminal.
//!
//! Without transaction ids a late answer looks like the next one. The meter's power changes with every cycle, so that an old
//! answer taken for a new one shows.

mod support;

use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Dial, Field, Options};
use madang::model::Quantity;
use madang::site::{Address, Id, Site, builtin};
use madang::time::Timestamp;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Each answer comes after the patience, in order.
    Late,
    /// The first answer is held back until the next request: off by one for ever for a naive client.
    OffByOne,
    BrokenChecksum,
    WrongUnit,
    WrongFunction,
    FewerRegisters,
    MoreRegisters,
    NoiseBefore,
    NoiseAlone,
    Echo,
    Duplicate,
    Busy,
    Refused,
    Silent,
    HalfThenNothing,
    ByteByByte,
    Closed,
}

const FAULTS: [Fault; 17] = [
    Fault::Late,
    Fault::OffByOne,
    Fault::BrokenChecksum,
    Fault::WrongUnit,
    Fault::WrongFunction,
    Fault::FewerRegisters,
    Fault::MoreRegisters,
    Fault::NoiseBefore,
    Fault::NoiseAlone,
    Fault::Echo,
    Fault::Duplicate,
    Fault::Busy,
    Fault::Refused,
    Fault::Silent,
    Fault::HalfThenNothing,
    Fault::ByteByByte,
    Fault::Closed,
];

fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0xFFFFu16;
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xA001 } else { sum >> 1 };
        }
    }
    sum.to_le_bytes()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    all.extend(crc(bytes));
    all
}

struct Meter {
    fault: Fault,
    active: AtomicBool,
    watts: AtomicU32,
}

impl Meter {
    /// f32 zero everywhere but the power at register 52, as an Eastron meter shows it.
    fn answer(&self, unit: u8, function: u8, addr: u16, count: u16) -> Vec<u8> {
        let watts = (self.watts.load(Ordering::SeqCst) as f32).to_be_bytes();
        let mut data = vec![0; usize::from(count) * 2];
        if (addr..addr + count).contains(&52) && addr + count > 53 {
            let at = usize::from(52 - addr) * 2;
            data[at..at + 4].copy_from_slice(&watts);
        }
        let mut all = vec![unit, function, data.len() as u8];
        all.extend(data);
        framed(&all)
    }
}

async fn serve(meter: Arc<Meter>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut held: Option<Vec<u8>> = None;
    loop {
        let mut request = [0u8; 8];
        stream.read_exact(&mut request).await?;
        assert_eq!(crc(&request[..6]), request[6..], "a request with a broken checksum");
        let (unit, function) = (request[0], request[1]);
        let addr = u16::from_be_bytes([request[2], request[3]]);
        let count = u16::from_be_bytes([request[4], request[5]]);
        let right = meter.answer(unit, function, addr, count);
        if !meter.active.load(Ordering::SeqCst) {
            stream.write_all(&right).await?;
            continue;
        }
        let bytes = match meter.fault {
            Fault::Late => {
                tokio::time::sleep(Duration::from_millis(1_250)).await;
                right
            }
            Fault::OffByOne => match held.replace(right) {
                Some(old) => old,
                None => continue,
            },
            Fault::BrokenChecksum => {
                let mut broken = right;
                broken[7] ^= 0x10;
                broken
            }
            Fault::WrongUnit => meter.answer(unit ^ 7, function, addr, count),
            Fault::WrongFunction => meter.answer(unit, function ^ 7, addr, count),
            Fault::FewerRegisters => meter.answer(unit, function, addr, count.saturating_sub(2).max(1)),
            Fault::MoreRegisters => meter.answer(unit, function, addr, count + 2),
            Fault::NoiseBefore => [&[0xFF, unit, function, 0x55][..], &right].concat(),
            Fault::NoiseAlone => vec![0x55; 40],
            Fault::Echo => [&request[..], &right].concat(),
            Fault::Duplicate => [&right[..], &right].concat(),
            Fault::Busy => framed(&[unit, function | 0x80, 6]),
            Fault::Refused => framed(&[unit, function | 0x80, 4]),
            Fault::Silent => continue,
            Fault::HalfThenNothing => right[..right.len() / 2].to_vec(),
            Fault::ByteByByte => {
                for byte in right {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                }
                continue;
            }
            Fault::Closed => return Ok(()),
        };
        stream.write_all(&bytes).await?;
    }
}

/// A shipped home reduced to its meter at `address`.
fn site_of(address: &str) -> Site {
    let mut site = builtin("home-amsterdam").unwrap();
    site.wiring.devices.retain(|id, _| id.as_str() == "meter");
    let d = site.wiring.devices.get_mut("meter").unwrap();
    d.address = Address::parse(address).unwrap();
    d.profile = "eastron-sdm630".into();
    site
}

fn start() -> Timestamp {
    "2026-05-12T00:00:00Z".parse().unwrap()
}

const CYCLE: Duration = Duration::from_millis(120);

async fn check(fault: Fault) {
    let meter = Arc::new(Meter {
        fault,
        active: AtomicBool::new(false),
        watts: AtomicU32::new(1000),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = meter.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The other side going away ends one connection only.
            tokio::spawn(serve(served.clone(), stream));
        }
    });
    let options = Options {
        patience: Duration::from_millis(60),
        silent_after: TimeDelta::seconds(2),
    };
    let site = site_of(&format!("rtu+tcp://127.0.0.1:{port}"));
    let mut field = Field::new(&site, &Dial::Sockets, options).unwrap();
    let grid = Id::new("grid");
    let (mut seen_good, mut recovered) = (false, None);
    for cycle in 0..260i32 {
        meter.active.store((15..30).contains(&cycle), Ordering::SeqCst);
        meter.watts.store(1000 + 10 * cycle as u32, Ordering::SeqCst);
        let scan = field.scan(start() + TimeDelta::seconds(i64::from(cycle))).await;
        let of_grid = |m: &&madang::model::Measurement| m.component == grid && m.quantity == Quantity::ActivePower;
        let shown = scan.measurements.iter().find(of_grid);
        if let Some((kw, at)) = shown.and_then(|m| Some((m.reading.usable()?, m.reading.at()))) {
            let read_at = (at - start()).num_seconds() as i32;
            let shows = ((kw * 1e3 - 1000.0) / 10.0).round() as i32;
            assert!(
                (read_at..=cycle).contains(&shows),
                "{fault:?}: cycle {cycle} shows {kw} kW, the value of cycle {shows}, as read in cycle {read_at}"
            );
            seen_good |= cycle < 15 && read_at == cycle;
            // Some fresh values in a row: an answer that is one behind would show.
            if cycle >= 30 && read_at == cycle {
                recovered = recovered.or(Some(cycle));
            }
            if recovered.is_some_and(|r| cycle > r + 5) {
                break;
            }
        }
        tokio::time::sleep(CYCLE).await;
    }
    assert!(seen_good, "{fault:?}: it never worked");
    let recovered = recovered.unwrap_or_else(|| panic!("{fault:?}: no fresh value after the fault"));
    println!("{fault:?}: fresh again after {} cycles", recovered - 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_a_line_without_ids_brings_a_wrong_value_and_each_is_recovered_from() {
    let mut running = tokio::task::JoinSet::new();
    for fault in FAULTS {
        running.spawn(check(fault));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

/// pymodbus as an Eastron meter, unit 1, on a serial port.
const SLAVE: &str = r#"
import asyncio, struct, sys
from pymodbus.server import StartAsyncSerialServer
from pymodbus.simulator import SimData, SimDevice, DataType
words = [0] * 400
def put(addr, value):
    words[addr:addr + 2] = struct.unpack(">HH", struct.pack(">f", value))
put(0, 231.5); put(52, 1234.0); put(70, 49.98)
async def main():
    device = SimDevice(id=1, simdata=[SimData(address=0, values=words, datatype=DataType.REGISTERS)])
    print("ready", flush=True)
    await StartAsyncSerialServer(device, port=sys.argv[1], baudrate=9600)
asyncio.run(main())
"#;

#[test]
fn a_foreign_slave_on_a_serial_line_is_read_rightly_and_one_that_refuses_everything_is_not_it() {
    let (Some(socat), Some(python)) = (support::program("socat"), support::python()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let end = |name: &str| folder.path().join(name).display().to_string();
    let pty = |name: &str| format!("pty,raw,echo=0,link={}", end(name));
    let _line = support::Process::start(Command::new(socat).args([pty("ours"), pty("theirs")]));
    support::eventually("the line is there", Duration::from_secs(10), || {
        std::path::Path::new(&end("theirs")).exists().then_some(())
    });
    let mut slave = Command::new(python);
    slave
        .args(["-c", SLAVE, &end("theirs")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _slave = support::Process::start(&mut slave);
    let read = |unit: &str| {
        let mut madang = Command::new(env!("CARGO_BIN_EXE_madang"));
        let address = format!("rtu://{}?baud=9600", end("ours"));
        madang.args([
            "read",
            &address,
            "--profile",
            "eastron-sdm630",
            "--unit",
            unit,
            "--json",
        ]);
        madang.output().unwrap()
    };
    let report: serde_json::Value = support::eventually("the slave answers", Duration::from_secs(20), || {
        serde_json::from_slice(&read("1").stdout).ok()
    });
    let value = |name: &str| {
        let points = report["points"].as_array().unwrap();
        let point = points.iter().find(|p| p["name"] == name).unwrap();
        point["value"].as_f64().unwrap()
    };
    assert!((value("active_power") - 1.234).abs() < 1e-6, "{report}");
    assert!((value("voltage_l1") - 231.5).abs() < 1e-4 && (value("frequency") - 49.98).abs() < 1e-4);
    assert_eq!(report["requests"], 2);
    // This slave refuses whatever another unit is asked: a device that shows nothing is not the one meant.
    let other = read("9");
    let why = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(1), "{why}");
    assert!(why.lines().count() == 1 && why.contains("exception"), "{why}");
}

#[test]
fn a_serial_port_that_is_not_there_is_named() {
    let mut madang = Command::new(env!("CARGO_BIN_EXE_madang"));
    let out = madang
        .args(["read", "rtu:///dev/no-such-port", "--profile", "eastron-sdm630"])
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{why}");
    assert!(why.contains("/dev/no-such-port"), "{why}");
}
