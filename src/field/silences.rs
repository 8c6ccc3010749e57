//! Blocks for which a device stays silent while it answers for others: some devices ignore registers they do not have instead
//! of refusing them.
//!
//! In: which block was answered, which was not. Out: in what order to ask, and what to leave alone for a while. The values of
//! the other blocks count all the same; a block that was silent before is asked last, so that it cannot hide them.

use super::map::BlockRead;
use crate::model::Said;
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::VecDeque;

/// A lost answer is no silence of the block; so many in a row are.
const IN_A_ROW: u32 = 3;
const FIRST: TimeDelta = TimeDelta::seconds(10);
/// A device that is well again is read as before within a minute.
const LONGEST: TimeDelta = TimeDelta::seconds(50);

#[derive(Debug, Default)]
pub struct Silences {
    known: Vec<Silence>,
}

#[derive(Debug)]
struct Silence {
    block: BlockRead,
    in_a_row: u32,
    again: Timestamp,
    wait: TimeDelta,
}

impl Silence {
    fn rests(&self, now: Timestamp) -> bool {
        self.in_a_row >= IN_A_ROW && now < self.again
    }
}

impl Silences {
    /// What of `todo` is to be asked now: blocks that rest are left out, those that were silent come last.
    pub fn order(&self, todo: Vec<BlockRead>, now: Timestamp) -> VecDeque<BlockRead> {
        let of = |b: &BlockRead| self.known.iter().find(|s| s.block == *b);
        let (last, first): (Vec<_>, Vec<_>) = todo
            .into_iter()
            .filter(|b| of(b).is_none_or(|s| !s.rests(now)))
            .partition(|b| of(b).is_some());
        first.into_iter().chain(last).collect()
    }

    /// No answer came for `block`. One before any other block was answered is the device's silence: it is only asked last next time.
    pub fn silent(&mut self, block: &BlockRead, others_answer: bool, now: Timestamp) {
        let at = self.known.iter().position(|s| s.block == *block).unwrap_or_else(|| {
            self.known.push(Silence {
                block: block.clone(),
                in_a_row: 0,
                again: now,
                wait: FIRST,
            });
            self.known.len() - 1
        });
        let s = &mut self.known[at];
        if others_answer {
            s.in_a_row += 1;
        }
        if s.in_a_row >= IN_A_ROW {
            s.again = now + s.wait;
            s.wait = (s.wait * 2).min(LONGEST);
        }
    }

    pub fn answered(&mut self, block: &BlockRead) {
        if !self.known.is_empty() {
            self.known.retain(|s| s.block != *block);
        }
    }

    /// For people: which registers it says nothing about.
    pub fn told(&self) -> Option<Said> {
        let of = |s: &Silence| {
            let (first, last) = (s.block.addr, s.block.addr.saturating_add(s.block.count) - 1);
            (format!("registers {first} to {last}"), format!("{first}~{last}"))
        };
        let lasting = self.known.iter().filter(|s| s.in_a_row >= IN_A_ROW);
        let (en, ko): (Vec<String>, Vec<String>) = lasting.map(of).unzip();
        (!en.is_empty()).then(|| {
            Said::new(
                format!("it answers nothing for {}", en.join(", ")),
                format!("응답이 없는 레지스터: {}", ko.join(", ")),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Every, Table};

    fn block(addr: u16) -> BlockRead {
        BlockRead {
            table: Table::Input,
            addr,
            count: 2,
            every: Every::Fast,
            unit: None,
        }
    }

    #[test]
    fn a_silent_block_is_asked_last_then_seldom_and_soon_again_when_it_answers() {
        let start: Timestamp = "2026-05-12T00:00:00Z".parse().unwrap();
        let mut silences = Silences::default();
        let (mut asked, mut troubled) = (0, 0);
        for second in 0..600 {
            let now = start + TimeDelta::seconds(second);
            let mut others = false;
            for b in silences.order(vec![block(52), block(10)], now) {
                if b.addr == 10 {
                    silences.answered(&b);
                    others = true;
                } else {
                    silences.silent(&b, others, now);
                    asked += 1;
                    if !others {
                        break;
                    }
                }
            }
            troubled += u32::from(!others);
        }
        assert_eq!(troubled, 1, "the first round, before it was known");
        assert!((14..=18).contains(&asked), "asked {asked} times in ten minutes");
        assert_eq!(
            silences.told().map(|t| t.en).as_deref(),
            Some("it answers nothing for registers 52 to 53")
        );
        silences.answered(&block(52));
        assert_eq!(silences.told(), None);
        assert_eq!(silences.order(vec![block(52), block(10)], start)[0], block(52));
    }

    #[test]
    fn answers_lost_now_and_then_put_nothing_to_rest() {
        let now: Timestamp = "2026-05-12T00:00:00Z".parse().unwrap();
        let mut silences = Silences::default();
        for _ in 0..10 {
            silences.silent(&block(52), true, now);
            silences.silent(&block(52), true, now);
            silences.answered(&block(52));
        }
        silences.silent(&block(52), true, now);
        assert_eq!(silences.order(vec![block(52)], now).len(), 1);
        assert_eq!(silences.told(), None);
    }
}
