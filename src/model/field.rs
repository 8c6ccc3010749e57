//! What the wire must not forget over a restart: wear of registers, what is in our hands, what is left to others.

use super::setpoint::Target;
use crate::site::Id;
use crate::time::Timestamp;
use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kept by the controller's state; the field works on it and reports every change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FieldMemory {
    pub devices: BTreeMap<Id, DeviceMemory>,
    /// Target last meant for each component, as journaled before it was written: after a crash between the two the
    /// device may hold it already.
    #[serde(default)]
    pub intended: BTreeMap<Id, Target>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// Writes to registers that wear (or may), by register.
    pub wear: BTreeMap<String, RegisterWear>,
    /// Commands in our hands and the values last sent for them, newest last.
    pub held: BTreeMap<String, Vec<f64>>,
    /// Commands left to another controller, and until when.
    pub yielded: BTreeMap<String, Timestamp>,
}

/// Writes to one register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisterWear {
    pub total: u64,
    /// UTC day that `today` counts, by a clock without the steps since the start.
    pub day: NaiveDate,
    pub today: u32,
}

/// Values remembered of a command: what it held before, what was sent, what was meant.
const VALUES_KEPT: usize = 4;

impl DeviceMemory {
    /// A value is about to be sent: from now on the device may hold it.
    pub fn hold(&mut self, command: &str, value: f64) {
        let values = self.held.entry(command.to_owned()).or_default();
        values.retain(|v| *v != value);
        values.push(value);
        let surplus = values.len().saturating_sub(VALUES_KEPT);
        values.drain(..surplus);
    }

    /// A register is about to be written; returns how often it was today, this time included.
    pub fn count(&mut self, register: String, today: NaiveDate) -> u32 {
        let wear = self.wear.entry(register).or_insert(RegisterWear {
            total: 0,
            day: today,
            today: 0,
        });
        if wear.day != today {
            (wear.day, wear.today) = (today, 0);
        }
        wear.total += 1;
        wear.today += 1;
        wear.today
    }

    /// The clock jumped: a command is left to its other controller for as long as before.
    pub fn step(&mut self, step: TimeDelta) {
        self.yielded.values_mut().for_each(|until| *until += step);
    }

    /// Writes to a register on this day so far.
    pub fn written_today(&self, register: &str, today: NaiveDate) -> u32 {
        let wear = self.wear.get(register).filter(|w| w.day == today);
        wear.map_or(0, |w| w.today)
    }
}

/// How one command of a device stands, for people, alarms and metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandHealth {
    pub command: String,
    pub component: Id,
    /// In our hands with this value, in the command's unit.
    pub value: Option<f64>,
    pub proof: CommandProof,
    pub foreign: Option<ForeignWrite>,
    /// The wear budget is used: what that holds back, or which limit is written all the same.
    pub worn: Option<String>,
}

/// What a component's device does when nobody speaks to it any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnLoss {
    pub component: Id,
    /// Seconds after the last refresh until a command falls; zero never, `None` unknown.
    pub reverts_s: Option<f64>,
    /// Value it falls to, in the unit of the component's command, where the device shows it.
    pub falls_to: Option<f64>,
}

/// A rating that a device shows and that cannot be true: its component is not controlled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatingFault {
    pub component: Id,
    /// What the device calls it.
    pub point: String,
    pub shown_kw: f64,
    /// What the site file says, or what the device showed before.
    pub expected_kw: f64,
    pub source: RatingSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatingSource {
    SiteFile,
    Before,
}

impl RatingFault {
    /// `name` is the component's, as people know it.
    pub fn text_en(&self, name: &str) -> String {
        let point = &self.point;
        let (shown, expected) = (kw(self.shown_kw), kw(self.expected_kw));
        let against = match self.source {
            RatingSource::SiteFile => format!("the site file says {expected} kW"),
            RatingSource::Before => format!("it was {expected} kW before"),
        };
        format!("{name} is not controlled: its device says {point} is {shown} kW, {against}")
    }
    pub fn text_ko(&self, name: &str) -> String {
        let point = &self.point;
        let (shown, expected) = (kw(self.shown_kw), kw(self.expected_kw));
        let against = match self.source {
            RatingSource::SiteFile => format!("사이트 파일은 {expected} kW"),
            RatingSource::Before => format!("이전 값은 {expected} kW"),
        };
        format!("{name} 제어 안 함: 장치의 `{point}` 정격은 {shown} kW, {against}")
    }
}

/// A power with three figures that mean something: ratings read wrongly are a thousand times off.
fn kw(kw: f64) -> String {
    let digits = (2.0 - kw.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0);
    format!("{kw:.*}", digits as usize)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandProof {
    /// Read back or seen by its effect.
    Verified,
    /// Sent; its effect is still to be seen.
    Pending,
    /// What the device holds is not known: it is written again.
    Unsure,
    /// Last attempt failed; it is tried again later.
    Failed(String),
    /// Not in our hands.
    Released,
}

/// Somebody else wrote to a register that is in our hands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignWrite {
    /// What was found instead of ours.
    pub found: String,
    pub since: Timestamp,
    /// Times our value was asserted again since.
    pub reasserted: u32,
    /// Hands off until then.
    pub yielded_until: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_counted_for_ever_and_by_the_day() {
        let mut memory = DeviceMemory::default();
        let day = |d: u32| NaiveDate::from_ymd_opt(2026, 5, d).unwrap();
        for expected in 1..=3 {
            assert_eq!(memory.count("6/47247".into(), day(1)), expected);
        }
        assert_eq!(memory.written_today("6/47247", day(1)), 3);
        assert_eq!(memory.written_today("6/47247", day(2)), 0);
        assert_eq!(memory.count("6/47247".into(), day(2)), 1);
        assert_eq!(memory.wear["6/47247"].total, 4);
    }

    #[test]
    fn the_newest_values_are_remembered() {
        let mut memory = DeviceMemory::default();
        for v in [1.0, 2.0, 3.0, 2.0, 4.0, 5.0] {
            memory.hold("battery_power", v);
        }
        assert_eq!(memory.held["battery_power"], [3.0, 2.0, 4.0, 5.0]);
    }
}
