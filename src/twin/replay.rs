//! Serves a recorded trace as a Modbus TCP device: what was answered then is answered now.
//!
//! The same request gets its recorded answers in order, the last one for ever. Another cut of registers that were recorded is
//! put together from them; what was never recorded is refused with exception 2, a unit that was never asked is silent.

use super::framing::Framing;
use super::serve::Served;
use crate::profile::Table;
use crate::profile::trace::{Exchange, Trace};
use crate::site::Id;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

const REFUSED: u8 = 2;

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Words(Vec<u16>),
    Exception(u8),
    Silence,
}

#[derive(Debug)]
struct Replay {
    units: BTreeSet<u8>,
    answers: BTreeMap<(u8, Table, u16, u16), VecDeque<Answer>>,
    /// Registers as far as the replay has come; at first as they were first seen.
    image: BTreeMap<(u8, Table, u16), u16>,
    writes: Vec<Exchange>,
}

impl Replay {
    fn new(trace: &Trace) -> Self {
        let mut replay = Self {
            units: trace.exchanges.iter().map(|e| e.unit).collect(),
            answers: BTreeMap::new(),
            image: BTreeMap::new(),
            writes: trace.exchanges.iter().filter(|e| e.write.is_some()).cloned().collect(),
        };
        for e in &trace.exchanges {
            let (Some(table), Some(count)) = (e.table, e.count) else {
                continue;
            };
            for (i, word) in e.words.iter().enumerate() {
                replay
                    .image
                    .entry((e.unit, table, e.addr.wrapping_add(i as u16)))
                    .or_insert(*word);
            }
            let answer = match (e.exception, e.silent) {
                (Some(code), _) => Answer::Exception(code),
                (None, true) => Answer::Silence,
                (None, false) => Answer::Words(e.words.clone()),
            };
            replay
                .answers
                .entry((e.unit, table, e.addr, count))
                .or_default()
                .push_back(answer);
        }
        replay
    }

    fn read(&mut self, unit: u8, table: Table, addr: u16, count: u16) -> Answer {
        let known = self.answers.get_mut(&(unit, table, addr, count));
        let answer = known.and_then(|all| {
            if all.len() > 1 {
                all.pop_front()
            } else {
                all.front().cloned()
            }
        });
        match answer {
            Some(Answer::Words(words)) => {
                for (i, word) in words.iter().enumerate() {
                    self.image.insert((unit, table, addr.wrapping_add(i as u16)), *word);
                }
                Answer::Words(words)
            }
            Some(other) => other,
            None => {
                let word = |i: u16| self.image.get(&(unit, table, addr.checked_add(i)?)).copied();
                let all: Option<Vec<u16>> = (0..count).map(word).collect();
                all.map_or(Answer::Exception(REFUSED), Answer::Words)
            }
        }
    }

    /// A write is answered as it was, if it was.
    fn write(&self, unit: u8, addr: u16, words: &[u16]) -> Answer {
        let same = |e: &&Exchange| e.unit == unit && e.addr == addr && e.words == words;
        match self.writes.iter().find(same) {
            Some(e) if e.silent => Answer::Silence,
            Some(e) => e.exception.map_or(Answer::Words(vec![]), Answer::Exception),
            None => Answer::Exception(REFUSED),
        }
    }

    /// The answer to a request; `None` is silence.
    fn answer(&mut self, unit: u8, pdu: &[u8]) -> Option<Vec<u8>> {
        if !self.units.contains(&unit) {
            return None;
        }
        let word = |i: usize| pdu.get(i..i + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let (addr, second) = (word(1), word(3));
        let answer = match pdu[0] {
            1 => self.read(unit, Table::Coil, addr, second),
            2 => self.read(unit, Table::Discrete, addr, second),
            3 => self.read(unit, Table::Holding, addr, second),
            4 => self.read(unit, Table::Input, addr, second),
            5 => self.write(unit, addr, &[u16::from(second != 0)]),
            6 => self.write(unit, addr, &[second]),
            16 => {
                let bytes = pdu.get(6..).unwrap_or(&[]);
                let words: Vec<u16> = bytes
                    .chunks_exact(2)
                    .map(|b| u16::from_be_bytes([b[0], b[1]]))
                    .collect();
                self.write(unit, addr, &words)
            }
            _ => Answer::Exception(1),
        };
        match answer {
            Answer::Silence => None,
            Answer::Exception(code) => Some(vec![pdu[0] | 0x80, code]),
            Answer::Words(_) if pdu[0] > 4 => pdu.get(0..5).map(<[u8]>::to_vec),
            Answer::Words(words) => Some(packed(pdu[0], &words)),
        }
    }
}

fn packed(function: u8, words: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = if function < 3 {
        let byte = |bits: &[u16]| bits.iter().rev().fold(0u8, |b, bit| (b << 1) | u8::from(*bit != 0));
        words.chunks(8).map(byte).collect()
    } else {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    };
    let mut out = vec![function, bytes.len() as u8];
    out.extend(bytes);
    out
}

/// Listens at `host` (a free port) or `host:port`; serves until the runtime ends.
pub async fn serve_trace(trace: &Trace, host: &str) -> Result<Served, String> {
    let told = |e: std::io::Error| format!("cannot listen on {host}: {e}");
    let with_port = host.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
    let listener = if with_port {
        TcpListener::bind(host).await
    } else {
        TcpListener::bind((host, 0)).await
    };
    let listener = listener.map_err(told)?;
    let address = listener.local_addr().map_err(told)?;
    let replay = Arc::new(Mutex::new(Replay::new(trace)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Small frames must not wait for each other; a socket that refuses still works.
            let _slower = stream.set_nodelay(true);
            tokio::spawn(converse(stream, replay.clone()));
        }
    });
    Ok(Served {
        device: Id::new("trace"),
        components: vec![],
        profile: trace.head.profile.clone(),
        address: format!("tcp://{address}"),
        unit_id: trace.head.unit,
    })
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, replay: Arc<Mutex<Replay>>) {
    while let Ok(request) = Framing::Tcp.request(&mut stream).await {
        let answer = replay
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answer(request.unit, &request.pdu);
        let Some(answer) = answer else { continue };
        let frame = Framing::Tcp.answer(&request, &answer);
        if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(lines: &[&str]) -> Replay {
        let head = r#"{"trace":"madang/1","transport":"tcp","unit":1,"profile":"x","recorded":""}"#;
        Replay::new(&Trace::parse(&format!("{head}\n{}\n", lines.join("\n"))).unwrap())
    }

    #[test]
    fn answers_come_in_order_and_other_cuts_are_put_together() {
        let mut r = trace(&[
            r#"{"t_ms":0,"unit":1,"table":"input","addr":10,"count":2,"words":[1,2]}"#,
            r#"{"t_ms":1,"unit":1,"table":"input","addr":12,"count":1,"words":[3]}"#,
            r#"{"t_ms":2,"unit":1,"table":"input","addr":10,"count":2,"words":[7,8]}"#,
            r#"{"t_ms":3,"unit":1,"table":"holding","addr":5,"count":1,"exception":4}"#,
            r#"{"t_ms":4,"unit":1,"write":6,"addr":9,"words":[1],"ok":true}"#,
        ]);
        let words = |w: &[u16]| Answer::Words(w.to_vec());
        assert_eq!(r.read(1, Table::Input, 11, 2), words(&[2, 3]));
        assert_eq!(r.read(1, Table::Input, 10, 2), words(&[1, 2]));
        assert_eq!(r.read(1, Table::Input, 10, 2), words(&[7, 8]));
        assert_eq!(r.read(1, Table::Input, 10, 2), words(&[7, 8]));
        assert_eq!(r.read(1, Table::Input, 10, 3), words(&[7, 8, 3]));
        assert_eq!(r.read(1, Table::Input, 10, 4), Answer::Exception(2));
        assert_eq!(r.read(1, Table::Holding, 5, 1), Answer::Exception(4));
        assert_eq!(r.answer(2, &[3, 0, 5, 0, 1]), None);
        assert_eq!(r.answer(1, &[6, 0, 9, 0, 1]), Some(vec![6, 0, 9, 0, 1]));
        assert_eq!(r.answer(1, &[6, 0, 9, 0, 2]), Some(vec![0x86, 2]));
        assert_eq!(packed(1, &[1, 0, 1]), [1, 1, 0b101]);
    }
}
