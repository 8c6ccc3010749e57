//! One connection: requests with a timeout, answers checked for length and echo.

use super::dial::{Dial, Wire};
use super::guard::Guard;
use crate::profile::{Link, Table};
use crate::site::{Address, Id};
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{Request, Response};

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    #[error("not reachable: {0}")]
    Unreachable(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The device refused (Modbus exception code).
    #[error("refused with exception {0}")]
    Exception(u8),
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("wrong answer: {0}")]
    Wrong(String),
}

impl WireError {
    /// Codes 2, 3 and 4 say that something about the request itself is wrong.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Exception(1..=4))
    }
}

/// Timeouts in a row after which the connection is made anew.
const PATIENCE: u32 = 3;

pub struct Client {
    dial: Dial,
    device: Id,
    address: Address,
    link: Link,
    context: Option<Context>,
    timeouts: u32,
    not_before: Instant,
    backoff: Duration,
    pub requests: u64,
    pub failures: u64,
    pub last_ms: Option<f64>,
}

impl Client {
    pub fn new(dial: Dial, device: Id, address: Address, link: Link) -> Self {
        Self {
            dial,
            device,
            address,
            link,
            context: None,
            timeouts: 0,
            not_before: Instant::now(),
            backoff: Duration::ZERO,
            requests: 0,
            failures: 0,
            last_ms: None,
        }
    }

    pub async fn read(&mut self, unit: u8, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, WireError> {
        let request = match table {
            Table::Holding => Request::ReadHoldingRegisters(addr, count),
            Table::Input => Request::ReadInputRegisters(addr, count),
            Table::Coil => Request::ReadCoils(addr, count),
            Table::Discrete => Request::ReadDiscreteInputs(addr, count),
        };
        let bits = |b: Vec<bool>| {
            b.into_iter()
                .take(usize::from(count))
                .map(u16::from)
                .collect::<Vec<_>>()
        };
        let words = match self.ask(unit, request).await? {
            Response::ReadHoldingRegisters(w) if table == Table::Holding => w,
            Response::ReadInputRegisters(w) if table == Table::Input => w,
            Response::ReadCoils(b) if table == Table::Coil => bits(b),
            Response::ReadDiscreteInputs(b) if table == Table::Discrete => bits(b),
            other => return Err(self.wrong(format!("{other:?} instead of {table:?} {addr}"))),
        };
        if words.len() != usize::from(count) {
            return Err(self.wrong(format!("{} registers instead of {count} from {addr}", words.len())));
        }
        Ok(words)
    }

    /// Writes with function 5, 6 or 16; the echo must name the same address and value.
    pub async fn write(&mut self, unit: u8, fc: u8, addr: u16, words: &[u16]) -> Result<(), WireError> {
        let echoed = match (fc, words) {
            (5, [word]) => {
                let on = *word != 0;
                matches!(self.ask(unit, Request::WriteSingleCoil(addr, on)).await?,
                    Response::WriteSingleCoil(a, v) if a == addr && v == on)
            }
            (6, [word]) => matches!(self.ask(unit, Request::WriteSingleRegister(addr, *word)).await?,
                Response::WriteSingleRegister(a, v) if a == addr && v == *word),
            _ => {
                let count = words.len() as u16;
                matches!(self.ask(unit, Request::WriteMultipleRegisters(addr, Cow::Borrowed(words))).await?,
                    Response::WriteMultipleRegisters(a, n) if a == addr && n == count)
            }
        };
        if echoed {
            Ok(())
        } else {
            Err(self.wrong(format!("the echo of the write to {addr} differs")))
        }
    }

    fn wrong(&mut self, why: String) -> WireError {
        self.failures += 1;
        // What answers wrongly once may be out of step: start afresh.
        self.context = None;
        WireError::Wrong(why)
    }

    async fn ask(&mut self, unit: u8, request: Request<'_>) -> Result<Response, WireError> {
        self.connect().await?;
        sleep_until(self.not_before).await;
        let patience = Duration::from_millis(u64::from(self.link.timeout_ms.unwrap_or(1000)));
        let Some(context) = self.context.as_mut() else {
            return Err(WireError::Lost("not connected".into()));
        };
        context.set_slave(Slave(unit));
        self.requests += 1;
        let begun = Instant::now();
        let answer = timeout(patience, context.call(request)).await;
        self.last_ms = Some(begun.elapsed().as_secs_f64() * 1e3);
        self.not_before = Instant::now() + Duration::from_millis(u64::from(self.link.gap_ms.unwrap_or(0)));
        self.judge(answer, patience)
    }

    fn judge(
        &mut self,
        answer: Result<tokio_modbus::Result<Response>, tokio::time::error::Elapsed>,
        patience: Duration,
    ) -> Result<Response, WireError> {
        match answer {
            Ok(Ok(Ok(response))) => {
                (self.timeouts, self.backoff) = (0, Duration::ZERO);
                return Ok(response);
            }
            Ok(Ok(Err(exception))) => {
                self.timeouts = 0;
                self.failures += 1;
                return Err(WireError::Exception(u8::from(exception)));
            }
            _ => self.failures += 1,
        }
        match answer {
            Ok(Err(error)) => {
                self.drop_connection();
                Err(WireError::Lost(error.to_string()))
            }
            _ => {
                self.timeouts += 1;
                // Without transaction ids a late answer cannot be told from the next one: reopen at once.
                let tcp = matches!(self.address, Address::Tcp { .. } | Address::Tls { .. });
                if !tcp || self.timeouts >= PATIENCE {
                    self.drop_connection();
                }
                Err(WireError::Timeout(patience))
            }
        }
    }

    /// Closes; the next attempt waits a little longer each time, up to 30 s.
    fn drop_connection(&mut self) {
        self.context = None;
        self.timeouts = 0;
        self.backoff = (self.backoff * 2).clamp(Duration::from_millis(500), Duration::from_secs(30));
        self.not_before = Instant::now() + self.backoff;
    }

    async fn connect(&mut self) -> Result<(), WireError> {
        if self.context.is_some() {
            return Ok(());
        }
        if Instant::now() < self.not_before && self.backoff > Duration::from_secs(1) {
            return Err(WireError::Unreachable("waiting before the next attempt".into()));
        }
        sleep_until(self.not_before).await;
        let stream = match self.dial.open(&self.device, &self.address).await {
            Ok(stream) => stream,
            Err(error) => {
                self.failures += 1;
                self.drop_connection();
                return Err(WireError::Unreachable(error.to_string()));
            }
        };
        if let Some(ms) = self.link.connect_delay_ms {
            sleep(Duration::from_millis(u64::from(ms))).await;
        }
        self.context = Some(self.attach(stream));
        Ok(())
    }

    fn attach(&self, stream: Box<dyn Wire>) -> Context {
        let unit = Slave(self.link.unit.unwrap_or(1));
        if matches!(self.address, Address::RtuOverTcp { .. } | Address::Rtu { .. }) {
            return rtu::attach_slave(stream, unit);
        }
        let guard = Guard::new(
            stream,
            self.link.unit_accept.clone(),
            self.link.echo_tid.unwrap_or(true),
        );
        tcp::attach_slave(guard, unit)
    }
}
