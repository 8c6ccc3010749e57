//! One polite, read-only connection for finding out what is there: a gap between requests, a patience for each, nothing
//! remembered between units.
//!
//! The client of a running link backs off from what does not answer; whoever scans expects most units to be silent.

use super::ask::Ask;
use super::connection::guarded;
use super::dial::Dial;
use super::guard::Guard;
use crate::profile::Table;
use crate::site::{Address, Id};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What a unit answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Words(Vec<u16>),
    /// Modbus exception code: something is there, but not this.
    Refused(u8),
    Silence,
}

/// Why nothing can be asked any more.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProbeError {
    #[error("not reachable: {0}")]
    Unreachable(String),
}

/// Wrong or broken answers after which the address is given up.
const MOST_BROKEN: u32 = 10;
/// A connection is not made anew before this: some devices serve one client and are slow to notice that it left.
const REOPEN: Duration = Duration::from_millis(300);
/// Quiet time of a line without transaction ids after a silence, in which a late answer runs out.
const DRAIN: Duration = Duration::from_millis(150);

pub struct Probe {
    dial: Dial,
    device: Id,
    address: Address,
    pace: Duration,
    guard: Option<Guard>,
    not_before: Instant,
    broken: u32,
    pub requests: u64,
    /// The slowest answer so far.
    pub slowest: Option<Duration>,
}

impl Probe {
    pub fn new(dial: Dial, address: Address, pace: Duration) -> Self {
        Self {
            dial,
            device: Id::new("scan"),
            address,
            pace,
            guard: None,
            not_before: Instant::now(),
            broken: 0,
            requests: 0,
            slowest: None,
        }
    }

    /// One read. Silence is an answer here; only a peer that cannot be reached is an error.
    pub async fn read(&mut self, unit: u8, place: (Table, u16, u16), patience: Duration) -> Result<Heard, ProbeError> {
        let (table, addr, count) = place;
        let ask = Ask::Read { table, addr, count };
        self.connect().await?;
        sleep_until(self.not_before).await;
        let Some(guard) = self.guard.as_mut() else {
            return Err(ProbeError::Unreachable("not connected".into()));
        };
        self.requests += 1;
        let begun = Instant::now();
        let pdu = ask.request(&[]);
        let answer = timeout(patience, guard.call(unit, &[], &pdu)).await;
        self.not_before = Instant::now() + self.pace;
        let heard = match answer {
            Ok(Ok(pdu)) => heard(&ask, pdu),
            Ok(Err(_)) => None,
            Err(_) => {
                self.after_silence();
                return Ok(Heard::Silence);
            }
        };
        match heard {
            Some(heard) => {
                let took = begun.elapsed();
                self.slowest = Some(self.slowest.map_or(took, |s| s.max(took)));
                Ok(heard)
            }
            None => self.after_nonsense(),
        }
    }

    /// On TCP the guard drops late answers by their transaction id; elsewhere the line is drained and opened anew.
    fn after_silence(&mut self) {
        if !matches!(self.address, Address::Tcp { .. } | Address::Tls { .. }) {
            self.guard = None;
            self.not_before = Instant::now() + DRAIN.max(self.pace);
        }
    }

    /// What answers out of step, or hangs up, is given a little time and a new connection.
    fn after_nonsense(&mut self) -> Result<Heard, ProbeError> {
        self.guard = None;
        self.not_before = Instant::now() + REOPEN.max(self.pace);
        self.broken += 1;
        if self.broken >= MOST_BROKEN {
            let why = "it hangs up, or its answers are not Modbus";
            return Err(ProbeError::Unreachable(why.into()));
        }
        Ok(Heard::Silence)
    }

    async fn connect(&mut self) -> Result<(), ProbeError> {
        if self.guard.is_some() {
            return Ok(());
        }
        sleep_until(self.not_before).await;
        let opened = self.dial.open(&self.device, &self.address).await;
        let stream = opened.map_err(|e| ProbeError::Unreachable(e.to_string()))?;
        self.guard = Some(guarded(stream, &self.address, true, Arc::default()));
        Ok(())
    }

    /// Hangs up, and waits until the device has noticed.
    pub async fn close(&mut self) {
        if self.guard.take().is_some() {
            sleep(REOPEN.max(self.pace)).await;
        }
    }
}

/// What a PDU says; nothing where it is not the answer to what was asked.
fn heard(ask: &Ask, pdu: &[u8]) -> Option<Heard> {
    Some(match ask.understand(pdu, &[]).ok()? {
        Ok(words) => Heard::Words(words),
        Err(code) => Heard::Refused(code),
    })
}
