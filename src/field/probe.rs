//! One polite, read-only connection for finding out what is there: a gap between requests, a patience for each, nothing
//! remembered between units.
//!
//! The client of a running link backs off from what does not answer; whoever scans expects most units to be silent.

use super::connection::attach;
use super::dial::Dial;
use crate::profile::Table;
use crate::site::{Address, Id};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{Request, Response};

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
    context: Option<Context>,
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
            context: None,
            not_before: Instant::now(),
            broken: 0,
            requests: 0,
            slowest: None,
        }
    }

    /// One read. Silence is an answer here; only a peer that cannot be reached is an error.
    pub async fn read(&mut self, unit: u8, place: (Table, u16, u16), patience: Duration) -> Result<Heard, ProbeError> {
        let (table, addr, count) = place;
        let request = match table {
            Table::Holding => Request::ReadHoldingRegisters(addr, count),
            Table::Input => Request::ReadInputRegisters(addr, count),
            Table::Coil => Request::ReadCoils(addr, count),
            Table::Discrete => Request::ReadDiscreteInputs(addr, count),
        };
        self.connect().await?;
        sleep_until(self.not_before).await;
        let Some(context) = self.context.as_mut() else {
            return Err(ProbeError::Unreachable("not connected".into()));
        };
        context.set_slave(Slave(unit));
        self.requests += 1;
        let begun = Instant::now();
        let answer = timeout(patience, context.call(request)).await;
        self.not_before = Instant::now() + self.pace;
        let heard = match answer {
            Ok(Ok(Ok(response))) => words(response, usize::from(count)),
            Ok(Ok(Err(code))) => Some(Heard::Refused(u8::from(code))),
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
            self.context = None;
            self.not_before = Instant::now() + DRAIN.max(self.pace);
        }
    }

    /// What answers out of step, or hangs up, is given a little time and a new connection.
    fn after_nonsense(&mut self) -> Result<Heard, ProbeError> {
        self.context = None;
        self.not_before = Instant::now() + REOPEN.max(self.pace);
        self.broken += 1;
        if self.broken >= MOST_BROKEN {
            let why = "it hangs up, or its answers are not Modbus";
            return Err(ProbeError::Unreachable(why.into()));
        }
        Ok(Heard::Silence)
    }

    async fn connect(&mut self) -> Result<(), ProbeError> {
        if self.context.is_some() {
            return Ok(());
        }
        sleep_until(self.not_before).await;
        let opened = self.dial.open(&self.device, &self.address).await;
        let stream = opened.map_err(|e| ProbeError::Unreachable(e.to_string()))?;
        self.context = Some(attach(stream, &self.address, true, Arc::default()));
        Ok(())
    }

    /// Hangs up, and waits until the device has noticed.
    pub async fn close(&mut self) {
        if self.context.take().is_some() {
            sleep(REOPEN.max(self.pace)).await;
        }
    }
}

/// Registers or bits of an answer of the right length.
fn words(response: Response, count: usize) -> Option<Heard> {
    let words = match response {
        Response::ReadHoldingRegisters(w) | Response::ReadInputRegisters(w) => w,
        Response::ReadCoils(b) | Response::ReadDiscreteInputs(b) => b.into_iter().take(count).map(u16::from).collect(),
        _ => return None,
    };
    (words.len() == count).then_some(Heard::Words(words))
}
