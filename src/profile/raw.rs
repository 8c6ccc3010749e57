//! The words of a profile file, and how they become a [`Profile`]'s parts: defaults filled in, codes and sentinels resolved.

use super::{
    Block, Command, Derivation, Derived, Every, Expected, Identify, KeepAlive, Mark, OtherScale, Point, Register,
    RegisterType, Require, Role, Rule, Table, Variant, Verify, Wear, When, WordOrder, Write, WriteValue,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[defaults]`: what a point, block or write is that says nothing else.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    #[serde(default = "holding")]
    pub table: Table,
    #[serde(rename = "type", default = "u16_type")]
    pub type_: RegisterType,
    #[serde(default = "hi_first")]
    pub words: WordOrder,
    #[serde(default)]
    pub nan: Sentinels,
}

impl Defaults {
    pub fn none() -> Self {
        Self {
            table: Table::Holding,
            type_: RegisterType::U16,
            words: WordOrder::HiFirst,
            nan: Sentinels::default(),
        }
    }
}

/// Values that mean "not implemented", by kind of type.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentinels {
    pub unsigned: Option<Sentinel>,
    pub signed: Option<Sentinel>,
    /// Numbers; "not a number" is always missing.
    #[serde(default)]
    pub float: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sentinel {
    /// 0xFFFF…
    AllOnes,
    /// 0x7FFF…
    MaxPositive,
    /// 0x8000…
    MinNegative,
    /// The eight largest values of the type.
    TopEight,
}

fn holding() -> Table {
    Table::Holding
}
fn u16_type() -> RegisterType {
    RegisterType::U16
}
fn hi_first() -> WordOrder {
    WordOrder::HiFirst
}
fn one() -> f64 {
    1.0
}
fn sixteen() -> u8 {
    16
}

/// One or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Many<T> {
    One(T),
    Several(Vec<T>),
}

impl<T> Many<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(t) => vec![t],
            Self::Several(list) => list,
        }
    }
}

/// A number or a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(f64),
    Text(String),
}

impl Scalar {
    fn word(self) -> String {
        match self {
            Self::Number(n) => n.to_string(),
            Self::Text(t) => t,
        }
    }
    /// `"330..349"` is a range of numbers, other text is text.
    fn expected(self) -> Expected {
        let text = match self {
            Self::Number(n) => return Expected::Number(n, n),
            Self::Text(t) => t,
        };
        let range = text
            .split_once("..")
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        range.map_or(Expected::Text(text), |(a, b)| Expected::Number(a, b))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIdentify {
    name: String,
    table: Option<Table>,
    addr: u16,
    count: Option<u16>,
    #[serde(rename = "type")]
    type_: Option<RegisterType>,
    words: Option<WordOrder>,
    expect: Option<Many<Scalar>>,
    #[serde(rename = "note")]
    _note: Option<String>,
}

impl RawIdentify {
    pub fn build(self, d: &Defaults) -> Identify {
        let type_ = self.type_.unwrap_or(d.type_);
        let expect = self.expect.map(Many::list).unwrap_or_default();
        Identify {
            name: self.name,
            table: self.table.unwrap_or(d.table),
            addr: self.addr,
            count: self.count.or(type_.registers()).unwrap_or(1),
            type_,
            words: self.words.unwrap_or(d.words),
            expect: expect.into_iter().map(Scalar::expected).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBlock {
    name: String,
    table: Option<Table>,
    addr: u16,
    count: u16,
    every: Every,
    unit: Option<u8>,
}

impl RawBlock {
    pub fn build(self, d: &Defaults) -> Block {
        Block {
            name: self.name,
            table: self.table.unwrap_or(d.table),
            addr: self.addr,
            count: self.count,
            every: self.every,
            unit: self.unit,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPoint {
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
    nan: Option<Vec<i64>>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    map: BTreeMap<String, Scalar>,
    bit: Option<u8>,
    #[serde(default)]
    shift: u8,
    mask: Option<u64>,
    other_scale: Option<OtherScale>,
    role: Option<Role>,
    note: Option<String>,
}

impl RawPoint {
    pub fn build(self, d: &Defaults) -> Point {
        let type_ = self.type_.unwrap_or(d.type_);
        let (map, text_map) = codes(self.map);
        let nan = match self.nan {
            Some(list) => list.into_iter().map(|n| folded(type_, i128::from(n))).collect(),
            None => sentinels(type_, &d.nan),
        };
        Point {
            name: self.name,
            table: self.table.unwrap_or(d.table),
            addr: self.addr,
            count: self.count.or(type_.registers()).unwrap_or(1),
            type_,
            words: self.words.unwrap_or(d.words),
            scale: self.scale,
            offset: self.offset,
            unit: self.unit,
            nan,
            min: self.min,
            max: self.max,
            map,
            text_map,
            bit: self.bit,
            shift: self.shift,
            mask: self.mask,
            other_scale: self.other_scale,
            role: self.role,
            note: self.note,
        }
    }
}

/// Keys that are numbers (also `0xAA`) are raw codes, others are texts of the device.
fn codes(map: BTreeMap<String, Scalar>) -> (BTreeMap<i64, String>, BTreeMap<String, String>) {
    let (mut by_code, mut by_text) = (BTreeMap::new(), BTreeMap::new());
    for (key, word) in map {
        let code = match key.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => key.parse().ok(),
        };
        match code {
            Some(code) => {
                by_code.insert(code, word.word());
            }
            None => {
                by_text.insert(key, word.word());
            }
        }
    }
    (by_code, by_text)
}

fn bits_of(type_: RegisterType) -> Option<(u32, bool)> {
    match type_ {
        RegisterType::U16 => Some((16, false)),
        RegisterType::I16 => Some((16, true)),
        RegisterType::U32 => Some((32, false)),
        RegisterType::I32 => Some((32, true)),
        RegisterType::U64 => Some((64, false)),
        RegisterType::I64 => Some((64, true)),
        RegisterType::F32 | RegisterType::F64 | RegisterType::Bits | RegisterType::Str => None,
    }
}

/// A sentinel given as a bit pattern (0x8000) is the number that the type reads there (−32768 where signed).
fn folded(type_: RegisterType, n: i128) -> i128 {
    match bits_of(type_) {
        Some((bits, true)) if n >= 1 << (bits - 1) => n - (1 << bits),
        _ => n,
    }
}

fn sentinels(type_: RegisterType, set: &Sentinels) -> Vec<i128> {
    let float = |f: &f64| match type_ {
        RegisterType::F32 => i128::from((*f as f32).to_bits()),
        _ => i128::from(f.to_bits()),
    };
    let Some((bits, signed)) = bits_of(type_) else {
        let is_float = matches!(type_, RegisterType::F32 | RegisterType::F64);
        return if is_float {
            set.float.iter().map(float).collect()
        } else {
            vec![]
        };
    };
    let Some(kind) = (if signed { set.signed } else { set.unsigned }) else {
        return vec![];
    };
    let top: i128 = (1 << (bits - u32::from(signed))) - 1;
    match kind {
        Sentinel::AllOnes => vec![if signed { -1 } else { top }],
        Sentinel::MaxPositive => vec![(1 << (bits - 1)) - 1],
        Sentinel::MinNegative => vec![if signed { -(1 << (bits - 1)) } else { 1 << (bits - 1) }],
        Sentinel::TopEight => (top - 7..=top).collect(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDerived {
    name: String,
    #[serde(default)]
    unit: String,
    /// `a + b - c`
    sum: Option<String>,
    /// Parts that the device does not have are left out.
    #[serde(default)]
    some: bool,
    #[serde(default)]
    rules: Vec<Rule>,
    otherwise: Option<String>,
    note: Option<String>,
}

impl RawDerived {
    pub fn build(self) -> Result<Derived, String> {
        let how = match (self.sum, self.rules.is_empty()) {
            (Some(sum), true) => Derivation::Sum {
                parts: terms(&sum)?,
                some: self.some,
            },
            (None, false) => Derivation::Rules {
                rules: self.rules,
                otherwise: self.otherwise,
            },
            _ => return Err(format!("`{}` needs either `sum` or `rules`", self.name)),
        };
        Ok(Derived {
            name: self.name,
            unit: self.unit,
            how,
            note: self.note,
        })
    }
}

/// `a + b - c` → (+1, a), (+1, b), (−1, c).
fn terms(sum: &str) -> Result<Vec<(f64, String)>, String> {
    let (mut parts, mut sign) = (Vec::new(), Some(1.0));
    for word in sum.split_whitespace() {
        match (word, sign) {
            ("+", None) => sign = Some(1.0),
            ("-", None) => sign = Some(-1.0),
            ("-", Some(1.0)) if parts.is_empty() => sign = Some(-1.0),
            (name, Some(s)) if name != "+" && name != "-" => {
                parts.push((s, name.to_owned()));
                sign = None;
            }
            _ => return Err(format!("`{sum}` is no sum; write `a + b - c` with spaces")),
        }
    }
    if sign.is_some() {
        return Err(format!("`{sum}` is no sum; write `a + b - c` with spaces"));
    }
    Ok(parts)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCommand {
    unit: String,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    requires: Vec<Require>,
    #[serde(default)]
    arm: Vec<RawWrite>,
    /// Short form of one variant without a range.
    #[serde(default)]
    set: Vec<RawWrite>,
    max_point: Option<String>,
    #[serde(default)]
    variants: Vec<RawVariant>,
    #[serde(default)]
    release: Vec<RawWrite>,
    verify: Option<RawVerify>,
    refresh_s: Option<f64>,
    device_timeout_s: Option<f64>,
    timeout_point: Option<String>,
    countdown_point: Option<String>,
    on_loss: Option<String>,
    wear: Wear,
    keep_alive: Option<Scalar>,
    min_hold_s: Option<f64>,
    #[serde(default)]
    unknown: Vec<String>,
    note: Option<String>,
    #[serde(default)]
    verified: Vec<Mark>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    word: Option<String>,
    from: Option<f64>,
    to: Option<f64>,
    when: Option<When>,
    max_point: Option<String>,
    #[serde(default)]
    set: Vec<RawWrite>,
    verify: Option<RawVerify>,
    unknown: Option<String>,
}

#[derive(Debug, Deserialize)]
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
    offset: Option<f64>,
    point: Option<String>,
    option: Option<String>,
    set_bits: Option<u16>,
    clear_bits: Option<u16>,
    /// A unit id, or the option that gives it.
    unit: Option<Scalar>,
    #[serde(default)]
    together: bool,
    #[serde(default)]
    if_different: bool,
    phase: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerify {
    point: Option<String>,
    addr: Option<u16>,
    table: Option<Table>,
    #[serde(rename = "type")]
    type_: Option<RegisterType>,
    words: Option<WordOrder>,
    expect: Option<f64>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    tolerance: f64,
    #[serde(default)]
    tolerance_percent: f64,
    within_s: f64,
}

impl RawCommand {
    pub fn build(self, d: &Defaults) -> Result<Command, String> {
        let mut variants = Vec::new();
        for v in self.variants {
            variants.push(v.build(d)?);
        }
        if !self.set.is_empty() {
            variants.push(Variant {
                word: None,
                from: None,
                to: None,
                when: None,
                max_point: self.max_point,
                set: writes(self.set, d)?,
                verify: None,
                unknown: None,
            });
        }
        Ok(Command {
            unit: self.unit,
            min: self.min,
            max: self.max,
            requires: self.requires,
            arm: writes(self.arm, d)?,
            variants,
            release: writes(self.release, d)?,
            verify: self.verify.map(|v| v.build(d)).transpose()?,
            refresh_s: self.refresh_s,
            device_timeout_s: self.device_timeout_s,
            timeout_point: self.timeout_point,
            countdown_point: self.countdown_point,
            on_loss: self.on_loss,
            wear: self.wear,
            keep_alive: self.keep_alive.map(|k| match k {
                Scalar::Number(n) => KeepAlive::Value(n),
                Scalar::Text(point) => KeepAlive::Point(point),
            }),
            min_hold_s: self.min_hold_s,
            unknown: self.unknown,
            note: self.note,
            verified: self.verified,
        })
    }
}

impl RawVariant {
    fn build(self, d: &Defaults) -> Result<Variant, String> {
        Ok(Variant {
            word: self.word,
            from: self.from,
            to: self.to,
            when: self.when,
            max_point: self.max_point,
            set: writes(self.set, d)?,
            verify: self.verify.map(|v| v.build(d)).transpose()?,
            unknown: self.unknown,
        })
    }
}

fn writes(list: Vec<RawWrite>, d: &Defaults) -> Result<Vec<Write>, String> {
    list.into_iter().map(|w| w.build(d)).collect()
}

impl RawWrite {
    fn build(self, d: &Defaults) -> Result<Write, String> {
        let at = self.addr;
        let scale = self.scale.unwrap_or(1.0);
        let bits = self.set_bits.is_some() || self.clear_bits.is_some();
        let given = [self.value.is_some(), self.point.is_some(), self.option.is_some(), bits];
        if given.iter().filter(|g| **g).count() > 1 {
            return Err(format!(
                "the write to {at} has several values; give one of value, point, option, bits"
            ));
        }
        if given.iter().all(|g| !g) && self.scale.is_none() {
            return Err(format!(
                "the write to {at} has no value; give value, scale, point, option, set_bits or clear_bits"
            ));
        }
        if self.value.is_some() && (self.scale.is_some() || self.offset.is_some()) {
            return Err(format!(
                "the write to {at} is a constant; scale and offset say nothing there"
            ));
        }
        let value = match (self.value, self.point, self.option) {
            (Some(v), ..) => WriteValue::Constant(v),
            (_, Some(name), _) => WriteValue::Point { name, scale },
            (_, _, Some(name)) => WriteValue::Option { name, scale },
            _ if bits => WriteValue::Bits {
                set: self.set_bits.unwrap_or(0),
                clear: self.clear_bits.unwrap_or(0),
            },
            _ => WriteValue::Scaled {
                scale,
                offset: self.offset.unwrap_or(0.0),
            },
        };
        let (unit, unit_option) = match self.unit {
            None => (None, None),
            Some(Scalar::Text(name)) => (None, Some(name)),
            Some(Scalar::Number(n)) if (0.0..=255.0).contains(&n) && n.fract() == 0.0 => (Some(n as u8), None),
            Some(Scalar::Number(n)) => return Err(format!("the write to {at} goes to unit {n}; 0 to 255 exist")),
        };
        Ok(Write {
            addr: at,
            fc: self.fc,
            type_: self
                .type_
                .unwrap_or(if self.fc == 5 { RegisterType::Bits } else { d.type_ }),
            words: self.words.unwrap_or(d.words),
            value,
            unit,
            unit_option,
            together: self.together,
            if_different: self.if_different,
            phase: self.phase,
        })
    }
}

impl RawVerify {
    fn build(self, d: &Defaults) -> Result<Verify, String> {
        let register = self.addr.map(|addr| Register {
            table: self.table.unwrap_or(Table::Holding),
            addr,
            type_: self.type_.unwrap_or(d.type_),
            words: self.words.unwrap_or(d.words),
        });
        if register.is_some() == self.point.is_some() {
            return Err("`verify` needs either `point` or `addr`".to_owned());
        }
        Ok(Verify {
            point: self.point,
            register,
            expect: self.expect,
            scale: self.scale,
            tolerance: self.tolerance,
            tolerance_percent: self.tolerance_percent,
            within_s: self.within_s,
        })
    }
}
