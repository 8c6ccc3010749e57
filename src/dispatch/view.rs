//! What all laws look at in one cycle: plant, snapshot, memory, plan step and prices, with the questions they ask of them.

use super::may::InForce;
use crate::model::{
    CommandHealth, ControllerState, DeviceHealth, LastTarget, OnLoss, Policy, Quantity, Schedule, Snapshot, Target,
};
use crate::site::{Battery, ChargePoint, Component, Id, Kind, Plant, command_of};
use crate::tariff::PriceFiles;
use crate::time::{Interval, Timestamp};
use crate::units::{Power, hours};
use chrono::TimeDelta;

/// Who leads in this cycle: the policy, or the rule where there is no valid plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    Idle,
    Rule,
    Plan,
}

#[derive(Clone, Copy)]
pub struct View<'a> {
    pub plant: &'a Plant,
    pub snapshot: &'a Snapshot,
    pub state: &'a ControllerState,
    pub prices: Option<&'a PriceFiles>,
    pub policy: Policy,
    pub now: Timestamp,
    /// The plan in force and its current step, where the plan leads.
    pub plan: Option<(&'a Schedule, usize)>,
    /// What setpoints that may be in force let components draw.
    pub force: &'a InForce,
}

impl<'a> View<'a> {
    pub fn lead(&self) -> Lead {
        match self.policy {
            Policy::Idle => Lead::Idle,
            Policy::Rule => Lead::Rule,
            Policy::Plan | Policy::Perfect if self.plan.is_some() => Lead::Plan,
            Policy::Plan | Policy::Perfect => Lead::Rule,
        }
    }
    pub fn cycle(&self) -> TimeDelta {
        self.plant.timing.cycle
    }
    pub fn volts(&self) -> f64 {
        self.plant.volts()
    }
    pub fn phases(&self) -> usize {
        self.plant.phases()
    }
    pub fn phase_shares(&self, component: &Component) -> [f64; 3] {
        self.plant.phase_shares(component)
    }
    pub fn kw_per_amp(&self, component: &Component) -> f64 {
        self.plant.kw_per_amp(component)
    }
    pub fn power(&self, id: &Id) -> Option<f64> {
        self.snapshot.power(id).map(Power::as_kw)
    }
    /// Power as measured, else as last believed, kW.
    pub fn drawn(&self, id: &Id) -> Option<f64> {
        self.power(id)
            .or_else(|| self.state.believed_power(id).map(|(_, kw)| kw))
    }
    /// The connection's meter was read in this cycle.
    pub fn is_read_now(&self, meter: &Id) -> bool {
        let grid = self.snapshot.grid.filter(|g| g.usable().is_some());
        grid.map_or_else(|| self.is_fresh(meter), |g| g.age(self.now) < self.cycle())
    }
    /// Its power was measured in this cycle.
    pub fn is_fresh(&self, id: &Id) -> bool {
        let reading = self.snapshot.reading(id, Quantity::ActivePower);
        reading.is_some_and(|r| r.usable().is_some() && r.age(self.now) < self.cycle())
    }
    /// Most that setpoints which may be in force let it draw, kW, at least zero.
    pub fn in_force(&self, id: &Id) -> f64 {
        self.force.get(id).copied().unwrap_or(0.0)
    }
    /// The device that controls it, else one that measures it.
    pub fn device(&self, id: &Id) -> Option<&'a DeviceHealth> {
        let feeding = || self.snapshot.devices.iter().filter(|d| d.components.contains(id));
        let controls = |d: &&DeviceHealth| d.commands.iter().any(|c| c.component == *id);
        feeding().find(controls).or_else(|| feeding().next())
    }
    /// How the command that moves it stands at its device.
    pub fn command(&self, id: &Id) -> Option<&'a CommandHealth> {
        let name = command_of(&self.plant.components.get(id)?.kind)?;
        let mut all = self.device(id)?.commands.iter();
        all.find(|c| c.component == *id && (c.command == name || c.command == "direct"))
    }
    /// What its device does when nobody speaks to it; `None` where that is not known.
    pub fn on_loss(&self, id: &Id) -> Option<&'a OnLoss> {
        let mut all = self.snapshot.devices.iter().flat_map(|d| &d.on_loss);
        all.find(|l| l.component == *id)
    }
    /// Somebody else moves it: another controller, or its own device because we do not trust its ratings.
    pub fn is_anothers(&self, id: &Id) -> bool {
        self.device(id).is_some_and(|d| d.is_left(id) || d.is_misrated(id))
    }
    /// It is left to another controller.
    pub fn is_left(&self, id: &Id) -> bool {
        self.device(id).is_some_and(|d| d.is_left(id))
    }
    /// Its device answers, is the right one and is not left to another controller: it may be told something.
    pub fn reachable(&self, id: &Id) -> bool {
        use crate::model::IdentityStatus::Mismatch;
        let mut feeding = self
            .snapshot
            .devices
            .iter()
            .filter(|d| d.components.contains(id))
            .peekable();
        if feeding.peek().is_none() {
            return self.snapshot.reading(id, Quantity::ActivePower).is_some();
        }
        feeding.any(|d| d.online && d.identity != Mismatch && !d.is_left(id) && !d.is_misrated(id))
    }
    pub fn batteries(&self) -> impl Iterator<Item = (&'a Id, &'a Battery)> + use<'a> {
        self.plant.components.iter().filter_map(|(id, c)| match &c.kind {
            Kind::Battery(b) => Some((id, b)),
            _ => None,
        })
    }
    pub fn charge_points(&self) -> impl Iterator<Item = (&'a Id, &'a Component, &'a ChargePoint)> + use<'a> {
        self.plant.components.iter().filter_map(|(id, c)| match &c.kind {
            Kind::ChargePoint(p) => Some((id, c, p)),
            _ => None,
        })
    }
    pub fn last(&self, id: &Id) -> Option<&'a LastTarget> {
        self.state.last.get(id)
    }
    /// The component is told to be on (charging, heating, running) and for how long it has been so, or off and how long.
    pub fn on_since(&self, id: &Id) -> (bool, TimeDelta) {
        match self.last(id) {
            None => (false, TimeDelta::days(1)),
            Some(l) => (is_on(&l.target), self.now - l.mode_since),
        }
    }
    pub fn mark(&self, name: &str) -> Option<(Timestamp, f64)> {
        self.state.marks.get(name).copied()
    }
    pub fn planned_kw(&self, id: &Id) -> Option<f64> {
        let (schedule, step) = self.plan?;
        schedule.power_kw.get(id)?.get(step).copied()
    }
    /// Worth of one more kWh in the component's store, money.
    pub fn worth(&self, id: &Id) -> Option<f64> {
        let (schedule, step) = self.plan?;
        schedule.marginal_value.get(id)?.get(step).copied()
    }
    pub fn step(&self) -> Option<Interval> {
        let (schedule, step) = self.plan?;
        schedule.grid.intervals().nth(step)
    }
    /// What the meter charges for a kWh now: as the plan counts it (wishes of the whole site included, since the values of
    /// stored energy know them), else by the tariff.
    pub fn buy(&self) -> Option<f64> {
        let wish = |s: &Schedule, t: usize| s.solution.duals.as_ref()?.wishes.get(t).copied();
        let planned = self.plan.and_then(|(s, t)| {
            let price = s.buy.get(t).copied().flatten()?;
            Some(wish(s, t).map_or(price, |adder| price + adder))
        });
        planned.or_else(|| {
            let known = self.plant.tariff.buy(self.now, self.prices, &self.state.month)?;
            Some(known.price.as_per_kwh())
        })
    }
    /// What the meter pays for an exported kWh now.
    pub fn sell(&self) -> Option<f64> {
        let planned = self.plan.and_then(|(s, t)| s.sell.get(t).copied().flatten());
        planned.or_else(|| Some(self.plant.tariff.sell(self.now, self.prices)?.as_per_kwh()))
    }
    /// The price of this step was published, not filled in.
    pub fn price_known(&self) -> bool {
        self.plan
            .is_some_and(|(s, t)| s.buy.get(t).copied().flatten().is_some() && s.price_estimated.get(t) == Some(&false))
    }
    /// Planned grid exchange of this step, kW, import positive.
    pub fn planned_grid(&self) -> Option<f64> {
        let (schedule, step) = self.plan?;
        let plan = &schedule.solution.plan;
        Some(plan.import_kw.get(step)? - plan.export_kw.get(step)?)
    }
    /// Length of the rest of the plan's step, h.
    pub fn rest_of_step(&self) -> f64 {
        self.step().map_or(0.0, |i| hours(i.end - self.now).max(0.0))
    }
}

pub fn is_on(target: &Target) -> bool {
    match target {
        Target::Power(p) => p.abs() > Power::kw(0.05),
        Target::Current(a) => a.as_amps() > 0.0,
        Target::On(on) => *on,
        Target::PowerLimit(_) => true,
        Target::Release => false,
    }
}
