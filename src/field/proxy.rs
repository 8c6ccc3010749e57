//! A Modbus TCP server in front of one device, so that several masters can share a device that serves one client.
//!
//! In: connections of other masters. Out: their reads, one at a time over our own connection, in the order they came;
//! writes are refused with exception 1 unless the owner allowed that register. Nothing is answered from memory unless told.
//! Connections, frames and waiting requests are bounded.

use super::client::{Client, WireError};
use super::dial::Dial;
use crate::profile::{Link, Table};
use crate::site::{Address, Id};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// What other masters may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    pub writes: Vec<Allowed>,
    /// Answers younger than this are given again without asking the device; `None`: every read goes to the device.
    pub max_age: Option<Duration>,
    /// Masters at once.
    pub most_clients: usize,
}

/// Registers of one unit that other masters may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    pub unit: u8,
    pub from: u16,
    pub to: u16,
}

impl Allowed {
    /// `UNIT:ADDR-ADDR` or `UNIT:ADDR`
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not UNIT:ADDR-ADDR, e.g. 1:40232-40240 (addresses as on the wire, from 0)");
        let (unit, range) = text.split_once(':').ok_or_else(wrong)?;
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let number = |t: &str| t.trim().parse::<u16>().map_err(|_| wrong());
        let unit = unit.trim().parse::<u8>().map_err(|_| wrong())?;
        let (from, to) = (number(from)?, number(to)?);
        // Unit 0 is everybody at once and never answers: nobody may write to it through a proxy.
        if unit == 0 || from > to {
            return Err(wrong());
        }
        Ok(Self { unit, from, to })
    }

    fn holds(&self, unit: u8, addr: u16, count: usize) -> bool {
        let last = usize::from(addr) + count - 1;
        self.unit == unit && addr >= self.from && last <= usize::from(self.to)
    }
}

/// A request of another master.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Read {
        unit: u8,
        table: Table,
        addr: u16,
        count: u16,
    },
    Write {
        unit: u8,
        fc: u8,
        addr: u16,
        words: Vec<u16>,
    },
}

/// Modbus exception codes that a master gets from here.
const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_VALUE: u8 = 3;
const BUSY: u8 = 6;
const NO_PATH: u8 = 10;
const NO_ANSWER: u8 = 11;
/// A master that says nothing for this long is hung up on.
const IDLE: Duration = Duration::from_secs(300);
/// Masters at once of a site's proxy.
const MOST_MASTERS: usize = 8;
/// Waiting requests of all masters.
const WAITING: usize = 32;
const MOST_KEPT: usize = 256;

type Answer = Result<Vec<u16>, WireError>;
/// Unit, table, first register, count.
type Place = (u8, Table, u16, u16);
type Job = (Asked, oneshot::Sender<Answer>);

/// Told of every exchange with the device.
pub type Tap = Box<dyn FnMut(&Asked, &Answer) + Send>;

/// The one place that talks to the device.
#[derive(Clone)]
pub struct Upstream {
    jobs: mpsc::Sender<Job>,
}

impl Upstream {
    /// Starts the task that owns the connection; it ends when the last clone is gone.
    pub fn start(client: Client, max_age: Option<Duration>, tap: Option<Tap>) -> Self {
        let (jobs, inbox) = mpsc::channel(WAITING);
        tokio::spawn(pump(client, inbox, Kept::new(max_age), tap));
        Self { jobs }
    }

    /// `None`: too many requests wait already.
    async fn ask(&self, asked: Asked) -> Option<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.jobs.try_send((asked, answer)).ok()?;
        receiver.await.ok()
    }
}

/// The one connection to a device at an address.
pub fn upstream(address: Address, link: Link, max_age: Option<Duration>, tap: Option<Tap>) -> Upstream {
    let client = Client::new(Dial::Sockets, Id::new("proxy"), address, link);
    Upstream::start(client, max_age, tap)
}

/// Serves a site's proxy over the link's own connection, behind its setpoints and polls. Read-only.
pub fn attach(config: &crate::site::Proxy, guest: Client) -> Result<(), String> {
    let said = |e: std::io::Error| format!("the proxy of {} cannot listen on {}: {e}", config.device, config.listen);
    let listener = std::net::TcpListener::bind(config.listen).map_err(said)?;
    listener.set_nonblocking(true).map_err(said)?;
    let listener = TcpListener::from_std(listener).map_err(said)?;
    let rules = Rules {
        writes: Vec::new(),
        max_age: config.max_age,
        most_clients: MOST_MASTERS,
    };
    let upstream = Upstream::start(guest, config.max_age, None);
    tokio::spawn(serve(listener, upstream, Arc::new(rules)));
    Ok(())
}

async fn pump(mut client: Client, mut inbox: mpsc::Receiver<Job>, mut kept: Kept, mut tap: Option<Tap>) {
    while let Some((asked, answer)) = inbox.recv().await {
        if let Some(words) = kept.find(&asked) {
            let _gone = answer.send(Ok(words));
            continue;
        }
        let result = match &asked {
            Asked::Read {
                unit,
                table,
                addr,
                count,
            } => client.read(*unit, *table, *addr, *count).await,
            Asked::Write { unit, fc, addr, words } => client.write(*unit, *fc, *addr, words).await.map(|()| Vec::new()),
        };
        if let Some(tap) = tap.as_mut() {
            tap(&asked, &result);
        }
        kept.keep(&asked, &result);
        // The master may have left meanwhile.
        let _gone = answer.send(result);
    }
}

/// Young answers, where the owner wants them.
struct Kept {
    max_age: Option<Duration>,
    answers: BTreeMap<Place, (Instant, Vec<u16>)>,
}

impl Kept {
    fn new(max_age: Option<Duration>) -> Self {
        Self {
            max_age,
            answers: BTreeMap::new(),
        }
    }

    fn find(&self, asked: &Asked) -> Option<Vec<u16>> {
        let (max_age, key) = (self.max_age?, key(asked)?);
        let (at, words) = self.answers.get(&key)?;
        (at.elapsed() <= max_age).then(|| words.clone())
    }

    /// A write may change anything: what was kept is forgotten.
    fn keep(&mut self, asked: &Asked, result: &Answer) {
        let (Some(max_age), Some(key), Ok(words)) = (self.max_age, key(asked), result) else {
            if key(asked).is_none() {
                self.answers.clear();
            }
            return;
        };
        self.answers.retain(|_, (at, _)| at.elapsed() <= max_age);
        if self.answers.len() < MOST_KEPT {
            self.answers.insert(key, (Instant::now(), words.clone()));
        }
    }
}

fn key(asked: &Asked) -> Option<Place> {
    match asked {
        Asked::Read {
            unit,
            table,
            addr,
            count,
        } => Some((*unit, *table, *addr, *count)),
        Asked::Write { .. } => None,
    }
}

/// Serves other masters until the task is dropped.
pub async fn serve(listener: TcpListener, upstream: Upstream, rules: Arc<Rules>) {
    let places = Arc::new(Semaphore::new(rules.most_clients));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("the proxy cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        // One too many is hung up on at once, and may come again.
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("the proxy serves {} masters already", rules.most_clients);
            continue;
        };
        // Small frames must not wait for each other; a socket that refuses still works.
        let _slower = stream.set_nodelay(true);
        let (upstream, rules) = (upstream.clone(), rules.clone());
        tokio::spawn(async move {
            converse(stream, upstream, rules).await;
            drop(place);
        });
    }
}

/// One master, one request at a time, until it leaves, falls silent or sends what is no Modbus.
pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, upstream: Upstream, rules: Arc<Rules>) {
    while let Ok(Ok((header, pdu))) = timeout(IDLE, request(&mut stream)).await {
        let answer = match understand(header[6], &pdu, &rules) {
            Ok(asked) => match upstream.ask(asked.clone()).await {
                Some(Ok(words)) => said(&pdu, &asked, &words),
                Some(Err(error)) => refused(&pdu, code(&error)),
                None => refused(&pdu, BUSY),
            },
            Err(code) => refused(&pdu, code),
        };
        let mut frame = header[0..4].to_vec();
        frame.extend((answer.len() as u16 + 1).to_be_bytes());
        frame.push(header[6]);
        frame.extend(answer);
        if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A frame of the right form; anything else ends the connection.
async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<([u8; 7], Vec<u8>)> {
    let mut header = [0u8; 7];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[2..4] != [0, 0] || !(2..=254).contains(&length) {
        let why = "not a Modbus frame";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    }
    let mut pdu = vec![0u8; length - 1];
    stream.read_exact(&mut pdu).await?;
    Ok((header, pdu))
}

/// What is asked, or the exception code of what may not be.
fn understand(unit: u8, pdu: &[u8], rules: &Rules) -> Result<Asked, u8> {
    let word = |i: usize| {
        pdu.get(i..i + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .ok_or(ILLEGAL_VALUE)
    };
    let read = |table: Table, most: u16| {
        let (addr, count) = (word(1)?, word(3)?);
        let fits = pdu.len() == 5 && (1..=most).contains(&count) && u32::from(addr) + u32::from(count) <= 0x1_0000;
        let asked = Asked::Read {
            unit,
            table,
            addr,
            count,
        };
        fits.then_some(asked).ok_or(ILLEGAL_VALUE)
    };
    match pdu[0] {
        1 => read(Table::Coil, 2000),
        2 => read(Table::Discrete, 2000),
        3 => read(Table::Holding, 125),
        4 => read(Table::Input, 125),
        5 | 6 | 16 => {
            let (addr, words) = written(pdu)?;
            let allowed = rules.writes.iter().any(|a| a.holds(unit, addr, words.len()));
            let fc = pdu[0];
            let asked = Asked::Write { unit, fc, addr, words };
            allowed.then_some(asked).ok_or(ILLEGAL_FUNCTION)
        }
        _ => Err(ILLEGAL_FUNCTION),
    }
}

/// Address and registers of a write (a coil as 0 or 1).
fn written(pdu: &[u8]) -> Result<(u16, Vec<u16>), u8> {
    let word = |i: usize| {
        pdu.get(i..i + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .ok_or(ILLEGAL_VALUE)
    };
    let (addr, second) = (word(1)?, word(3)?);
    match pdu[0] {
        5 if pdu.len() == 5 && matches!(second, 0 | 0xFF00) => Ok((addr, vec![u16::from(second != 0)])),
        6 if pdu.len() == 5 => Ok((addr, vec![second])),
        16 => {
            let bytes = pdu.get(6..).unwrap_or(&[]);
            let told = pdu.get(5).map(|n| usize::from(*n));
            let whole =
                (1..=123).contains(&second) && bytes.len() == usize::from(second) * 2 && told == Some(bytes.len());
            let words = bytes
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                .collect();
            whole.then_some((addr, words)).ok_or(ILLEGAL_VALUE)
        }
        _ => Err(ILLEGAL_VALUE),
    }
}

fn said(pdu: &[u8], asked: &Asked, words: &[u16]) -> Vec<u8> {
    match asked {
        Asked::Write { .. } => pdu[0..5].to_vec(),
        Asked::Read {
            table: Table::Holding | Table::Input,
            ..
        } => {
            let mut out = vec![pdu[0], (words.len() * 2) as u8];
            out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
            out
        }
        Asked::Read { .. } => {
            let mut out = vec![pdu[0], words.len().div_ceil(8) as u8];
            let byte = |eight: &[u16]| (0..eight.len()).fold(0u8, |b, i| b | (u8::from(eight[i] != 0) << i));
            out.extend(words.chunks(8).map(byte));
            out
        }
    }
}

fn refused(pdu: &[u8], code: u8) -> Vec<u8> {
    vec![pdu[0] | 0x80, code]
}

/// What the master is told: the device's own refusal, or that the gateway could not get through.
fn code(error: &WireError) -> u8 {
    match error {
        WireError::Exception(code) => *code,
        WireError::Unreachable(_) | WireError::Lost(_) => NO_PATH,
        _ => NO_ANSWER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &[&str]) -> Rules {
        Rules {
            writes: allowed.iter().map(|t| Allowed::parse(t).unwrap()).collect(),
            max_age: None,
            most_clients: 1,
        }
    }

    #[test]
    fn writes_are_refused_unless_every_register_of_them_is_allowed() {
        let write = [16, 0, 10, 0, 2, 4, 0, 1, 0, 2];
        for (allowed, unit, expected) in [
            (&[][..], 1, false),
            (&["1:10-11"], 1, true),
            (&["1:10"], 1, false),
            (&["2:10-11"], 1, false),
            (&["1:0-65535"], 1, true),
            (&["2:5", "1:9-20"], 1, true),
        ] {
            let answer = understand(unit, &write, &rules(allowed));
            assert_eq!(answer.is_ok(), expected, "{allowed:?}");
            assert!(expected || answer == Err(1));
        }
        for wrong in ["0:1-2", "1", "1:5-2", "x:1", "1:70000"] {
            assert!(Allowed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_proper_request_is_refused_and_nothing_panics() {
        let all = rules(&["1:0-65535"]);
        for (pdu, code) in [
            (vec![3, 0, 0, 0, 0], 3),
            (vec![3, 0, 0, 0, 126], 3),
            (vec![3, 0xFF, 0xFF, 0, 2], 3),
            (vec![3, 0], 3),
            (vec![5, 0, 1, 0x12, 0x34], 3),
            (vec![16, 0, 1, 0, 2, 4, 0, 1], 3),
            (vec![16, 0, 1, 0, 1, 9, 0, 1], 3),
            (vec![15, 0, 1, 0, 1, 1, 1], 1),
            (vec![22, 0, 1, 0, 1, 0, 1], 1),
            (vec![43, 14, 1, 0], 1),
            (vec![0x83, 1], 1),
        ] {
            assert_eq!(understand(1, &pdu, &all), Err(code), "{pdu:?}");
        }
    }

    #[test]
    fn bits_are_packed_low_first() {
        let asked = Asked::Read {
            unit: 1,
            table: Table::Coil,
            addr: 0,
            count: 10,
        };
        let bits = [1, 0, 1, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(said(&[1, 0, 0, 0, 10], &asked, &bits), [1, 2, 0b101, 0b10]);
    }
}
