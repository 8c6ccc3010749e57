//! The registers of a command that are ours while it is in force: those whose content depends on its value.
//!
//! Timers and other constants are left out: a device counts them down. In: the programs of some values. Out: cells, and
//! their comparison with what the device shows.

use super::client::{Client, WireError};
use super::map::BlockRead;
use super::program::{Expect, How, Program, RegisterWrite};
use crate::profile::Table;
use std::collections::BTreeMap;

/// Address of one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub unit: Option<u8>,
    pub table: Table,
    pub addr: u16,
}

/// Words by address.
pub type Cells = BTreeMap<Cell, u16>;

/// A block as it was read in this poll.
pub type Seen = Vec<(BlockRead, Vec<u16>)>;

/// Every word that these requests leave in the device.
pub fn cells(writes: &[RegisterWrite]) -> Cells {
    let mut all = Cells::new();
    // What a register keeps besides the bits that are set is not ours.
    for w in writes.iter().filter(|w| !matches!(w.how, How::Bits { .. })) {
        let table = if w.fc == 5 { Table::Coil } else { Table::Holding };
        for (addr, word) in (w.addr..=u16::MAX).zip(&w.words) {
            let unit = w.unit;
            all.insert(Cell { unit, table, addr }, *word);
        }
    }
    all
}

/// The words of `program` that differ in the programs of other values, and those that its proof reads.
pub fn owned(program: &Program, others: &[Program]) -> Cells {
    let others: Vec<Cells> = others.iter().map(|o| cells(&o.set)).collect();
    let mut own = cells(&program.set);
    own.retain(|cell, word| others.iter().any(|o| o.get(cell) != Some(word)));
    if let Expect::Registers(span) = &program.expect {
        for (addr, word) in span.held() {
            let (unit, table) = (span.unit, span.table);
            own.insert(Cell { unit, table, addr }, word);
        }
    }
    own
}

/// What the blocks of this poll show of these cells; `None` where they do not show all of them.
pub fn shown(cells: &Cells, seen: &Seen) -> Option<Cells> {
    let word = |c: &Cell| {
        seen.iter().find_map(|(b, words)| {
            let at = c.addr.checked_sub(b.addr).filter(|at| *at < b.count)?;
            let same = b.table == c.table && b.unit == c.unit;
            words.get(usize::from(at)).filter(|_| same).copied()
        })
    };
    cells.keys().map(|c| Some((*c, word(c)?))).collect()
}

/// Something else than ours, as it was seen in so many polls in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Odd {
    pub found: Cells,
    pub polls: u32,
}

/// Patterns that devices send where they have no value.
const NO_VALUE: [u16; 4] = [0xFFFF, 0x8000, 0x7FFF, 0x7FC0];

/// What noise makes of our own words: another order, or "not available" in their place. Nobody means that.
pub fn is_noise(own: &Cells, found: &Cells) -> bool {
    let sorted = |cells: &Cells| {
        let mut words: Vec<u16> = cells.values().copied().collect();
        words.sort_unstable();
        words
    };
    let absent = |(c, w): (&Cell, &u16)| own.get(c) == Some(w) || NO_VALUE.contains(w) || *w == 0;
    let valueless = found.values().any(|w| NO_VALUE.contains(w)) && found.iter().all(absent);
    found != own && (valueless || sorted(own) == sorted(found))
}

/// Zeros where ours stood: a device that lost them, or an answer full of zeros.
pub fn is_blank(own: &Cells, found: &Cells) -> bool {
    found != own && found.iter().all(|(c, w)| *w == 0 || own.get(c) == Some(w))
}

/// Reads these cells, neighbours in one request.
pub async fn read(client: &mut Client, unit: u8, cells: &Cells) -> Result<Cells, WireError> {
    let mut found = Cells::new();
    for (first, count) in runs(cells) {
        let words = client
            .read(first.unit.unwrap_or(unit), first.table, first.addr, count)
            .await?;
        for (addr, word) in (first.addr..=u16::MAX).zip(words) {
            found.insert(Cell { addr, ..first }, word);
        }
    }
    Ok(found)
}

fn runs(cells: &Cells) -> Vec<(Cell, u16)> {
    let mut runs: Vec<(Cell, u16)> = Vec::new();
    for c in cells.keys() {
        match runs.last_mut() {
            Some((first, n))
                if (first.unit, first.table) == (c.unit, c.table)
                    && u32::from(first.addr) + u32::from(*n) == u32::from(c.addr)
                    && *n < 100 =>
            {
                *n += 1;
            }
            _ => runs.push((*c, 1)),
        }
    }
    runs
}

/// Cells as people read them: `40025 = 1800`.
pub fn text(cells: &Cells) -> String {
    let parts: Vec<String> = cells.iter().map(|(c, w)| format!("{} = {w}", c.addr)).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &str, profile: &str, value: f64) -> Program {
        let profile = crate::profile::builtin(profile).unwrap();
        super::super::program::program(&profile.commands[command], value, &Default::default()).unwrap()
    }

    #[test]
    fn timers_are_not_owned_and_values_are() {
        let own = |value: f64| {
            let p = |v| program("heatpump_power", "generic-heat-pump", v);
            owned(&p(value), &[p(0.0), p(100.0)])
        };
        // registers 10 and 11 hold the setpoint, 12 the seconds it is valid
        assert_eq!(text(&own(2.5)), "10 = 0, 11 = 2500");
        let p = |v| program("switch", "generic-relay", v);
        assert_eq!(text(&owned(&p(1.0), &[p(0.0), p(1.0)])), "10 = 1");
    }

    #[test]
    fn our_own_words_in_another_order_and_no_value_are_noise_and_other_numbers_are_not() {
        let p = |v| program("evse_current_limit", "alfen-eve", v);
        let own = |v: f64| owned(&p(v), &[p(0.0), p(32.0), p(7.3)]);
        let ours = own(9.6);
        let with = |words: [u16; 2]| -> Cells { ours.keys().copied().zip(words).collect() };
        let [high, low] = [0x4119, 0x999A];
        assert_eq!(ours, with([high, low]));
        for (words, noise, blank) in [
            ([low, high], true, false),
            ([0x7FC0, 0], true, false),
            ([0xFFFF, 0xFFFF], true, false),
            ([0, 0], false, true),
            ([high, 0], false, true),
            ([0x4180, 0], false, false),
            ([high, low], false, false),
        ] {
            let found = with(words);
            assert_eq!(
                (is_noise(&ours, &found), is_blank(&ours, &found)),
                (noise, blank),
                "{words:04x?}"
            );
        }
    }

    #[test]
    fn neighbours_are_read_in_one_request() {
        let p = |v| program("heatpump_power", "generic-heat-pump", v);
        let own = owned(&p(2.5), &[p(100.0), p(0.0)]);
        let first = *own.keys().next().unwrap();
        assert_eq!(runs(&own), [(first, 2)]);
    }
}
