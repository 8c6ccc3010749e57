//! Mutated answers, registers and profile files: a small seeded driver on stable Rust, corpus in `tests/fuzz_corpus`.
//!
//! Every answer goes through the real guard, client and decoder over a scripted wire in paused time. What must hold: no panic,
//! no hang, and words come back only if a whole frame with the right transaction (or checksum), unit, function and length
//! was sent in answer to this very request. `MADANG_FUZZ` sets the executions of each target (default 20,000);
//! `MADANG_FUZZ_SEED` the seed. An input that breaks something is saved to the corpus.

use chrono::TimeDelta;
use madang::cli::plan::one_plan;
use madang::cycle::PlanOutcome;
use madang::field::{Client, Dial, Map, Raw, Value, Wire, decode, encode};
use madang::profile::{Profile, RegisterType, Table, WordOrder, builtin, builtin_names, parse};
use madang::site::{Address, Id};
use madang::tariff::{KnownPrice, MonthUse, Peaks, PriceFiles, PriceSeries};
use madang::time::{Interval, TimeGrid, Timestamp};
use madang::units::{Energy, Power};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|t| t.parse().ok()).unwrap_or(default)
}

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz_corpus")
        .join(target)
}

/// Saves the input at hand if the test dies over it.
struct Saver {
    target: &'static str,
    extension: &'static str,
    current: Vec<u8>,
}

impl Drop for Saver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hash = self
                .current
                .iter()
                .fold(0xcbf2_9ce4u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
            let file = corpus(self.target).join(format!("found-{hash:08x}.{}", self.extension));
            let text = if self.extension == "hex" {
                hex(&self.current).into_bytes()
            } else {
                self.current.clone()
            };
            println!("saving the input to {}", file.display());
            // The test fails anyway.
            let _unsaved = std::fs::write(file, text);
        }
    }
}

fn closing(target: &str, executions: u64, begun: Instant, told: &str) {
    let seconds = begun.elapsed().as_secs_f64();
    let rate = executions as f64 / seconds.max(1e-9);
    println!("fuzz {target}: {executions} executions in {seconds:.1} s ({rate:.0}/s), no finding; {told}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<String>() + "\n"
}

fn frames(target: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(corpus(target))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        for line in std::fs::read_to_string(file)
            .unwrap()
            .lines()
            .filter(|l| !l.starts_with('#'))
        {
            let digits: Vec<u8> = line.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            all.push(digits.chunks(2).map(byte).collect());
        }
    }
    assert!(!all.is_empty());
    all
}

fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0xFFFFu16;
    for byte in bytes {
        sum ^= u16::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xA001 } else { sum >> 1 };
        }
    }
    sum.to_le_bytes()
}

/// A device at the end of a wire: answers each request rightly, then the answer is mutated on its way.
struct Script {
    rtu: bool,
    dice: fastrand::Rng,
    corpus: Vec<Vec<u8>>,
    /// Answers of former requests that have not been sent yet.
    held: Vec<u8>,
    /// What is held is no true answer any more: made of noise or of another exchange, it may fit the next request by chance,
    /// and no client could tell. A true answer that comes late must never be taken.
    held_is_noise: bool,
    /// What was sent in answer to the last request, without true answers that were held.
    last: Vec<u8>,
    request: Vec<u8>,
    /// Bytes on their way to the client.
    wire: VecDeque<u8>,
    closed: bool,
}

impl Script {
    fn answer(&mut self) {
        let request = std::mem::take(&mut self.request);
        let pdu = if self.rtu {
            &request[1..request.len() - 2]
        } else {
            &request[7..]
        };
        let mut noise = self.dice.u8(..) < 40;
        let mut answer = if noise {
            self.corpus[self.dice.usize(..self.corpus.len())].clone()
        } else {
            let count = usize::from(u16::from_be_bytes([pdu[3], pdu[4]]));
            let bytes = if pdu[0] <= 2 { count.div_ceil(8) } else { 2 * count };
            let mut right = if self.rtu {
                vec![request[0]]
            } else {
                request[..7].to_vec()
            };
            right.extend([pdu[0], bytes as u8]);
            right.extend((0..bytes).map(|_| self.dice.u8(..)));
            right
        };
        if !self.rtu && answer.len() > 7 && self.dice.u8(..) < 200 {
            answer[..2].copy_from_slice(&request[..2]);
        }
        if self.dice.bool() {
            noise = true;
            self.mutate(&mut answer);
        }
        // Most mutated frames are made whole again, so that they get further than the first check.
        if self.dice.u8(..) < 200 {
            self.seal(&mut answer);
        } else if self.rtu {
            answer.extend(crc(&answer.clone()));
        }
        if self.dice.u8(..) < 60 {
            noise = true;
            self.mutate(&mut answer);
        }
        match self.dice.u8(..) {
            // Nothing now; it comes before the next answer.
            0..16 => {
                self.held = std::mem::take(&mut answer);
                self.held_is_noise = noise;
            }
            16..24 => answer.extend(answer.clone()),
            24..32 => answer.splice(0..0, [0x55, 0xFF, 0x00]).for_each(drop),
            32..36 => self.closed = true,
            _ => {}
        }
        let late = if answer.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut self.held)
        };
        self.wire.extend(&late);
        self.wire.extend(&answer);
        self.last = if self.held_is_noise { late } else { Vec::new() };
        self.last.extend(answer);
    }

    fn seal(&mut self, frame: &mut Vec<u8>) {
        if self.rtu {
            let sum = crc(frame);
            frame.extend(sum);
        } else if frame.len() > 6 {
            let length = (frame.len() - 6) as u16;
            frame[4..6].copy_from_slice(&length.to_be_bytes());
        }
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        for _ in 0..=self.dice.u8(..3) {
            if frame.is_empty() {
                return;
            }
            let at = self.dice.usize(..frame.len());
            match self.dice.u8(..7) {
                0 => frame[at] ^= 1 << self.dice.u8(..8),
                1 => frame[at] = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF][self.dice.usize(..7)],
                2 => frame.truncate(at),
                3 => frame.insert(at, self.dice.u8(..)),
                4 => drop(frame.remove(at)),
                5 => frame.extend((0..self.dice.usize(..300)).map(|_| 0xA5)),
                _ => frame[at] = frame[at].wrapping_add(self.dice.u8(..)),
            }
        }
    }

    /// Whether `words` stand in a whole and right frame of the last answer.
    fn said(&self, tid: [u8; 2], unit: u8, function: u8, count: usize, words: &[u16]) -> bool {
        let data: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let mut body = vec![unit, function, (2 * count) as u8];
        body.extend(&data);
        let frame = if self.rtu {
            let sum = crc(&body);
            body.extend(sum);
            body
        } else {
            let mut frame = vec![tid[0], tid[1], 0, 0];
            frame.extend((body.len() as u16).to_be_bytes());
            frame.extend(body);
            frame
        };
        self.last.windows(frame.len()).any(|w| w == frame)
    }
}

#[derive(Debug)]
struct End(Arc<Mutex<ScriptBox>>);

struct ScriptBox {
    script: Script,
    /// Transaction of the last request.
    tid: [u8; 2],
}

impl std::fmt::Debug for ScriptBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("script")
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let s = &mut self.0.lock().unwrap().script;
        if s.wire.is_empty() {
            // Nobody will wake it: only its own timer ends the wait.
            return if s.closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let most = if s.dice.u8(..) < 50 { 1 + s.dice.usize(..8) } else { 600 };
        let n = s.wire.len().min(most).min(out.remaining());
        s.wire.drain(..n).for_each(|b| out.put_slice(&[b]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().script.request.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock().unwrap();
        if shared.script.request.len() >= 8 {
            shared.tid = [shared.script.request[0], shared.script.request[1]];
            shared.script.answer();
        }
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn answers(rtu: bool) {
    let target = if rtu { "rtu" } else { "tcp" };
    let (executions, seed) = (number("MADANG_FUZZ", 20_000), number("MADANG_FUZZ_SEED", 1));
    let script = Script {
        rtu,
        dice: fastrand::Rng::with_seed(seed),
        corpus: frames(target),
        held: Vec::new(),
        held_is_noise: false,
        last: Vec::new(),
        request: Vec::new(),
        wire: VecDeque::new(),
        closed: false,
    };
    let shared = Arc::new(Mutex::new(ScriptBox { script, tid: [0; 2] }));
    let wires = shared.clone();
    let dial = Dial::Pipes(Arc::new(move |_| {
        let mut shared = wires.lock().unwrap();
        // A new connection: what lay on the old one is gone.
        shared.script.closed = false;
        shared.script.wire.clear();
        shared.script.request.clear();
        shared.script.held.clear();
        Ok(Box::new(End(wires.clone())) as Box<dyn Wire>)
    }));
    let address = if rtu {
        "rtu+tcp://127.0.0.1:1"
    } else {
        "tcp://127.0.0.1:1"
    };
    let profile = builtin("eastron-sdm630").unwrap();
    let map = Map::of(&profile);
    let mut saver = Saver {
        target,
        extension: "hex",
        current: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let begun = Instant::now();
    let (mut taken, mut values) = (0u64, 0u64);
    runtime.block_on(async {
        let link = profile.link.clone();
        let mut client = Client::new(dial, Id::new("fuzz"), Address::parse(address).unwrap(), link);
        let mut dice = fastrand::Rng::with_seed(seed ^ 0xA5A5);
        for _ in 0..executions {
            let block = &map.blocks[dice.usize(..map.blocks.len())];
            let (table, function) = if dice.bool() {
                (Table::Holding, 3)
            } else {
                (Table::Input, 4)
            };
            let count = if dice.bool() { block.count } else { dice.u16(1..=20) };
            let unit = dice.u8(1..=3);
            let read = client.read(unit, table, block.addr, count).await;
            saver.current.clone_from(&shared.lock().unwrap().script.last);
            let Ok(words) = read else {
                // Past every pause before the next attempt, so that the next request reaches the wire.
                tokio::time::sleep(std::time::Duration::from_secs(120)).await;
                continue;
            };
            taken += 1;
            let state = shared.lock().unwrap();
            let right = state.script.said(state.tid, unit, function, usize::from(count), &words);
            let sent = hex(&state.script.last);
            drop(state);
            assert_eq!(words.len(), usize::from(count));
            assert!(
                right,
                "{words:?} taken from unit {unit}, function {function}, count {count}: {sent}"
            );
            if count == block.count {
                values += check_values(&profile, &map, block, &words);
            }
        }
    });
    let floor = if executions >= 10_000 { executions / 20 } else { 0 };
    assert!(
        taken > floor,
        "only {taken} of {executions} answers were taken: the driver is off the mark"
    );
    closing(
        target,
        executions,
        begun,
        &format!("{taken} answers taken, {values} values"),
    );
}

/// What is shown as a number is one, and inside the range the profile gives.
fn check_values(profile: &Profile, map: &Map, block: &madang::field::BlockRead, words: &[u16]) -> u64 {
    let mut n = 0;
    for (name, value) in map.values(block, words) {
        if let Value::Number(v) = value {
            n += 1;
            let p = profile.points.iter().find(|p| p.name == name).unwrap();
            assert!(
                v.is_finite() && p.min.is_none_or(|m| v >= m) && p.max.is_none_or(|m| v <= m),
                "{name} is {v}"
            );
        }
    }
    n
}

#[test]
fn no_mutated_answer_over_tcp_becomes_a_wrong_reading() {
    answers(false);
}

#[test]
fn no_mutated_answer_over_rtu_becomes_a_wrong_reading() {
    answers(true);
}

#[test]
fn registers_hold_what_was_put_into_them_or_it_is_refused() {
    use RegisterType::{F32, F64, I16, I32, I64, U16, U32, U64};
    let (executions, begun) = (number("MADANG_FUZZ", 20_000), Instant::now());
    let mut dice = fastrand::Rng::with_seed(number("MADANG_FUZZ_SEED", 1));
    let mut refused = 0u64;
    for _ in 0..executions {
        let type_ = [U16, I16, U32, I32, U64, I64, F32, F64][dice.usize(..8)];
        let order = if dice.bool() {
            WordOrder::HiFirst
        } else {
            WordOrder::LoFirst
        };
        let bits = f64::from_bits(dice.u64(..));
        let edge = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            32_767.0,
            32_768.0,
            -32_768.0,
            65_535.0,
            65_536.0,
            2_147_483_648.0,
            4_294_967_295.0,
        ];
        let raw = match dice.u8(..4) {
            0 => bits,
            1 => edge[dice.usize(..edge.len())] + [-0.5, 0.0, 0.5, 1.0][dice.usize(..4)],
            2 => dice.i32(..).into(),
            _ => (dice.f64() - 0.5) * 1e6,
        };
        match encode(type_, order, raw) {
            Err(_) => refused += 1,
            Ok(words) => {
                let Raw::Number(back) = decode(type_, order, &words, &[]) else {
                    // A number beyond f32 is stored as infinite, which reads as missing and never as another number.
                    assert!(
                        type_ == F32 && raw.abs() > f64::from(f32::MAX),
                        "{type_:?} {raw} is lost"
                    );
                    continue;
                };
                let near = match type_ {
                    F32 => back == f64::from(raw as f32),
                    F64 => back == raw,
                    _ => (back - raw).abs() <= 0.5 + raw.abs() * f64::EPSILON,
                };
                assert!(near, "{type_:?} {order:?}: {raw} became {back}");
            }
        }
        let words: Vec<u16> = (0..type_.registers().unwrap()).map(|_| dice.u16(..)).collect();
        if let Raw::Number(n) = decode(type_, order, &words, &[])
            && let Ok(again) = encode(type_, order, n)
            && n.abs() < 9e15
        {
            let same = again == words || n == 0.0;
            assert!(same, "{type_:?} {order:?}: {words:?} reads {n}, which writes {again:?}");
        }
    }
    closing("codec", executions, begun, &format!("{refused} refused"));
}

/// A few changes of bytes and words.
fn spoil(text: &mut Vec<u8>, words: &[&[u8]], dice: &mut fastrand::Rng) {
    for _ in 0..=dice.u8(..4) {
        let at = dice.usize(..text.len().max(1)).min(text.len());
        let to = (at + dice.usize(..12)).min(text.len());
        match dice.u8(..6) {
            0 => drop(text.splice(at..to, words[dice.usize(..words.len())].iter().copied())),
            1 => drop(text.drain(at..to)),
            2 if at < text.len() => text[at] ^= 1 << dice.u8(..7),
            3 => text.truncate(at),
            4 => {
                let part = text[at..to].to_vec();
                drop(text.splice(at..at, part));
            }
            _ if at < text.len() && text[at].is_ascii_digit() => text[at] = b'0' + dice.u8(..10),
            _ => {}
        }
    }
}

#[test]
fn no_mutated_profile_file_breaks_the_parser() {
    let (executions, begun) = (number("MADANG_FUZZ", 20_000), Instant::now());
    let mut dice = fastrand::Rng::with_seed(number("MADANG_FUZZ_SEED", 1));
    let mut files: Vec<_> = std::fs::read_dir(corpus("profile"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let texts: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    assert!(
        texts.iter().any(|t| parse(&String::from_utf8_lossy(t)).is_ok()),
        "no profile of the corpus is good"
    );
    let words: Vec<&[u8]> = vec![
        b"\"",
        b"[",
        b"]]",
        b"=",
        b"-",
        b"65535",
        b"65536",
        b"-1",
        b"1e308",
        b"nan",
        b"18446744073709551615",
        b"\"f64\"",
        b"\"str\"",
        b"true",
        b"{}",
        b"\n",
        b"\xff",
    ];
    let mut saver = Saver {
        target: "profile",
        extension: "toml",
        current: Vec::new(),
    };
    let mut good = 0u64;
    for n in 0..executions {
        // Whole built-in files are slow to read: now and then is enough.
        let mut text = if n % 2000 == 0 {
            let name = builtin_names()[dice.usize(..builtin_names().len())];
            std::fs::read(format!(
                "{}/src/profile/builtin/{name}.toml",
                env!("CARGO_MANIFEST_DIR")
            ))
            .unwrap()
        } else {
            texts[dice.usize(..texts.len())].clone()
        };
        spoil(&mut text, &words, &mut dice);
        saver.current.clone_from(&text);
        let text = String::from_utf8_lossy(&text);
        match parse(&text) {
            Ok(p) => {
                good += 1;
                assert!(p.blocks.iter().all(|b| b.count > 0), "a block of nothing passed");
            }
            Err(faults) => {
                let lines = text.lines().count() + 1;
                assert!(!faults.is_empty() && faults.iter().all(|f| (1..=lines).contains(&f.line.max(1))));
            }
        }
    }
    closing("profile", executions, begun, &format!("{good} still good"));
}

/// Whole lines of a price file taken out, doubled, moved in time: what bytes alone seldom do.
fn shuffle(text: &mut Vec<u8>, dice: &mut fastrand::Rng) {
    let whole = String::from_utf8_lossy(text).into_owned();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    for _ in 0..dice.u8(..4) {
        let at = dice.usize(..lines.len().max(1));
        match dice.u8(..3) {
            0 if at < lines.len() => drop(lines.remove(at)),
            1 if at < lines.len() => lines.insert(at, lines[at].clone()),
            _ => {
                if let Some(line) = lines.get_mut(at) {
                    *line = line.replacen(":00:00", [":15:00", ":05:00", ":59:59"][dice.usize(..3)], 1);
                }
            }
        }
    }
    *text = lines.join("\n").into_bytes();
}

/// What must hold of every series that was taken: no instant has a price that no row gave it, each mean lies among its parts.
fn check_series(series: PriceSeries, dice: &mut fastrand::Rng) {
    let from: Timestamp = "2026-05-11T20:00:00Z".parse().unwrap();
    let mut t = from;
    let end = from + TimeDelta::days(4);
    let (mut steps, mut known) = (0, Vec::new());
    while let Some(next) = series.changes_after(t).filter(|_| t < end) {
        assert!(next > t, "time stands still at {t}");
        let price = series.at(t);
        known.extend(price);
        let inside = t + (next - t) * dice.i32(0..1000) / 1000;
        assert_eq!(series.at(inside), price, "{inside} in {t}..{next}");
        (t, steps) = (next, steps + 1);
        assert!(steps < 10_000, "rows shorter than a minute");
    }
    assert!(known.iter().all(|p| p.as_per_kwh().abs() <= 5.0));
    let tariff = &madang::site::builtin("home-amsterdam").unwrap().plant.tariff;
    let files = PriceFiles::from_iter([("prices.csv".to_owned(), series.into())]);
    let month = MonthUse {
        month_start: from,
        imported: Energy::ZERO,
        daily: None,
        peaks: Peaks::of(Power::ZERO),
    };
    let grid = TimeGrid::aligned(
        from + TimeDelta::seconds(dice.i64(0..90_000)),
        TimeDelta::minutes(30),
        TimeDelta::hours(24),
    );
    for interval in grid.intervals() {
        let Some(KnownPrice { price, .. }) = tariff.buy_over(interval, Some(&files), &month) else {
            continue;
        };
        let part = |i: i32| {
            let start = interval.start + interval.length() * i / 6;
            let known = tariff.buy_over(
                Interval {
                    start,
                    end: interval.start + interval.length() * (i + 1) / 6,
                },
                Some(&files),
                &month,
            );
            known.unwrap().price.as_per_kwh()
        };
        let mean = (0..6).map(part).sum::<f64>() / 6.0;
        assert!(
            (mean - price.as_per_kwh()).abs() < 1e-9,
            "{interval:?}: {price:?}, its parts {mean}"
        );
    }
}

#[test]
fn no_price_file_breaks_series_or_plan() {
    let (executions, begun) = (number("MADANG_FUZZ", 20_000), Instant::now());
    let mut dice = fastrand::Rng::with_seed(number("MADANG_FUZZ_SEED", 1));
    let mut files: Vec<_> = std::fs::read_dir(corpus("price"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let texts: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    let words: Vec<&[u8]> = vec![
        b",",
        b",,",
        b"\n",
        b"T",
        b"Z",
        b":",
        b"00",
        b"15",
        b"59",
        b"-1",
        b"e308",
        b"1e400",
        b"NaN",
        b"inf",
        b"0,31",
        b".000000001",
        b"+262142",
        b"1969",
        b"2200",
        b"\xff",
        b"\xef\xbb\xbf",
        b"null",
        b"mwh",
        b"price",
    ];
    let mut saver = Saver {
        target: "price",
        extension: "csv",
        current: Vec::new(),
    };
    let site = madang::site::builtin("home-amsterdam").unwrap();
    let (mut good, mut plans) = (0u64, 0u64);
    for n in 0..executions {
        // First every file as it is.
        let mut text = texts[usize::try_from(n).unwrap() % texts.len()].clone();
        if n >= texts.len() as u64 {
            shuffle(&mut text, &mut dice);
            if dice.bool() {
                spoil(&mut text, &words, &mut dice);
            }
        }
        saver.current.clone_from(&text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let series = match PriceSeries::parse(&text, "EUR") {
            Ok(series) => series,
            Err(why) => {
                assert!(
                    why.len() < 400 && (why.contains("line") || why.contains("the file") || why.contains("two rows")),
                    "{why}"
                );
                continue;
            }
        };
        good += 1;
        if good % 20 == 0 {
            check_series(series, &mut dice);
        }
        // A whole plan takes a while: now and then is enough.
        if good % 1000 == 0 {
            let mut site = site.clone();
            site.files.insert("prices.csv".into(), text);
            site.folder = None;
            let now = "2026-05-12T01:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::seconds(dice.i64(0..60_000));
            let outcome = one_plan(&site, now).unwrap();
            plans += u64::from(matches!(outcome, PlanOutcome::Adopted(_)));
        }
    }
    assert!(
        good > executions / 10,
        "only {good} of {executions} files were taken: the driver is off the mark"
    );
    closing("price", executions, begun, &format!("{good} good, {plans} plans"));
}
