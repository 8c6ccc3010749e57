//! Every limit of the site as one kind of bound, composed by intersection only: connection point (contract, fuse of each
//! phase, external limits, demand target) and nested circuits. Counts every component and the load nobody meters.
//!
//! What is told to others is computed from measured flow minus the own measured flow of what is decided here, so that
//! one's own action is never taken for somebody else's. New consumption is granted only below the limit minus a margin
//! that covers what may jump up before the next cycle; a component counts with the larger of told and measured, and what
//! cannot be told with what it may do ([`super::may`]). Of the flow of others the last two looks count, the worse of them:
//! one look may be a glitch.

use super::may::{self, Start};
use super::others::{Decided, Flow, both_looks, least_others, most_others, others, phase_name, volatility};
use super::slow;
use super::view::View;
use crate::model::{DeviceHealth, Direction, ReasonCode};
use crate::site::{Component, Id, Kind};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Bound {
    code: ReasonCode,
    /// The limit itself, for the reason.
    limit: f64,
    /// Bounds for new grants, margins taken off.
    max: f64,
    min: f64,
    /// What may start by itself, beyond what was taken for it: a component gives way to others, not to itself.
    starts: Vec<(Id, f64)>,
    /// Limit in kW with what is tolerated above it for a moment: a start stays below that.
    peak: f64,
    /// Flow if everything so far draws its most, and its least.
    high: f64,
    low: f64,
    /// What storage and heat pumps take in now and give up for others: a cycle later, when they are seen to.
    storing: f64,
    /// Flow as measured without what is decided here, and the bound beyond which storage must help.
    seen: f64,
    hard: f64,
    share: BTreeMap<Id, f64>,
}

impl Bound {
    /// Bound for new grants to a component, with room for what else may start.
    fn max_for(&self, id: &Id) -> f64 {
        let others = self.starts.iter().filter(|(who, _)| who != id);
        let start = others.map(|(_, kw)| *kw).fold(0.0, f64::max);
        self.max.min(self.peak - start)
    }
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
/// The same where nothing but what is told draws: how much may start by itself is known.
const TOLERATED_TOLD: f64 = 0.095;
/// The next jump may be a little larger than any before.
const LARGER: f64 = 1.05;

impl Envelope {
    /// Before anything is decided.
    pub fn new(view: &View<'_>, flow: &Flow<'_>) -> Self {
        let mut bounds = Vec::new();
        let starts = may::starts(view);
        connection(view, flow, &starts, &mut bounds);
        for id in view.plant.circuits.keys() {
            circuit(view, id, (flow.decided, &starts), &mut bounds);
        }
        Self { bounds }
    }

    /// Most power the component may be given, and what holds it there.
    pub fn room_up(&self, id: &Id) -> (f64, Option<Held>) {
        self.over(id, |b, share| (b.max_for(id) - b.high) / share)
    }

    /// The same while what yields still takes in what it does now.
    pub fn room_now(&self, id: &Id) -> f64 {
        self.over(id, |b, share| (b.max_for(id) - b.high - b.storing) / share).0
    }

    /// Storage (or a heat pump) takes in so much now, and yields to others.
    pub fn stores(&mut self, id: &Id, kw: f64) {
        for b in &mut self.bounds {
            b.storing += b.share.get(id).map_or(0.0, |share| share * kw);
        }
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
                let own = b.starts.iter_mut().find(|(who, _)| who == id);
                if let Some((_, start)) = own {
                    *start -= share * high;
                }
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
            starts: Vec::new(),
            peak: f64::INFINITY,
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

/// What a jump may use of a limit until the next cycle corrects it: nothing while a link loses requests, because then nobody
/// knows that the next cycle does, nor while a component is known to follow late.
/// Share of the limit; `most` where every component follows at once.
fn tolerated(view: &View<'_>, most: f64) -> f64 {
    // a device that is silent for good takes no part in the correction
    let loses = |d: &DeviceHealth| d.online && d.link.lost_lately.is_some_and(|share| share > 0.0);
    if view.snapshot.devices.iter().any(loses) || slow::any(view) {
        0.0
    } else {
        most
    }
}

/// Bound for grants: the margin, and the jump beyond what is tolerated for one cycle.
fn granted(view: &View<'_>, limit: f64, jump: f64) -> f64 {
    limit - (MARGIN * limit).max(LARGER * jump - tolerated(view, TOLERATED) * limit)
}

fn connection(view: &View<'_>, flow: &Flow<'_>, starts: &[Start<'_>], bounds: &mut Vec<Bound>) {
    let Some(point) = &view.plant.connection else { return };
    let Some(seen) = others(view, flow, None) else { return };
    let [low, high] = both_looks(view, "site", seen);
    let (import, import_code) = limited(view, Direction::Import, point.import_max.as_kw());
    let (export, export_code) = limited(view, Direction::Export, point.export_max.as_kw());
    let all: BTreeMap<Id, f64> = view.plant.components.keys().map(|id| (id.clone(), 1.0)).collect();
    let lost = lost(view, flow, |_| 1.0);
    let most = most_others(view, flow.own);
    // what others cannot give is no room: the meter and the parts were read at different moments
    let least = least_others(view, flow.own, |_| 1.0);
    // where meter and parts contradict each other, limits are kept under both
    let (in_more, out_more) = view.snapshot.astray.map_or((0.0, 0.0), |a| (a.import, a.export));
    bounds.push(Bound {
        code: import_code,
        limit: import,
        max: granted(view, import, volatility(view, "site", true, seen, most)),
        min: f64::NEG_INFINITY,
        starts: shares(starts.iter(), |_| 1.0),
        peak: import * (1.0 + tolerated(view, TOLERATED)),
        high: high.max(least) + lost.high + in_more,
        low: low + lost.low,
        storing: 0.0,
        seen: seen.max(least) + lost.seen + in_more,
        hard: import * (1.0 - MARGIN),
        share: all.clone(),
    });
    bounds.push(Bound {
        code: export_code,
        limit: export,
        max: f64::INFINITY,
        min: -granted(view, export, volatility(view, "site", false, seen, most)),
        starts: Vec::new(),
        peak: f64::INFINITY,
        high: high + lost.high,
        low: low + lost.low - out_more,
        storing: 0.0,
        seen: seen + lost.seen - out_more,
        hard: f64::INFINITY,
        share: all,
    });
    for p in 0..view.phases() {
        phase(view, p, flow, (most, starts), bounds);
    }
}

/// Shares of a bound in what may start by itself, kW.
fn shares<'s>(starts: impl Iterator<Item = &'s Start<'s>>, share: impl Fn(&Component) -> f64) -> Vec<(Id, f64)> {
    let all = starts.map(|(id, c, kw)| ((*id).clone(), share(c) * kw));
    all.filter(|(_, kw)| *kw > 0.0).collect()
}

/// The site's own limit or a tighter one from outside.
fn limited(view: &View<'_>, direction: Direction, own: f64) -> (f64, ReasonCode) {
    let code = match direction {
        Direction::Import => ReasonCode::LimitImport,
        Direction::Export => ReasonCode::LimitExport,
    };
    (view.state.limits.most_kw(direction, own, view.now), code)
}

fn phase(view: &View<'_>, p: usize, flow: &Flow<'_>, (most, starts): (f64, &[Start<'_>]), bounds: &mut Vec<Bound>) {
    let Some(point) = &view.plant.connection else { return };
    let Some(seen) = others(view, flow, Some(p)) else {
        return;
    };
    let limit = point.fuse.as_amps() * view.volts() / 1e3;
    let part = |c: &Component| view.phase_shares(c)[p];
    let parts = view.plant.components.iter().map(|(id, c)| (id.clone(), part(c)));
    let share: BTreeMap<Id, f64> = parts.filter(|(_, s)| *s > 0.0).collect();
    let lost = lost(view, flow, part);
    let name = phase_name(p);
    let [low, high] = both_looks(view, &name, seen);
    let least = least_others(view, flow.own, part);
    bounds.push(Bound {
        code: ReasonCode::LimitFuse,
        limit: point.fuse.as_amps(),
        max: granted(view, limit, volatility(view, &name, true, seen, most)),
        min: -granted(view, limit, volatility(view, &name, false, seen, most)),
        starts: shares(starts.iter(), part),
        peak: limit * (1.0 + tolerated(view, TOLERATED)),
        high: high.max(least) + lost.high,
        low: low + lost.low,
        storing: 0.0,
        seen: seen.max(least) + lost.seen,
        hard: limit * (1.0 - MARGIN),
        share,
    });
}

/// What could be told and is lost, kW: as last believed, and the range of what it may do.
#[derive(Default)]
struct Range {
    low: f64,
    high: f64,
    seen: f64,
}

fn lost(view: &View<'_>, flow: &Flow<'_>, share: impl Fn(&Component) -> f64) -> Range {
    let parts = view
        .plant
        .components
        .iter()
        .filter(|(id, _)| !flow.decided.contains_key(*id));
    parts.fold(Range::default(), |sum, (id, c)| {
        let (part, lost) = (share(c), may::lost(view, id, c));
        let seen = flow.own.get(id).copied().unwrap_or(0.0);
        Range {
            low: sum.low + part * (seen - lost.fall),
            high: sum.high + part * (seen + lost.rise),
            seen: sum.seen + part * seen,
        }
    })
}

fn circuit(view: &View<'_>, circuit: &Id, parts: (&Decided, &[Start<'_>]), bounds: &mut Vec<Bound>) {
    let Some(c) = view.plant.circuits.get(circuit) else {
        return;
    };
    let members: Vec<(&Id, &Component)> = view
        .plant
        .components
        .iter()
        .filter(|(_, m)| m.circuit.as_ref().is_some_and(|own| view.plant.is_under(own, circuit)))
        .collect();
    if let Some(kw) = c.power_max {
        let ones = |_: &Component| 1.0;
        bounds.push(circuit_bound(view, &members, parts, [kw.as_kw(); 2], ones));
    }
    if let Some(fuse) = c.fuse {
        let kw = fuse.as_amps() * view.volts() / 1e3;
        for p in 0..view.phases() {
            let share = |m: &Component| view.phase_shares(m)[p];
            bounds.push(circuit_bound(view, &members, parts, [kw, fuse.as_amps()], share));
        }
    }
}

/// `kw` is the limit, `shown` the same as people know it.
fn circuit_bound(
    view: &View<'_>,
    members: &[(&Id, &Component)],
    (decided, starts): (&Decided, &[Start<'_>]),
    [kw, shown]: [f64; 2],
    share: impl Fn(&Component) -> f64,
) -> Bound {
    let (mut low, mut high) = (0.0, 0.0);
    let mut wild = false;
    for (id, m) in members.iter().filter(|(id, _)| !decided.contains_key(*id)) {
        wild |= matches!(m.kind, Kind::Load(_) | Kind::HeatPump(_));
        let (least, most) = flow_in(view, id, m);
        low += share(m) * least;
        high += share(m) * most;
    }
    // what is only told what to draw does not jump: nearly all of the limit may be granted
    let (margin, briefly) = if wild {
        (MARGIN, TOLERATED)
    } else {
        (0.005, TOLERATED_TOLD)
    };
    let all: BTreeMap<Id, f64> = members.iter().map(|(id, m)| ((*id).clone(), share(m))).collect();
    // what is lost counts with what it may start already
    let own = starts
        .iter()
        .filter(|(id, ..)| all.contains_key(*id) && decided.contains_key(*id));
    Bound {
        code: ReasonCode::LimitFuse,
        limit: shown,
        max: kw * (1.0 - margin),
        min: -kw * (1.0 - margin),
        starts: shares(own, &share),
        peak: kw * (1.0 + tolerated(view, briefly)),
        high,
        low,
        storing: 0.0,
        seen: low,
        hard: kw * (1.0 - margin),
        share: all.into_iter().filter(|(_, s)| *s > 0.0).collect(),
    }
}

/// Least and most flow of a member that is not decided here, kW: as measured, else what it may do.
fn flow_in(view: &View<'_>, id: &Id, member: &Component) -> (f64, f64) {
    let lost = may::lost(view, id, member);
    match (&member.kind, view.power(id)) {
        (Kind::Load(l), None) => {
            let kw = unmetered(view).map_or(l.expected.max.as_kw(), |kw| kw.min(l.expected.max.as_kw()));
            (kw, kw)
        }
        (_, Some(kw)) => (kw - lost.fall, kw.max(lost.high)),
        (_, None) => (0.0, lost.high),
    }
}

/// Most that loads nobody measures draw now, kW: what the meter shows beyond what is known, with everything unknown giving
/// its most.
fn unmetered(view: &View<'_>) -> Option<f64> {
    if let Some(kw) = view.snapshot.residual.and_then(|r| r.usable()) {
        return Some(kw.as_kw());
    }
    view.snapshot.grid?;
    let rest = view.snapshot.rest?.usable()?.as_kw();
    let unknown = view.plant.components.iter().filter(|(id, _)| view.power(id).is_none());
    Some((rest + unknown.map(|(_, c)| may::gives(&c.kind)).sum::<f64>()).max(0.0))
}
