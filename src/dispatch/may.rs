//! What a component may do before the next decision reaches it: counted against the limits until it is seen not to.
//!
//! **In force.** A setpoint holds from the moment it may have been sent until another is seen to hold in its place: a sent but
//! unproved one counts with the one before it, whichever is larger.
//! **Lost.** A component that cannot be told counts with the larger of its last power and the setpoint still in force; once its
//! device must have fallen back (its timer and our lease are over), with what its device does by itself. Where nobody knows what
//! that is, with its most. A meter that sees it already counts only the rise above what it drew when last heard.
//! **Starts.** What may begin by itself: a charger at a plug-in begins at its own safe current unless it was seen to obey, a heat
//! pump runs on its thermostat or guards its tank, a device that restarts falls to its own control. One of them at a time is
//! kept free: two in the same cycle would be a coincidence.

use super::LEASE;
use super::view::View;
use crate::model::{CommandProof, DeviceHealth, Target};
use crate::site::{ChargePoint, Component, Id, Kind, command_of};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Highest power, kW and at least zero, that setpoints which may be in force let a component draw.
pub type InForce = BTreeMap<Id, f64>;
type Marks = BTreeMap<String, (Timestamp, f64)>;

/// A restart this long ago may be followed by another.
const RESTARTS_AGAIN: TimeDelta = TimeDelta::hours(1);
/// A tank this close to its least temperature may make the machine heat whatever it is told, K.
const GUARDS_TANK: f64 = 0.5;
/// A car that is told nothing and draws less than this obeys, kW; it is watched for so many cycles after its plug-in.
const DRAWS: f64 = 0.3;
const WATCHED: i32 = 4;

/// Setpoints that may be in force at the devices now, with what is to be remembered of them.
pub fn in_force(view: &View<'_>, marks: &mut Marks) -> InForce {
    let parts = view.plant.components.iter();
    parts
        .filter_map(|(id, c)| Some((id.clone(), of(view, id, c, marks)?)))
        .collect()
}

fn of(view: &View<'_>, id: &Id, c: &Component, marks: &mut Marks) -> Option<f64> {
    let newest = view.last(id).and_then(|l| told_kw(view, c, l.target)).unwrap_or(0.0);
    let name = format!("force/{id}");
    let known = view.mark(&name).map_or(0.0, |(_, kw)| kw);
    let before = newest.max(known);
    let older = match shown(view, id, c)? {
        Shown::Holds(kw) => kw,
        Shown::May(kw) => kw.max(before),
        Shown::Nothing => 0.0,
        Shown::Unheard => before,
    };
    // The newest order of this moment is the one before the next: a smaller one that fails leaves this in force.
    let force = newest.max(older);
    if (force - known).abs() > 1e-6 {
        marks.insert(name, (view.now, force));
    }
    Some(force)
}

/// What the device showed of our setpoint, kW.
enum Shown {
    Holds(f64),
    /// Sent, and not seen to hold.
    May(f64),
    Nothing,
    Unheard,
}

fn shown(view: &View<'_>, id: &Id, c: &Component) -> Option<Shown> {
    command_of(&c.kind)?;
    let online = view.device(id).is_none_or(|d| d.online);
    let held = view.command(id);
    let Some(kw) = held.and_then(|h| in_kw(view, c, h.value?)) else {
        return Some(if online { Shown::Nothing } else { Shown::Unheard });
    };
    let proved = held.is_some_and(|h| h.proof == CommandProof::Verified);
    Some(if proved && online {
        Shown::Holds(kw)
    } else {
        Shown::May(kw)
    })
}

/// A command's value as the most that it lets the component draw, kW.
fn in_kw(view: &View<'_>, c: &Component, value: f64) -> Option<f64> {
    match &c.kind {
        Kind::ChargePoint(_) => Some(value * view.kw_per_amp(c)),
        Kind::Battery(_) | Kind::HeatPump(_) => Some(value),
        _ => None,
    }
}

/// Most that a target lets a component draw, kW; `None` where it bounds nothing.
pub fn told_kw(view: &View<'_>, c: &Component, target: Target) -> Option<f64> {
    match (&c.kind, target) {
        (Kind::ChargePoint(_), Target::Current(a)) => Some(a.as_amps() * view.kw_per_amp(c)),
        (Kind::Battery(_) | Kind::HeatPump(_), Target::Power(p)) => Some(p.as_kw().max(0.0)),
        (Kind::SheddableLoad(l), Target::On(true)) => Some(l.expected.max.as_kw()),
        (Kind::ShiftableLoad(l), Target::On(true)) => Some(l.power.as_kw()),
        _ => None,
    }
}

/// What a component that cannot be told may draw, kW.
pub struct Lost {
    /// At most, where nothing measures it.
    pub high: f64,
    /// More than it drew when last heard, where a meter sees it.
    pub rise: f64,
    /// Less than then: generation that a limit of ours held down.
    pub fall: f64,
}

pub fn lost(view: &View<'_>, id: &Id, c: &Component) -> Lost {
    let free = is_free(view, id);
    let known = view.drawn(id);
    let told = view.in_force(id);
    let own = by_itself(view, id, c);
    let (high, rise) = match &c.kind {
        Kind::ChargePoint(_) | Kind::HeatPump(_) | Kind::Battery(_) if free => (own, 0.0),
        Kind::SheddableLoad(_) | Kind::ShiftableLoad(_) if free => (own, own - known.unwrap_or(own)),
        // it was heard to have no car: what begins at a plug-in is kept free as a start
        Kind::ChargePoint(_) if !view.state.sessions.contains_key(id) => (own, 0.0),
        Kind::ChargePoint(_) | Kind::HeatPump(_) | Kind::SheddableLoad(_) | Kind::ShiftableLoad(_) => {
            let high = told.max(known.unwrap_or(0.0));
            (high, high - known.unwrap_or(0.0).max(0.0))
        }
        Kind::Battery(b) if !b.grid_forming => {
            let high = told.max(known.unwrap_or(0.0)).max(0.0);
            (high, high - known.unwrap_or(0.0))
        }
        _ => (0.0, 0.0),
    };
    Lost {
        high,
        rise: rise.max(0.0),
        fall: unlimited(view, id, c, free),
    }
}

/// PV whose limit has run out gives what the sun gives.
fn unlimited(view: &View<'_>, id: &Id, c: &Component, free: bool) -> f64 {
    let limited = view.last(id).is_some_and(|l| matches!(l.target, Target::PowerLimit(_)));
    match &c.kind {
        Kind::Pv(p) if limited && free => (p.inverter_max.as_kw() + view.drawn(id).unwrap_or(0.0)).max(0.0),
        _ => 0.0,
    }
}

/// Nothing of ours is in force any more: never told, given back, or its device must have fallen back by its own timer.
fn is_free(view: &View<'_>, id: &Id) -> bool {
    let Some(last) = view.last(id).filter(|l| l.target != Target::Release) else {
        return true;
    };
    let timer = view.on_loss(id).and_then(|l| l.reverts_s).filter(|s| *s > 0.0);
    timer.is_some_and(|s| view.now - last.at > LEASE.max(view.cycle() * 3) + TimeDelta::milliseconds((s * 1e3) as i64))
}

/// The device may have fallen back already: its setpoint is not known to be refreshed, or its timer may be running out.
fn may_be_free(view: &View<'_>, id: &Id) -> bool {
    let held = view.command(id).map(|c| &c.proof);
    let refreshed = matches!(held, Some(CommandProof::Verified | CommandProof::Pending));
    let Some(last) = view.last(id).filter(|_| refreshed) else {
        return true;
    };
    // Setpoints are refreshed at least twice within the timer.
    let timer = view.on_loss(id).and_then(|l| l.reverts_s).filter(|s| *s > 0.0);
    timer.is_some_and(|s| view.now - last.at > TimeDelta::milliseconds((s * 500.0) as i64))
}

/// Most that a component draws under its device's own control, kW.
fn by_itself(view: &View<'_>, id: &Id, c: &Component) -> f64 {
    match &c.kind {
        // another controller may tell it anything
        Kind::ChargePoint(p) if view.is_left(id) => p.current_max.as_amps() * view.kw_per_amp(c),
        Kind::ChargePoint(p) => safe_current(view, id, p) * view.kw_per_amp(c),
        Kind::HeatPump(h) => h.electric_max.as_kw(),
        Kind::Battery(b) if !b.grid_forming => b.charge_max.as_kw(),
        Kind::SheddableLoad(l) => l.expected.max.as_kw(),
        Kind::ShiftableLoad(l) => l.power.as_kw(),
        _ => 0.0,
    }
}

/// Amperes at which a charger goes on without us, as it shows them; where it shows none, its most once it was told something
/// and is lost, the least at which a car charges at a plug-in.
fn safe_current(view: &View<'_>, id: &Id, p: &ChargePoint) -> f64 {
    let most = p.current_max.as_amps();
    let shown = view.on_loss(id).and_then(|l| l.falls_to);
    let assumed = if view.reachable(id) || !view.state.sessions.contains_key(id) {
        p.current_min.as_amps()
    } else {
        most
    };
    shown.map_or(assumed, |a| if a < p.current_min.as_amps() { 0.0 } else { a.min(most) })
}

/// Most that a component gives, kW.
pub fn gives(kind: &Kind) -> f64 {
    match kind {
        Kind::Pv(p) => p.inverter_max.as_kw(),
        Kind::Battery(b) => b.discharge_max.as_kw(),
        Kind::Generator(g) => g.power_max.as_kw(),
        _ => 0.0,
    }
}

/// A component that may come on by itself, and how far, kW.
pub type Start<'p> = (&'p Id, &'p Component, f64);

pub fn starts<'p>(view: &View<'p>) -> Vec<Start<'p>> {
    let own = view.plant.components.iter();
    let able = own.filter(|(_, c)| matches!(c.kind, Kind::ChargePoint(_) | Kind::HeatPump(_)));
    let all = able.map(|(id, c)| (id, c, start(view, id, c)));
    all.filter(|(.., kw)| *kw > 0.0).collect()
}

/// Power that may come on by itself in the next cycle, kW; of what is lost, beyond what it counts with already.
fn start(view: &View<'_>, id: &Id, c: &Component) -> f64 {
    let own = by_itself(view, id, c);
    if !view.reachable(id) {
        let car = matches!(c.kind, Kind::ChargePoint(_));
        let alone = may_be_free(view, id) || car && (view.is_left(id) || !view.state.sessions.contains_key(id));
        let drawn = view.drawn(id).unwrap_or(0.0);
        let counted = if is_free(view, id) {
            drawn
        } else {
            drawn.max(view.in_force(id))
        };
        return if alone { (own - counted).max(0.0) } else { 0.0 };
    }
    let alone = match &c.kind {
        Kind::ChargePoint(_) if !view.state.sessions.contains_key(id) => !obeys_at_plug_in(view, id),
        Kind::ChargePoint(_) => restarts(view, id),
        Kind::HeatPump(h) => {
            let tank = view.snapshot.usable(id, crate::model::Quantity::TankTemperature);
            let low = h.tank.min.as_celsius() + GUARDS_TANK;
            let told = view.last(id).is_some_and(|l| matches!(l.target, Target::Power(_)));
            !told || tank.is_none_or(|t| t < low) || restarts(view, id)
        }
        _ => false,
    };
    if alone { own } else { 0.0 }
}

fn restarts(view: &View<'_>, id: &Id) -> bool {
    let seen = view.mark(&format!("restart/{id}"));
    seen.is_some_and(|(at, _)| view.now - at < RESTARTS_AGAIN)
}

fn obeys_at_plug_in(view: &View<'_>, id: &Id) -> bool {
    view.mark(&format!("plug-in/{id}"))
        .is_some_and(|(_, obeys)| obeys > 0.0)
}

/// Remembers restarts of devices, and whether a charger that was told nothing began by itself when its car came.
pub fn learn(view: &View<'_>, marks: &mut Marks) {
    for (id, c) in &view.plant.components {
        if let Some(device) = view.device(id).filter(|d| d.link.restarts > 0) {
            restarted(view, id, device, marks);
        }
        if matches!(c.kind, Kind::ChargePoint(_)) {
            plugged_in(view, id, marks);
        }
    }
}

fn restarted(view: &View<'_>, id: &Id, device: &DeviceHealth, marks: &mut Marks) {
    let name = format!("restart/{id}");
    let count = device.link.restarts as f64;
    if view.mark(&name).is_none_or(|(_, seen)| seen != count) {
        marks.insert(name, (view.now, count));
    }
}

fn plugged_in(view: &View<'_>, id: &Id, marks: &mut Marks) {
    let Some(session) = view.state.sessions.get(id) else {
        return;
    };
    let nothing = view.in_force(id) <= 0.0 && view.last(id).is_some_and(|l| l.mode_since <= session.since);
    let (Some(kw), true) = (view.power(id), nothing) else {
        return;
    };
    let name = format!("plug-in/{id}");
    let age = view.now - session.since;
    if kw > DRAWS {
        marks.insert(name, (view.now, 0.0));
    } else if age >= view.cycle() * WATCHED && age < view.cycle() * (2 * WATCHED) && view.mark(&name).is_none() {
        marks.insert(name, (view.now, 1.0));
    }
}
