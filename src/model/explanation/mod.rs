//! What a component does in one interval, what decides it, and what the best other choice would cost: data first, then
//! a sentence as a building manager would say it (en, ko).
//!
//! In: a [`Schedule`] and the plant. Out: [`Explanation`]. Money is the site's; powers are magnitudes, the action says
//! the direction; times are instants that the sentence shows in the site's zone.

mod bounds;
mod claims;
mod en;
mod ko;
mod now;
mod now_en;
mod now_ko;
pub mod words;

pub use bounds::Bound;
pub use now::{Hand, Now, Seen};

use super::reason::{Language, ReasonCode};
use super::schedule::{Schedule, Why};
use crate::site::{Component, Id, Kind, Plant};
use crate::time::Timestamp;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Of when a sentence speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// What a plan intends for an interval: the sentence says so, and names the interval's time.
    Planned,
    /// This moment.
    Now,
}

/// Power that counts as none, kW.
pub const IDLE_KW: f64 = 0.02;

/// Less than this beyond the comfort that was asked for is not worth a word, kelvin hours.
const COMFORT_K_H: f64 = 0.25;

/// What a component can be told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Charge,
    Discharge,
    /// Neither; a car that waits.
    Rest,
    /// Run (heat pump, generator, run-once load).
    Run,
    Off,
    /// Sun as it shines, load as it comes: nothing held back.
    Full,
    /// Less than could be produced or used.
    HoldBack,
}

/// How the cost of another choice is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The problem was solved again with that choice fixed.
    Exact,
    /// No less than this, from the prices of the plan alone.
    AtLeast,
}

/// The cheapest other thing the component could do in an interval, the rest of the horizon then at its best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    pub action: Action,
    pub power_kw: f64,
    /// Money more than the plan over the whole horizon, without what missing a wish is priced at.
    pub extra_cost: f64,
    /// Energy that somebody asked for and would not get, kWh more than in the plan.
    #[serde(default)]
    pub missed_kwh: f64,
    /// How far and long it would be too cold or too warm beyond the plan, kelvin hours.
    #[serde(default)]
    pub missed_kelvin_hours: f64,
    pub basis: Basis,
}

/// Another step of the plan that decided, and the price of a kWh then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub step: usize,
    /// As the objective counts it.
    pub per_kwh: f64,
}

/// Everything a sentence about one interval needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub component: Id,
    pub kind: String,
    pub title_en: String,
    pub title_ko: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub code: ReasonCode,
    pub action: Action,
    pub power_kw: f64,
    /// Least power at which the component runs at all: a smaller mean is a part of the time.
    pub least_kw: Option<f64>,
    /// What the meter charges and pays for a kWh in this interval, by tariff.
    pub buy_per_kwh: Option<f64>,
    pub sell_per_kwh: Option<f64>,
    /// Price of one more kWh at the component's place in the wiring: bus and the circuits above it.
    pub node_price_per_kwh: Option<f64>,
    /// The node price holds in one direction only (more or less use), or between two numbers.
    pub node_price_one_sided: bool,
    /// Worth of one more stored kWh.
    pub value_per_kwh: Option<f64>,
    /// When the same energy costs or saves something else, and how much.
    pub compared_at: Option<Timestamp>,
    pub compared_per_kwh: Option<f64>,
    /// Departure, end of a minimum time, deadline.
    pub until: Option<Timestamp>,
    /// What binds: `import limit`, `circuit NAME`, `peak`, `full`, `empty`, `reserve`, `charge power`, …
    pub binding: Option<String>,
    /// Size of the limit, kW.
    pub limit_kw: Option<f64>,
    pub alternative: Option<Alternative>,
    pub currency: String,
    #[serde(skip)]
    pub zone: Tz,
    #[serde(skip)]
    pub voice: Voice,
}

impl Explanation {
    /// A sentence or two for people: no signs, units always, local time, the site's currency.
    pub fn sentence(&self, language: Language) -> String {
        match language {
            Language::En => en::sentence(self),
            Language::Ko => ko::sentence(self),
        }
    }
    /// The same without the cost of the alternative.
    pub fn reason(&self, language: Language) -> String {
        match language {
            Language::En => en::reason(self),
            Language::Ko => ko::reason(self),
        }
    }
    /// Only why, where the action stands beside it already; `None` where there is nothing to say.
    pub fn because(&self, language: Language) -> Option<String> {
        match language {
            Language::En => en::because(self),
            Language::Ko => ko::because(self),
        }
    }
    /// Only what the alternative would cost; `None` where nothing is known of one.
    pub fn alternative_sentence(&self, language: Language) -> Option<String> {
        match language {
            Language::En => en::alternative(self).map(|text| format!("{}.", en::capital(&text))),
            Language::Ko => ko::alternative(self),
        }
    }
}

impl Schedule {
    /// Why `id` does what it does in step `t`; `None` where the plan does not know it.
    pub fn explanation(&self, plant: &Plant, id: &Id, t: usize) -> Option<Explanation> {
        let why = self.why.get(id)?.get(t)?;
        let component = plant.components.get(id)?;
        let interval = self.grid.intervals().nth(t)?;
        let kw = self.power_kw.get(id)?.get(t).copied()?;
        let shown = |objective: f64| by_tariff(plant, objective);
        // without a connection nothing is bought or sold
        let metered = plant.connection.as_ref();
        let start_of = |step: usize| self.grid.intervals().nth(step).map(|i| i.start);
        Some(Explanation {
            component: id.clone(),
            kind: component.kind.name().to_owned(),
            title_en: component.title(id, false),
            title_ko: component.title(id, true),
            from: interval.start,
            to: interval.end,
            code: why.reason.code,
            action: why.action(component.kind.name(), kw),
            power_kw: kw.abs(),
            least_kw: least(plant, component),
            buy_per_kwh: metered.and_then(|_| at(&self.buy, t).flatten()).map(shown),
            sell_per_kwh: metered
                .and_then(|_| at(&self.sell, t).flatten())
                .map(|p| p / money_weight(plant)),
            node_price_per_kwh: self.node_price(id, t),
            node_price_one_sided: self.price_one_sided.get(t).copied().unwrap_or(true),
            value_per_kwh: self.marginal_value.get(id).and_then(|v| at(v, t)),
            compared_at: why.compared.and_then(|c| start_of(c.step)),
            compared_per_kwh: why
                .compared
                .filter(|_| metered.is_some())
                .map(|c| c.per_kwh)
                .map(|p| self.shown_then(plant, why, p)),
            until: why.until,
            binding: why.binding.clone(),
            limit_kw: why.reason.limit,
            alternative: why.alternative,
            currency: plant.tariff.currency.clone(),
            zone: plant.location.time_zone,
            voice: Voice::Planned,
        })
    }

    /// Price of one more kWh where the component is connected; `None` without duals.
    pub fn node_price(&self, id: &Id, t: usize) -> Option<f64> {
        let own = self.node_price.get(id).and_then(|v| at(v, t));
        own.or_else(|| at(&self.solution.duals.as_ref()?.bus, t))
    }

    /// A price of buying carries carbon and wishes in the objective; one of selling does not.
    fn shown_then(&self, plant: &Plant, why: &Why, per_kwh: f64) -> f64 {
        let step = why.compared.map_or(0, |c| c.step);
        match at(&self.buy, step).flatten() {
            Some(buy) if (buy - per_kwh).abs() < 1e-9 => by_tariff(plant, per_kwh),
            _ => per_kwh / money_weight(plant),
        }
    }
}

/// Least power of what cannot run slower, kW.
fn least(plant: &Plant, component: &Component) -> Option<f64> {
    match &component.kind {
        Kind::HeatPump(h) => Some(h.electric_min.as_kw()),
        Kind::Generator(g) => Some(g.power_min.as_kw()),
        Kind::ChargePoint(c) => Some(c.current_min.as_amps() * plant.kw_per_amp(component)),
        _ => None,
    }
}

fn at<T: Copy>(values: &[T], t: usize) -> Option<T> {
    values.get(t).copied()
}

fn money_weight(plant: &Plant) -> f64 {
    if plant.objective.money > 0.0 {
        plant.objective.money
    } else {
        1.0
    }
}

/// What the tariff says, from what the objective counts: without carbon and the wish for self-sufficiency.
fn by_tariff(plant: &Plant, per_kwh: f64) -> f64 {
    let o = &plant.objective;
    let beside = o.carbon_per_kg * plant.tariff.grid_carbon + o.self_sufficiency.as_per_kwh();
    (per_kwh - beside) / money_weight(plant)
}

impl Why {
    /// The action behind a power, kW into the component.
    pub fn action(&self, kind: &str, kw: f64) -> Action {
        let moves = kw.abs() > IDLE_KW;
        match (kind, self.reason.code) {
            ("battery" | "charge_point", _) if !moves => Action::Rest,
            ("battery" | "charge_point", _) if kw > 0.0 => Action::Charge,
            ("battery" | "charge_point", _) => Action::Discharge,
            ("pv", ReasonCode::CurtailNegative | ReasonCode::CurtailSurplus | ReasonCode::LimitExport) => {
                Action::HoldBack
            }
            ("sheddable_load", ReasonCode::ShedLoad) => Action::HoldBack,
            ("grid", _) if kw < -IDLE_KW => Action::Discharge,
            ("pv" | "load" | "sheddable_load" | "grid", _) => Action::Full,
            _ if moves => Action::Run,
            _ => Action::Off,
        }
    }
}
