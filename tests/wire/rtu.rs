//! Modbus RTU: faults of a serial line over a real socket, and a foreign slave on a pseudo terminal.
//!
//! Without transaction ids a late answer looks like the next one. The meter's power changes with every cycle, so that an old
//! answer taken for a new one shows.

use crate::support::meter::{Meter, Trial, listen, site_of, survives};
use crate::support::{self, eastron};
use madang::field::{Client, Dial, WireError};
use madang::profile::Table;
use madang::site::{Address, Id};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// The frame of a meter's answer.
fn answer(meter: &Meter<Fault>, unit: u8, function: u8, addr: u16, count: u16) -> Vec<u8> {
    let data = meter.words(addr, count);
    let mut all = vec![unit, function, data.len() as u8];
    all.extend(data);
    framed(&all)
}

async fn serve(meter: Arc<Meter<Fault>>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut held: Option<Vec<u8>> = None;
    loop {
        let mut request = [0u8; 8];
        stream.read_exact(&mut request).await?;
        assert_eq!(crc(&request[..6]), request[6..], "a request with a broken checksum");
        let (unit, function) = (request[0], request[1]);
        let addr = u16::from_be_bytes([request[2], request[3]]);
        let count = u16::from_be_bytes([request[4], request[5]]);
        let right = answer(&meter, unit, function, addr, count);
        meter.requests.fetch_add(1, Ordering::SeqCst);
        if !meter.misbehaves() {
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
            Fault::WrongUnit => answer(&meter, unit ^ 7, function, addr, count),
            Fault::WrongFunction => answer(&meter, unit, function ^ 7, addr, count),
            Fault::FewerRegisters => answer(&meter, unit, function, addr, count.saturating_sub(2).max(1)),
            Fault::MoreRegisters => answer(&meter, unit, function, addr, count + 2),
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

async fn check(fault: Fault) {
    let meter = Meter::new(fault);
    let served = meter.clone();
    let port = listen(move |stream| serve(served.clone(), stream)).await;
    let site = site_of("meter", "eastron-sdm630", &format!("rtu+tcp://127.0.0.1:{port}"));
    // Some fresh values in a row: an answer that is one behind would show.
    let trial = Trial {
        faulty: 15..30,
        most: 260,
        more: 6,
    };
    survives(&meter, &site, trial).await;
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

/// Two pseudo terminals joined to a line: ours and the slave's end.
struct SerialLine {
    folder: tempfile::TempDir,
    _socat: support::Process,
}

impl SerialLine {
    fn new(socat: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pty = |name: &str| format!("pty,raw,echo=0,link={}", folder.path().join(name).display());
        let socat = support::Process::start(Command::new(socat).args([pty("ours"), pty("theirs")]));
        let line = Self { folder, _socat: socat };
        support::eventually("the line is there", Duration::from_secs(10), || {
            (line.end("ours").exists() && line.end("theirs").exists()).then_some(())
        });
        line
    }

    fn end(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("rtu://{}?baud=9600", self.end("ours").display())
    }
}

#[test]
fn a_foreign_slave_on_a_serial_line_is_found_and_read_rightly_and_one_that_refuses_everything_is_not_it() {
    let (Some(socat), Some(python)) = (support::program("socat"), support::python()) else {
        return;
    };
    let line = SerialLine::new(socat);
    let _slave = eastron::serve(&python, &[OsStr::new("serial"), line.end("theirs").as_os_str()]);
    let madang = |what: &[&str]| {
        let mut madang = Command::new(env!("CARGO_BIN_EXE_madang"));
        madang
            .args([what[0], &line.address()])
            .args(&what[1..])
            .output()
            .unwrap()
    };
    eastron::is_read(madang);
    eastron::is_found(madang, "1-2");
    // This slave refuses whatever another unit is asked: a device that shows nothing is not the one meant.
    let other = madang(&["read", "--profile", "eastron-sdm630", "--unit", "9"]);
    let why = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(1), "{why}");
    assert!(why.lines().count() == 1 && why.contains("exception"), "{why}");
}

/// A slave that answers reads with one word everywhere, until it is told to keep silent; a late answer is what it was silent
/// about.
struct Slave {
    word: AtomicU16,
    silent: AtomicBool,
    late: Mutex<Vec<u8>>,
}

impl Slave {
    /// Serves its end of the line in a thread that ends with the line.
    fn serve(self: &Arc<Self>, end: &Path) {
        let open = || std::fs::OpenOptions::new().read(true).write(true).open(end).unwrap();
        let (mut from, mut to, me) = (open(), open(), self.clone());
        std::thread::spawn(move || {
            let mut request = [0u8; 8];
            while from.read_exact(&mut request).is_ok() {
                let count = u16::from_be_bytes([request[4], request[5]]);
                let word = me.word.load(Ordering::SeqCst).to_be_bytes();
                let mut answer = vec![request[0], request[1], count as u8 * 2];
                answer.extend(word.repeat(usize::from(count)));
                let answer = framed(&answer);
                if me.silent.load(Ordering::SeqCst) {
                    *me.late.lock().unwrap() = answer;
                } else if to.write_all(&answer).is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn one_silence_drains_a_serial_line_and_a_second_in_a_row_opens_it_anew() {
    let Some(socat) = support::program("socat") else { return };
    let line = SerialLine::new(socat);
    let slave = Arc::new(Slave {
        word: AtomicU16::new(1),
        silent: AtomicBool::new(false),
        late: Mutex::default(),
    });
    slave.serve(&line.end("theirs"));
    let late_answer = || {
        let mut to = std::fs::OpenOptions::new()
            .write(true)
            .open(line.end("theirs"))
            .unwrap();
        to.write_all(&slave.late.lock().unwrap()).unwrap();
    };
    let mut link = madang::profile::builtin("eastron-sdm630").unwrap().link;
    link.timeout_ms = Some(200);
    let address = Address::parse(&line.address()).unwrap();
    let mut client = Client::new(Dial::Sockets, Id::new("meter"), address, link);
    let read = async |client: &mut Client| client.read(1, Table::Input, 0, 4).await;
    assert_eq!(read(&mut client).await, Ok(vec![1; 4]));

    // Once: what comes late, in the quiet time, is thrown away; the line stays open.
    slave.silent.store(true, Ordering::SeqCst);
    assert!(matches!(read(&mut client).await, Err(WireError::Timeout(_))));
    slave.word.store(2, Ordering::SeqCst);
    slave.silent.store(false, Ordering::SeqCst);
    late_answer();
    assert_eq!(read(&mut client).await, Ok(vec![2; 4]));
    let health = client.health();
    assert_eq!((health.timeouts, health.reconnects), (1, 0), "{health:?}");
    assert!(health.dropped_frames >= 1, "{health:?}");

    // Twice: the port is opened anew, and what comes late is not taken for the next answer then either.
    slave.silent.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(matches!(read(&mut client).await, Err(WireError::Timeout(_))));
    }
    slave.word.store(3, Ordering::SeqCst);
    slave.silent.store(false, Ordering::SeqCst);
    late_answer();
    assert_eq!(read(&mut client).await, Ok(vec![3; 4]));
    let health = client.health();
    assert_eq!((health.timeouts, health.reconnects), (3, 1), "{health:?}");
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
