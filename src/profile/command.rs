//! Commands of a profile as data: what is written in which order, how it is seen to work, what happens when nobody speaks.
//!
//! A command is a program, not a fact sheet: `field::program` turns it and a value into register writes. What a source
//! leaves open stands in `unknown` and is treated as the worst case.

use super::{RegisterType, Table, WordOrder};
use serde::{Deserialize, Serialize};

/// A canonical command (`battery_power`, `evse_current_limit`, `pv_limit`, …) as an executable program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Command {
    /// Unit of the value people and dispatch give: `kW`, `A`, `%`, `s`, `on`, `word`, or empty for a plain number.
    pub unit: String,
    /// A value outside is clamped.
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// What the device must show before anything is written.
    pub requires: Vec<Require>,
    /// Done once per session, before the first `set`.
    pub arm: Vec<Write>,
    /// Tried in order; the first that fits the value is used (charge / discharge / stop).
    pub variants: Vec<Variant>,
    /// Gives control back.
    pub release: Vec<Write>,
    /// How every variant is verified that says nothing else; `None` = nothing shows it.
    pub verify: Option<Verify>,
    /// Seconds between refreshes of `set`; at most half of `device_timeout_s`. `None` = written on change only.
    pub refresh_s: Option<f64>,
    /// Device-side reversion; `Some(0.0)` = never reverts, `None` = unknown (treated as never).
    pub device_timeout_s: Option<f64>,
    /// Point that shows the device's own timeout in seconds; where it shows less, refreshes come sooner.
    pub timeout_point: Option<String>,
    /// Point that shows the seconds for which the written value still holds. At 0 nobody's value is in force: the device
    /// has restarted, for a master's value would count down.
    pub countdown_point: Option<String>,
    pub on_loss: Option<String>,
    pub wear: Wear,
    /// Sent by itself every `refresh_s` while another command of the device is in force.
    pub keep_alive: Option<KeepAlive>,
    /// A value is kept at least this long (compressors, contactors).
    pub min_hold_s: Option<f64>,
    /// What the sources leave open.
    pub unknown: Vec<String>,
    pub note: Option<String>,
    /// Conformance marks earned on that very model; shipped profiles have none.
    pub verified: Vec<Mark>,
}

impl Command {
    /// Marks that are still to be earned.
    pub fn unverified(&self) -> Vec<Mark> {
        Mark::ALL.into_iter().filter(|m| !self.verified.contains(m)).collect()
    }
    /// Seconds between refreshes as far as the profile alone says: as stated, and at least twice within the device's own
    /// timeout. `None`: written on change only.
    pub fn refresh_s(&self) -> Option<f64> {
        let half = self.device_timeout_s.filter(|t| *t > 0.0).map(|t| t / 2.0);
        [self.refresh_s, half].into_iter().flatten().reduce(f64::min)
    }
    /// Every write of the command, in the order arm, set, release.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        let set = self.variants.iter().flat_map(|v| &v.set);
        self.arm.iter().chain(set).chain(&self.release)
    }
    /// Words it takes in place of a quantity.
    pub fn words(&self) -> Vec<&str> {
        self.variants.iter().filter_map(|v| v.word.as_deref()).collect()
    }
    /// Points whose values a program is made from.
    pub fn points(&self) -> Vec<&str> {
        let of_write = self.writes().filter_map(|w| match &w.value {
            WriteValue::Point { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let of_variant = self.variants.iter().flat_map(|v| {
            let when = v.when.as_ref().map(|w| w.point.as_str());
            when.into_iter().chain(v.max_point.as_deref())
        });
        let of_alive = self.keep_alive.iter().filter_map(|k| match k {
            KeepAlive::Point(name) => Some(name.as_str()),
            KeepAlive::Value(_) => None,
        });
        let required = self.requires.iter().map(|r| r.point.as_str());
        let mut all: Vec<&str> = of_write.chain(of_variant).chain(of_alive).chain(required).collect();
        all.extend(self.timeout_point.as_deref());
        all
    }
}

/// The writes for a range of values, or for one word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variant {
    pub word: Option<String>,
    /// Inclusive range of the value (engineering units, passive sign); absent bound = open.
    pub from: Option<f64>,
    pub to: Option<f64>,
    /// Only on devices that show this.
    pub when: Option<When>,
    /// The value's magnitude is clamped to what this point shows.
    pub max_point: Option<String>,
    pub set: Vec<Write>,
    pub verify: Option<Verify>,
    /// Nobody knows how the device does this: the value is refused with this sentence.
    pub unknown: Option<String>,
}

/// A point's number within a range (inclusive).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub point: String,
    pub from: Option<f64>,
    pub to: Option<f64>,
}

/// A point must show this number (raw code of a mapped point) before the command is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    pub point: String,
    pub expect: f64,
    /// What to do where it does not.
    pub hint: String,
}

/// One register write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Write {
    pub addr: u16,
    /// 5, 6 or 16.
    pub fc: u8,
    pub type_: RegisterType,
    pub words: WordOrder,
    pub value: WriteValue,
    /// Another unit id behind the same address.
    pub unit: Option<u8>,
    /// Option of the profile that gives that unit id.
    pub unit_option: Option<String>,
    /// Goes out in the same request as the write before it (function 16, next address); else it has a request of its own.
    pub together: bool,
    /// Read first and left out where the register holds the value already: settings in flash.
    pub if_different: bool,
    /// This phase's equal share of the value; left out where the installation has fewer phases (option `phases`).
    pub phase: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum WriteValue {
    Constant(f64),
    /// `raw = value × scale + offset` of the command's value.
    Scaled {
        scale: f64,
        offset: f64,
    },
    /// `raw = point × scale`, as the device showed it last.
    Point {
        name: String,
        scale: f64,
    },
    /// `raw = option × scale`.
    Option {
        name: String,
        scale: f64,
    },
    /// Read, these bits set and cleared, written back; the others stay.
    Bits {
        set: u16,
        clear: u16,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verify {
    /// Point that shows the command, by read-back or by its effect.
    pub point: Option<String>,
    /// Register that is read back where no point shows it.
    pub register: Option<Register>,
    /// What it must show (point: in the point's unit, or the raw code of a mapped point; register: raw); `None` = the value.
    pub expect: Option<f64>,
    /// Scale from the command's value to what is shown.
    pub scale: f64,
    pub tolerance: f64,
    /// Per cent of the value, added to `tolerance`.
    pub tolerance_percent: f64,
    pub within_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Register {
    pub table: Table,
    pub addr: u16,
    pub type_: RegisterType,
    pub words: WordOrder,
}

/// What a keep-alive sends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum KeepAlive {
    Value(f64),
    /// What the device shows here.
    Point(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wear {
    Ram,
    Nonvolatile,
    /// Treated as non-volatile.
    Unknown,
}

/// What must be seen on a device of that very model before a command counts as verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Charging charges.
    Sign,
    /// 1 kW is 1 kW.
    Scale,
    /// Zero is obeyed.
    LimitZero,
    /// The smallest step is obeyed.
    LimitOne,
    /// The largest value is obeyed.
    LimitFull,
    /// Falls back by itself when nobody speaks, after the time stated.
    Reversion,
    /// Holds while refreshed.
    Hold,
    /// Repeated writes do not wear.
    Wear,
    /// What is too large is clipped, not wrapped.
    Clipping,
    /// Somebody else's mode change is seen.
    ForeignMode,
}

impl Mark {
    pub const ALL: [Self; 10] = [
        Self::Sign,
        Self::Scale,
        Self::LimitZero,
        Self::LimitOne,
        Self::LimitFull,
        Self::Reversion,
        Self::Hold,
        Self::Wear,
        Self::Clipping,
        Self::ForeignMode,
    ];
    /// As written in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Scale => "scale",
            Self::LimitZero => "limit_zero",
            Self::LimitOne => "limit_one",
            Self::LimitFull => "limit_full",
            Self::Reversion => "reversion",
            Self::Hold => "hold",
            Self::Wear => "wear",
            Self::Clipping => "clipping",
            Self::ForeignMode => "foreign_mode",
        }
    }
}
