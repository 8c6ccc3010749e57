//! The connection of a link: opened when needed, one request at a time, given up when it cannot be trusted.
//!
//! After a request without an answer a line without transaction ids (RTU, gateways that do not echo them) is quiet for a
//! while, and before the next request of the same shape a probe of another shape is sent: devices answer in order, so
//! once the probe is answered the late answer is behind us and cannot be taken for the next one.

use super::ask::Ask;
use super::client::WireError;
use super::dial::{Dial, Wire};
use super::frame::Framing;
use super::guard::Guard;
use super::line::LineStats;
use super::pace::{Backoff, seed_of};
use crate::profile::Link;
use crate::site::{Address, Id};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Requests in a row without an answer after which the connection is made anew: with and without transaction ids.
const PATIENCE: u32 = 3;
const PATIENCE_BLIND: u32 = 2;
/// Waits up to this long are waited; for longer ones the caller is told to come back.
const WORTH_WAITING: Duration = Duration::from_millis(1_500);
/// A device that serves one client needs a moment to notice that the last one left.
const REOPEN: Duration = Duration::from_millis(100);

/// How the peer wants to be treated; of several devices on one link the most demanding decides.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    connect_delay: Duration,
    gap: Duration,
    echo_tid: bool,
}

impl Manners {
    pub fn of<'l>(links: impl Iterator<Item = &'l Link>) -> Self {
        let mut all = Self {
            connect_delay: Duration::ZERO,
            gap: Duration::ZERO,
            echo_tid: true,
        };
        let ms = |n: Option<u32>| n.map_or(Duration::ZERO, |n| Duration::from_millis(u64::from(n)));
        for link in links {
            all.connect_delay = all.connect_delay.max(ms(link.connect_delay_ms));
            all.gap = all.gap.max(ms(link.gap_ms));
            all.echo_tid &= link.echo_tid.unwrap_or(true);
        }
        all
    }
}

/// A request and how it is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub unit: u8,
    /// Units that may answer besides the one asked.
    pub others: &'r [u8],
    pub ask: Ask,
    /// What a write writes.
    pub words: &'r [u16],
    pub patience: Duration,
    /// Silence is expected (a search) and does not count against the link.
    pub forgiving: bool,
}

pub struct Connection {
    dial: Dial,
    device: Id,
    address: Address,
    manners: Manners,
    guard: Option<Guard>,
    pub stats: Arc<LineStats>,
    /// One timer for all requests: setting it anew is cheaper than making one.
    timer: Pin<Box<Sleep>>,
    silent: u32,
    not_before: Instant,
    reopen_at: Instant,
    backoff: Backoff,
    trouble: String,
    /// From the last request to its answer.
    pub took: Duration,
    /// What was asked and neither answered nor given up: its asker went away.
    in_flight: Option<(u8, Ask)>,
    /// What may still be answered late, on a line without transaction ids.
    suspect: Option<(u8, Ask)>,
}

impl Connection {
    pub fn new(dial: Dial, device: Id, address: Address, manners: Manners) -> Self {
        let stats = Arc::new(LineStats::default());
        let now = Instant::now();
        Self {
            backoff: Backoff::new(seed_of(&address.to_string())),
            timer: Box::pin(sleep_until(now)),
            stats,
            dial,
            device,
            address,
            manners,
            guard: None,
            silent: 0,
            not_before: now,
            reopen_at: now,
            trouble: String::new(),
            took: Duration::ZERO,
            in_flight: None,
            suspect: None,
        }
    }

    /// Late answers cannot be told from ours by an id.
    fn is_blind(&self) -> bool {
        self.address.is_rtu() || !self.manners.echo_tid
    }

    /// One request and what its answer says: the words read, none for a write.
    pub async fn exchange(&mut self, request: Request<'_>) -> Result<Vec<u16>, WireError> {
        self.settle();
        if let Some(ask) = self.probe(request.unit, &request.ask) {
            let probe = Request {
                ask,
                words: &[],
                ..request
            };
            match self.once(probe).await {
                Ok(_) | Err(WireError::Exception(_)) => self.suspect = None,
                Err(error) => return Err(error),
            }
        }
        self.once(request).await
    }

    /// A request of another shape than the one whose answer may still come, where this one has the same.
    fn probe(&self, unit: u8, ask: &Ask) -> Option<Ask> {
        let (suspect_unit, late) = self.suspect.as_ref()?;
        (*suspect_unit == unit && late.answers_like(ask)).then(|| ask.of_another_shape())?
    }

    /// Whoever asked last may have gone away in the middle: as if there had been no answer.
    fn settle(&mut self) {
        let Some((unit, ask)) = self.in_flight.take() else {
            return;
        };
        if self.is_blind() {
            self.suspect = Some((unit, ask));
            self.not_before = Instant::now() + Duration::from_millis(500);
        }
    }

    async fn once(&mut self, request: Request<'_>) -> Result<Vec<u16>, WireError> {
        let mut fresh = self.guard.is_none();
        loop {
            self.open().await?;
            match self.send(request).await {
                // The peer had closed while nothing was asked; nothing was sent yet, so open again and ask.
                Err(WireError::Idle) if !fresh => {
                    fresh = true;
                    self.guard = None;
                    self.reopen_at = Instant::now() + REOPEN;
                }
                Err(WireError::Idle) => {
                    return Err(self.lose("it closes every connection at once".into()));
                }
                done => return done,
            }
        }
    }

    async fn send(&mut self, request: Request<'_>) -> Result<Vec<u16>, WireError> {
        let mut begun = Instant::now();
        if self.not_before > begun {
            sleep_until(self.not_before).await;
            begun = Instant::now();
        }
        let Request { unit, ask, .. } = request;
        let patience = request.patience + self.on_the_wire(&ask);
        let Some(guard) = self.guard.as_mut() else {
            return Err(WireError::Lost("not connected".into()));
        };
        let pdu = ask.request(request.words);
        self.in_flight = Some((unit, ask));
        self.timer.as_mut().reset(begun + patience);
        let answer = tokio::select! {
            biased;
            answer = guard.call(unit, request.others, &pdu) => Some(answer.map(|pdu| ask.understand(pdu, request.words))),
            () = self.timer.as_mut() => None,
        };
        self.in_flight = None;
        self.took = begun.elapsed();
        match answer {
            Some(Ok(Ok(answer))) => {
                self.answered(unit, &ask);
                answer.map_err(WireError::Exception)
            }
            // What answers wrongly once may be out of step: start afresh.
            Some(Ok(Err(why))) => {
                self.lose(why.clone());
                Err(WireError::Wrong(why))
            }
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotConnected => Err(WireError::Idle),
            Some(Err(error)) => Err(self.lose(error.to_string())),
            None => Err(self.unanswered(request, patience)),
        }
    }

    fn answered(&mut self, unit: u8, ask: &Ask) {
        self.silent = 0;
        self.backoff.reset();
        if let Some((suspect, late)) = &self.suspect
            && *suspect == unit
            && !late.answers_like(ask)
        {
            self.suspect = None;
        }
        let gap = self.gap();
        if !gap.is_zero() {
            self.not_before = Instant::now() + gap;
        }
    }

    fn unanswered(&mut self, request: Request<'_>, patience: Duration) -> WireError {
        let blind = self.is_blind();
        if blind {
            self.suspect = Some((request.unit, request.ask));
            // Drain: what comes in this time is thrown away before the next request.
            self.not_before = Instant::now() + patience.max(self.gap());
        }
        if !request.forgiving {
            self.silent += 1;
            if self.silent >= if blind { PATIENCE_BLIND } else { PATIENCE } {
                self.lose(format!("{} requests in a row without an answer", self.silent));
            }
        }
        WireError::Timeout(patience)
    }

    /// Closes; the next attempt waits, each time longer.
    pub fn lose(&mut self, why: String) -> WireError {
        self.guard = None;
        self.silent = 0;
        self.reopen_at = Instant::now() + self.backoff.next();
        self.trouble.clone_from(&why);
        WireError::Lost(why)
    }

    /// Silence between frames: what the devices want, on a serial line at least 3.5 characters (1.75 ms when fast).
    fn gap(&self) -> Duration {
        match &self.address {
            Address::Rtu { line, .. } => {
                let characters = Duration::from_secs_f64(line.seconds(7) / 2.0);
                self.manners.gap.max(characters).max(Duration::from_micros(1_750))
            }
            _ => self.manners.gap,
        }
    }

    /// Time the frames themselves take on a serial line.
    fn on_the_wire(&self, ask: &Ask) -> Duration {
        match &self.address {
            Address::Rtu { line, .. } => Duration::from_secs_f64(line.seconds(ask.bytes())),
            _ => Duration::ZERO,
        }
    }

    async fn open(&mut self) -> Result<(), WireError> {
        if self.guard.is_some() {
            return Ok(());
        }
        let wait = self.reopen_at.saturating_duration_since(Instant::now());
        if wait > WORTH_WAITING {
            let why = format!("{}; next attempt in {} s", self.trouble, wait.as_secs() + 1);
            return Err(WireError::Unreachable(why));
        }
        sleep_until(self.reopen_at).await;
        // Opening is rare and its state is large (TLS): it does not lie in every request's.
        let opened = Box::pin(self.dial.open(&self.device, &self.address)).await;
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                self.lose(error.to_string());
                return Err(WireError::Unreachable(error.to_string()));
            }
        };
        self.stats.opened.fetch_add(1, Ordering::Relaxed);
        if !self.manners.connect_delay.is_zero() {
            sleep(self.manners.connect_delay).await;
        }
        let stats = self.stats.clone();
        self.guard = Some(guarded(stream, &self.address, self.manners.echo_tid, stats));
        Ok(())
    }
}

/// A stream in the hands of its guard; nothing else ever gets it.
pub fn guarded(stream: Box<dyn Wire>, address: &Address, echo_tid: bool, stats: Arc<LineStats>) -> Guard {
    let framing = if address.is_rtu() { Framing::Rtu } else { Framing::Mbap };
    Guard::new(stream, framing, echo_tid, stats)
}
