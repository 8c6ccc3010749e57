//! Reads and lints a profile file.

use super::{
    Block, Command, Every, Identify, Link, Point, Profile, RegisterType, Table, Variant, Verify, Wear, WordOrder,
    Write, WriteValue,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A fault of a profile file.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileFault {
    pub line: usize,
    pub key: String,
    pub message: String,
}

macro_rules! builtins {
    ($($name:literal),+ $(,)?) => {
        const BUILTIN: &[(&str, &str)] = &[$(($name, include_str!(concat!("builtin/", $name, ".toml")))),+];
    };
}
builtins![
    "alfen-eve",
    "eastron-sdm630",
    "generic-genset",
    "generic-heat-pump",
    "generic-relay",
    "sunspec"
];

/// Names of the profiles inside the binary.
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

/// A built-in profile.
pub fn builtin(name: &str) -> Option<Profile> {
    let (_, text) = BUILTIN.iter().find(|(n, _)| *n == name)?;
    parse(text).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    schema: String,
    id: String,
    kind: String,
    #[serde(default)]
    models: Vec<String>,
    link: Link,
    #[serde(default)]
    sunspec: bool,
    defaults: Option<RawDefaults>,
    #[serde(default)]
    identify: Vec<RawIdentify>,
    #[serde(default)]
    blocks: Vec<RawBlock>,
    #[serde(default)]
    points: Vec<RawPoint>,
    #[serde(default)]
    commands: BTreeMap<String, RawCommand>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct RawDefaults {
    table: Table,
    #[serde(rename = "type")]
    type_: RegisterType,
    words: WordOrder,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentify {
    name: String,
    table: Option<Table>,
    addr: u16,
    count: Option<u16>,
    #[serde(rename = "type")]
    type_: Option<RegisterType>,
    expect: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock {
    name: String,
    table: Option<Table>,
    addr: u16,
    count: u16,
    every: Every,
    unit: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    name: String,
    table: Option<Table>,
    addr: u16,
    count: Option<u16>,
    #[serde(rename = "type")]
    type_: Option<RegisterType>,
    words: Option<WordOrder>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    nan: Vec<i64>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    map: BTreeMap<String, String>,
    bit: Option<u8>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCommand {
    unit: String,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    arm: Vec<RawWrite>,
    /// Short form of one variant without a range.
    #[serde(default)]
    set: Vec<RawWrite>,
    #[serde(default)]
    variants: Vec<RawVariant>,
    #[serde(default)]
    release: Vec<RawWrite>,
    verify: Option<RawVerify>,
    refresh_s: Option<f64>,
    device_timeout_s: Option<f64>,
    on_loss: Option<String>,
    wear: Wear,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    from: Option<f64>,
    to: Option<f64>,
    set: Vec<RawWrite>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWrite {
    addr: u16,
    #[serde(default = "sixteen")]
    fc: u8,
    #[serde(rename = "type")]
    type_: Option<RegisterType>,
    words: Option<WordOrder>,
    value: Option<f64>,
    scale: Option<f64>,
    #[serde(default)]
    offset: f64,
    unit: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerify {
    point: String,
    expect: Option<f64>,
    #[serde(default = "one")]
    scale: f64,
    tolerance: f64,
    within_s: f64,
}

fn one() -> f64 {
    1.0
}
fn sixteen() -> u8 {
    16
}

/// Parses a profile: the first structural fault with its line, or every fault of meaning at once.
pub fn parse(text: &str) -> Result<Profile, Vec<ProfileFault>> {
    let raw: RawProfile = toml::from_str(text).map_err(|e| {
        let offset = e.span().map_or(0, |s| s.start);
        let line = text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        vec![ProfileFault {
            line,
            key: String::new(),
            message: e.message().to_owned(),
        }]
    })?;
    let profile = build(raw);
    let faults = lint(&profile, text);
    if faults.is_empty() { Ok(profile) } else { Err(faults) }
}

fn build(raw: RawProfile) -> Profile {
    let d = raw.defaults.unwrap_or(RawDefaults {
        table: Table::Holding,
        type_: RegisterType::U16,
        words: WordOrder::HiFirst,
    });
    let _checked_by_lint = &raw.schema;
    Profile {
        id: raw.id,
        kind: raw.kind,
        models: raw.models,
        link: raw.link,
        sunspec: raw.sunspec,
        identify: raw.identify.into_iter().map(|i| identify(i, d)).collect(),
        blocks: raw.blocks.into_iter().map(|b| block(b, d)).collect(),
        points: raw.points.into_iter().map(|p| point(p, d)).collect(),
        commands: raw.commands.into_iter().map(|(n, c)| (n, command(c, d))).collect(),
        notes: raw.notes,
    }
}

fn identify(i: RawIdentify, d: RawDefaults) -> Identify {
    let type_ = i.type_.unwrap_or(d.type_);
    Identify {
        name: i.name,
        table: i.table.unwrap_or(d.table),
        addr: i.addr,
        count: i.count.or(type_.registers()).unwrap_or(1),
        type_,
        expect: i.expect,
    }
}

fn block(b: RawBlock, d: RawDefaults) -> Block {
    let table = b.table.unwrap_or(d.table);
    Block {
        name: b.name,
        table,
        addr: b.addr,
        count: b.count,
        every: b.every,
        unit: b.unit,
    }
}

fn point(p: RawPoint, d: RawDefaults) -> Point {
    let type_ = p.type_.unwrap_or(d.type_);
    Point {
        name: p.name,
        table: p.table.unwrap_or(d.table),
        addr: p.addr,
        count: p.count.or(type_.registers()).unwrap_or(1),
        type_,
        words: p.words.unwrap_or(d.words),
        scale: p.scale,
        offset: p.offset,
        unit: p.unit,
        nan: p.nan.into_iter().map(i128::from).collect(),
        min: p.min,
        max: p.max,
        map: p
            .map
            .into_iter()
            .filter_map(|(k, v)| Some((k.parse().ok()?, v)))
            .collect(),
        bit: p.bit,
        note: p.note,
    }
}

fn command(c: RawCommand, d: RawDefaults) -> Command {
    let writes = |w: Vec<RawWrite>| w.into_iter().map(|w| write(w, d)).collect::<Vec<_>>();
    let mut variants: Vec<Variant> = c
        .variants
        .into_iter()
        .map(|v| Variant {
            from: v.from,
            to: v.to,
            set: writes(v.set),
        })
        .collect();
    if !c.set.is_empty() {
        variants.push(Variant {
            from: None,
            to: None,
            set: writes(c.set),
        });
    }
    let verify = c.verify.map(|v| Verify {
        point: v.point,
        expect: v.expect,
        scale: v.scale,
        tolerance: v.tolerance,
        within_s: v.within_s,
    });
    Command {
        unit: c.unit,
        min: c.min,
        max: c.max,
        arm: writes(c.arm),
        variants,
        release: writes(c.release),
        verify,
        refresh_s: c.refresh_s,
        device_timeout_s: c.device_timeout_s,
        on_loss: c.on_loss,
        wear: c.wear,
    }
}

fn write(w: RawWrite, d: RawDefaults) -> Write {
    let value = match w.value {
        Some(v) => WriteValue::Constant(v),
        None => WriteValue::Scaled {
            scale: w.scale.unwrap_or(1.0),
            offset: w.offset,
        },
    };
    Write {
        addr: w.addr,
        fc: w.fc,
        type_: w.type_.unwrap_or(d.type_),
        words: w.words.unwrap_or(d.words),
        value,
        unit: w.unit,
    }
}

/// Everything that must fit together, all at once; the line is where the name first stands.
fn lint(p: &Profile, text: &str) -> Vec<ProfileFault> {
    let mut faults = Vec::new();
    let mut add = |name: &str, message: String| {
        let line = text.lines().position(|l| l.contains(name)).map_or(1, |i| i + 1);
        faults.push(ProfileFault {
            line,
            key: name.to_owned(),
            message,
        });
    };
    let most = p.link.max_regs_read.unwrap_or(125);
    for b in &p.blocks {
        if b.count == 0 || b.count > most {
            add(
                &b.name,
                format!(
                    "block `{}` reads {} registers; 1 to {most} are possible",
                    b.name, b.count
                ),
            );
        }
    }
    for point in &p.points {
        let inside = |b: &&Block| {
            b.table == point.table
                && point.addr >= b.addr
                && u32::from(point.addr) + u32::from(point.count) <= u32::from(b.addr) + u32::from(b.count)
        };
        if !p.blocks.iter().any(|b| inside(&b)) {
            add(&point.name, format!("point `{}` lies in no block", point.name));
        }
        if p.points.iter().filter(|o| o.name == point.name).count() > 1 {
            add(&point.name, format!("point `{}` stands twice", point.name));
        }
        if point.scale == 0.0 {
            add(&point.name, format!("point `{}` has scale 0", point.name));
        }
    }
    for (name, c) in &p.commands {
        lint_command(p, name, c, &mut add);
    }
    if p.points.is_empty() && !p.sunspec {
        add(&p.id, "has no points".to_owned());
    }
    faults
}

fn lint_command(p: &Profile, name: &str, c: &Command, add: &mut dyn FnMut(&str, String)) {
    if c.variants.iter().all(|v| v.set.is_empty()) {
        add(name, format!("command `{name}` writes nothing"));
    }
    if let (Some(refresh), Some(timeout)) = (c.refresh_s, c.device_timeout_s)
        && timeout > 0.0
        && refresh > timeout / 2.0
    {
        add(
            name,
            format!("command `{name}` refreshes every {refresh} s, more than half of its {timeout} s"),
        );
    }
    if let Some(v) = &c.verify
        && !p.points.iter().any(|point| point.name == v.point)
    {
        add(
            name,
            format!("command `{name}` is verified by `{}`, which is no point", v.point),
        );
    }
    let writes = c.variants.iter().flat_map(|v| &v.set).chain(&c.arm).chain(&c.release);
    for w in writes.filter(|w| !matches!(w.fc, 5 | 6 | 16)) {
        add(
            name,
            format!("command `{name}` writes with function {}; 5, 6 and 16 exist", w.fc),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_built_in_profile_parses_without_a_fault() {
        for (name, text) in BUILTIN {
            let p = parse(text).unwrap_or_else(|f| panic!("{name}: {f:#?}"));
            assert_eq!(p.id, *name);
        }
    }

    #[test]
    fn faults_are_named() {
        let good = BUILTIN.iter().find(|(n, _)| *n == "generic-relay").unwrap().1;
        for (from, to, part) in [
            ("addr = 0", "addr = 9000", "lies in no block"),
            ("refresh_s = 20", "refresh_s = 50", "more than half"),
            ("point = \"running_command\"", "point = \"walking\"", "no point"),
            ("kind =", "kynd =", "kynd"),
        ] {
            assert!(good.contains(from), "{from}");
            let faults = parse(&good.replacen(from, to, 1)).unwrap_err();
            assert!(faults.iter().any(|f| f.message.contains(part)), "{to}: {faults:#?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _outcome = parse(&text);
        }
    }
}
