//! Device profiles as data: link behaviour, identity probe, block reads, points and commands. Parsing and lint, no I/O.
//!
//! Units in a profile are the core's (kW, kWh, A, V, Hz, %, °C, s) and signs are passive after `scale`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod parse;
pub mod trace;
pub use parse::{ProfileFault, builtin, builtin_names, parse};

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
    #[serde(default)]
    pub note: Option<String>,
}

/// A device's map and manners.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    pub id: String,
    /// `meter`, `pv`, `battery_inverter`, `hybrid`, `ess_gateway`, `evse`, `heatpump`, `genset`, `load`
    pub kind: String,
    pub models: Vec<String>,
    pub link: Link,
    /// Points come from SunSpec discovery (see `field::sunspec`) besides `points`.
    pub sunspec: bool,
    pub identify: Vec<Identify>,
    pub blocks: Vec<Block>,
    pub points: Vec<Point>,
    pub commands: BTreeMap<String, Command>,
    pub notes: Vec<String>,
}

/// Read-only probe; `expect` absent means the value is only shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identify {
    pub name: String,
    pub table: Table,
    pub addr: u16,
    pub count: u16,
    pub type_: RegisterType,
    pub expect: Option<String>,
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
    /// Raw values that mean "not implemented".
    pub nan: Vec<i128>,
    /// Plausible range in engineering units.
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Raw state code → word (e.g. IEC 61851 letters).
    pub map: BTreeMap<i64, String>,
    /// Bit of a `bits` value.
    pub bit: Option<u8>,
    pub note: Option<String>,
}

/// A canonical command (`battery_power`, `evse_current_limit`, `pv_limit`, …) as an executable program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Command {
    /// Unit of the value people and dispatch give: `kW`, `A`, `%`, `on`.
    pub unit: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Done once per session, before the first `set`.
    pub arm: Vec<Write>,
    /// Variants are tried in order; the first whose range holds the value is used (charge / discharge / stop).
    pub variants: Vec<Variant>,
    pub release: Vec<Write>,
    pub verify: Option<Verify>,
    /// Seconds between refreshes of `set`; at most half of `device_timeout_s`.
    pub refresh_s: Option<f64>,
    /// Device-side reversion; `Some(0.0)` = never reverts, `None` = unknown (treated as never).
    pub device_timeout_s: Option<f64>,
    pub on_loss: Option<String>,
    pub wear: Wear,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variant {
    /// Inclusive range of the value (engineering units, passive sign); absent bound = open.
    pub from: Option<f64>,
    pub to: Option<f64>,
    pub set: Vec<Write>,
}

/// One register write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Write {
    pub addr: u16,
    /// 5, 6 or 16; consecutive fc-16 writes in ascending addresses go out as one request.
    pub fc: u8,
    pub type_: RegisterType,
    pub words: WordOrder,
    pub value: WriteValue,
    pub unit: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum WriteValue {
    Constant(f64),
    /// `raw = value × scale + offset` of the command's value.
    Scaled {
        scale: f64,
        offset: f64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verify {
    /// Point that shows the effect.
    pub point: String,
    /// `value` (equals what was commanded) or a constant.
    pub expect: Option<f64>,
    /// Scale from the command's value to the point's.
    pub scale: f64,
    pub tolerance: f64,
    pub within_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wear {
    Ram,
    Nonvolatile,
    /// Treated as non-volatile.
    Unknown,
}
