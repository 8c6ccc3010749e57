//! A meter that misbehaves for a while, and what must be seen of it. Its power changes with every cycle, so that an old or
//! misplaced answer shows.
#![allow(dead_code)] // each test binary uses a part of it

use chrono::TimeDelta;
use madang::cycle::FieldPort;
use madang::field::{Dial, Field, Options};
use madang::model::{Measurement, Quantity};
use madang::site::{Address, Id, Mode, Site, builtin};
use madang::time::Timestamp;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

pub struct Meter<F> {
    pub fault: F,
    active: AtomicBool,
    /// W at register 52, as an Eastron meter shows it.
    watts: AtomicU32,
    pub requests: AtomicU64,
}

impl<F> Meter<F> {
    pub fn new(fault: F) -> Arc<Self> {
        Arc::new(Self {
            fault,
            active: AtomicBool::new(false),
            watts: AtomicU32::new(1000),
            requests: AtomicU64::new(0),
        })
    }

    pub fn misbehaves(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// Registers of a read answer: f32 zero everywhere but the power.
    pub fn words(&self, addr: u16, count: u16) -> Vec<u8> {
        let watts = (self.watts.load(Ordering::SeqCst) as f32).to_be_bytes();
        let mut bytes = vec![0; usize::from(count) * 2];
        if (addr..addr + count).contains(&52) && addr + count > 53 {
            let at = usize::from(52 - addr) * 2;
            bytes[at..at + 4].copy_from_slice(&watts);
        }
        bytes
    }
}

/// Serves every connection to a port with `serve`.
pub async fn listen<S, W>(serve: S) -> u16
where
    S: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The other side going away ends one connection only.
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// A shipped home reduced to one device, which lies at `address` and speaks `profile`.
pub fn site_of(device: &str, profile: &str, address: &str) -> Site {
    let mut site = builtin("home-amsterdam").unwrap();
    site.plant.mode = Mode::Control;
    site.wiring.devices.retain(|id, _| id.as_str() == device);
    let d = site.wiring.devices.get_mut(device).unwrap();
    d.address = Address::parse(address).unwrap();
    d.profile = profile.into();
    d.identity_confirmed = true;
    site
}

pub fn start() -> Timestamp {
    "2026-05-12T00:00:00Z".parse().unwrap()
}

pub fn options() -> Options {
    Options {
        patience: Duration::from_millis(60),
        silent_after: TimeDelta::seconds(2),
    }
}

const CYCLE: Duration = Duration::from_millis(120);

/// Cycles in which the meter misbehaves, cycles at most, and how many must follow the first fresh value after the fault.
pub struct Trial {
    pub faulty: Range<i32>,
    pub most: i32,
    pub more: i32,
}

/// Good cycles, misbehaviour, and then until fresh values come again; no value shown may be older than it says.
pub async fn survives<F: Debug>(meter: &Meter<F>, site: &Site, trial: Trial) {
    let mut field = Field::new(site, &Dial::Sockets, options()).unwrap();
    let fault = &meter.fault;
    let (mut seen_good, mut recovered) = (false, None);
    for cycle in 0..trial.most {
        meter.active.store(trial.faulty.contains(&cycle), Ordering::SeqCst);
        meter.watts.store(1000 + 10 * cycle as u32, Ordering::SeqCst);
        let scan = field.scan(start() + TimeDelta::seconds(i64::from(cycle))).await;
        if let Some((kw, at)) = scan.measurements.iter().find_map(power) {
            let read_at = (at - start()).num_seconds() as i32;
            let shows = ((kw * 1e3 - 1000.0) / 10.0).round() as i32;
            assert!(
                (read_at..=cycle).contains(&shows),
                "{fault:?}: cycle {cycle} shows {kw} kW, the value of cycle {shows}, as read in cycle {read_at}"
            );
            seen_good |= cycle < trial.faulty.start && read_at == cycle;
            if cycle >= trial.faulty.end && read_at == cycle {
                recovered = recovered.or(Some(cycle));
            }
            if recovered.is_some_and(|r| cycle >= r + trial.more) {
                break;
            }
        }
        tokio::time::sleep(CYCLE).await;
    }
    assert!(seen_good, "{fault:?}: it never worked");
    let recovered = recovered.unwrap_or_else(|| panic!("{fault:?}: no fresh value after the fault"));
    println!(
        "{fault:?}: fresh again after {} cycles, {} requests",
        recovered - trial.faulty.end,
        meter.requests.load(Ordering::SeqCst)
    );
}

/// The grid's power, kW, and when it was read.
fn power(m: &Measurement) -> Option<(f64, Timestamp)> {
    let is_it = m.component == Id::new("grid") && m.quantity == Quantity::ActivePower;
    is_it.then_some(())?;
    Some((m.reading.usable()?, m.reading.at()))
}
