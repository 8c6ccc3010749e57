//! Device profiles as data: link behaviour, identity probe, block reads, points and commands. Parsing and lint, no I/O.
//!
//! Units in a profile are the core's (kW, kWh, A, V, Hz, %, °C, s) and signs are passive after `scale`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod builtin;
mod command;
pub mod import;
mod lint;
mod offer;
mod parse;
mod quirks;
mod raw;
pub mod trace;
pub use builtin::{builtin, builtin_names, text};
pub use command::{Command, KeepAlive, Mark, Register, Require, Variant, Verify, Wear, When, Write, WriteValue};
pub use offer::{INVERTER, METER};
pub use parse::{ProfileFault, parse};
pub use quirks::{BatteryWay, MeterSign, Quirks, REFRESH_S, REVERSION_S};

/// Modbus register table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    Holding,
    Input,
    Coil,
    Discrete,
}

/// Order of the 16-bit words of a wider value; bytes inside a word are always high first (Modbus).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordOrder {
    HiFirst,
    LoFirst,
}

/// Type of a register value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterType {
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    /// One bit of a coil or discrete table, or of a holding register.
    Bits,
    /// Text of `count` registers, given by [`Point::count`].
    Str,
}

impl RegisterType {
    /// Registers taken; `None` for text, whose length stands in the point.
    pub fn registers(self) -> Option<u16> {
        match self {
            Self::U16 | Self::I16 | Self::Bits => Some(1),
            Self::U32 | Self::I32 | Self::F32 => Some(2),
            Self::U64 | Self::I64 | Self::F64 => Some(4),
            Self::Str => None,
        }
    }
}

/// How often a block is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// Each control cycle.
    Fast,
    /// Each minute.
    Slow,
    /// After each connect.
    Once,
}

/// Behaviour of the physical link; belongs to the connection, not to a point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// `tcp`, `rtu`, `rtu_over_tcp`, `tls`
    pub transport: Vec<String>,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub unit: Option<u8>,
    /// Unit ids that may come back in an answer besides the one asked.
    #[serde(default)]
    pub unit_accept: Vec<u8>,
    #[serde(default)]
    pub max_clients: Option<u8>,
    #[serde(default)]
    pub connect_delay_ms: Option<u32>,
    #[serde(default)]
    pub gap_ms: Option<u32>,
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    #[serde(default)]
    pub min_read_ms: Option<u32>,
    #[serde(default)]
    pub min_write_ms: Option<u32>,
    #[serde(default)]
    pub max_regs_read: Option<u16>,
    #[serde(default)]
    pub max_regs_write: Option<u16>,
    #[serde(default)]
    pub max_gap: Option<u16>,
    /// False only for gateways known not to echo the transaction id.
    #[serde(default)]
    pub echo_tid: Option<bool>,
    /// Serial speeds the device is known to use, the usual one first.
    #[serde(default)]
    pub baud: Vec<u32>,
    /// Serial frame: `8N1`, `8E1`, `8N2`.
    #[serde(default)]
    pub framing: Option<String>,
    #[serde(default)]
    pub note: Option<String>,
}

/// A device's map and manners.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    pub id: String,
    /// `meter`, `pv`, `battery_inverter`, `hybrid`, `ess_gateway`, `evse`, `heatpump`, `genset`, `load`, `sunspec`
    pub kind: String,
    pub models: Vec<String>,
    /// `A` two independent sources agree, `B` one source, `C` disputed or unverified in part.
    pub confidence: Option<String>,
    pub sources: Vec<String>,
    pub link: Link,
    /// Points come from SunSpec discovery (see `field::sunspec`) besides `points`.
    pub sunspec: bool,
    /// Departures from the SunSpec models; the standard where the file has no `[quirks]`.
    pub quirks: Quirks,
    /// Numbers of the installation that the site file may give.
    pub options: BTreeMap<String, ProfileOption>,
    /// Whose SunSpec devices it is for: a scan proposes it for them.
    pub maker: Option<Maker>,
    pub identify: Vec<Identify>,
    pub blocks: Vec<Block>,
    pub points: Vec<Point>,
    pub derived: Vec<Derived>,
    pub commands: BTreeMap<String, Command>,
    pub notes: Vec<String>,
}

impl Profile {
    /// A point's or derived value's unit.
    pub fn unit_of(&self, name: &str) -> Option<&str> {
        let point = self.points.iter().find(|p| p.name == name).map(|p| p.unit.as_str());
        point.or_else(|| self.derived.iter().find(|d| d.name == name).map(|d| d.unit.as_str()))
    }
    /// The point that counts the seconds since the device started.
    pub fn uptime(&self) -> Option<&Point> {
        self.points.iter().find(|p| p.role == Some(Role::Uptime))
    }
    /// Points whose values commands are made from, each once.
    pub fn points_for_commands(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .commands
            .values()
            .flat_map(Command::points)
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A number that differs between installations (a unit id, the number of phases, a rating).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileOption {
    /// Taken where the site file says nothing; without one the command that needs it is refused.
    pub default: Option<f64>,
    pub min: f64,
    pub max: f64,
    #[serde(default)]
    pub unit: String,
    pub note: String,
}

/// What a SunSpec device's common model says of maker and model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maker {
    /// What the manufacturer's name begins with, whatever the case.
    pub name: String,
    /// One of these stands in the model's name, whatever the case; empty: any model.
    #[serde(default)]
    pub models: Vec<String>,
}

impl Maker {
    pub fn made(&self, manufacturer: &str, model: &str) -> bool {
        let (manufacturer, model) = (manufacturer.to_lowercase(), model.to_lowercase());
        let is_named = |word: &String| model.contains(&word.to_lowercase());
        manufacturer.starts_with(&self.name.to_lowercase())
            && (self.models.is_empty() || self.models.iter().any(is_named))
    }
}

/// Read-only probe; `expect` empty means the value is only shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identify {
    pub name: String,
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub type_: RegisterType,
    pub words: WordOrder,
    /// Any of these will do.
    pub expect: Vec<Expected>,
}

impl Identify {
    /// Whether what the device shows is expected; `None` where nothing is.
    pub fn fits(&self, text: &str, number: Option<f64>) -> Option<bool> {
        let fits = |e: &Expected| match e {
            Expected::Text(start) => text.starts_with(start.as_str()),
            Expected::Number(low, high) => number.is_some_and(|n| (*low..=*high).contains(&n)),
        };
        (!self.expect.is_empty()).then(|| self.expect.iter().any(fits))
    }
    /// The expectation, for people.
    pub fn expected(&self) -> String {
        let one = |e: &Expected| match e {
            Expected::Text(t) => t.clone(),
            Expected::Number(low, high) if low == high => low.to_string(),
            Expected::Number(low, high) => format!("{low} to {high}"),
        };
        self.expect.iter().map(one).collect::<Vec<_>>().join(" or ")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Expected {
    /// What the text begins with.
    Text(String),
    /// Inclusive range.
    Number(f64, f64),
}

/// One block read; every point lies inside one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    pub name: String,
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub every: Every,
    /// Another unit id behind the same address (Alfen's station is 200).
    pub unit: Option<u8>,
}

/// One value: `value = raw × scale + offset`, in `unit`, passive sign.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    pub name: String,
    pub table: Table,
    pub addr: u16,
    /// Registers taken.
    pub count: u16,
    pub type_: RegisterType,
    pub words: WordOrder,
    pub scale: f64,
    pub offset: f64,
    /// `kW`, `kWh`, `A`, `V`, `Hz`, `%`, `°C`, `s`, … or empty.
    pub unit: String,
    /// Raw values that mean "not implemented"; bit patterns where the type is a float.
    pub nan: Vec<i128>,
    /// Plausible range in engineering units.
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Raw state code → word (e.g. IEC 61851 letters).
    pub map: BTreeMap<i64, String>,
    /// Text of the device → word, where they differ.
    pub text_map: BTreeMap<String, String>,
    /// Bit of a `bits` value.
    pub bit: Option<u8>,
    /// Only these bits of the raw value count, after shifting right.
    pub shift: u8,
    pub mask: Option<u64>,
    /// From this raw value on another scale holds (firmware families that differ).
    pub other_scale: Option<OtherScale>,
    pub role: Option<Role>,
    pub note: Option<String>,
}

/// What a point means to us besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Seconds since the device started: where it falls, the device has restarted and lost what it was told.
    Uptime,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherScale {
    pub from_raw: f64,
    pub scale: f64,
}

/// A value computed from points: a plain sum, or a word by rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Derived {
    pub name: String,
    pub unit: String,
    pub how: Derivation,
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Derivation {
    /// Factor and point; with `some`, points that the device says it does not have are left out (but not all of them).
    Sum { parts: Vec<(f64, String)>, some: bool },
    /// The first rule that fits gives the word.
    Rules {
        rules: Vec<Rule>,
        otherwise: Option<String>,
    },
}

/// A point's number (raw code of a mapped point), or one bit of it, in a range (inclusive).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub point: String,
    pub bit: Option<u8>,
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub word: String,
}
