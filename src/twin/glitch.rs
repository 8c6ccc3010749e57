//! Glitches in what a device shows: spikes, zeros, swapped words, "not available", each at the registers it would strike.

use super::registers::put;
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Power,
    Counter,
    Other,
}

/// What goes wrong with one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Glitch {
    /// One power shows an absurd value.
    Spike,
    /// Powers and counters show zero.
    Zero,
    /// Values of several registers come with their words the wrong way round.
    Swap,
    /// Measured values are "not available".
    Absent,
}

impl Spot {
    fn size(&self) -> usize {
        usize::from(self.type_.registers().unwrap_or(1))
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
            for (_, range) in struck.into_iter().filter(|(s, _)| s.what != What::Other) {
                words[range].fill(0);
            }
        }
        Glitch::Swap => struck.into_iter().for_each(|(_, range)| words[range].reverse()),
        Glitch::Absent => {
            for (spot, range) in struck {
                words[range].copy_from_slice(&spot.absent);
            }
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
        }
    }

    #[test]
    fn each_glitch_strikes_only_whole_values_of_its_kind() {
        let spots = [
            spot(10, RegisterType::I16, What::Power),
            spot(11, RegisterType::U32, What::Counter),
            spot(13, RegisterType::U16, What::Other),
            spot(14, RegisterType::U32, What::Counter),
        ];
        for (glitch, expected) in [
            (Glitch::Spike, [31_000, 2, 3, 4, 5]),
            (Glitch::Zero, [0, 0, 0, 4, 5]),
            (Glitch::Swap, [1, 3, 2, 4, 5]),
            (Glitch::Absent, [0x8000, 0xFFFF, 0xFFFF, 0xFFFF, 5]),
        ] {
            let mut words = [1, 2, 3, 4, 5];
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
