//! A command turned into register writes: arm, set, release, and what must be seen afterwards.

use super::codec::encode;
use crate::profile::{Command, Table, Wear, Write, WriteValue};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterWrite {
    pub unit: Option<u8>,
    pub fc: u8,
    pub addr: u16,
    pub words: Vec<u16>,
}

/// What a read-back must show.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Registers hold exactly this.
    Words {
        table: Table,
        addr: u16,
        words: Vec<u16>,
    },
    /// A point of the map shows this value.
    Point {
        name: String,
        value: f64,
        tolerance: f64,
        within_s: f64,
    },
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub arm: Vec<RegisterWrite>,
    pub set: Vec<RegisterWrite>,
    pub expect: Expect,
    /// Seconds after which `set` is written again though nothing changed.
    pub refresh_s: f64,
    pub wear: Wear,
}

/// The program of a profile's command for `value` (the command's unit), clamped to its limits.
pub fn program(command: &Command, value: f64) -> Result<Program, String> {
    let value = value.clamp(
        command.min.unwrap_or(f64::NEG_INFINITY),
        command.max.unwrap_or(f64::INFINITY),
    );
    let fits = |v: &&crate::profile::Variant| v.from.is_none_or(|f| value >= f) && v.to.is_none_or(|t| value <= t);
    let variant = command
        .variants
        .iter()
        .find(fits)
        .ok_or_else(|| format!("no variant of the command fits {value}"))?;
    let expect = match &command.verify {
        None => Expect::Nothing,
        Some(v) => Expect::Point {
            name: v.point.clone(),
            value: v.expect.unwrap_or(value * v.scale),
            tolerance: v.tolerance,
            within_s: v.within_s,
        },
    };
    // A device that is not known to revert is refreshed as if it did.
    let refresh_s = command
        .refresh_s
        .or(command.device_timeout_s.filter(|t| *t > 0.0).map(|t| t / 2.0))
        .unwrap_or(30.0);
    Ok(Program {
        arm: writes(&command.arm, value)?,
        set: writes(&variant.set, value)?,
        expect,
        refresh_s,
        wear: command.wear,
    })
}

/// Writes that give control back.
pub fn release(command: &Command) -> Result<Vec<RegisterWrite>, String> {
    writes(&command.release, 0.0)
}

/// Encodes writes; neighbours in ascending addresses become one request, so that they take effect together.
pub fn writes(list: &[Write], value: f64) -> Result<Vec<RegisterWrite>, String> {
    let mut requests: Vec<RegisterWrite> = Vec::new();
    for w in list {
        let raw = match w.value {
            WriteValue::Constant(v) => v,
            WriteValue::Scaled { scale, offset } => value * scale + offset,
        };
        let words = encode(w.type_, w.words, raw)?;
        match requests.last_mut() {
            Some(last)
                if w.fc == 16
                    && last.fc == 16
                    && last.unit == w.unit
                    && usize::from(last.addr) + last.words.len() == usize::from(w.addr) =>
            {
                last.words.extend(words);
            }
            _ => requests.push(RegisterWrite {
                unit: w.unit,
                fc: w.fc,
                addr: w.addr,
                words,
            }),
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_out_as_one_request_and_limits_hold() {
        let profile = crate::profile::builtin("generic-relay").unwrap();
        let p = program(&profile.commands["switch"], 7.0).unwrap();
        assert_eq!(
            p.set,
            [RegisterWrite {
                unit: None,
                fc: 16,
                addr: 10,
                words: vec![1, 60]
            }]
        );
        let profile = crate::profile::builtin("generic-heat-pump").unwrap();
        let p = program(&profile.commands["heatpump_power"], 2.5).unwrap();
        assert_eq!(
            p.set,
            [RegisterWrite {
                unit: None,
                fc: 16,
                addr: 10,
                words: vec![0, 2500, 60]
            }]
        );
    }
}
