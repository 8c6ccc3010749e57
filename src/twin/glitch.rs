//! Glitches in what a device shows: spikes, zeros, swapped words, "not available", each at the registers it would strike.

use super::registers::{get, put};
use crate::profile::{RegisterType, Table, WordOrder};

/// Where a measured value lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    pub table: Table,
    pub addr: u16,
    pub type_: RegisterType,
    pub words: WordOrder,
    /// What the device shows where it has no value.
    pub absent: Vec<u16>,
    pub what: What,
    /// Counts of the register for one kW of its component: a third of them on a phase; 0 for what is no active power.
    pub per_kw: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Power,
    Counter,
    Voltage,
    Other,
}

/// What goes wrong with one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Glitch {
    /// One power shows an absurd value.
    Spike,
    /// Powers and counters show zero.
    Zero,
    /// Voltages show zero.
    ZeroVolt,
    /// Active powers are shown times a factor.
    Scale(f64),
    /// Active powers are shown larger by so many kW.
    Offset(f64),
    /// Registers that were written show something else; the device knows which ([`super::device`]).
    Readback,
    /// Values of several registers come with their words the wrong way round.
    Swap,
    /// Measured values are "not available".
    Absent,
}

impl Spot {
    fn size(&self) -> usize {
        usize::from(self.type_.registers().unwrap_or(1))
    }
    /// An answer of `count` registers from `addr` would show some of it.
    pub fn is_touched(&self, table: Table, addr: u16, count: usize) -> bool {
        let (own, from) = (usize::from(self.addr), usize::from(addr));
        self.table == table && own < from + count && from < own + self.size()
    }
    /// Its registers in an answer that begins at `addr`.
    fn within(&self, addr: u16, count: usize) -> Option<std::ops::Range<usize>> {
        let at = usize::from(self.addr.checked_sub(addr)?);
        (at + self.size() <= count).then(|| at..at + self.size())
    }
}

/// Spoils the registers of an answer that begins at `addr`.
pub fn spoil(glitch: Glitch, spots: &[Spot], table: Table, addr: u16, words: &mut [u16], dice: &mut fastrand::Rng) {
    let struck: Vec<(&Spot, std::ops::Range<usize>)> = spots
        .iter()
        .filter(|s| s.table == table)
        .filter_map(|s| Some((s, s.within(addr, words.len())?)))
        .collect();
    match glitch {
        Glitch::Spike => {
            let powers: Vec<_> = struck.iter().filter(|(s, _)| s.what == What::Power).collect();
            if let Some((spot, range)) = powers.get(dice.usize(..powers.len().max(1))) {
                words[range.clone()].copy_from_slice(&put(spot.type_, spot.words, absurd(spot.type_)));
            }
        }
        Glitch::Zero => {
            let shown = |what| matches!(what, What::Power | What::Counter);
            for (_, range) in struck.into_iter().filter(|(s, _)| shown(s.what)) {
                words[range].fill(0);
            }
        }
        Glitch::ZeroVolt => {
            for (_, range) in struck.into_iter().filter(|(s, _)| s.what == What::Voltage) {
                words[range].fill(0);
            }
        }
        Glitch::Readback => {}
        Glitch::Scale(k) => twist(struck, words, |raw, _| raw * k),
        Glitch::Offset(kw) => twist(struck, words, |raw, per_kw| raw + kw * per_kw),
        Glitch::Swap => struck.into_iter().for_each(|(_, range)| words[range].reverse()),
        Glitch::Absent => {
            for (spot, range) in struck {
                words[range].copy_from_slice(&spot.absent);
            }
        }
    }
}

/// Shows another number in each active power that is there; `other` is given the raw one and its counts per kW.
fn twist(struck: Vec<(&Spot, std::ops::Range<usize>)>, words: &mut [u16], other: impl Fn(f64, f64) -> f64) {
    for (spot, range) in struck.into_iter().filter(|(s, _)| s.per_kw != 0.0) {
        let own = &mut words[range];
        if *own != *spot.absent {
            let raw = get(spot.type_, spot.words, own);
            own.copy_from_slice(&put(spot.type_, spot.words, other(raw, spot.per_kw)));
        }
    }
}

/// Near the end of the type's range, but no sentinel.
fn absurd(type_: RegisterType) -> f64 {
    match type_ {
        RegisterType::I16 => 31_000.0,
        RegisterType::U16 => 64_000.0,
        _ => 2.0e9,
    }
}

/// What a type shows by itself where there is no value: the SunSpec way, which most vendors follow.
pub fn absent(type_: RegisterType) -> Vec<u16> {
    match type_ {
        RegisterType::I16 => vec![0x8000],
        RegisterType::I32 => vec![0x8000, 0],
        RegisterType::I64 => vec![0x8000, 0, 0, 0],
        RegisterType::F32 => vec![0x7FC0, 0],
        RegisterType::F64 => vec![0x7FF8, 0, 0, 0],
        RegisterType::U32 => vec![0xFFFF; 2],
        RegisterType::U64 => vec![0xFFFF; 4],
        _ => vec![0xFFFF],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(addr: u16, type_: RegisterType, what: What) -> Spot {
        Spot {
            table: Table::Holding,
            addr,
            type_,
            words: WordOrder::HiFirst,
            absent: absent(type_),
            what,
            per_kw: if what == What::Power { 100.0 } else { 0.0 },
        }
    }

    #[test]
    fn each_glitch_strikes_only_whole_values_of_its_kind() {
        let spots = [
            spot(10, RegisterType::I16, What::Power),
            spot(11, RegisterType::U32, What::Counter),
            spot(13, RegisterType::U16, What::Voltage),
            spot(14, RegisterType::U32, What::Counter),
        ];
        for (glitch, expected) in [
            (Glitch::Spike, [31_000, 2, 3, 4, 5]),
            (Glitch::Zero, [0, 0, 0, 4, 5]),
            (Glitch::Swap, [1, 3, 2, 4, 5]),
            (Glitch::ZeroVolt, [1, 2, 3, 0, 5]),
            (Glitch::Scale(-0.5), [0xFFFF, 2, 3, 4, 5]),
            (Glitch::Offset(2.0), [201, 2, 3, 4, 5]),
            (Glitch::Absent, [0x8000, 0xFFFF, 0xFFFF, 0xFFFF, 5]),
        ] {
            let mut words = [if matches!(glitch, Glitch::Scale(_)) { 2 } else { 1 }, 2, 3, 4, 5];
            spoil(
                glitch,
                &spots,
                Table::Holding,
                10,
                &mut words,
                &mut fastrand::Rng::with_seed(1),
            );
            assert_eq!(words, expected, "{glitch:?}: the last value is cut off by the request");
            let mut words = [1, 2, 3];
            spoil(
                glitch,
                &spots,
                Table::Input,
                10,
                &mut words,
                &mut fastrand::Rng::with_seed(1),
            );
            assert_eq!(words, [1, 2, 3]);
        }
    }
}
