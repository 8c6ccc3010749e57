//! One simulated device behind a unit id: Modbus functions on its registers, and its faults.

use super::fault::FaultKind;
use super::glitch::{Glitch, spoil};
use super::mapped::Mapped;
use super::order::Order;
use super::sunspec::SunSpec;
use super::world::World;
use crate::profile::Table;
use crate::site::Id;
use crate::time::{Clock, Timestamp};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A late answer comes this long after the request: after any patience.
const LATE: Duration = Duration::from_millis(2_500);
/// Storms of refusals: one such time in so many.
const STORM_EVERY: i32 = 10;

#[derive(Debug)]
pub enum Image {
    SunSpec(Box<SunSpec>),
    Mapped(Box<Mapped>),
}

/// What changes while the device runs.
struct State {
    image: Image,
    dice: fastrand::Rng,
    /// First answers, for a frozen device.
    frozen: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Orders that are obeyed late.
    waiting: Vec<(Timestamp, Order)>,
    /// When another master writes next.
    foreign: Option<Timestamp>,
    /// Writes of each register.
    worn: BTreeMap<u16, u64>,
    born: Option<Timestamp>,
}

pub struct Device {
    id: Id,
    state: Mutex<State>,
    faults: Vec<FaultKind>,
}

/// What to do with an answer.
pub enum Fate {
    Nothing,
    /// After a delay, so many times.
    Send {
        after: Duration,
        times: usize,
        pdu: Vec<u8>,
    },
}

impl Device {
    pub fn new(id: &Id, image: Image, faults: Vec<FaultKind>, dice: fastrand::Rng) -> Self {
        let state = State {
            image,
            dice,
            frozen: BTreeMap::new(),
            waiting: Vec::new(),
            foreign: None,
            worn: BTreeMap::new(),
            born: None,
        };
        Self {
            id: id.clone(),
            state: Mutex::new(state),
            faults,
        }
    }

    pub fn one_client(&self) -> bool {
        self.faults.contains(&FaultKind::OneClient)
    }

    /// A poisoned lock holds a device between two requests; its registers are still its own.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that came on a connection made at `since`.
    pub fn answer(&self, world: &Mutex<World>, clock: &Arc<dyn Clock>, since: Timestamp, pdu: &[u8]) -> Fate {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let t = clock.now();
        world.advance_to(t);
        let mut state = self.state();
        state.born.get_or_insert(t);
        self.obey_late(&mut state, &mut world, t);
        self.meddle(&mut state, &mut world, t);
        let (mut after, mut times) = (Duration::ZERO, 1);
        let mut glitches = Vec::new();
        for fault in &self.faults {
            let strikes = |state: &mut State, share: f64| state.dice.f64() < share;
            match *fault {
                FaultKind::Dead => return Fate::Nothing,
                FaultKind::Slow(d) => after += d,
                FaultKind::Drop(p) if strikes(&mut state, p) => return Fate::Nothing,
                FaultKind::Late(p) if strikes(&mut state, p) => after += LATE,
                FaultKind::Duplicate(p) if strikes(&mut state, p) => times = 2,
                FaultKind::Exception(p) if strikes(&mut state, p) => return refusal(&mut state, after, pdu),
                FaultKind::Busy(d) if storms(&state, t, d) => return refusal(&mut state, after, pdu),
                FaultKind::Garbage(p) if strikes(&mut state, p) => {
                    return Fate::Send {
                        after,
                        times,
                        pdu: vec![pdu[0], 0xFF, 0x00, 0xAA],
                    };
                }
                FaultKind::Short(p) if strikes(&mut state, p) => {
                    let pdu = shortened(self.respond(&mut state, &mut world, t, pdu, &[]));
                    return Fate::Send { after, times, pdu };
                }
                FaultKind::Spike(p) if strikes(&mut state, p) => glitches.push(Glitch::Spike),
                FaultKind::Zero(p) if strikes(&mut state, p) => glitches.push(Glitch::Zero),
                FaultKind::Swap(p) if strikes(&mut state, p) => glitches.push(Glitch::Swap),
                FaultKind::Sentinel(d) if t - since < delta(d) => glitches.push(Glitch::Absent),
                FaultKind::Rescale(d) => rescale(&mut state, t, d),
                _ => {}
            }
        }
        let pdu = self.frozen_or_live(&mut state, &mut world, t, pdu, &glitches);
        Fate::Send { after, times, pdu }
    }

    fn frozen_or_live(&self, s: &mut State, world: &mut World, t: Timestamp, pdu: &[u8], g: &[Glitch]) -> Vec<u8> {
        if !self.faults.contains(&FaultKind::Frozen) {
            return self.respond(s, world, t, pdu, g);
        }
        if let Some(first) = s.frozen.get(pdu) {
            return first.clone();
        }
        let answer = self.respond(s, world, t, pdu, g);
        s.frozen.insert(pdu.to_vec(), answer.clone());
        answer
    }

    fn respond(&self, s: &mut State, world: &mut World, t: Timestamp, pdu: &[u8], glitches: &[Glitch]) -> Vec<u8> {
        self.carry_out(s, world, t, pdu, glitches)
            .unwrap_or_else(|code| vec![pdu[0] | 0x80, code])
    }

    fn carry_out(
        &self,
        s: &mut State,
        world: &mut World,
        t: Timestamp,
        pdu: &[u8],
        glitches: &[Glitch],
    ) -> Result<Vec<u8>, u8> {
        let word = |i: usize| pdu.get(i..i + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or(3u8);
        match pdu[0] {
            1 | 2 => {
                let (addr, count) = (word(1)?, word(3)?);
                let table = if pdu[0] == 1 { Table::Coil } else { Table::Discrete };
                if !(1..=2000).contains(&count) {
                    return Err(3);
                }
                let bits = s.read(world, t, table, addr, count)?;
                let bytes: Vec<u8> = bits.chunks(8).map(packed).collect();
                Ok([vec![pdu[0], bytes.len() as u8], bytes].concat())
            }
            3 | 4 => {
                let (addr, count) = (word(1)?, word(3)?);
                if !(1..=125).contains(&count) {
                    return Err(3);
                }
                let table = if pdu[0] == 3 { Table::Holding } else { Table::Input };
                let mut words = s.read(world, t, table, addr, count)?;
                for g in glitches {
                    spoil(*g, &s.image.spots(), table, addr, &mut words, &mut s.dice);
                }
                let mut out = vec![pdu[0], (words.len() * 2) as u8];
                out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
                Ok(out)
            }
            5 => {
                let on = match word(3)? {
                    0xFF00 => 1,
                    0 => 0,
                    _ => return Err(3),
                };
                self.write(s, world, t, Table::Coil, word(1)?, &[on])?;
                Ok(pdu[0..5].to_vec())
            }
            6 => {
                self.write(s, world, t, Table::Holding, word(1)?, &[word(3)?])?;
                Ok(pdu[0..5].to_vec())
            }
            16 => {
                let (addr, count) = (word(1)?, word(3)?);
                let bytes = pdu.get(6..).unwrap_or(&[]);
                if count == 0 || count > 123 || bytes.len() != usize::from(count) * 2 {
                    return Err(3);
                }
                let words: Vec<u16> = bytes.chunks(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect();
                self.write(s, world, t, Table::Holding, addr, &words)?;
                Ok(pdu[0..5].to_vec())
            }
            _ => Err(1),
        }
    }

    fn write(
        &self,
        s: &mut State,
        world: &mut World,
        t: Timestamp,
        table: Table,
        addr: u16,
        words: &[u16],
    ) -> Result<(), u8> {
        let registers = || (addr..=u16::MAX).take(words.len());
        let most = self.faults.iter().find_map(|f| match f {
            FaultKind::Worn(n) => Some(*n),
            _ => None,
        });
        if let Some(most) = most
            && registers().any(|r| s.worn.get(&r).is_some_and(|n| *n >= most))
        {
            return Err(4);
        }
        let orders = s.image.write(world, t, table, addr, words)?;
        for r in registers() {
            *s.worn.entry(r).or_insert(0) += 1;
            if s.image.wears(r) {
                world.note_wear(&self.id, r);
            }
        }
        orders.into_iter().try_for_each(|o| self.order(s, world, t, o))
    }

    /// Carries an order out as the device's faults let it.
    fn order(&self, s: &mut State, world: &mut World, t: Timestamp, mut order: Order) -> Result<(), u8> {
        for fault in &self.faults {
            match *fault {
                FaultKind::Unobeyed => return Ok(()),
                FaultKind::Clipped(share) => order = order.clipped(world, share),
                FaultKind::Delayed(d) => {
                    s.waiting.push((t + delta(d), order));
                    return Ok(());
                }
                _ => {}
            }
        }
        order.carry_out(world).map_err(|_| 4)
    }

    fn obey_late(&self, s: &mut State, world: &mut World, t: Timestamp) {
        while let Some(i) = s.waiting.iter().position(|(due, _)| *due <= t) {
            let (_, order) = s.waiting.remove(i);
            // It was accepted when it was written; nobody is left to be told.
            let _unfit = order.carry_out(world);
        }
    }

    /// Another master takes the device back into its own hands.
    fn meddle(&self, s: &mut State, world: &mut World, t: Timestamp) {
        let every = self.faults.iter().find_map(|f| match f {
            FaultKind::Foreign(d) => Some(delta(*d)),
            _ => None,
        });
        let Some(every) = every else { return };
        let due = *s.foreign.get_or_insert(t + every);
        if t < due {
            return;
        }
        s.foreign = Some(t + every);
        for (addr, words) in s.image.taken_back() {
            let written = s.image.write(world, t, Table::Holding, addr, &words);
            for order in written.unwrap_or_default() {
                // A component that cannot be released has nothing to take back.
                let _unfit = order.carry_out(world);
            }
        }
    }
}

fn packed(bits: &[u16]) -> u8 {
    bits.iter()
        .enumerate()
        .fold(0, |byte, (i, bit)| byte | (u8::from(*bit != 0) << i))
}

fn delta(d: Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}

fn refusal(s: &mut State, after: Duration, pdu: &[u8]) -> Fate {
    let code = if s.dice.bool() { 5 } else { 6 };
    Fate::Send {
        after,
        times: 1,
        pdu: vec![pdu[0] | 0x80, code],
    }
}

/// Whether a storm is on: the last tenth of each round since the device was first spoken to.
fn storms(s: &State, t: Timestamp, d: Duration) -> bool {
    let (since, length) = (t - s.born.unwrap_or(t), delta(d).num_milliseconds());
    let round = length.saturating_mul(i64::from(STORM_EVERY));
    since.num_milliseconds().rem_euclid(round.max(1)) >= round - length
}

fn rescale(s: &mut State, t: Timestamp, d: Duration) {
    let since = t - s.born.unwrap_or(t);
    let odd = (since.num_milliseconds() / delta(d).num_milliseconds().max(1)) % 2 == 1;
    if let Image::SunSpec(image) = &mut s.image {
        image.coarse = odd;
    }
}

impl State {
    fn read(&mut self, world: &mut World, t: Timestamp, table: Table, addr: u16, count: u16) -> Result<Vec<u16>, u8> {
        match &mut self.image {
            Image::SunSpec(_) if table != Table::Holding => Err(2),
            Image::SunSpec(s) => s.read(world, t, addr, count),
            Image::Mapped(m) => m.read(world, t, table, addr, count),
        }
    }
}

impl Image {
    fn write(&mut self, w: &mut World, t: Timestamp, table: Table, addr: u16, words: &[u16]) -> Result<Vec<Order>, u8> {
        match self {
            Self::SunSpec(s) if table == Table::Holding && !s.beside(addr) => s.write(t, addr, words),
            Self::SunSpec(s) => s.write_beside(w, t, table, addr, words),
            Self::Mapped(m) => m.write(w, t, table, addr, words),
        }
    }
    fn spots(&self) -> Vec<super::glitch::Spot> {
        match self {
            Self::SunSpec(s) => s.spots(),
            Self::Mapped(m) => m.spots(),
        }
    }
    fn taken_back(&self) -> Vec<(u16, Vec<u16>)> {
        match self {
            Self::SunSpec(s) => s.taken_back(),
            Self::Mapped(m) => m.taken_back(),
        }
    }
    fn wears(&self, register: u16) -> bool {
        match self {
            Self::SunSpec(_) => false,
            Self::Mapped(m) => m.wears(register),
        }
    }
}

/// One register fewer than asked.
fn shortened(mut answer: Vec<u8>) -> Vec<u8> {
    if answer.len() > 4 && matches!(answer[0], 3 | 4) {
        answer.truncate(answer.len() - 2);
        answer[1] -= 2;
    }
    answer
}
