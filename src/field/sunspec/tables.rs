//! The information models as tables: points with offsets, types, scale factors, units and our names, from the profile
//! room's `sunspec/models.txt`.

use crate::profile::{Every, RegisterType};
use std::sync::LazyLock;

/// What a type's "not implemented" looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Absent {
    /// This raw value.
    Raw(i128),
    /// An accumulator: zero where nothing is counted, all ones (this value) where there is none.
    Accumulator(i128),
    /// Not a number (floats), or nothing at all (texts).
    Never,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Def {
    /// SunSpec's name.
    pub name: &'static str,
    /// Registers after the model's ID register, or after the start of the repeating group.
    pub offset: u16,
    pub size: u16,
    pub type_: RegisterType,
    pub absent: Absent,
    pub scale_factor: Option<&'static str>,
    /// SunSpec's unit: W, Wh, A, %, …
    pub unit: &'static str,
    /// Our name; `None` where the point is not shown.
    pub shown: Option<&'static str>,
    /// The sign turns to the passive one.
    pub turned: bool,
    pub mandatory: bool,
    /// The standard lets a master write it.
    pub writable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub name: &'static str,
    /// Point that says how often it repeats.
    pub count: &'static str,
    pub start: u16,
    pub size: u16,
    pub points: Vec<Def>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub ids: Vec<u16>,
    pub family: &'static str,
    pub every: Every,
    pub points: Vec<Def>,
    pub group: Option<Group>,
}

impl Layout {
    pub fn point(&self, name: &str) -> Option<&Def> {
        self.points.iter().find(|d| d.name == name)
    }

    /// Whether every one of `size` registers from `offset` on (from the ID register) takes writes.
    pub fn takes(&self, offset: u16, size: u16) -> bool {
        let writable = |at: u16| {
            let mut points = self.points.iter();
            points.any(|d| d.writable && (d.offset..d.offset + d.size).contains(&at))
        };
        (offset..offset.saturating_add(size)).all(writable)
    }
}

/// The layout of a model; `None` where we know no such model.
pub fn layout(id: u16) -> Option<&'static Layout> {
    TABLES.iter().find(|l| l.ids.contains(&id))
}

/// The tables are part of the program: a fault in them is found by the test below, and reads as no models at all.
static TABLES: LazyLock<Vec<Layout>> = LazyLock::new(|| parse(MODELS).unwrap_or_default());

const MODELS: &str = include_str!("../../profile/sunspec/models.txt");

fn parse(text: &'static str) -> Result<Vec<Layout>, String> {
    let mut all: Vec<Layout> = Vec::new();
    let mut offset = 2;
    for (i, line) in text.lines().enumerate() {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        let at = |what: &str| format!("line {}: {what}", i + 1);
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["model", rest @ ..] => {
                all.push(head(rest).ok_or_else(|| at("not a model"))?);
                offset = 2;
            }
            ["group", name, count] => {
                let last = all.last_mut().ok_or_else(|| at("a group without a model"))?;
                let (points, size, start) = (Vec::new(), 0, offset);
                last.group = Some(Group {
                    name,
                    count,
                    start,
                    size,
                    points,
                });
                offset = 0;
            }
            point => {
                let def = def(point, offset).ok_or_else(|| at("not a point"))?;
                let last = all.last_mut().ok_or_else(|| at("a point without a model"))?;
                offset += def.size;
                match &mut last.group {
                    Some(group) => {
                        group.size = offset;
                        group.points.push(def);
                    }
                    None => last.points.push(def),
                }
            }
        }
    }
    Ok(all)
}

fn head(words: &[&'static str]) -> Option<Layout> {
    let [ids @ .., family, every] = words else { return None };
    let every = match *every {
        "fast" => Every::Fast,
        "slow" => Every::Slow,
        "once" => Every::Once,
        _ => return None,
    };
    let ids = ids.iter().map(|i| i.parse().ok()).collect::<Option<Vec<u16>>>()?;
    Some(Layout {
        ids,
        family,
        every,
        points: Vec::new(),
        group: None,
    })
}

fn def(words: &[&'static str], offset: u16) -> Option<Def> {
    let (name, type_) = (words.first()?, words.get(1)?);
    let (kind, size) = match type_.split_once(':') {
        Some((kind, size)) => (kind, Some(size.parse().ok()?)),
        None => (*type_, None),
    };
    let (type_, absent) = kind_of(kind)?;
    let optional = |i: usize| words.get(i).copied().filter(|w| *w != "-");
    let shown = optional(4);
    Some(Def {
        name: name.trim_end_matches(['!', '*']),
        offset,
        size: size.or(type_.registers())?,
        type_,
        absent,
        scale_factor: optional(2),
        unit: optional(3).unwrap_or_default(),
        shown: shown.map(|s| s.trim_start_matches('-')),
        turned: shown.is_some_and(|s| s.starts_with('-')),
        mandatory: name.contains('!'),
        writable: name.ends_with('*'),
    })
}

/// Register type and sentinel of a SunSpec type.
fn kind_of(kind: &str) -> Option<(RegisterType, Absent)> {
    use Absent::{Accumulator, Never, Raw};
    use RegisterType::{F32, F64, I16, I32, I64, Str, U16, U32, U64};
    let (all16, all32, all64) = (0xFFFF, 0xFFFF_FFFF, i128::from(u64::MAX));
    Some(match kind {
        "int16" | "sunssf" => (I16, Raw(-0x8000)),
        "int32" => (I32, Raw(-0x8000_0000)),
        "int64" => (I64, Raw(i128::from(i64::MIN))),
        "uint16" | "enum16" | "bitfield16" | "count" => (U16, Raw(all16)),
        "uint32" | "enum32" | "bitfield32" => (U32, Raw(all32)),
        "uint64" | "bitfield64" => (U64, Raw(all64)),
        "acc16" => (U16, Accumulator(all16)),
        "acc32" => (U32, Accumulator(all32)),
        "acc64" => (U64, Accumulator(all64)),
        "float32" => (F32, Never),
        "float64" => (F64, Never),
        "string" => (Str, Never),
        "pad" => (U16, Never),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_is_in_the_tables_and_as_long_as_the_standard_says() {
        parse(MODELS).unwrap();
        let lengths = [
            (1, 66),
            (101, 50),
            (102, 50),
            (103, 50),
            (111, 60),
            (112, 60),
            (113, 60),
            (120, 26),
            (121, 30),
            (122, 44),
            (123, 24),
            (124, 24),
            (160, 8),
            (201, 105),
            (202, 105),
            (203, 105),
            (204, 105),
            (211, 124),
            (212, 124),
            (213, 124),
            (214, 124),
            (701, 153),
            (702, 50),
            (703, 17),
            (704, 65),
            (713, 7),
            (714, 18),
            (715, 7),
            (802, 62),
            (803, 26),
            (804, 46),
        ];
        for (id, length) in lengths {
            let l = layout(id).unwrap_or_else(|| panic!("model {id}"));
            let last = l.points.last().unwrap();
            assert_eq!(last.offset + last.size - 2, length, "model {id}");
        }
        let repeated = |id| layout(id).unwrap().group.as_ref().unwrap().size;
        assert_eq!(
            [repeated(160), repeated(714), repeated(803), repeated(804)],
            [20, 25, 32, 16]
        );
        assert!(layout(64_001).is_none());
    }

    #[test]
    fn every_scale_factor_and_count_is_a_point_of_its_model() {
        for l in TABLES.iter() {
            let points = l.points.iter().chain(l.group.iter().flat_map(|g| &g.points));
            for sf in points.filter_map(|p| p.scale_factor) {
                assert!(l.point(sf).is_some(), "{:?}: {sf}", l.ids);
            }
            if let Some(g) = &l.group {
                assert!(l.point(g.count).is_some(), "{:?}: {}", l.ids, g.count);
            }
        }
    }
}
