//! What a component does at this moment and why: from what is measured and what was decided in this cycle. The plan gives
//! prices and times where it decided the same; where it intends something else, that is told as a plan.
//!
//! In: one cycle ([`Seen`]). Out: [`Now`], the one source of every sentence about the present, on the page, in the API and
//! in the terminal. Pure.

use super::bounds::Bound;
use super::claims::Way;
use super::{Action, Explanation, Voice, least, now_en, now_ko};
use crate::model::{
    CommandProof, ControllerState, DeviceHealth, Direction, Language, Quantity, Reason, ReasonCode, Rung, Setpoint,
    Snapshot, Target,
};
use crate::site::{Component, Id, Kind, Mode, Plant};
use crate::tariff::PriceFiles;
use crate::time::Timestamp;
use serde::Serialize;

/// What one cycle saw and decided.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub plant: &'a Plant,
    pub snapshot: &'a Snapshot,
    pub state: &'a ControllerState,
    pub setpoints: &'a [Setpoint],
    pub prices: Option<&'a PriceFiles>,
}

/// Who decides what a component does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Hand {
    /// Madang, and its device has the command.
    Told { target: Target },
    /// Madang would tell it this and does not: it observes, or may not control the device.
    Would { target: Target },
    /// The device did not take the command.
    Refused { target: Target },
    /// The device itself: Madang decided to leave it so.
    Itself,
    /// Another controller, for the time being.
    Other { until: Option<Timestamp> },
    /// Nobody can tell it anything.
    Nobody,
}

/// A component at this moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Now {
    pub component: Id,
    pub at: Timestamp,
    /// `None` where the power is not known.
    pub power_kw: Option<f64>,
    /// Where it is not known: since when, if it ever was.
    pub unknown_since: Option<Timestamp>,
    pub hand: Hand,
    /// The measured power is what the target asks for; `None` where there is none or the power is not known.
    pub follows: Option<bool>,
    /// What decided, if what it says is so.
    pub code: Option<ReasonCode>,
    /// Dispatch held it back although no limit is reached: what is left is kept free.
    pub held: bool,
    /// The limit that holds it back.
    pub bound: Option<Bound>,
    /// What the plan in force means for this interval, kW.
    pub planned_kw: Option<f64>,
    /// The plan means something else than what is measured.
    pub off_plan: bool,
    /// A car is there; `None` where that is not known, or means nothing.
    pub plugged: Option<bool>,
    /// Its inverter sleeps until sunrise.
    pub asleep: bool,
    /// The grid meter gives no usable value.
    pub blind: bool,
    /// Prices, times and titles that the words need.
    #[serde(skip)]
    pub facts: Explanation,
    /// kW of one ampere, for chargers.
    #[serde(skip)]
    pub kw_per_amp: f64,
}

/// Measured power follows its target within this part of it, and within this much (kW).
const FOLLOWS: f64 = 0.1;
const FOLLOWS_KW: f64 = 0.25;
/// The plan means a mean of its interval: only what is further off is worth a word.
const OFF_PLAN: f64 = 0.25;
const OFF_PLAN_KW: f64 = 0.3;

impl Now {
    /// One or two sentences: what it does, who decides, why, and what was planned instead.
    pub fn sentence(&self, language: Language) -> String {
        match language {
            Language::En => now_en::sentence(self),
            Language::Ko => now_ko::sentence(self),
        }
    }
    /// Why alone, a sentence; `None` where there is nothing to say.
    pub fn because(&self, language: Language) -> Option<String> {
        match language {
            Language::En => now_en::because(self),
            Language::Ko => now_ko::because(self),
        }
    }
    /// What the best other choice would cost, while the component does what the plan means.
    pub fn alternative(&self, language: Language) -> Option<String> {
        self.power_kw?;
        self.facts.alternative_sentence(language)
    }
    pub(super) fn way(&self) -> Option<Way> {
        self.power_kw.map(Way::of)
    }
}

impl Seen<'_> {
    /// `None` for what the site does not have.
    pub fn now(&self, id: &Id) -> Option<Now> {
        let component = self.plant.components.get(id)?;
        let power = self.flow(id, &component.kind);
        let hand = self.hand(id);
        // what a reason speaks of: what is told to do, where it does something else by itself
        let meant = match &hand {
            Hand::Would { target } => asked_kw(component, *target, self.plant.kw_per_amp(component)),
            _ => power,
        };
        let plan = self.plan_of(id);
        let planned = plan.as_ref().map(|(kw, ..)| *kw);
        let decided = power
            .zip(meant)
            .and_then(|(_, meant)| Some((self.decided(id, plan.as_ref())?, meant)));
        let held = decided
            .as_ref()
            .is_some_and(|(r, kw)| is_limit(r.code) && *kw > -Way::REST_KW);
        let reason = decided.filter(|(r, kw)| self.is_so(id, r, *kw)).map(|(r, _)| r);
        let bound = reason.as_ref().and_then(|r| self.bound(id, r));
        Some(Now {
            component: id.clone(),
            at: self.snapshot.at,
            power_kw: power,
            unknown_since: power.is_none().then(|| self.unknown_since(id)).flatten(),
            follows: self.follows(component, &hand, power),
            code: reason.as_ref().map(|r| r.code),
            held: held && reason.is_none(),
            bound: bound.or_else(|| self.at_meter(component)),
            planned_kw: planned,
            off_plan: power.zip(planned).is_some_and(|(now, plan)| is_off(now, plan)),
            plugged: self.snapshot.plugged(id),
            asleep: self.device(id).is_some_and(|d| d.asleep),
            blind: self.plant.connection.is_some() && self.grid_kw().is_none(),
            facts: self.facts(id, component, meant.unwrap_or(0.0), reason.as_ref(), plan),
            kw_per_amp: self.plant.kw_per_amp(component),
            hand,
        })
    }

    pub(super) fn setpoint(&self, id: &Id) -> Option<&Setpoint> {
        self.setpoints.iter().find(|s| s.component == *id)
    }

    fn device(&self, id: &Id) -> Option<&DeviceHealth> {
        self.snapshot.devices.iter().find(|d| d.components.contains(id))
    }

    fn hand(&self, id: &Id) -> Hand {
        let device = self.device(id);
        if device.is_some_and(|d| d.is_left(id)) {
            let left = device
                .into_iter()
                .flat_map(|d| &d.commands)
                .filter(|c| c.component == *id);
            let until = left.filter_map(|c| c.foreign.as_ref()?.yielded_until).max();
            return Hand::Other { until };
        }
        let Some(target) = self.setpoint(id).map(|s| s.target) else {
            return Hand::Nobody;
        };
        if target == Target::Release {
            return Hand::Itself;
        }
        if self.state.mode == Mode::Observe || self.state.rung == Rung::Released {
            return Hand::Would { target };
        }
        let mut proofs = device
            .into_iter()
            .flat_map(|d| &d.commands)
            .filter(|c| c.component == *id)
            .map(|c| &c.proof);
        match proofs.next() {
            Some(CommandProof::Verified | CommandProof::Pending | CommandProof::Unsure) => Hand::Told { target },
            Some(CommandProof::Failed(_)) => Hand::Refused { target },
            Some(CommandProof::Released) | None => Hand::Would { target },
        }
    }

    /// What decided: dispatch's reason, or the plan's where dispatch follows it.
    fn decided(&self, id: &Id, plan: Option<&(f64, Reason, Explanation)>) -> Option<Reason> {
        let own = &self.setpoint(id)?.reason;
        match own.code {
            ReasonCode::FollowPlan => plan.map(|(_, reason, _)| reason.clone()),
            _ => Some(own.clone()),
        }
    }

    /// What the plan means for this interval (kW) and why, while it leads.
    fn plan_of(&self, id: &Id) -> Option<(f64, Reason, Explanation)> {
        if !matches!(self.state.rung, Rung::Normal | Rung::LastPlan) {
            return None;
        }
        let schedule = self.state.schedule.as_deref()?;
        let step = schedule.grid.index_of(self.snapshot.at)?;
        let kw = schedule.power_kw.get(id)?.get(step).copied()?;
        let reason = schedule.why.get(id)?.get(step)?.reason.clone();
        Some((kw, reason, schedule.explanation(self.plant, id, step)?))
    }

    /// The limit of the connection that the meter shows to be reached.
    fn at_meter(&self, component: &Component) -> Option<Bound> {
        if !matches!(component.kind, Kind::Meter(_)) {
            return None;
        }
        let way = Way::of(self.grid_kw()?);
        match way {
            Way::In => self.at_connection(Direction::Import),
            Way::Out => self.at_connection(Direction::Export),
            // a limit of nothing is reached whenever nothing flows
            Way::Rest => None,
        }
    }

    fn follows(&self, component: &Component, hand: &Hand, power: Option<f64>) -> Option<bool> {
        let (Hand::Told { target } | Hand::Would { target } | Hand::Refused { target }) = hand else {
            return None;
        };
        let kw = power?;
        let asked = asked_kw(component, *target, self.plant.kw_per_amp(component))?;
        let near = FOLLOWS_KW.max(FOLLOWS * asked.abs());
        Some(match (&component.kind, target) {
            // ceilings: less is no fault
            (Kind::Pv(_), _) => -kw <= -asked + near,
            (Kind::ChargePoint(_), _) => kw <= asked + near,
            (_, Target::On(true)) => true,
            _ => (kw - asked).abs() <= near && !(asked == 0.0 && kw.abs() > near),
        })
    }

    /// When the power of a component was last known.
    fn unknown_since(&self, id: &Id) -> Option<Timestamp> {
        let seen = |id: &Id| {
            let reading = self.snapshot.reading(id, Quantity::ActivePower);
            let shown = reading.filter(|r| r.last_known().is_some()).map(|r| r.at());
            let key = format!("{id}/power");
            shown.or_else(|| self.state.accepted.get(&key).map(|(at, _)| *at))
        };
        if self.device(id).is_some() || self.snapshot.reading(id, Quantity::ActivePower).is_some() {
            return seen(id);
        }
        // what the balance leaves is unknown since the first of what it is made of is
        let missing = self
            .plant
            .components
            .keys()
            .filter(|c| *c != id && self.snapshot.power(c).is_none());
        missing.filter_map(seen).min()
    }

    /// Prices now, and what the plan compares with where it decided the same thing in the same direction.
    fn facts(
        &self,
        id: &Id,
        component: &Component,
        kw: f64,
        reason: Option<&Reason>,
        plan: Option<(f64, Reason, Explanation)>,
    ) -> Explanation {
        let kind = component.kind.name();
        let metered = self.plant.connection.is_some();
        let at = self.snapshot.at;
        let buy = self.plant.tariff.buy(at, self.prices, &self.state.month);
        let sell = self.plant.tariff.sell(at, self.prices);
        let code = reason.map_or(ReasonCode::FollowPlan, |r| r.code);
        let node = plan
            .as_ref()
            .map(|(_, _, e)| (e.node_price_per_kwh, e.node_price_one_sided, e.value_per_kwh));
        let action = action(kind, kw);
        let same = plan.filter(|(_, r, e)| reason.is_some() && r.code == code && e.action == action);
        let same = same.map(|(_, _, e)| e);
        let until = self
            .state
            .overrides
            .get(id)
            .filter(|_| code == ReasonCode::Override)
            .map(|o| o.until);
        let leaves = self.state.sessions.get(id).map(|s| s.departure);
        Explanation {
            component: id.clone(),
            kind: kind.to_owned(),
            title_en: component.title(id, false),
            title_ko: component.title(id, true),
            from: at,
            to: at,
            code,
            action,
            power_kw: kw.abs(),
            least_kw: least(self.plant, component),
            buy_per_kwh: buy.filter(|_| metered).map(|p| p.price.as_per_kwh()),
            sell_per_kwh: sell.filter(|_| metered).map(|p| p.as_per_kwh()),
            node_price_per_kwh: node.and_then(|n| n.0),
            node_price_one_sided: node.is_none_or(|n| n.1),
            value_per_kwh: node.and_then(|n| n.2),
            compared_at: same.as_ref().and_then(|e| e.compared_at).filter(|t| *t > at),
            compared_per_kwh: same
                .as_ref()
                .filter(|e| e.compared_at > Some(at))
                .and_then(|e| e.compared_per_kwh),
            until: until.or(leaves).or_else(|| same.as_ref().and_then(|e| e.until)),
            binding: self
                .soc_end(id)
                .filter(|_| code == ReasonCode::LimitSoc)
                .map(str::to_owned),
            limit_kw: reason.and_then(|r| r.limit),
            alternative: same.and_then(|e| e.alternative),
            currency: self.plant.tariff.currency.clone(),
            zone: self.plant.location.time_zone,
            voice: Voice::Now,
        }
    }
}

/// kW into the component that a target asks for; `None` where it names no power.
fn asked_kw(component: &Component, target: Target, kw_per_amp: f64) -> Option<f64> {
    Some(match (&component.kind, target) {
        (Kind::Generator(_), Target::Power(p)) => -p.as_kw().abs(),
        (_, Target::Power(p)) => p.as_kw(),
        (_, Target::PowerLimit(p)) => -p.as_kw(),
        (_, Target::Current(a)) => a.as_amps() * kw_per_amp,
        (Kind::ShiftableLoad(l), Target::On(true)) => l.power.as_kw(),
        (Kind::SheddableLoad(l), Target::On(true)) => l.expected.max.as_kw(),
        (_, Target::On(_)) => 0.0,
        (_, Target::Release) => return None,
    })
}

fn is_limit(code: ReasonCode) -> bool {
    use ReasonCode as C;
    matches!(code, C::LimitImport | C::LimitFuse | C::ShavePeak)
}

fn is_off(now: f64, plan: f64) -> bool {
    let far = (now - plan).abs() > OFF_PLAN_KW.max(OFF_PLAN * plan.abs());
    far || (Way::of(now) != Way::of(plan) && (now - plan).abs() > 3.0 * Way::REST_KW)
}

/// The measured direction as a plan would name it.
fn action(kind: &str, kw: f64) -> Action {
    match (kind, Way::of(kw)) {
        ("battery" | "charge_point", Way::In) => Action::Charge,
        ("battery" | "charge_point", Way::Out) => Action::Discharge,
        ("battery" | "charge_point", Way::Rest) => Action::Rest,
        ("grid", Way::Out) => Action::Discharge,
        ("pv" | "load" | "sheddable_load" | "grid", _) => Action::Full,
        (_, Way::Rest) => Action::Off,
        _ => Action::Run,
    }
}
