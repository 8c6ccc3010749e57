//! The laws of one cycle in their order: who must, who may, what follows.

use super::charge_point::{Surplus, Want};
use super::envelope::Envelope;
use super::order::Order;
use super::others::{self, Decided, Flow, learn_jumps};
use super::view::{Lead, View};
use super::{allocate, battery, charge_point, deadlines, generator, heat_pump, loads, pv};
use crate::model::{GeneratorHistory, Reason, ReasonCode, ShiftableHistory, Target};
use crate::site::{Component, Id, Kind};
use crate::tariff::Overrun;
use crate::time::Timestamp;
use crate::units::hours;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Orders, and what the laws want remembered.
#[derive(Debug)]
pub struct Outcome {
    pub orders: Vec<Order>,
    pub marks: BTreeMap<String, (Timestamp, f64)>,
    pub generators: BTreeMap<Id, GeneratorHistory>,
    pub shiftables: BTreeMap<Id, ShiftableHistory>,
}

impl Outcome {
    pub fn of(orders: Vec<Order>) -> Self {
        Self {
            orders,
            marks: BTreeMap::new(),
            generators: BTreeMap::new(),
            shiftables: BTreeMap::new(),
        }
    }
}

/// Measured flows the laws share, kW.
struct Flows {
    /// Power of each component that is decided in this cycle.
    decided: Decided,
    /// The same, and of those that could be told and are lost.
    own: Decided,
    /// At the meter (zero on an island).
    grid: f64,
    /// The meter was read in this cycle.
    fresh: bool,
    batteries: f64,
    pv: f64,
}

pub fn all(view: &View<'_>) -> Outcome {
    let mut out = Outcome::of(Vec::new());
    let flows = flows(view, &mut out.marks);
    learn_jumps(view, &flows.flow(view), &mut out.marks);
    let mut envelope = limits(view, &flows);
    let mut starts = 0;
    switched(view, &mut envelope, &mut out, &mut starts);
    cars(view, &mut envelope, &flows, &mut out, &mut starts);
    heat(view, &mut envelope, &flows, &mut out);
    generators(view, &mut envelope, &flows, &mut out);
    let changes = changes(view, &flows, &out.orders);
    storage(view, &mut envelope, &flows, &changes, &mut out);
    sun(view, &mut envelope, &flows, &changes, &mut out);
    out
}

fn may_be_told(kind: &Kind) -> bool {
    match kind {
        Kind::Meter(_) | Kind::Load(_) => false,
        Kind::Battery(b) => !b.grid_forming,
        Kind::Pv(_) | Kind::ChargePoint(_) | Kind::HeatPump(_) | Kind::Generator(_) => true,
        Kind::ShiftableLoad(_) | Kind::SheddableLoad(_) => true,
    }
}

/// What is told nothing for this long is somebody else's; until then it is carried on as last believed.
const LOST: TimeDelta = TimeDelta::minutes(10);

/// Power as measured, else as last believed, of everything that may be told something: the meter sees the rest of it as
/// somebody else's. Where it is lost, it stays on the same side of the balance, so that nothing seems to jump.
fn own_power(view: &View<'_>, id: &Id, kind: &Kind) -> Option<f64> {
    if let Some(kw) = view.power(id) {
        return Some(kw);
    }
    let believed = view.state.believed_power(id).filter(|(at, _)| view.now - *at <= LOST);
    let stores = matches!(kind, Kind::Battery(_) | Kind::Pv(_));
    believed
        .map(|(_, kw)| kw)
        .or((!stores && view.reachable(id)).then_some(0.0))
}

impl Flows {
    fn flow(&self, view: &View<'_>) -> Flow<'_> {
        Flow {
            decided: &self.decided,
            own: &self.own,
            grid: view.snapshot.grid.and_then(|g| g.usable()).map(|_| self.grid),
            fresh: self.fresh,
        }
    }
}

fn flows(view: &View<'_>, marks: &mut BTreeMap<String, (Timestamp, f64)>) -> Flows {
    let ours = |id: &Id, c: &Component| may_be_told(&c.kind) && !view.is_anothers(id);
    let parts = view.plant.components.iter().filter(|(id, c)| ours(id, c));
    let mut own: Decided = parts
        .filter_map(|(id, c)| Some((id.clone(), own_power(view, id, &c.kind)?)))
        .collect();
    let sum = |pick: fn(&Kind) -> bool| {
        let parts = view.plant.components.iter().filter(|(_, c)| pick(&c.kind));
        parts.filter_map(|(id, _)| view.power(id)).sum()
    };
    let shown = view.snapshot.grid.and_then(|g| g.usable());
    let fresh = view
        .plant
        .connection
        .as_ref()
        .is_none_or(|c| view.is_read_now(&c.meter));
    let mut grid = shown.map_or(0.0, |g| g.as_kw());
    if !fresh {
        followed(view, &mut own);
    }
    match others::before(view, "site") {
        Some(others) if fresh => follow(view, &mut own, grid - others, marks),
        // an old reading and new powers do not belong together: the meter would show what it showed, moved by what was told
        Some(others) if shown.is_some() => grid = others + own.values().sum::<f64>(),
        _ => {}
    }
    let decides = |id: &Id| {
        let kind = view.plant.components.get(id).map(|c| &c.kind);
        let stores = matches!(kind, Some(Kind::Battery(_) | Kind::Pv(_)));
        view.reachable(id) && (!stores || view.power(id).is_some())
    };
    let decided = own
        .iter()
        .filter(|(id, _)| decides(id))
        .map(|(id, kw)| (id.clone(), *kw));
    Flows {
        decided: decided.collect(),
        own,
        grid,
        fresh,
        batteries: sum(|k| matches!(k, Kind::Battery(_))),
        pv: sum(|k| matches!(k, Kind::Pv(_))),
    }
}

/// Components that were not read in this cycle may have followed their setpoints meanwhile: as far as that explains what the
/// meter shows, they have. `all`: what all of `own` would draw, were the others as a look before, kW.
fn follow(view: &View<'_>, own: &mut Decided, all: f64, marks: &mut BTreeMap<String, (Timestamp, f64)>) {
    let mut moved = all - own.values().sum::<f64>();
    for (id, kw) in own.iter_mut().filter(|(id, _)| !view.is_fresh(id)) {
        let reach = if moved > 0.0 {
            (view.in_force(id) - *kw).max(0.0)
        } else {
            kw.min(0.0) - kw.max(0.0)
        };
        let step = if moved > 0.0 {
            moved.min(reach)
        } else {
            moved.max(reach)
        };
        *kw += step;
        moved -= step;
        marks.insert(follow_mark(id), (view.now, *kw));
    }
}

fn follow_mark(id: &Id) -> String {
    format!("followed/{id}")
}

/// What the meter showed of components that are not read since holds until the meter is read again.
fn followed(view: &View<'_>, own: &mut Decided) {
    for (id, kw) in own.iter_mut().filter(|(id, _)| !view.is_fresh(id)) {
        let known = view.mark(&follow_mark(id)).filter(|(at, _)| view.now - *at <= LOST);
        let later = known.filter(|(at, _)| view.state.believed_power(id).is_none_or(|(read, _)| read <= *at));
        *kw = later.map_or(*kw, |(_, kw)| kw);
    }
}

/// Limits with the sun as it shines, batteries counted as far as they are sure to help, and the demand target.
fn limits(view: &View<'_>, flows: &Flows) -> Envelope {
    let mut envelope = Envelope::new(view, &flows.flow(view));
    for (id, c) in &view.plant.components {
        let Some(kw) = flows.decided.get(id) else { continue };
        match &c.kind {
            Kind::Pv(_) | Kind::Generator(_) => envelope.take(id, *kw, *kw, *kw),
            Kind::Battery(b) => {
                let help = battery::support(view, id, b);
                envelope.take(id, -help, -help, 0.0);
                envelope.stores(id, kw.max(view.in_force(id)).max(0.0));
            }
            Kind::HeatPump(_) if on_thermostat(view, id) => envelope.take(id, 0.0, kw.max(0.0), *kw),
            Kind::HeatPump(_) => envelope.stores(id, yielding(view, id, *kw)),
            _ => {}
        }
    }
    if let Some(kw) = demand_target(view) {
        envelope.demand(kw);
    }
    envelope
}

/// Import that keeps the mean of the running metering window at the plan's peak, kW.
fn demand_target(view: &View<'_>) -> Option<f64> {
    let window = view.plant.tariff.power_window()?;
    let peak = allowed_peak(view)?;
    let end = view.state.window.start + window;
    let left = hours(end - view.now);
    if left <= 0.0 {
        return Some(peak);
    }
    let allowed = 0.99 * peak * hours(window) - view.state.window.imported.as_kwh();
    // in the last moments what is left is divided by little: no wilder than twice the peak
    Some((allowed / left.max(hours(view.cycle()))).clamp(0.0, 2.0 * peak))
}

/// Window mean that costs no more than planned, kW. Where every kWh beyond the subscribed power is billed, an overrun of
/// another window makes none here cheaper.
fn allowed_peak(view: &View<'_>) -> Option<f64> {
    let (schedule, _) = view.plan?;
    let tariff = &view.plant.tariff;
    let window = view.state.window.start;
    if !tariff.counts(window) && tariff.capacity.is_none() {
        return None;
    }
    let next = schedule.next_peak.filter(|next| window >= next.from);
    let planned = next.map_or(schedule.peak_kw?, |next| next.kw);
    match tariff.capacity.filter(|_| tariff.demand.is_none()) {
        Some(c) if matches!(c.overrun, Overrun::Energy(_)) => Some(c.subscribed.as_kw().max(view.planned_grid()?)),
        _ => Some(planned.max(tariff.free_peak(&view.state.month.peaks, window).as_kw())),
    }
}

fn told(view: &View<'_>, id: &Id) -> Option<Target> {
    let given = view.state.overrides.get(id).filter(|o| o.until > view.now)?;
    Some(given.target)
}

fn told_kw(view: &View<'_>, id: &Id) -> Option<f64> {
    match told(view, id)? {
        Target::Power(p) => Some(p.as_kw()),
        _ => None,
    }
}

/// A person gave the component back to its device, or set a target that needs no law.
fn plainly_told(view: &View<'_>, id: &Id) -> Option<Order> {
    let target = told(view, id)?;
    let plain = matches!(target, Target::Release | Target::On(_) | Target::PowerLimit(_));
    plain.then(|| Order::new(id, target, Reason::new(ReasonCode::Override)))
}

/// A plain order of a person for a consumer; it may then draw up to `most`.
fn as_told(view: &View<'_>, envelope: &mut Envelope, id: &Id, most: f64) -> Option<Order> {
    let order = plainly_told(view, id)?;
    let drawn = view.power(id).unwrap_or(most);
    let high = if order.target == Target::On(false) {
        drawn
    } else {
        most.max(drawn)
    };
    envelope.take(id, 0.0, high, drawn);
    Some(order)
}

fn parts<'a>(view: &View<'a>, flows: &'a Flows) -> impl Iterator<Item = (&'a Id, &'a Kind, f64)> + use<'a> {
    let all = view.plant.components.iter();
    all.filter_map(|(id, c)| Some((id, &c.kind, *flows.decided.get(id)?)))
}

/// Loads with a switch: served ones first, then runs that wait.
fn switched(view: &View<'_>, envelope: &mut Envelope, out: &mut Outcome, starts: &mut u32) {
    let shed_from = loads::shed_all_from(view);
    for (id, c) in &view.plant.components {
        let Kind::SheddableLoad(load) = &c.kind else { continue };
        if !view.reachable(id) {
            continue;
        }
        let order = as_told(view, envelope, id, load.expected.max.as_kw())
            .unwrap_or_else(|| loads::sheddable(view, envelope, id, load, shed_from));
        out.orders.push(order);
    }
    for (id, c) in &view.plant.components {
        let Kind::ShiftableLoad(load) = &c.kind else { continue };
        if !view.reachable(id) {
            continue;
        }
        let order = as_told(view, envelope, id, load.power.as_kw())
            .unwrap_or_else(|| loads::shiftable(view, envelope, id, load, &mut out.shiftables, starts));
        out.orders.push(order);
    }
}

fn cars(view: &View<'_>, envelope: &mut Envelope, flows: &Flows, out: &mut Outcome, starts: &mut u32) {
    let charging: f64 = view
        .charge_points()
        .filter_map(|(id, _, _)| flows.decided.get(id))
        .sum();
    let export = charging - flows.grid;
    let surplus = Surplus {
        before_storage: export + flows.batteries,
        after_storage: export + flows.batteries.min(0.0),
        storage_worth: storage_worth(view),
    };
    let short = deadlines::short_together(view);
    let mut wants = Vec::new();
    for (id, component, point) in view.charge_points() {
        if !view.reachable(id) {
            continue;
        }
        let most = point.current_max.as_amps() * view.kw_per_amp(component);
        if let Some(order) = as_told(view, envelope, id, most) {
            out.orders.push(order);
            continue;
        }
        let mut want = charge_point::want(
            view,
            (id, component, point),
            short.contains(id),
            surplus,
            &mut out.marks,
        );
        if let Some(Target::Current(amps)) = told(view, id) {
            override_current(&mut want, amps.as_amps());
        }
        wants.push(want);
    }
    out.orders
        .extend(allocate::cars(view, envelope, wants, &flows.decided, starts));
}

fn override_current(want: &mut Want, amps: f64) {
    let kw = (amps * want.kw_per_amp).min(want.max_kw);
    want.kw = if kw < want.min_kw { 0.0 } else { kw };
    want.must = false;
    want.reason = Reason::new(ReasonCode::Override);
}

/// Worth of a kWh AC to the battery that values it most.
fn storage_worth(view: &View<'_>) -> Option<f64> {
    let worth = view.batteries().filter_map(|(id, b)| {
        let full = battery::reach(view, id, b).1 < 0.05;
        view.worth(id)
            .filter(|_| !full)
            .map(|w| w * b.charge_efficiency - b.wear.as_per_kwh())
    });
    worth.reduce(f64::max)
}

/// Nobody tells it anything: what it draws is nobody's to give.
fn on_thermostat(view: &View<'_>, id: &Id) -> bool {
    view.lead() != Lead::Plan && told(view, id).is_none()
}

/// What a heat pump draws, or may, until it is seen to have given it up, kW.
fn yielding(view: &View<'_>, id: &Id, kw: f64) -> f64 {
    kw.max(view.in_force(id)).max(0.0)
}

fn heat(view: &View<'_>, envelope: &mut Envelope, flows: &Flows, out: &mut Outcome) {
    for (id, c) in &view.plant.components {
        let Kind::HeatPump(pump) = &c.kind else { continue };
        if !view.reachable(id) {
            continue;
        }
        if on_thermostat(view, id) {
            let reason = Reason::new(ReasonCode::Thermostat);
            out.orders.push(Order::new(id, Target::Release, reason));
            continue;
        }
        // from here on it counts with what it is told
        let drawn = flows.decided.get(id).copied().unwrap_or(0.0);
        envelope.stores(id, -yielding(view, id, drawn));
        if let Some(order) = as_told(view, envelope, id, pump.electric_max.as_kw()) {
            out.orders.push(order);
            continue;
        }
        let surplus = drawn - flows.grid + flows.batteries.min(0.0);
        let told = told_kw(view, id);
        let order = heat_pump::order(view, envelope, id, pump, (drawn, surplus), told, &mut out.marks);
        out.orders.push(order);
    }
}

fn generators(view: &View<'_>, envelope: &mut Envelope, flows: &Flows, out: &mut Outcome) {
    for (id, kind, kw) in parts(view, flows) {
        let Kind::Generator(g) = kind else { continue };
        // what load asks for beyond the sun: the batteries' discharge, the generators' own power and the grid's
        let made: f64 = parts(view, flows)
            .filter(|(_, k, _)| matches!(k, Kind::Generator(_)))
            .map(|(_, _, kw)| kw)
            .sum();
        let net = flows.grid - flows.batteries - made;
        let net = twice(view, id, net, &mut out.marks);
        let order = generator::order(view, id, g, net, told_kw(view, id), &mut out.generators);
        if let Target::Power(p) = order.target {
            let more = -p.as_kw() - kw;
            envelope.take(id, more.min(0.0), more.max(0.0), 0.0);
        }
        out.orders.push(order);
    }
}

/// What this look and the one before agree on: one alone starts no set.
fn twice(view: &View<'_>, id: &Id, net: f64, marks: &mut BTreeMap<String, (Timestamp, f64)>) -> f64 {
    let name = format!("net/{id}");
    let earlier = view.mark(&name).filter(|(at, _)| view.now - *at <= view.cycle() * 3);
    marks.insert(name, (view.now, net));
    earlier.map_or(net, |(_, before)| net.min(before))
}

/// How consumption will move by what was just told, kW; only in the cycle in which a target changes, so that a component
/// that does not obey is seen as it is.
struct Changes {
    less: f64,
    more: f64,
}

fn changes(view: &View<'_>, flows: &Flows, orders: &[Order]) -> Changes {
    let mut sum = Changes { less: 0.0, more: 0.0 };
    for order in orders {
        let (Some(c), Some(drawn)) = (
            view.plant.components.get(&order.component),
            flows.decided.get(&order.component),
        ) else {
            continue;
        };
        let kw = match (&c.kind, order.target) {
            (Kind::ChargePoint(_), Target::Current(a)) => a.as_amps() * view.kw_per_amp(c),
            (Kind::HeatPump(_), Target::Power(p)) => p.as_kw(),
            _ => continue,
        };
        let new = view.last(&order.component).is_none_or(|l| l.target != order.target);
        if new {
            sum.less += (drawn - kw).max(0.0);
            sum.more += (kw - drawn).max(0.0);
        }
    }
    sum
}

fn storage(view: &View<'_>, envelope: &mut Envelope, flows: &Flows, changes: &Changes, out: &mut Outcome) {
    let told_batteries: f64 = parts(view, flows)
        .filter(|(_, k, _)| matches!(k, Kind::Battery(_)))
        .map(|(_, _, kw)| kw)
        .sum();
    let mut net = flows.grid - told_batteries - changes.less;
    for (id, kind, _) in parts(view, flows) {
        let Kind::Battery(b) = kind else { continue };
        let help = battery::support(view, id, b);
        envelope.take(id, help, help, 0.0);
        let promised = promise(view, envelope, id, help, changes.more > 0.0, &mut out.marks);
        let order = match plainly_told(view, id) {
            Some(order) => order,
            None => battery::order(view, envelope, (id, b), net, told_kw(view, id), promised),
        };
        if let Target::Power(p) = order.target {
            net += p.as_kw();
        }
        out.orders.push(order);
    }
}

/// A car that was told more draws it within this time; until then the meter does not show what it is for.
const PROMISED: TimeDelta = TimeDelta::seconds(15);

/// Discharge that what was granted relies on, kW: from the cycle of the grant until its draw shows at the meter. `help` is what
/// the grant counted with, and is taken back from the envelope already.
fn promise(
    view: &View<'_>,
    envelope: &Envelope,
    id: &Id,
    help: f64,
    granted: bool,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> f64 {
    let (room, _) = envelope.room_up(id);
    let needed = help.min(-room).max(0.0);
    let name = format!("promised/{id}");
    if granted && needed > 0.0 {
        marks.insert(name, (view.now, needed));
        return needed;
    }
    let before = view
        .mark(&name)
        .filter(|(then, _)| view.now - *then <= PROMISED.max(view.cycle() * 2));
    before.map_or(0.0, |(_, kw)| needed.min(kw))
}

/// PV shares what may be exported by rating.
fn sun(view: &View<'_>, envelope: &mut Envelope, flows: &Flows, changes: &Changes, out: &mut Outcome) {
    let rated = |k: &Kind| {
        if let Kind::Pv(p) = k {
            p.inverter_max.as_kw()
        } else {
            0.0
        }
    };
    let all: f64 = parts(view, flows).map(|(_, k, _)| rated(k)).sum();
    let told: f64 = parts(view, flows)
        .filter(|(_, k, _)| matches!(k, Kind::Pv(_)))
        .map(|(_, _, kw)| kw)
        .sum();
    for (id, kind, kw) in parts(view, flows) {
        if matches!(kind, Kind::Pv(_)) {
            envelope.take(id, -kw, -kw, -kw);
        }
    }
    let on_island = view.plant.connection.is_none();
    let others = if on_island {
        -flows.pv - flows.batteries
    } else {
        flows.grid - told - flows.batteries
    };
    // what is about to start will use the sun that shines now
    let others = others + changes.more;
    let taken: f64 = if view.lead() == Lead::Idle {
        0.0
    } else {
        view.batteries().map(|(id, b)| battery::reach(view, id, b).1).sum()
    };
    for (id, kind, _) in parts(view, flows) {
        let Kind::Pv(p) = kind else { continue };
        let share = rated(kind) / all.max(1e-9);
        let law = || pv::order(view, envelope, id, p, share, others, taken);
        out.orders.push(plainly_told(view, id).unwrap_or_else(law));
    }
}
