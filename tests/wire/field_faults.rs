//! The wire's faults against a real socket: none brings a wrong value, a panic or a hang, and each is recovered from.
//!
//! A raw TCP server answers as a meter whose power changes with every cycle, so that an old or misplaced answer shows. For
//! a second of its life it misbehaves in one way.

use crate::support::meter::{Meter, Trial, listen, options, site_of, start, survives};
use crate::support::papers::Papers;
use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Dial, Field, Options};
use madang::model::{DecisionId, Reason, ReasonCode, Setpoint, Target, WriteOutcome};
use madang::site::{Id, Mode};
use madang::units::Power;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The answer comes after every patience, with the transaction id of its request.
    Late,
    /// As late, and then the next request's answer at once: off by one for a naive client.
    OffByOne,
    WrongTransaction,
    WrongUnit,
    WrongProtocol,
    LengthLie,
    FewerRegisters,
    ByteCountLie,
    WrongFunction,
    NoiseBefore,
    Duplicate,
    Busy,
    GatewayFailed,
    Refused,
    ClosedInTheMiddle,
    ClosedAtOnce,
    NeverAnswers,
    ByteByByte,
}

const FAULTS: [Fault; 18] = [
    Fault::Late,
    Fault::OffByOne,
    Fault::WrongTransaction,
    Fault::WrongUnit,
    Fault::WrongProtocol,
    Fault::LengthLie,
    Fault::FewerRegisters,
    Fault::ByteCountLie,
    Fault::WrongFunction,
    Fault::NoiseBefore,
    Fault::Duplicate,
    Fault::Busy,
    Fault::GatewayFailed,
    Fault::Refused,
    Fault::ClosedInTheMiddle,
    Fault::ClosedAtOnce,
    Fault::NeverAnswers,
    Fault::ByteByByte,
];

fn frame(head: [u8; 2], protocol: u8, length: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut all = vec![head[0], head[1], 0, protocol];
    all.extend(length.to_be_bytes());
    all.push(unit);
    all.extend(pdu);
    all
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(meter: Arc<Meter<Fault>>, mut stream: S) -> std::io::Result<()> {
    let mut held: Option<Vec<u8>> = None;
    loop {
        let mut head = [0u8; 7];
        stream.read_exact(&mut head).await?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu).await?;
        meter.requests.fetch_add(1, Ordering::SeqCst);
        let (addr, count) = (
            u16::from_be_bytes([pdu[1], pdu[2]]),
            u16::from_be_bytes([pdu[3], pdu[4]]),
        );
        let data = meter.words(addr, count);
        let mut good = vec![pdu[0], data.len() as u8];
        good.extend(&data);
        let length = good.len() as u16 + 1;
        let tid = [head[0], head[1]];
        let right = frame(tid, 0, length, head[6], &good);
        if !meter.misbehaves() {
            stream.write_all(&right).await?;
            continue;
        }
        match meter.fault {
            Fault::Late => {
                tokio::time::sleep(Duration::from_millis(1_300)).await;
                stream.write_all(&right).await?;
            }
            Fault::OffByOne => {
                if let Some(old) = held.replace(right) {
                    stream.write_all(&old).await?;
                }
            }
            Fault::WrongTransaction => {
                stream
                    .write_all(&frame([tid[0], tid[1] ^ 1], 0, length, head[6], &good))
                    .await?
            }
            Fault::WrongUnit => stream.write_all(&frame(tid, 0, length, head[6] ^ 7, &good)).await?,
            Fault::WrongProtocol => stream.write_all(&frame(tid, 1, length, head[6], &good)).await?,
            Fault::LengthLie => stream.write_all(&frame(tid, 0, 0xFFFF, head[6], &good)).await?,
            Fault::FewerRegisters => {
                let mut short = vec![pdu[0], data.len() as u8 - 4];
                short.extend(&data[4..]);
                stream
                    .write_all(&frame(tid, 0, short.len() as u16 + 1, head[6], &short))
                    .await?;
            }
            Fault::ByteCountLie => {
                let mut lie = good.clone();
                lie[1] = lie[1].wrapping_sub(2);
                stream.write_all(&frame(tid, 0, length, head[6], &lie)).await?;
            }
            Fault::WrongFunction => {
                let mut other = good.clone();
                other[0] ^= 7;
                stream.write_all(&frame(tid, 0, length, head[6], &other)).await?;
            }
            Fault::NoiseBefore => {
                stream.write_all(&[0x55; 5]).await?;
                stream.write_all(&right).await?;
            }
            Fault::Duplicate => {
                stream.write_all(&right).await?;
                stream.write_all(&right).await?;
            }
            Fault::Busy => {
                stream
                    .write_all(&frame(tid, 0, 3, head[6], &[pdu[0] | 0x80, 6]))
                    .await?
            }
            Fault::GatewayFailed => {
                stream
                    .write_all(&frame(tid, 0, 3, head[6], &[pdu[0] | 0x80, 11]))
                    .await?
            }
            Fault::Refused => {
                stream
                    .write_all(&frame(tid, 0, 3, head[6], &[pdu[0] | 0x80, 4]))
                    .await?
            }
            Fault::ClosedInTheMiddle => {
                stream.write_all(&right[..right.len() / 2]).await?;
                return Ok(());
            }
            Fault::ClosedAtOnce => return Ok(()),
            Fault::NeverAnswers => {}
            Fault::ByteByByte => {
                for byte in right {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                }
            }
        }
    }
}

const STEP: TimeDelta = TimeDelta::seconds(1);

/// Runs one fault, on a plain socket or inside TLS.
async fn check(fault: Fault, papers: Option<Arc<Papers>>) {
    let meter = Meter::new(fault);
    let served = meter.clone();
    let site = match papers {
        None => {
            let port = listen(move |stream| serve(served.clone(), stream)).await;
            site_of("meter", "eastron-sdm630", &format!("tcp://127.0.0.1:{port}"))
        }
        Some(papers) => {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(papers.server(false)));
            let secured = move |stream| {
                let (acceptor, served) = (acceptor.clone(), served.clone());
                async move { serve(served, acceptor.accept(stream).await?).await }
            };
            let mut site = site_of(
                "meter",
                "eastron-sdm630",
                &format!("tls://127.0.0.1:{}", listen(secured).await),
            );
            for d in site.wiring.devices.values_mut() {
                d.address = d.address.clone().with_tls(papers.files("me", "localhost"));
            }
            site
        }
    };
    let trial = Trial {
        faulty: 10..20,
        most: 160,
        more: 0,
    };
    survives(&meter, &site, trial).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_wire_brings_a_wrong_value_and_each_is_recovered_from_over_tls_too() {
    let papers = Arc::new(Papers::new());
    let mut running = tokio::task::JoinSet::new();
    for fault in FAULTS {
        running.spawn(check(fault, None));
        running.spawn(check(fault, Some(papers.clone())));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

/// How a heat pump's controller treats writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Writes {
    Taken,
    /// Echoes another count than was written.
    OtherEcho,
    /// Says yes and keeps its own value.
    Ignored,
    Refused,
    NoAnswer,
}

struct Pump {
    writes: Writes,
    registers: std::sync::Mutex<Vec<u16>>,
}

async fn serve_pump(pump: Arc<Pump>, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0u8; 7];
        stream.read_exact(&mut head).await?;
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        stream.read_exact(&mut pdu).await?;
        let (addr, count) = (
            usize::from(u16::from_be_bytes([pdu[1], pdu[2]])),
            u16::from_be_bytes([pdu[3], pdu[4]]),
        );
        let answer = if pdu[0] == 16 {
            match pump.writes {
                Writes::NoAnswer => continue,
                Writes::Refused => vec![0x90, 3],
                Writes::OtherEcho => vec![16, pdu[1], pdu[2], 0, count as u8 + 1],
                Writes::Taken | Writes::Ignored => {
                    if pump.writes == Writes::Taken {
                        let words = pdu[6..].chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                        let mut registers = pump.registers.lock().unwrap();
                        words.enumerate().for_each(|(i, w)| registers[addr + i] = w);
                    }
                    pdu[..5].to_vec()
                }
            }
        } else {
            let registers = pump.registers.lock().unwrap();
            let words = &registers[addr..addr + usize::from(count)];
            let mut answer = vec![pdu[0], count as u8 * 2];
            answer.extend(words.iter().flat_map(|w| w.to_be_bytes()));
            answer
        };
        let tid = [head[0], head[1]];
        stream
            .write_all(&frame(tid, 0, answer.len() as u16 + 1, head[6], &answer))
            .await?;
    }
}

async fn pump(writes: Writes) -> u16 {
    let mut registers = vec![0u16; 128];
    for (i, pair) in b"MADANG-HEATPUMP\0".chunks(2).enumerate() {
        registers[90 + i] = u16::from_be_bytes([pair[0], pair[1]]);
    }
    let pump = Arc::new(Pump {
        writes,
        registers: std::sync::Mutex::new(registers),
    });
    listen(move |stream| serve_pump(pump.clone(), stream)).await
}

/// What becomes of a setpoint; `None` while it is pending or withheld.
async fn outcome(writes: Writes, mode: Mode) -> Option<WriteOutcome> {
    let address = format!("tcp://127.0.0.1:{}", pump(writes).await);
    let site = site_of("heat-pump", "generic-heat-pump", &address);
    let options = Options {
        patience: Duration::from_millis(7_000),
        ..options()
    };
    let mut field = Field::new(&site, &Dial::Sockets, options).unwrap();
    field.set_mode(mode);
    field.scan(start()).await;
    let setpoint = Setpoint {
        component: Id::new("heat-pump"),
        target: Target::Power(Power::kw(1.5)),
        valid_until: start() + TimeDelta::minutes(1),
        reason: Reason::new(ReasonCode::FollowPlan),
        decision: DecisionId(1),
    };
    // A device gets its time to show the effect; what it does not show by then has failed.
    for second in 0..8 {
        let now = start() + STEP * second;
        let reports = field.apply(now, std::slice::from_ref(&setpoint)).await;
        let outcome = reports.into_iter().next()?.outcome;
        if second > 0 && matches!(&outcome, WriteOutcome::Withheld(why) if why == "unchanged") {
            field.scan(now + STEP).await;
            continue;
        }
        if outcome != WriteOutcome::Pending {
            return Some(outcome);
        }
        field.scan(now + STEP).await;
    }
    None
}

#[tokio::test]
async fn a_write_counts_only_when_the_device_shows_it() {
    let taken = outcome(Writes::Taken, Mode::Control).await;
    assert_eq!(taken, Some(WriteOutcome::Verified));
    for writes in [Writes::OtherEcho, Writes::Ignored, Writes::Refused, Writes::NoAnswer] {
        let found = outcome(writes, Mode::Control).await;
        assert!(matches!(found, Some(WriteOutcome::Failed(_))), "{writes:?}: {found:?}");
    }
    let observed = outcome(Writes::Taken, Mode::Observe).await;
    assert!(matches!(observed, Some(WriteOutcome::Withheld(_))), "{observed:?}");
}
