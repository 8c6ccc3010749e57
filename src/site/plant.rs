//! The plant: components, ratings, limits, money. Knows nothing of devices or addresses.

use crate::tariff::Tariff;
use crate::units::{Angle, Current, Energy, Power, Price, Soc, Temperature, Voltage};
use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Name of a component, device or circuit: `[a-z0-9-]`, as in the site file; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(Arc<str>);

impl Id {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl From<&str> for Id {
    fn from(s: &str) -> Self {
        Self::new(s)
    }
}

/// Whether the controller may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Reads, plans and shows what it would write.
    Observe,
    Control,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plant {
    pub name: Id,
    /// Shown to people.
    pub title_en: String,
    pub title_ko: String,
    pub mode: Mode,
    pub location: Location,
    /// `None` on an island.
    pub connection: Option<ConnectionPoint>,
    pub circuits: BTreeMap<Id, Circuit>,
    pub components: BTreeMap<Id, Component>,
    pub tariff: Tariff,
    pub objective: Objective,
    pub timing: Timing,
    pub telemetry: TelemetryConfig,
}

impl Plant {
    /// What people call a component, in English and Korean; its id where the site file gives no title.
    pub fn titles(&self, id: &Id) -> (String, String) {
        (self.title(id, false), self.title(id, true))
    }
    /// The same in one of the languages.
    pub fn title(&self, id: &Id, korean: bool) -> String {
        let component = self.components.get(id);
        component.map_or_else(|| id.to_string(), |c| c.title(id, korean))
    }
    /// Phase-to-neutral voltage that currents are counted with, V; 230 on an island.
    pub fn volts(&self) -> f64 {
        self.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts())
    }
    /// Phases of the connection, 1 or 3; 3 on an island.
    pub fn phases(&self) -> usize {
        let phases = |c: &ConnectionPoint| usize::from(c.phases.clamp(1, 3));
        self.connection.as_ref().map_or(3, phases)
    }
    /// Share of a component's power on each phase; sums to one.
    pub fn phase_shares(&self, component: &Component) -> [f64; 3] {
        let used = |p: usize| p < self.phases() && component.phases[p];
        let count = (0..3).filter(|p| used(*p)).count();
        if count == 0 {
            return [1.0, 0.0, 0.0];
        }
        [0, 1, 2].map(|p| if used(p) { 1.0 / count as f64 } else { 0.0 })
    }
    /// kW of one ampere on each of a component's phases.
    pub fn kw_per_amp(&self, component: &Component) -> f64 {
        let phases = self.phase_shares(component).iter().filter(|s| **s > 0.0).count();
        self.volts() * phases as f64 / 1e3
    }
    /// Whether something connected to circuit `from` draws through `circuit` as well.
    pub fn is_under(&self, from: &Id, circuit: &Id) -> bool {
        let mut at = Some(from);
        // as many steps as there are circuits end every chain, even a circular one
        for _ in 0..=self.circuits.len() {
            match at {
                Some(id) if id == circuit => return true,
                Some(id) => at = self.circuits.get(id).and_then(|c| c.parent.as_ref()),
                None => return false,
            }
        }
        false
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Location {
    pub latitude: Angle,
    /// East positive.
    pub longitude: Angle,
    pub time_zone: Tz,
    pub country: String,
}

/// Where the site meets the utility.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionPoint {
    pub import_max: Power,
    pub export_max: Power,
    /// 1 or 3.
    pub phases: u8,
    pub voltage: Voltage,
    /// Rated current of the main fuse, each phase.
    pub fuse: Current,
    /// Component of kind `meter` that measures it.
    pub meter: Id,
}

/// A nested circuit with its own fuse or limit, counted over all components under it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Circuit {
    /// `None`: directly under the connection point.
    pub parent: Option<Id>,
    pub power_max: Option<Power>,
    pub fuse: Option<Current>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    pub kind: Kind,
    pub circuit: Option<Id>,
    /// Which of L1, L2, L3 it draws from, equally.
    pub phases: [bool; 3],
    pub title_en: Option<String>,
    pub title_ko: Option<String>,
}

impl Component {
    /// What people call it; its name where the site file gives no title.
    pub fn title(&self, id: &Id, korean: bool) -> String {
        let title = if korean { &self.title_ko } else { &self.title_en };
        title.clone().unwrap_or_else(|| id.to_string())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    Meter(Meter),
    Pv(Pv),
    Battery(Battery),
    ChargePoint(ChargePoint),
    /// Not controllable. If it has no device it is the residual: grid − everything metered.
    Load(Load),
    ShiftableLoad(ShiftableLoad),
    SheddableLoad(SheddableLoad),
    HeatPump(HeatPump),
    Generator(Generator),
}

impl Kind {
    /// The word under `kind` in the site file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Meter(_) => "meter",
            Self::Pv(_) => "pv",
            Self::Battery(_) => "battery",
            Self::ChargePoint(_) => "charge-point",
            Self::Load(_) => "load",
            Self::ShiftableLoad(_) => "shiftable-load",
            Self::SheddableLoad(_) => "sheddable-load",
            Self::HeatPump(_) => "heat-pump",
            Self::Generator(_) => "generator",
        }
    }
    /// `<kind>` in series names: `madang_<kind>_…`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Meter(_) => "grid",
            Self::Pv(_) => "pv",
            Self::Battery(_) => "battery",
            Self::ChargePoint(_) => "charge_point",
            Self::Load(_) => "load",
            Self::ShiftableLoad(_) => "shiftable_load",
            Self::SheddableLoad(_) => "sheddable_load",
            Self::HeatPump(_) => "heat_pump",
            Self::Generator(_) => "generator",
        }
    }
}

/// The meter at the connection point; power + = import.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Meter {
    /// The current transformers are mounted the wrong way round: signs are turned at the edge.
    pub ct_reversed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pv {
    /// DC peak power of the modules.
    pub peak: Power,
    /// AC limit of the inverter.
    pub inverter_max: Power,
    pub tilt: Angle,
    /// Clockwise from north: 180° = south.
    pub azimuth: Angle,
    pub curtailable: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Battery {
    pub capacity: Energy,
    pub soc_min: Soc,
    pub soc_max: Soc,
    /// Kept for outages; the plan may go below only at a price.
    pub reserve: Soc,
    pub charge_max: Power,
    pub discharge_max: Power,
    /// One way each, AC to cell and cell to AC, 0..=1.
    pub charge_efficiency: f64,
    pub discharge_efficiency: f64,
    /// Constant loss while on.
    pub standby_loss: Power,
    /// Per kWh charged and per kWh discharged (AC).
    pub wear: Price,
    /// May charge from the grid.
    pub grid_charge: bool,
    /// May discharge into the grid.
    pub grid_discharge: bool,
    /// Balances the island by itself and takes no power setpoint.
    pub grid_forming: bool,
    /// Charge wished at times of the day.
    pub goals: Vec<DailyGoal>,
}

/// A charge that the battery should hold at a local time of each day, at a price.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DailyGoal {
    pub at: NaiveTime,
    pub soc: Soc,
    /// Worth of each kWh that is there; `None`: twice the highest price.
    pub worth: Option<Price>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChargePoint {
    pub current_min: Current,
    pub current_max: Current,
    /// AC to car battery, 0..=1.
    pub efficiency: f64,
    /// What is assumed when a car plugs in and nobody said anything.
    pub default_session: SessionWish,
}

/// What people want of a charging session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionWish {
    /// Local time of day of departure.
    pub departure: NaiveTime,
    /// Into the car's battery.
    pub energy: Energy,
    pub mode: EvMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvMode {
    /// As fast as the fuses allow.
    Fast,
    /// Full by departure at least cost.
    Cheapest,
    /// From PV surplus only; what is missing at departure is missing.
    Surplus,
}

/// What is known of a load before there is any history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpectedLoad {
    /// Mean energy a day.
    pub daily: Energy,
    /// Relative weight of each local hour, 24 values (mean 1).
    pub shape: Vec<f64>,
    /// Factor on Saturdays and on Sundays/holidays.
    pub saturday: f64,
    pub sunday: f64,
    /// Highest power ever expected; bounds forecasts.
    pub max: Power,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    pub expected: ExpectedLoad,
}

/// Runs once each day for `duration` at `power`, inside a local window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShiftableLoad {
    pub power: Power,
    pub duration: TimeDelta,
    pub earliest: NaiveTime,
    /// The run must be over by then.
    pub latest: NaiveTime,
}

/// May be switched off as a whole when power is short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SheddableLoad {
    pub expected: ExpectedLoad,
    /// 1 is shed last.
    pub priority: u8,
    /// Worth of a kWh served.
    pub value: Price,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatPump {
    pub electric_max: Power,
    /// Lowest power while running.
    pub electric_min: Power,
    /// COP at two outdoor temperatures; linear between and beyond, at least 1.
    pub cop: [(Temperature, f64); 2],
    pub tank: Tank,
    pub building: Building,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tank {
    /// Heat capacity in kWh per kelvin.
    pub kwh_per_k: f64,
    pub min: Temperature,
    pub max: Temperature,
    /// Loss in kW per kelvin above the room.
    pub loss_kw_per_k: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Building {
    /// Heat loss in kW per kelvin between room and outdoors.
    pub loss_kw_per_k: f64,
    /// Heat capacity in kWh per kelvin.
    pub kwh_per_k: f64,
    pub comfort_min: Temperature,
    pub comfort_max: Temperature,
}

/// Fuel curve of a generator, a straight line over its power (the usual form of data sheets read at two loads), litres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FuelUse {
    pub per_kwh: f64,
    /// Of each hour running, at whatever power.
    pub per_hour: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generator {
    pub power_min: Power,
    pub power_max: Power,
    /// Fuel per electric kWh.
    pub fuel: Price,
    /// Each start.
    pub start_cost: f64,
    /// Each hour running, besides fuel.
    pub no_load_per_hour: f64,
    /// `None` where the site file does not say how much it burns.
    pub fuel_use: Option<FuelUse>,
    pub min_up: TimeDelta,
    pub min_down: TimeDelta,
    /// From command to power.
    pub start_time: TimeDelta,
    /// kg per electric kWh.
    pub carbon: f64,
    /// Band of the rule policy: starts below, stops above.
    pub start_below: Soc,
    pub stop_above: Soc,
}

/// What the plan minimises.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objective {
    /// Weight on money, normally 1.
    pub money: f64,
    /// Money per kg CO₂ in the objective (and in `cost` as carbon price).
    pub carbon_per_kg: f64,
    /// Extra worth of each kWh not imported.
    pub self_sufficiency: Price,
    /// Worth of a kWh of critical load; 0-price means derived from the tariff.
    pub unserved: Option<Price>,
    /// Share of the consumption that should not be imported.
    pub own: Option<ShareGoal>,
    /// Share of the consumption that should be renewable.
    pub renewable: Option<ShareGoal>,
    pub lifeline: Option<Lifeline>,
}

/// A share of the consumption over the plan's horizon, and what each kWh that misses it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ShareGoal {
    /// 0..=1.
    pub share: f64,
    pub missing: Price,
}

/// What the batteries should hold at any time for the hours after a failure of the grid, without sun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lifeline {
    pub time: TimeDelta,
    /// Share of the fixed load that is critical, 0..=1.
    pub share: f64,
    /// Cost of each missing kWh and hour; `None`: twice the highest price.
    pub missing: Option<Price>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Control cycle.
    pub cycle: TimeDelta,
    /// Decision interval of the plan.
    pub interval: TimeDelta,
    pub horizon: TimeDelta,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TelemetryConfig {
    /// Base URL of an InfluxDB v2 write endpoint, e.g. VictoriaMetrics.
    pub influx: Option<InfluxConfig>,
    /// Seconds between samples of a series in history and telemetry.
    pub every: TimeDelta,
    /// Days kept at full resolution.
    pub keep_days: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InfluxConfig {
    pub url: String,
    pub org: String,
    pub bucket: String,
    /// Name of the environment variable that holds the token; never the token itself.
    pub token_env: Option<String>,
}
