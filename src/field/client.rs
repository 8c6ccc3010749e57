//! What one device (or guest) sees of its link: reads and writes that are answered rightly, refused, or fail in time.
//!
//! In: unit, registers. Out: words of exactly the length asked, or why not. Each user of a link has its own client: its own
//! patience, counters and rest for silent units; the connection behind is one.

use super::ask::Ask;
use super::connection::{Connection, Manners, Request};
use super::dial::Dial;
pub use super::line::Class;
use super::line::{Line, Turn};
use super::pace::{AnswerTimes, Backoff, seed_of};
use crate::model::{LinkHealth, Said};
use crate::profile::{Link, Table};
use crate::site::{Address, Id};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WireError {
    #[error("not reachable: {0}")]
    Unreachable(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The unit was silent and shares its line: it is asked again when its rest is over.
    #[error("unit {unit} does not answer; asked again in {} s", .wait.as_secs() + 1)]
    Resting { unit: u8, wait: Duration },
    /// The device refused (Modbus exception code).
    #[error("refused with exception {0}")]
    Exception(u8),
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("wrong answer: {0}")]
    Wrong(String),
    /// The peer had closed before anything was sent; never leaves the link.
    #[error("the connection had been closed")]
    Idle,
}

impl WireError {
    /// For people. What the system or the device says of it is in English only, and stands in the English text alone.
    pub fn said(&self) -> Said {
        let ko = match self {
            Self::Unreachable(_) => "연결할 수 없음".to_owned(),
            Self::Timeout(patience) => format!("{} ms 안에 응답 없음", patience.as_millis()),
            Self::Resting { unit, wait } => format!("유닛 {unit} 응답 없음, {}초 후 재시도", wait.as_secs() + 1),
            Self::Exception(code) => format!("장치가 거부함(예외 코드 {code})"),
            Self::Lost(_) | Self::Idle => "연결 끊김".to_owned(),
            Self::Wrong(_) => "잘못된 응답".to_owned(),
        };
        Said::new(self.to_string(), ko)
    }
    /// Codes 1 to 4 say that something about the request itself is wrong.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Exception(1..=4))
    }
    /// The device is there and has no time now (codes 5 and 6).
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Exception(5 | 6))
    }
    /// Nobody answers for this unit; others on the line may be well (codes 10 and 11 are a gateway's).
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Resting { .. } | Self::Exception(10 | 11))
    }
}

/// Answers a profile that says nothing is given this long.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// Silences in a row after which a unit on a shared line rests.
const SILENCES: u32 = 2;

pub struct Client {
    line: Line,
    turn: Option<Turn>,
    class: Class,
    due: Option<Instant>,
    longest: Duration,
    accept: Vec<u8>,
    searching: bool,
    is_user: bool,
    times: AnswerTimes,
    silent: Vec<Silent>,
    pub requests: u64,
    pub failures: u64,
    pub timeouts: u64,
    pub exceptions: u64,
    /// The latest requests, newest in the lowest bit: one where it brought nothing; and how many there are.
    lately: (u128, u32),
    pub last_ms: Option<f64>,
}

/// A unit that did not answer.
struct Silent {
    unit: u8,
    times: u32,
    until: Instant,
    backoff: Backoff,
}

impl Client {
    /// A link of its own.
    pub fn new(dial: Dial, device: Id, address: Address, link: Link) -> Self {
        let manners = Manners::of(std::iter::once(&link));
        let line = Line::new(Connection::new(dial, device, address, manners));
        Self::on(&line, &link)
    }

    /// The clients of several devices at one address, in order; the most demanding decides about the connection.
    pub fn sharing(dial: Dial, device: Id, address: Address, links: &[&Link]) -> Vec<Self> {
        let manners = Manners::of(links.iter().copied());
        let line = Line::new(Connection::new(dial, device, address, manners));
        links.iter().map(|l| Self::on(&line, l)).collect()
    }

    fn on(line: &Line, link: &Link) -> Self {
        line.stats.users.fetch_add(1, Ordering::Relaxed);
        let mut client = Self::bare(line.clone(), link, Class::Poll);
        client.is_user = true;
        client
    }

    fn bare(line: Line, link: &Link, class: Class) -> Self {
        Self {
            line,
            turn: None,
            class,
            due: None,
            longest: link
                .timeout_ms
                .map_or(PATIENCE, |ms| Duration::from_millis(u64::from(ms))),
            accept: link.unit_accept.clone(),
            searching: false,
            is_user: false,
            times: AnswerTimes::new(),
            silent: Vec::new(),
            requests: 0,
            failures: 0,
            timeouts: 0,
            exceptions: 0,
            lately: (0, 0),
            last_ms: None,
        }
    }

    /// Another user of the same connection, behind setpoints and polls: a scan, or a master served by the proxy.
    pub fn guest(&self, link: &Link) -> Self {
        Self::bare(self.line.clone(), link, Class::Guest)
    }

    /// Silence is expected: it neither reopens the connection nor lets units rest (scanning for units).
    pub fn set_searching(&mut self, searching: bool) {
        self.searching = searching;
    }

    /// Class and due time of the requests that follow.
    pub fn set_class(&mut self, class: Class, due: Option<Instant>) {
        (self.class, self.due) = (class, due);
    }

    /// Waits for this client's turn and keeps it for the next request. Dropping the future gives up nothing but the place.
    pub async fn take_turn(&mut self) {
        if self.turn.is_none() {
            self.turn = self.line.turn(self.class, self.due).await;
        }
    }

    pub async fn read(&mut self, unit: u8, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, WireError> {
        self.ask(unit, Ask::Read { table, addr, count }, &[]).await
    }

    /// Writes with function 5, 6 or 16; the echo must name the same address and value.
    pub async fn write(&mut self, unit: u8, fc: u8, addr: u16, words: &[u16]) -> Result<(), WireError> {
        let fc = if words.len() == 1 { fc } else { 16 };
        let count = words.len() as u16;
        self.ask(unit, Ask::Write { fc, addr, count }, words).await?;
        Ok(())
    }

    async fn ask(&mut self, unit: u8, ask: Ask, words: &[u16]) -> Result<Vec<u16>, WireError> {
        let result = match self.resting(unit) {
            Some(rest) => Err(rest),
            None => self.ask_now(unit, ask, words).await,
        };
        self.turn = None;
        self.note(unit, &result);
        result
    }

    async fn ask_now(&mut self, unit: u8, ask: Ask, words: &[u16]) -> Result<Vec<u16>, WireError> {
        self.take_turn().await;
        let Some(connection) = self.turn.as_mut().and_then(|t| t.as_mut()) else {
            return Err(WireError::Lost("the link has ended".into()));
        };
        self.requests += 1;
        let request = Request {
            unit,
            others: &self.accept,
            ask,
            words,
            patience: self.times.patience(self.longest),
            forgiving: self.searching,
        };
        let answer = connection.exchange(request).await;
        let ms = connection.took.as_secs_f64() * 1e3;
        match &answer {
            Ok(_) => {
                self.last_ms = Some(ms);
                self.times.answered(ms);
            }
            Err(WireError::Exception(_)) => self.last_ms = Some(ms),
            Err(_) => {}
        }
        answer
    }

    fn resting(&self, unit: u8) -> Option<WireError> {
        if self.silent.is_empty() {
            return None;
        }
        let silent = self.silent.iter().find(|s| s.unit == unit)?;
        let wait = silent.until.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(WireError::Resting { unit, wait })
    }

    fn note(&mut self, unit: u8, result: &Result<Vec<u16>, WireError>) {
        if !matches!(result, Err(WireError::Resting { .. })) {
            let (bits, count) = self.lately;
            self.lately = ((bits << 1) | u128::from(result.is_err()), (count + 1).min(u128::BITS));
        }
        let Err(error) = result else {
            if !self.silent.is_empty() {
                self.silent.retain(|s| s.unit != unit);
            }
            return;
        };
        match error {
            WireError::Resting { .. } => return,
            WireError::Timeout(_) => {
                self.timeouts += 1;
                self.times.gave_up();
            }
            WireError::Exception(_) => self.exceptions += 1,
            _ => {}
        }
        self.failures += 1;
        if error.is_silence() {
            self.let_rest(unit);
        } else if matches!(error, WireError::Exception(_)) {
            self.silent.retain(|s| s.unit != unit);
        }
    }

    /// A silent unit keeps a shared line busy for nothing: it is asked less and less often.
    fn let_rest(&mut self, unit: u8) {
        if self.searching || self.line.is_private() {
            return;
        }
        let now = Instant::now();
        if !self.silent.iter().any(|s| s.unit == unit) {
            self.silent.push(Silent {
                unit,
                times: 0,
                until: now,
                backoff: Backoff::new(seed_of("unit") ^ u64::from(unit)),
            });
        }
        for s in self.silent.iter_mut().filter(|s| s.unit == unit) {
            s.times += 1;
            if s.times >= SILENCES {
                s.until = now + s.backoff.next();
            }
        }
    }

    /// How the link is doing for this client.
    pub fn health(&self) -> LinkHealth {
        let quantiles = self.times.quantiles();
        LinkHealth {
            answer_p50_ms: quantiles.map(|q| q.0),
            answer_p99_ms: quantiles.map(|q| q.1),
            timeouts: self.timeouts,
            exceptions: self.exceptions,
            dropped_frames: self.line.stats.dropped.load(Ordering::Relaxed),
            reconnects: self.line.stats.opened.load(Ordering::Relaxed).saturating_sub(1),
            unreadable: 0,
            restarts: 0,
            lost_lately: self.lost_lately(),
        }
    }

    /// Share of the latest 128 requests that brought nothing; `None` before there are some.
    fn lost_lately(&self) -> Option<f64> {
        let (bits, count) = self.lately;
        (count >= 16).then(|| f64::from(bits.count_ones()) / f64::from(count))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_user {
            self.line.stats.users.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
