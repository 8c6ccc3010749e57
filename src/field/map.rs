//! What to read of a device and how to understand it: made from a profile, or by SunSpec discovery.

use super::codec::{Raw, decode};
use crate::profile::{Every, Point, Profile, RegisterType, Table, WordOrder};
use std::collections::BTreeMap;

/// A block read.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockRead {
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub every: Every,
    pub unit: Option<u8>,
}

/// One value inside the blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct MapPoint {
    pub name: String,
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub type_: RegisterType,
    pub words: WordOrder,
    pub scale: f64,
    pub offset: f64,
    /// Register with a power-of-ten scale factor, read in the same block.
    pub scale_factor: Option<u16>,
    pub unit: String,
    pub nan: Vec<i128>,
    pub range: (Option<f64>, Option<f64>),
    pub bit: Option<u8>,
}

impl From<&Point> for MapPoint {
    fn from(p: &Point) -> Self {
        Self {
            name: p.name.clone(),
            table: p.table,
            addr: p.addr,
            count: p.count,
            type_: p.type_,
            words: p.words,
            scale: p.scale,
            offset: p.offset,
            scale_factor: None,
            unit: p.unit.clone(),
            nan: p.nan.clone(),
            range: (p.min, p.max),
            bit: p.bit,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    pub blocks: Vec<BlockRead>,
    pub points: Vec<MapPoint>,
}

impl Map {
    pub fn of(profile: &Profile) -> Self {
        let block = |b: &crate::profile::Block| BlockRead {
            table: b.table,
            addr: b.addr,
            count: b.count,
            every: b.every,
            unit: b.unit,
        };
        Self {
            blocks: profile.blocks.iter().map(block).collect(),
            points: profile.points.iter().map(Into::into).collect(),
        }
    }

    /// Values of every point that lies in this block.
    pub fn values(&self, block: &BlockRead, words: &[u16]) -> Vec<(String, Value)> {
        let inside = |p: &&MapPoint| {
            p.table == block.table
                && p.addr >= block.addr
                && u32::from(p.addr) + u32::from(p.count) <= u32::from(block.addr) + u32::from(block.count)
        };
        self.points
            .iter()
            .filter(inside)
            .map(|p| (p.name.clone(), value(p, block.addr, words)))
            .collect()
    }
}

/// A value in engineering units.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Text(String),
    Missing,
    /// Outside the plausible range of the profile.
    Invalid,
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }
}

fn value(p: &MapPoint, start: u16, words: &[u16]) -> Value {
    let at = usize::from(p.addr - start);
    let raw = words
        .get(at..at + usize::from(p.count))
        .map(|w| decode(p.type_, p.words, w, &p.nan));
    let factor = match p.scale_factor {
        None => Some(1.0),
        Some(addr) => addr
            .checked_sub(start)
            .and_then(|i| words.get(usize::from(i)))
            .and_then(|w| power_of_ten(*w)),
    };
    match (raw, factor) {
        (Some(Raw::Text(text)), _) => Value::Text(text),
        (Some(Raw::Number(n)), Some(f)) => {
            let n = p.bit.map_or(n, |b| f64::from(((n as u64) >> b) as u8 & 1));
            let v = n * f * p.scale + p.offset;
            let good = p.range.0.is_none_or(|m| v >= m) && p.range.1.is_none_or(|m| v <= m);
            if good { Value::Number(v) } else { Value::Invalid }
        }
        _ => Value::Missing,
    }
}

/// SunSpec scale factor: 10^n, n from −10 to 10; 0x8000 means there is none.
pub fn power_of_ten(word: u16) -> Option<f64> {
    let n = word as i16;
    (-10..=10).contains(&n).then(|| 10f64.powi(i32::from(n)))
}

/// Numbers by point name.
pub type Values = BTreeMap<String, Value>;
