//! What people post: bodies, how they become inputs of the cycle, and the answer.

use crate::cycle::unknown_component;
use crate::model::{Direction, PeopleInput, Source, Target};
use crate::site::{EvMode, Id, Kind, Mode, Plant, nearest};
use crate::time::{Timestamp, local_instant};
use crate::units::{Current, Energy, Power};
use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use schemars::JsonSchema;
use serde::Deserialize;

/// A gigawatt: no connection point carries more, and a number beyond is a mistake.
const POWER_MAX_KW: f64 = 1e6;

/// About the car at a charge point; absent parts stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ev {
    pub component: String,
    /// RFC 3339, or the next time the site's clock shows this: `07:30`.
    pub departure: Option<String>,
    /// Into the car, since it plugged in.
    pub energy_kwh: Option<f64>,
    #[schemars(extend("enum" = ["fast", "cheapest", "surplus", null]))]
    pub mode: Option<String>,
}

/// Overrides one component inside the envelope until it expires.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub component: String,
    /// `"3 kW"`, `"-3 kW"` (discharging), `"16 A"`, `on`, `off`, `release`.
    pub value: String,
    /// RFC 3339, or the next time the site's clock shows this; or say `for_minutes`. A week at most.
    pub until: Option<String>,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub for_minutes: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOverride {
    pub component: String,
}

/// Limit at the connection point; it lifts no other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    #[schemars(extend("enum" = ["import", "export"]))]
    pub direction: String,
    #[schemars(range(min = 0, max = POWER_MAX_KW))]
    pub power_kw: f64,
    /// RFC 3339, or the next time the site's clock shows this; or say `for_minutes`. A week at most.
    pub until: Option<String>,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub for_minutes: Option<f64>,
    /// Who orders it: `person` unless told, `operator`, `utility`, …
    pub source: Option<String>,
}

/// Ends all limits of one source in one direction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndLimit {
    #[schemars(extend("enum" = ["import", "export"]))]
    pub direction: String,
    /// `person` unless told.
    pub source: Option<String>,
}

/// Nobody is there: loads are expected to draw what they draw without people. Eight weeks at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Away {
    /// RFC 3339, `2026-05-26 18:00` or the next `18:00` by the site's clock; or say `for_minutes`.
    pub until: Option<String>,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub for_minutes: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    #[schemars(extend("enum" = ["observe", "control"]))]
    pub mode: String,
}

/// No body, or an object without keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Ev {
    pub fn input(self, plant: &Plant, now: Timestamp) -> Result<PeopleInput, String> {
        let modes = [
            ("fast", EvMode::Fast),
            ("cheapest", EvMode::Cheapest),
            ("surplus", EvMode::Surplus),
        ];
        let departure = self.departure.map(|t| moment("departure", &t, plant, now));
        Ok(PeopleInput::Ev {
            component: Id::new(&self.component),
            departure: departure.transpose()?,
            energy: self.energy_kwh.map(Energy::kwh),
            mode: self.mode.map(|m| word("mode", &m, &modes)).transpose()?,
        })
    }
}

impl Override {
    /// `now` is site time, for a length instead of an end.
    pub fn input(self, plant: &Plant, now: Timestamp) -> Result<PeopleInput, String> {
        let component = Id::new(&self.component);
        let kind = plant.components.get(&component).map(|c| &c.kind);
        let kind = kind.ok_or_else(|| unknown_component(plant, &self.component))?;
        Ok(PeopleInput::Override {
            target: target(kind, &self.value)?,
            component,
            until: end(self.until, self.for_minutes, plant, now)?,
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
    pub fn input(self, plant: &Plant, now: Timestamp) -> Result<PeopleInput, String> {
        if !(0.0..=POWER_MAX_KW).contains(&self.power_kw) {
            return Err(format!("{} kW is not between 0 and {POWER_MAX_KW} kW", self.power_kw));
        }
        Ok(PeopleInput::Limit {
            source: source(self.source)?,
            direction: word("direction", &self.direction, &DIRECTIONS)?,
            power: Power::kw(self.power_kw),
            until: end(self.until, self.for_minutes, plant, now)?,
            said_at: None,
        })
    }
}

impl EndLimit {
    pub fn input(self) -> Result<PeopleInput, String> {
        Ok(PeopleInput::EndLimit {
            source: source(self.source)?,
            direction: word("direction", &self.direction, &DIRECTIONS)?,
        })
    }
}

impl Away {
    /// `now` is site time, for a length instead of an end.
    pub fn input(self, plant: &Plant, now: Timestamp) -> Result<PeopleInput, String> {
        let until = end(self.until, self.for_minutes, plant, now)?;
        Ok(PeopleInput::Away { until, said_at: None })
    }
}

impl SetMode {
    pub fn input(self) -> Result<PeopleInput, String> {
        let modes = [("observe", Mode::Observe), ("control", Mode::Control)];
        let mode = word("mode", &self.mode, &modes)?;
        Ok(PeopleInput::Mode { mode })
    }
}

const DIRECTIONS: [(&str, Direction); 2] = [("import", Direction::Import), ("export", Direction::Export)];

fn source(name: Option<String>) -> Result<Source, String> {
    name.map_or_else(|| Ok(Source::person()), |name| Source::parse(&name))
}

/// One of a few words: "`contrl` is not a mode; did you mean `control`?"
fn word<T: Copy>(what: &str, text: &str, known: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let hint = match nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("say {}", names().collect::<Vec<_>>().join(" or ")),
    };
    Err(format!("`{text}` is not a {what}; {hint}"))
}

/// An instant, a day and time of the site's clock, or the next time it shows this.
fn moment(what: &str, text: &str, plant: &Plant, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = NaiveTime::parse_from_str(text, "%H:%M") {
        let zone = plant.location.time_zone;
        let today = now.with_timezone(&zone).date_naive();
        let days = (0..=1).map(|d| local_instant(zone, (today + TimeDelta::days(d)).and_time(time)));
        return Ok(days.into_iter().find(|t| *t > now).unwrap_or(now + TimeDelta::days(1)));
    }
    if let Ok(local) = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M") {
        return Ok(local_instant(plant.location.time_zone, local));
    }
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    parsed.map(|t| t.to_utc()).map_err(|_| {
        let given = format!("`{text}` is not a time ({what})");
        format!("{given}; write 07:30, which is the site's clock, or 2026-05-12T07:30:00+02:00")
    })
}

/// Longer than anything a person may say ([`PeopleInput`]'s end is bounded there); keeps the arithmetic finite.
const MINUTES_MAX: f64 = 1e6;

fn end(until: Option<String>, minutes: Option<f64>, plant: &Plant, now: Timestamp) -> Result<Timestamp, String> {
    match (until, minutes) {
        (Some(t), None) => moment("until", &t, plant, now),
        (None, Some(m)) if m > 0.0 => Ok(now + TimeDelta::seconds((m.min(MINUTES_MAX) * 60.0) as i64)),
        (None, Some(m)) => Err(format!("{m} minutes is no time: say how long it lasts")),
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
