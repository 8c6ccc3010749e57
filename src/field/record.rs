//! Records a device's traffic: `madang record`.
//!
//! The device is read as in `madang read`, but through the proxy's core in this process, which sees every exchange whatever
//! the transport. The address is not kept, and serial numbers can be made unreadable.

use super::client::{Client, WireError};
use super::device::FieldDevice;
use super::dial::Dial;
use super::proxy::{Asked, Rules, Tap, Upstream, converse};
use super::read::{ReadReport, alone, report};
use crate::profile::trace::{Exchange, Head, MOST_EXCHANGES, Trace};
use crate::profile::{Link, Profile};
use crate::site::{Address, Id};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What to record.
pub struct Recording {
    pub address: Address,
    pub unit: u8,
    pub profile: Profile,
    pub span: Duration,
    /// Time between two rounds.
    pub every: Duration,
    pub blank_serial: bool,
    pub now: Timestamp,
}

/// A trace, and what was read in its first round.
pub struct Recorded {
    pub trace: Trace,
    pub first: ReadReport,
}

type Exchanges = Arc<Mutex<Vec<Exchange>>>;

/// Room for a few frames each way.
const PIPE: usize = 4096;

/// Reads the device again and again. An error means that its first round brought nothing.
pub async fn record(what: Recording) -> Result<Recorded, WireError> {
    let exchanges: Exchanges = Arc::default();
    let (mut client, mut device) = through_the_tap(&what, &exchanges);
    let end = Instant::now() + what.span;
    let values = device.poll(&mut client, what.now).await?;
    let first = report(&device, &values, &what.address.to_string(), client.requests);
    let mut next = Instant::now() + what.every;
    while next < end && exchanges.lock().unwrap_or_else(PoisonError::into_inner).len() < MOST_EXCHANGES {
        sleep_until(next).await;
        let now = what.now + chrono::TimeDelta::from_std(what.span.saturating_sub(end - next)).unwrap_or_default();
        // A round that fails is part of what is recorded.
        let _shown = device.poll(&mut client, now).await;
        next += what.every;
    }
    let taken = std::mem::take(&mut *exchanges.lock().unwrap_or_else(PoisonError::into_inner));
    let head = Head::new(
        transport(&what.address),
        what.unit,
        &what.profile.id,
        what.now.to_rfc3339(),
    );
    let mut recorded = Recorded {
        trace: Trace { head, exchanges: taken },
        first,
    };
    if what.blank_serial {
        blank(&mut recorded, &what.profile);
    }
    Ok(recorded)
}

/// A device whose client speaks through the proxy's core, where every exchange is noted.
fn through_the_tap(what: &Recording, exchanges: &Exchanges) -> (Client, FieldDevice) {
    let id = Id::new("record");
    let upstream = Client::new(
        Dial::Sockets,
        id.clone(),
        what.address.clone(),
        what.profile.link.clone(),
    );
    let upstream = Upstream::start(upstream, None, Some(tap(exchanges.clone())));
    let rules = Arc::new(Rules {
        writes: Vec::new(),
        max_age: None,
        most_clients: 1,
    });
    let dial = Dial::Pipes(Arc::new(move |_: &Id| {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        tokio::spawn(converse(theirs, upstream.clone(), rules.clone()));
        Ok(Box::new(ours) as Box<dyn super::dial::Wire>)
    }));
    // Manners towards the device are the upstream's; here only patience counts, and it must be the longer one.
    let link = Link {
        timeout_ms: Some(what.profile.link.timeout_ms.unwrap_or(1000) + 40_000),
        gap_ms: None,
        connect_delay_ms: None,
        min_read_ms: None,
        min_write_ms: None,
        ..what.profile.link.clone()
    };
    let inside = Address::Tcp {
        host: "recorder".into(),
        port: 502,
    };
    let client = Client::new(dial, id.clone(), inside.clone(), link);
    let wiring = alone(&inside, what.unit, &what.profile);
    (client, FieldDevice::new(id, wiring, what.profile.clone()))
}

/// Notes each exchange with its time since the first.
fn tap(exchanges: Exchanges) -> Tap {
    let begun = Instant::now();
    Box::new(move |asked, answer| {
        let mut all = exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_EXCHANGES {
            all.push(exchange(begun.elapsed().as_millis() as u64, asked, answer));
        }
    })
}

/// A tap that notes into a list of its own, for a proxy that records.
pub fn recorder() -> (Tap, Arc<Mutex<Vec<Exchange>>>) {
    let exchanges = Exchanges::default();
    (tap(exchanges.clone()), exchanges)
}

fn exchange(t_ms: u64, asked: &Asked, answer: &Result<Vec<u16>, WireError>) -> Exchange {
    let exception = match answer {
        Err(WireError::Exception(code)) => Some(*code),
        _ => None,
    };
    let silent = answer.is_err() && exception.is_none();
    match asked {
        Asked::Read {
            unit,
            table,
            addr,
            count,
        } => Exchange {
            t_ms,
            unit: *unit,
            table: Some(*table),
            write: None,
            addr: *addr,
            count: Some(*count),
            words: answer.clone().unwrap_or_default(),
            exception,
            silent,
            ok: false,
        },
        Asked::Write { unit, fc, addr, words } => Exchange {
            t_ms,
            unit: *unit,
            table: None,
            write: Some(*fc),
            addr: *addr,
            count: None,
            words: words.clone(),
            exception,
            silent,
            ok: answer.is_ok(),
        },
    }
}

pub fn transport(address: &Address) -> &'static str {
    match address {
        Address::Tcp { .. } => "tcp",
        Address::Tls { .. } => "tls",
        Address::RtuOverTcp { .. } => "rtu+tcp",
        Address::Rtu { .. } => "rtu",
    }
}

/// Overwrites the serial number wherever it was read: text becomes X, a number zero.
fn blank(recorded: &mut Recorded, profile: &Profile) {
    let mut places: BTreeSet<(u8, u16)> = BTreeSet::new();
    let serial = recorded.first.identity["serial"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for e in &recorded.trace.exchanges {
        places.extend(text_places(e, &serial));
    }
    let is_serial = |p: &&crate::profile::Point| p.name.contains("serial");
    for p in profile.points.iter().filter(is_serial) {
        places.extend((p.addr..p.addr.saturating_add(p.count)).map(|a| (recorded.trace.head.unit, a)));
    }
    for e in &mut recorded.trace.exchanges {
        for (i, word) in e.words.iter_mut().enumerate() {
            if *word != 0 && places.contains(&(e.unit, e.addr.wrapping_add(i as u16))) {
                *word = word
                    .to_be_bytes()
                    .map(|b| if b == 0 { 0 } else { b'X' })
                    .into_iter()
                    .fold(0, |w, b| (w << 8) | u16::from(b));
            }
        }
    }
    let hidden: String = serial.chars().map(|_| 'X').collect();
    if !serial.is_empty() {
        recorded.first.identity["serial"] = hidden.into();
    }
    recorded.first.points.retain(|p| !p.name.contains("serial"));
    recorded.trace.head.blanked = vec!["serial".into()];
}

/// Registers of an answer that hold this text, from the first to the last character.
fn text_places(e: &Exchange, text: &str) -> Vec<(u8, u16)> {
    let bytes: Vec<u8> = e.words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let needle = text.as_bytes();
    if needle.len() < 3 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for at in 0..bytes.len().saturating_sub(needle.len() - 1) {
        if &bytes[at..at + needle.len()] == needle {
            let words = at / 2..(at + needle.len()).div_ceil(2);
            found.extend(words.map(|i| (e.unit, e.addr.wrapping_add(i as u16))));
        }
    }
    found
}
