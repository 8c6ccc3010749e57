//! What people post: bodies, how they become inputs of the cycle, and the answer.

use crate::model::{Direction, PeopleInput, Target};
use crate::site::{EvMode, Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use crate::units::{Current, Energy, Power};
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;

/// A week: who wants an override or a limit for longer says it again.
const MINUTES_MAX: f64 = 7.0 * 24.0 * 60.0;
/// A gigawatt: no connection point carries more, and a number beyond is a mistake.
const POWER_MAX_KW: f64 = 1e6;

/// About the car at a charge point; absent parts stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ev {
    pub component: String,
    /// RFC 3339.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub departure: Option<Timestamp>,
    /// Into the car, since it plugged in.
    pub energy_kwh: Option<f64>,
    #[schemars(with = "Option<String>", extend("enum" = ["fast", "cheapest", "surplus", null]))]
    pub mode: Option<EvMode>,
}

/// Overrides one component inside the envelope until it expires.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub component: String,
    /// `"3 kW"`, `"-3 kW"` (discharging), `"16 A"`, `on`, `off`, `release`.
    pub value: String,
    /// RFC 3339; or say `for_minutes`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    #[schemars(range(max = MINUTES_MAX), extend("exclusiveMinimum" = 0))]
    pub for_minutes: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOverride {
    pub component: String,
}

/// External limit at the connection point; it can only tighten the site's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    #[schemars(with = "String", extend("enum" = ["import", "export"]))]
    pub direction: Direction,
    #[schemars(range(min = 0, max = POWER_MAX_KW))]
    pub power_kw: f64,
    /// RFC 3339; or say `for_minutes`.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    #[schemars(range(max = MINUTES_MAX), extend("exclusiveMinimum" = 0))]
    pub for_minutes: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    #[schemars(with = "String", extend("enum" = ["observe", "control"]))]
    pub mode: Mode,
}

/// No body, or an object without keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Ev {
    pub fn input(self) -> PeopleInput {
        PeopleInput::Ev {
            component: Id::new(&self.component),
            departure: self.departure,
            energy: self.energy_kwh.map(Energy::kwh),
            mode: self.mode,
        }
    }
}

impl Override {
    /// `now` is site time, for a length instead of an end.
    pub fn input(self, plant: &Plant, now: Timestamp) -> Result<PeopleInput, String> {
        let component = Id::new(&self.component);
        let kind = plant.components.get(&component).map(|c| &c.kind);
        let kind = kind.ok_or_else(|| format!("there is no component `{component}`"))?;
        Ok(PeopleInput::Override {
            target: target(kind, &self.value)?,
            component,
            until: end(self.until, self.for_minutes, now)?,
        })
    }
}

impl EndOverride {
    pub fn input(self) -> PeopleInput {
        PeopleInput::EndOverride {
            component: Id::new(&self.component),
        }
    }
}

impl Limit {
    /// `now` is site time, for a length instead of an end.
    pub fn input(self, now: Timestamp) -> Result<PeopleInput, String> {
        if !(0.0..=POWER_MAX_KW).contains(&self.power_kw) {
            return Err(format!("{} kW is not between 0 and {POWER_MAX_KW} kW", self.power_kw));
        }
        Ok(PeopleInput::Limit {
            direction: self.direction,
            power: Power::kw(self.power_kw),
            until: end(self.until, self.for_minutes, now)?,
        })
    }
}

impl SetMode {
    pub fn input(self) -> PeopleInput {
        PeopleInput::Mode { mode: self.mode }
    }
}

fn end(until: Option<Timestamp>, minutes: Option<f64>, now: Timestamp) -> Result<Timestamp, String> {
    match (until, minutes) {
        (Some(t), None) => Ok(t),
        (None, Some(m)) if m > 0.0 && m <= MINUTES_MAX => Ok(now + TimeDelta::seconds((m * 60.0) as i64)),
        (None, Some(m)) => Err(format!("{m} minutes is not between 0 and a week")),
        _ => Err("say either until when (`until`) or how long (`for_minutes`)".into()),
    }
}

/// Reads a value as the component understands it.
fn target(kind: &Kind, text: &str) -> Result<Target, String> {
    let power = || Power::parse(text).map_err(|e| e.to_string());
    match (text.trim(), kind) {
        ("release", _) => Ok(Target::Release),
        ("on", _) => Ok(Target::On(true)),
        ("off", Kind::ChargePoint(_)) => Ok(Target::Current(Current::ZERO)),
        ("off", Kind::Battery(_) | Kind::HeatPump(_) | Kind::Generator(_)) => Ok(Target::Power(Power::ZERO)),
        ("off", _) => Ok(Target::On(false)),
        (_, Kind::ChargePoint(_)) => Current::parse(text).map(Target::Current).map_err(|e| e.to_string()),
        (_, Kind::Pv(_)) => power().map(Target::PowerLimit),
        _ => power().map(Target::Power),
    }
}
