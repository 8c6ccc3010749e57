//! What to read of a device and how to understand it: made from a profile, or by SunSpec discovery.

use super::codec::{Raw, decode};
use crate::profile::{Derivation, Derived, Every, OtherScale, Point, Profile, RegisterType, Rule, Table, WordOrder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A profile and the map it makes; devices of one kind share both.
#[derive(Debug, Clone)]
pub struct DeviceType {
    pub profile: Arc<Profile>,
    pub map: Arc<Map>,
    /// Points that commands are made from.
    pub needed: Arc<[String]>,
}

impl From<Arc<Profile>> for DeviceType {
    fn from(profile: Arc<Profile>) -> Self {
        Self {
            map: Arc::new(Map::of(&profile)),
            needed: profile.points_for_commands().into(),
            profile,
        }
    }
}

impl From<Profile> for DeviceType {
    fn from(profile: Profile) -> Self {
        Arc::new(profile).into()
    }
}

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
    pub meaning: Meaning,
}

/// How a raw value is understood besides its scale.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meaning {
    pub shift: u8,
    pub mask: Option<u64>,
    pub map: BTreeMap<i64, String>,
    pub text_map: BTreeMap<String, String>,
    pub other_scale: Option<OtherScale>,
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
            meaning: Meaning {
                shift: p.shift,
                mask: p.mask,
                map: p.map.clone(),
                text_map: p.text_map.clone(),
                other_scale: p.other_scale,
            },
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
    /// Raw code and its word.
    State(i64, String),
    Missing,
    /// Outside the plausible range of the profile.
    Invalid,
}

impl Value {
    /// The number, or a state's raw code.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::State(code, _) => Some(*code as f64),
            _ => None,
        }
    }
    /// A word that is a number (phases: `1`, `3`) is one.
    fn word(code: i64, word: &str) -> Self {
        word.parse()
            .map_or_else(|_| Self::State(code, word.to_owned()), Self::Number)
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
        (Some(Raw::Text(text)), _) => Value::Text(p.meaning.text_map.get(&text).cloned().unwrap_or(text)),
        (Some(Raw::Number(n)), Some(f)) => understood(p, n, f),
        _ => Value::Missing,
    }
}

fn understood(p: &MapPoint, raw: f64, factor: f64) -> Value {
    let m = &p.meaning;
    let mut n = raw;
    if m.shift > 0 || m.mask.is_some() {
        n = (((raw as i64 as u64) >> m.shift) & m.mask.unwrap_or(u64::MAX)) as f64;
    }
    if let Some(bit) = p.bit {
        n = f64::from(((n as u64) >> bit) as u8 & 1);
    }
    if !m.map.is_empty() {
        let code = n as i64;
        // A code that the profile does not know is shown as it is, but is no number to reckon with.
        return m
            .map
            .get(&code)
            .map_or_else(|| Value::State(code, code.to_string()), |w| Value::word(code, w));
    }
    let scale = m.other_scale.filter(|o| n >= o.from_raw).map_or(p.scale, |o| o.scale);
    let v = n * factor * scale + p.offset;
    let good = p.range.0.is_none_or(|m| v >= m) && p.range.1.is_none_or(|m| v <= m);
    if good { Value::Number(v) } else { Value::Invalid }
}

/// Adds the values that are computed from others. What was not read this time is left out; what cannot be computed is missing.
pub fn derive(list: &[Derived], values: &mut Values) {
    for d in list {
        let derived = match &d.how {
            Derivation::Sum { parts, some } => sum(parts, *some, values),
            Derivation::Rules { rules, otherwise } => by_rules(rules, otherwise.as_deref(), values),
        };
        if let Some(v) = derived {
            values.insert(d.name.clone(), v);
        }
    }
}

fn sum(parts: &[(f64, String)], some: bool, values: &Values) -> Option<Value> {
    let (mut total, mut counted) = (0.0, 0);
    for (factor, name) in parts {
        match values.get(name)? {
            Value::Number(n) => {
                total += factor * n;
                counted += 1;
            }
            Value::Missing if some => {}
            Value::Invalid => return Some(Value::Invalid),
            _ => return Some(Value::Missing),
        }
    }
    Some(if counted > 0 {
        Value::Number(total)
    } else {
        Value::Missing
    })
}

fn by_rules(rules: &[Rule], otherwise: Option<&str>, values: &Values) -> Option<Value> {
    for (i, r) in rules.iter().enumerate() {
        let Some(n) = values.get(&r.point)?.number() else {
            return Some(Value::Missing);
        };
        let n = r.bit.map_or(n, |b| f64::from(((n as i64 as u64) >> b) as u8 & 1));
        if r.from.is_none_or(|f| n >= f) && r.to.is_none_or(|t| n <= t) {
            return Some(Value::word(i as i64, &r.word));
        }
    }
    Some(otherwise.map_or(Value::Missing, |w| Value::word(rules.len() as i64, w)))
}

/// SunSpec scale factor: 10^n, n from −10 to 10; 0x8000 means there is none.
pub fn power_of_ten(word: u16) -> Option<f64> {
    let n = word as i16;
    (-10..=10).contains(&n).then(|| 10f64.powi(i32::from(n)))
}

/// Numbers by point name.
pub type Values = BTreeMap<String, Value>;
