//! Blocks that a device refuses (exceptions 1 to 4): cut once to find out which points it does not show, and remembered.
//!
//! In: a refused block. Out: what to ask instead. Some devices refuse for a while, others lack registers for good: the whole
//! block is tried again after some seconds, later less and less often, and what was learned stays. Never less often than that a
//! device which is well again is read as before within a minute.

use super::client::WireError;
use super::map::{BlockRead, Map, MapPoint};
use crate::model::Said;
use crate::time::Timestamp;
use chrono::TimeDelta;

const FIRST: TimeDelta = TimeDelta::seconds(5);
const LONGEST: TimeDelta = TimeDelta::seconds(50);

#[derive(Debug, Default)]
pub struct Refusals {
    cuts: Vec<Cut>,
    /// The last refusal.
    pub last: Option<WireError>,
}

#[derive(Debug)]
struct Cut {
    block: BlockRead,
    /// Pieces that may be asked for; those not yet asked are among them.
    pieces: Vec<BlockRead>,
    unreadable: Vec<String>,
    again: Timestamp,
    wait: TimeDelta,
}

impl Refusals {
    /// What to ask for instead of `block` now.
    pub fn reads_of(&self, block: &BlockRead, now: Timestamp) -> Vec<BlockRead> {
        match self.cuts.iter().find(|c| c.block == *block) {
            Some(cut) if now < cut.again => cut.pieces.clone(),
            _ => vec![block.clone()],
        }
    }

    /// `asked` (a block, or a piece of one) was refused; what to ask for at once instead.
    pub fn refused(&mut self, map: &Map, asked: &BlockRead, now: Timestamp) -> Vec<BlockRead> {
        let halves = halves(map, asked);
        if let Some(cut) = self.cuts.iter_mut().find(|c| c.block == *asked) {
            // Known: still refused as a whole, and the pieces are as they were.
            cut.wait = (cut.wait * 2).min(LONGEST);
            cut.again = now + cut.wait;
            return cut.pieces.clone();
        }
        if let Some(cut) = self.cuts.iter_mut().find(|c| c.pieces.contains(asked)) {
            cut.pieces.retain(|p| p != asked);
            cut.pieces.extend(halves.clone());
            if halves.is_empty() {
                cut.unreadable.extend(names(map, asked));
            }
            return halves;
        }
        let unreadable = if halves.is_empty() {
            names(map, asked)
        } else {
            Vec::new()
        };
        self.cuts.push(Cut {
            block: asked.clone(),
            pieces: halves.clone(),
            unreadable,
            again: now + FIRST,
            wait: FIRST,
        });
        halves
    }

    /// The whole block was read: nothing of it is refused any more.
    pub fn read(&mut self, block: &BlockRead) {
        self.cuts.retain(|c| c.block != *block);
    }

    pub fn unreadable(&self) -> usize {
        self.cuts.iter().map(|c| c.unreadable.len()).sum()
    }

    /// For people: which points the device does not show.
    pub fn told(&self) -> Option<Said> {
        let all: Vec<&str> = self
            .cuts
            .iter()
            .flat_map(|c| &c.unreadable)
            .map(String::as_str)
            .collect();
        match all.as_slice() {
            [] => None,
            few if few.len() <= 3 => {
                let points = few.join(", ");
                Some(Said::new(
                    format!("it refuses {points}"),
                    format!("읽기를 거부하는 값: `{points}`"),
                ))
            }
            many => {
                let (points, more) = (many[..2].join(", "), many.len() - 2);
                Some(Said::new(
                    format!("it refuses {points} and {more} more"),
                    format!("읽기를 거부하는 값: `{points}` 외 {more}개"),
                ))
            }
        }
    }
}

/// First register and the one after the last that a point needs, its scale factor included.
fn span(p: &MapPoint) -> (u16, u16) {
    let end = p.addr.saturating_add(p.count);
    p.scale_factor
        .map_or((p.addr, end), |f| (p.addr.min(f), end.max(f.saturating_add(1))))
}

fn inside<'m>(map: &'m Map, block: &BlockRead) -> Vec<&'m MapPoint> {
    let end = block.addr.saturating_add(block.count);
    let fits = |p: &&MapPoint| p.table == block.table && span(p).0 >= block.addr && span(p).1 <= end;
    let mut points: Vec<&MapPoint> = map.points.iter().filter(fits).collect();
    points.sort_by_key(|p| p.addr);
    points
}

fn names(map: &Map, block: &BlockRead) -> Vec<String> {
    inside(map, block).iter().map(|p| p.name.clone()).collect()
}

/// The block in two, between points; nothing where it cannot be cut further.
fn halves(map: &Map, block: &BlockRead) -> Vec<BlockRead> {
    let points = inside(map, block);
    let places: Vec<u16> = points.iter().map(|p| p.addr).collect();
    let middle = points.len() / 2;
    // Points of one register (bits) stay together.
    let Some(cut) = (middle..points.len())
        .chain((1..middle).rev())
        .find(|i| *i > 0 && places[*i] != places[*i - 1])
    else {
        return shrunk(&points, block)
            .into_iter()
            .filter(|b| b.count < block.count)
            .collect();
    };
    let (low, high) = points.split_at(cut);
    let halves = [shrunk(low, block), shrunk(high, block)];
    // A half as large as the whole (a scale factor at the far end) would never end.
    halves.into_iter().flatten().filter(|b| b.count < block.count).collect()
}

/// The smallest block that holds these points.
fn shrunk(points: &[&MapPoint], block: &BlockRead) -> Option<BlockRead> {
    let from = points.iter().map(|p| span(p).0).min()?;
    let to = points.iter().map(|p| span(p).1).max()?;
    Some(BlockRead {
        addr: from,
        count: to - from,
        ..block.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Every, Table};

    fn now() -> Timestamp {
        "2026-05-12T00:00:00Z".parse().unwrap()
    }

    /// Reads a block of the meter of which `bad` registers are refused; the points lost and the requests it took.
    fn read(refusals: &mut Refusals, map: &Map, block: &BlockRead, bad: &[u16], at: Timestamp) -> (usize, usize) {
        let mut todo = refusals.reads_of(block, at);
        let (mut requests, mut seen) = (0, 0);
        while let Some(b) = todo.pop() {
            requests += 1;
            if bad.iter().any(|r| (b.addr..b.addr + b.count).contains(r)) {
                todo.extend(refusals.refused(map, &b, at));
            } else {
                refusals.read(&b);
                seen += inside(map, &b).len();
            }
        }
        (inside(map, block).len() - seen, requests)
    }

    #[test]
    fn one_missing_register_costs_one_point_and_the_cut_is_made_once() {
        let map = Map::of(&crate::profile::builtin("eastron-sdm630").unwrap());
        let block = map.blocks.iter().max_by_key(|b| inside(&map, b).len()).unwrap().clone();
        let points = inside(&map, &block);
        let bad = [points[points.len() / 3].addr];
        let mut refusals = Refusals::default();
        let (lost, requests) = read(&mut refusals, &map, &block, &bad, now());
        assert_eq!((lost, refusals.unreadable()), (1, 1));
        assert!(requests <= 2 * points.len());
        let (lost, again) = read(&mut refusals, &map, &block, &bad, now() + TimeDelta::seconds(1));
        assert!(lost == 1 && again <= 6, "{again} requests with what is known");
        // Some seconds later the whole block is tried, and taken back if the device shows it now.
        let (lost, _) = read(&mut refusals, &map, &block, &[], now() + TimeDelta::seconds(6));
        assert_eq!((lost, refusals.unreadable(), refusals.told()), (0, 0, None));
    }

    #[test]
    fn a_block_refused_for_good_is_left_alone_for_longer_and_longer() {
        let map = Map::of(&crate::profile::builtin("eastron-sdm630").unwrap());
        let block = BlockRead {
            table: Table::Input,
            addr: 0,
            count: 80,
            every: Every::Fast,
            unit: None,
        };
        let all: Vec<u16> = (0..u16::MAX).collect();
        let mut refusals = Refusals::default();
        let (lost, _) = read(&mut refusals, &map, &block, &all, now());
        assert_eq!(lost, inside(&map, &block).len());
        let (_, quiet) = read(&mut refusals, &map, &block, &all, now() + TimeDelta::seconds(4));
        let (_, once) = read(&mut refusals, &map, &block, &all, now() + TimeDelta::seconds(6));
        let (_, later) = read(&mut refusals, &map, &block, &all, now() + TimeDelta::seconds(14));
        assert_eq!((quiet, once, later), (0, 1, 0));
        // It refuses for a day; well again, it is read as before within a minute.
        let mut at = now();
        while at < now() + TimeDelta::days(1) {
            at += TimeDelta::seconds(2);
            read(&mut refusals, &map, &block, &all, at);
        }
        let healed = at;
        while read(&mut refusals, &map, &block, &[], at).0 > 0 {
            at += TimeDelta::seconds(2);
        }
        assert!(at - healed <= TimeDelta::seconds(60), "{}", at - healed);
    }
}
