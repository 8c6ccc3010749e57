//! Every limit of the site as one kind of bound, composed by intersection only: connection point (contract, fuse of each
//! phase, external limits, demand target) and nested circuits. Counts every component and the load nobody meters.
//!
//! What is told to others is computed from measured flow minus the own measured flow of what is decided here, so that
//! one's own action is never taken for somebody else's. New consumption is granted only below the limit minus a margin
//! that covers what may jump up before the next cycle; a component counts with the larger of told and measured.

use super::view::View;
use crate::model::{Direction, Quantity, ReasonCode};
use crate::site::{Component, Id, Kind};
use crate::time::Timestamp;
use crate::units::hours;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Bound {
    code: ReasonCode,
    /// The limit itself, for the reason.
    limit: f64,
    /// Bounds for new grants, margins taken off.
    max: f64,
    min: f64,
    /// Flow if everything so far draws its most, and its least.
    high: f64,
    low: f64,
    /// Flow as measured without what is decided here, and the bound beyond which storage must help.
    seen: f64,
    hard: f64,
    share: BTreeMap<Id, f64>,
}

/// What holds a component back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    pub code: ReasonCode,
    pub limit: f64,
}

#[derive(Debug, Clone)]
pub struct Envelope {
    bounds: Vec<Bound>,
}

/// Part of a limit always left free.
const MARGIN: f64 = 0.03;
/// A limit counts as broken at once only beyond a tenth above it; what a jump adds may use most of that for one cycle.
const TOLERATED: f64 = 0.085;
/// The next jump may be a little larger than any before.
const LARGER: f64 = 1.05;

/// Power of components that this cycle decides; others count as measured.
pub type Decided = BTreeMap<Id, f64>;

impl Envelope {
    /// `decided`: measured kW of each component whose setpoint is still to come.
    pub fn new(view: &View<'_>, decided: &Decided) -> Self {
        let mut bounds = Vec::new();
        connection(view, decided, &mut bounds);
        for id in view.plant.circuits.keys() {
            circuit(view, id, decided, &mut bounds);
        }
        Self { bounds }
    }

    /// Most power the component may be given, and what holds it there.
    pub fn room_up(&self, id: &Id) -> (f64, Option<Held>) {
        self.over(id, |b, share| (b.max - b.high) / share)
    }

    /// Most negative power the component may be given.
    pub fn room_down(&self, id: &Id) -> (f64, Option<Held>) {
        let (room, held) = self.over(id, |b, share| (b.low - b.min) / share);
        (-room, held)
    }

    /// Power at or below which a store brings every limit back to where it is kept; above every limit this is negative.
    pub fn must_stay_below(&self, id: &Id) -> (f64, Option<Held>) {
        self.over(id, |b, share| (b.hard - b.seen) / share)
    }

    fn over(&self, id: &Id, room: impl Fn(&Bound, f64) -> f64) -> (f64, Option<Held>) {
        let mut least = (f64::INFINITY, None);
        for b in &self.bounds {
            let Some(share) = b.share.get(id) else { continue };
            let kw = room(b, *share);
            if kw < least.0 {
                let held = Held {
                    code: b.code,
                    limit: b.limit,
                };
                least = (kw, Some(held));
            }
        }
        least
    }

    /// The component will draw between `low` and `high`; `seen` is what it will most likely draw.
    pub fn take(&mut self, id: &Id, low: f64, high: f64, seen: f64) {
        for b in &mut self.bounds {
            if let Some(share) = b.share.get(id) {
                b.low += share * low;
                b.high += share * high;
                b.seen += share * seen;
            }
        }
    }

    /// Lowers what import may still be granted to keep the mean of the metering window; not a safety limit.
    pub fn demand(&mut self, kw: f64) {
        let Some(site) = self.bounds.iter().find(|b| b.code == ReasonCode::LimitImport).cloned() else {
            return;
        };
        self.bounds.push(Bound {
            code: ReasonCode::ShavePeak,
            limit: kw,
            max: kw,
            min: f64::NEG_INFINITY,
            hard: kw,
            ..site
        });
    }

    /// The same limits without the demand target: for what must be done whatever it costs.
    pub fn without_demand(&self) -> Self {
        let bounds = self.bounds.iter().filter(|b| b.code != ReasonCode::ShavePeak);
        Self {
            bounds: bounds.cloned().collect(),
        }
    }
}

/// Largest jump of uncontrolled flow from one cycle to the next that is remembered, kW, by name of the bound.
fn jump_mark(name: &str, up: bool) -> String {
    format!("jump/{name}/{}", if up { "up" } else { "down" })
}

/// Uncontrolled flow by bound name, for the memory of jumps.
fn uncontrolled(view: &View<'_>, decided: &Decided) -> BTreeMap<String, f64> {
    let mut flows = BTreeMap::new();
    let Some(total) = view.snapshot.grid.and_then(|g| g.usable()) else {
        return flows;
    };
    let own: f64 = decided.values().sum();
    flows.insert("site".to_owned(), total.as_kw() - own);
    for p in 0..view.phases() {
        if let Some(kw) = phase_flow(view, p) {
            flows.insert(format!("L{}", p + 1), kw - on_phase(view, decided, p));
        }
    }
    flows
}

/// Flow that may be added before the next cycle, kW: the largest jump remembered, and never more than the loads can still
/// rise.
fn volatility(view: &View<'_>, name: &str, up: bool, base: f64) -> f64 {
    let first = first_jump(view, name);
    let jump = view.mark(&jump_mark(name, up)).map_or(first, |(_, kw)| kw.max(first));
    if up {
        jump.min((most_load(view) - base).max(0.0))
    } else {
        jump
    }
}

/// Most that uncontrolled loads ever draw, kW.
fn most_load(view: &View<'_>) -> f64 {
    let loads = view.plant.components.values().map(|c| match &c.kind {
        Kind::Load(l) => l.expected.max.as_kw(),
        _ => 0.0,
    });
    loads.sum()
}

/// Jump assumed before any was seen, and never forgotten.
fn first_jump(view: &View<'_>, name: &str) -> f64 {
    let part = if name == "site" { 0.25 } else { 0.15 };
    part * most_load(view)
}

/// Larger jumps are forgotten over days.
const MEMORY_H: f64 = 72.0;

/// Memory of the largest jumps after this cycle.
pub fn learn_jumps(view: &View<'_>, decided: &Decided, marks: &mut BTreeMap<String, (Timestamp, f64)>) {
    for (name, kw) in uncontrolled(view, decided) {
        let flow = format!("flow/{name}");
        let before = view.mark(&flow);
        marks.insert(flow, (view.now, kw));
        let Some((then, before)) = before else { continue };
        let dt = view.now - then;
        for up in [true, false] {
            let mark = jump_mark(&name, up);
            let held = view.mark(&mark).map_or(first_jump(view, &name), |(_, held)| held);
            let held = held * (-hours(dt) / MEMORY_H).exp();
            let jump = if up { kw - before } else { before - kw };
            // over a gap anything may have moved: that says nothing of a cycle
            let seen = if dt <= view.cycle() * 3 { jump } else { 0.0 };
            marks.insert(mark, (view.now, held.max(seen)));
        }
    }
}

/// Bound for grants: the margin, and the jump beyond what is tolerated for one cycle.
fn granted(limit: f64, jump: f64) -> f64 {
    limit - (MARGIN * limit).max(LARGER * jump - TOLERATED * limit)
}

fn connection(view: &View<'_>, decided: &Decided, bounds: &mut Vec<Bound>) {
    let Some(point) = &view.plant.connection else { return };
    let Some(total) = view.snapshot.grid.and_then(|g| g.usable()) else {
        return;
    };
    let own: f64 = decided.values().sum();
    let base = total.as_kw() - own;
    let (import, import_code) = limited(view, Direction::Import, point.import_max.as_kw());
    let (export, export_code) = limited(view, Direction::Export, point.export_max.as_kw());
    let all: BTreeMap<Id, f64> = view.plant.components.keys().map(|id| (id.clone(), 1.0)).collect();
    let extra = silent(view, decided, |_, _| 1.0);
    // where meter and parts contradict each other, limits are kept under both
    let (in_more, out_more) = view.snapshot.astray.map_or((0.0, 0.0), |a| (a.import, a.export));
    let up = granted(import, volatility(view, "site", true, base));
    let down = granted(export, volatility(view, "site", false, base));
    bounds.push(Bound {
        code: import_code,
        limit: import,
        max: up,
        min: f64::NEG_INFINITY,
        high: base + extra + in_more,
        low: base,
        seen: base + in_more,
        hard: import * (1.0 - MARGIN),
        share: all.clone(),
    });
    bounds.push(Bound {
        code: export_code,
        limit: export,
        max: f64::INFINITY,
        min: -down,
        high: base,
        low: base - out_more,
        seen: base - out_more,
        hard: f64::INFINITY,
        share: all,
    });
    for p in 0..view.phases() {
        phase(view, p, decided, total.as_kw(), bounds);
    }
}

/// The site's own limit or a tighter one from outside.
fn limited(view: &View<'_>, direction: Direction, own: f64) -> (f64, ReasonCode) {
    let code = match direction {
        Direction::Import => ReasonCode::LimitImport,
        Direction::Export => ReasonCode::LimitExport,
    };
    match view.state.limits.get(&direction) {
        Some(l) if l.until > view.now && l.power.as_kw() < own => (l.power.as_kw().max(0.0), code),
        _ => (own, code),
    }
}

fn phase(view: &View<'_>, p: usize, decided: &Decided, total: f64, bounds: &mut Vec<Bound>) {
    let Some(point) = &view.plant.connection else { return };
    let limit = point.fuse.as_amps() * view.volts() / 1e3;
    let flow = phase_flow(view, p).unwrap_or(total / view.phases() as f64);
    let base = flow - on_phase(view, decided, p);
    let share: BTreeMap<Id, f64> = view
        .plant
        .components
        .iter()
        .map(|(id, c)| (id.clone(), view.phase_shares(c)[p]))
        .filter(|(_, s)| *s > 0.0)
        .collect();
    let extra = silent(view, decided, |view, c| view.phase_shares(c)[p]);
    let name = format!("L{}", p + 1);
    bounds.push(Bound {
        code: ReasonCode::LimitFuse,
        limit: point.fuse.as_amps(),
        max: granted(limit, volatility(view, &name, true, base)),
        min: -granted(limit, volatility(view, &name, false, base)),
        high: base + extra,
        low: base,
        seen: base,
        hard: limit * (1.0 - MARGIN),
        share,
    });
}

/// kW through one phase at the meter, import positive: the current where it is shown, as that is what a fuse feels.
fn phase_flow(view: &View<'_>, p: usize) -> Option<f64> {
    use Quantity::*;
    let meter = &view.plant.connection.as_ref()?.meter;
    let (power, current) = [
        (ActivePowerL1, CurrentL1),
        (ActivePowerL2, CurrentL2),
        (ActivePowerL3, CurrentL3),
    ][p];
    let power = view.snapshot.usable(meter, power);
    let total = view.snapshot.grid.and_then(|g| g.usable()).map(|g| g.as_kw());
    let sign = if power.or(total)? < 0.0 { -1.0 } else { 1.0 };
    let current = view
        .snapshot
        .usable(meter, current)
        .map(|a| a.abs() * view.volts() / 1e3 * sign);
    current.or(power)
}

fn on_phase(view: &View<'_>, decided: &Decided, p: usize) -> f64 {
    let parts = decided
        .iter()
        .filter_map(|(id, kw)| Some((view.plant.components.get(id)?, kw)));
    parts.map(|(c, kw)| view.phase_shares(c)[p] * kw).sum()
}

/// What silent components may draw beyond what they did when last heard, kW.
fn silent(view: &View<'_>, decided: &Decided, share: impl Fn(&View<'_>, &Component) -> f64) -> f64 {
    let parts = view
        .plant
        .components
        .iter()
        .filter(|(id, _)| !decided.contains_key(*id));
    parts.map(|(id, c)| share(view, c) * worst_rise(view, id, c)).sum()
}

/// A charger that was heard to have no car draws nothing; anything else that may be told and is silent may draw its most.
fn worst_rise(view: &View<'_>, id: &Id, component: &Component) -> f64 {
    if view.reachable(id) && view.power(id).is_some() {
        return 0.0;
    }
    let most = match &component.kind {
        Kind::ChargePoint(p) if view.state.sessions.contains_key(id) => {
            p.current_max.as_amps() * view.kw_per_amp(component)
        }
        Kind::HeatPump(h) => h.electric_max.as_kw(),
        Kind::Battery(b) if !b.grid_forming => b.charge_max.as_kw(),
        _ => return 0.0,
    };
    let known = view
        .snapshot
        .reading(id, Quantity::ActivePower)
        .and_then(|r| r.last_known());
    (most - known.unwrap_or(0.0).max(0.0)).max(0.0)
}

fn circuit(view: &View<'_>, circuit: &Id, decided: &Decided, bounds: &mut Vec<Bound>) {
    let Some(c) = view.plant.circuits.get(circuit) else {
        return;
    };
    let members: Vec<(&Id, &Component)> = view
        .plant
        .components
        .iter()
        .filter(|(_, m)| m.circuit.as_ref().is_some_and(|own| is_under(view, own, circuit)))
        .collect();
    if let Some(kw) = c.power_max {
        let ones = |_: &Component| 1.0;
        bounds.push(circuit_bound(view, &members, decided, kw.as_kw(), kw.as_kw(), ones));
    }
    if let Some(fuse) = c.fuse {
        let kw = fuse.as_amps() * view.volts() / 1e3;
        for p in 0..view.phases() {
            let share = |m: &Component| view.phase_shares(m)[p];
            bounds.push(circuit_bound(view, &members, decided, kw, fuse.as_amps(), share));
        }
    }
}

fn circuit_bound(
    view: &View<'_>,
    members: &[(&Id, &Component)],
    decided: &Decided,
    kw: f64,
    shown: f64,
    share: impl Fn(&Component) -> f64,
) -> Bound {
    let mut base = 0.0;
    let mut extra = 0.0;
    let mut wild = false;
    for (id, m) in members.iter().filter(|(id, _)| !decided.contains_key(*id)) {
        wild |= matches!(m.kind, Kind::Load(_) | Kind::HeatPump(_));
        base += share(m) * flow_in(view, id, m);
        extra += share(m) * worst_rise(view, id, m);
    }
    // what is only told what to draw does not jump: nearly all of the limit may be granted
    let margin = if wild { MARGIN } else { 0.005 };
    let all = members.iter().map(|(id, m)| ((*id).clone(), share(m)));
    Bound {
        code: ReasonCode::LimitFuse,
        limit: shown,
        max: kw * (1.0 - margin),
        min: -kw * (1.0 - margin),
        high: base + extra,
        low: base,
        seen: base,
        hard: kw * (1.0 - margin),
        share: all.filter(|(_, s)| *s > 0.0).collect(),
    }
}

/// Measured flow of a member, or the most it is expected to draw.
fn flow_in(view: &View<'_>, id: &Id, member: &Component) -> f64 {
    if let Some(kw) = view.power(id) {
        return kw;
    }
    match &member.kind {
        Kind::Load(l) => match view.snapshot.residual.and_then(|r| r.usable()) {
            Some(kw) => kw.as_kw(),
            None => l.expected.max.as_kw(),
        },
        Kind::SheddableLoad(l) => l.expected.max.as_kw(),
        Kind::ShiftableLoad(l) => l.power.as_kw(),
        _ => 0.0,
    }
}

fn is_under(view: &View<'_>, from: &Id, circuit: &Id) -> bool {
    let mut at = Some(from);
    // as many steps as there are circuits end every chain, even a circular one
    for _ in 0..=view.plant.circuits.len() {
        match at {
            Some(id) if id == circuit => return true,
            Some(id) => at = view.plant.circuits.get(id).and_then(|c| c.parent.as_ref()),
            None => return false,
        }
    }
    false
}
