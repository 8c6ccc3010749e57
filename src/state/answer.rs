//! What the values of one answer say of each other. They were measured at the same moment, so that no lag excuses them: one
//! that is not believable takes the power of its answer with it; the power of the meter is the sum of its phases, and no
//! more than volts times amperes.

use super::Image;
use super::plausible::key;
use crate::model::{Doubt, DoubtKind, Quantity};
use crate::reading::{Quality, Reading};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;

const POWERS: [Quantity; 3] = [
    Quantity::ActivePowerL1,
    Quantity::ActivePowerL2,
    Quantity::ActivePowerL3,
];
const CURRENTS: [Quantity; 3] = [Quantity::CurrentL1, Quantity::CurrentL2, Quantity::CurrentL3];
const VOLTAGES: [Quantity; 3] = [Quantity::VoltageL1, Quantity::VoltageL2, Quantity::VoltageL3];

/// What total and phases may differ by: SunSpec meters round each to 100 W at worst; kW and share of the phases.
const SUM_KW: f64 = 0.25;
const SUM_SHARE: f64 = 0.05;
/// Apparent power may be read too low by so much: meter classes, and amperes rounded to 1 A; share, and kW a phase.
const APPARENT: f64 = 1.15;
const APPARENT_KW: f64 = 0.25;
/// Active power of at least this share of the apparent one is well supported by it.
const SUPPORTED: f64 = 0.5;
/// A wrong value speaks against the powers of its answer only while it is new, but at the grid meter: later it is that
/// value's own trouble.
const NEW: TimeDelta = TimeDelta::seconds(10);
/// A voltage below this share of the nominal one, or so many times above it, is none of any network.
const DEAD: f64 = 0.2;
/// Amperes tell the direction of a power from here on, kW.
const SIGNED_KW: f64 = 0.2;
/// The apparent power is remembered as right once it was above this, kW.
const KNOWN_KW: f64 = 0.5;

pub fn check(image: &mut Image<'_>) {
    spread(image);
    witnesses(image);
}

/// A doubted value takes the power of the same device's same answer with it.
fn spread(image: &mut Image<'_>) {
    let mut struck: Vec<(Id, String)> = Vec::new();
    for d in image.doubts.iter().filter(|d| speaks_of_its_answer(image, d)) {
        let Some(device) = image.devices.iter().find(|h| h.components.contains(&d.component)) else {
            continue;
        };
        let at = image.shown(&d.component, d.quantity).map(Reading::at);
        let network = is_of_the_network(d.quantity);
        let pattern = matches!(d.kind, DoubtKind::Sentinel | DoubtKind::WordOrder);
        // an inverter at rest shows no voltage for hours, and its powers are right
        if !is_new(image, d) && !image.is_grid(&d.component) {
            continue;
        }
        for id in &device.components {
            let own = *id == d.component && d.quantity != Quantity::ActivePower;
            let sibling = *id != d.component && (network || pattern);
            let same = at.is_some() && image.shown(id, Quantity::ActivePower).map(Reading::at) == at;
            if (own || sibling) && same && !struck.iter().any(|(other, _)| other == id) {
                let (name, of) = (d.quantity.series().0, image.plant.title(&d.component, false));
                struck.push((id.clone(), format!("{name} of {of} in the same answer: {}", d.why)));
            }
        }
    }
    for (id, why) in struck {
        image.hold_or_refuse(&id, DoubtKind::Answer, why);
    }
}

fn is_of_the_network(quantity: Quantity) -> bool {
    VOLTAGES.contains(&quantity) || quantity == Quantity::Frequency
}

/// Not what may be true (a counter that was reset), and not what the device never showed rightly: many give zero for what
/// they do not have. But a grid meter without any voltage on a phase does not measure it.
fn speaks_of_its_answer(image: &Image<'_>, d: &Doubt) -> bool {
    use DoubtKind::{Range, Sentinel, Sign, Unit, WordOrder};
    if !matches!(d.kind, Range | Sentinel | WordOrder | Unit | Sign) {
        return false;
    }
    let known = key(&d.component, d.quantity).is_some_and(|k| image.state.accepted.contains_key(&k));
    let nominal = image.plant.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts());
    let dead = |v: f64| !(DEAD * nominal..=nominal / DEAD).contains(&v);
    let volts = image.shown(&d.component, d.quantity).and_then(Reading::usable);
    let none = VOLTAGES.contains(&d.quantity) && volts.is_some_and(dead);
    known || (none && image.is_grid(&d.component))
}

fn is_new(image: &Image<'_>, d: &Doubt) -> bool {
    let key = key(&d.component, d.quantity);
    let suspicion = key.and_then(|k| image.state.suspicions.get(&k));
    suspicion.is_some_and(|s| image.now - s.since <= NEW)
}

/// One answer of the meter, phase by phase.
struct Phases {
    /// kW; `None` where the meter does not show it.
    active: Vec<Option<f64>>,
    /// V·A in kVA, with the sign of the amperes.
    apparent: Vec<Option<f64>>,
}

impl Phases {
    fn of(image: &Image<'_>, id: &Id, at: Timestamp) -> Option<Self> {
        let point = image.plant.connection.as_ref()?;
        let of = |q: Quantity| {
            let reading = image.reading(id, q)?;
            reading.usable().filter(|_| reading.at() == at)
        };
        let count = usize::from(point.phases.clamp(1, 3));
        let volts = |p: usize| of(VOLTAGES[p]).unwrap_or(point.voltage.as_volts());
        Some(Self {
            active: (0..count).map(|p| of(POWERS[p])).collect(),
            apparent: (0..count)
                .map(|p| of(CURRENTS[p]).map(|a| a * volts(p) / 1e3))
                .collect(),
        })
    }
    fn sum(&self) -> Option<f64> {
        self.active.iter().copied().sum()
    }
    fn apparent_sum(&self) -> Option<f64> {
        self.apparent.iter().map(|kva| kva.map(f64::abs)).sum()
    }
    /// Powers and amperes of all phases that carry something.
    fn loaded(&self) -> impl Iterator<Item = (f64, f64)> {
        let both = self.active.iter().zip(&self.apparent);
        let both = both.filter_map(|(active, apparent)| (*active).zip(*apparent));
        both.filter(|(kw, kva)| kw.abs() >= SIGNED_KW && kva.abs() >= SIGNED_KW)
    }
    fn differs_from(&self, total: f64) -> Option<f64> {
        let sum = self.sum()?;
        let size: f64 = self.active.iter().flatten().map(|kw| kw.abs()).sum();
        ((total - sum).abs() > SUM_KW + SUM_SHARE * size).then_some(sum)
    }
    /// Each phase has as much active power as its apparent power suggests.
    fn are_supported(&self) -> bool {
        let mut both = self.active.iter().zip(&self.apparent);
        both.all(|(active, apparent)| match (active, apparent) {
            (Some(kw), Some(kva)) => !is_above(*kw, *kva, 1.0) && kw.abs() >= SUPPORTED * kva.abs() - APPARENT_KW,
            _ => false,
        })
    }
}

/// More active than apparent power.
fn is_above(kw: f64, kva: f64, phases: f64) -> bool {
    kw.abs() > APPARENT * kva.abs() + APPARENT_KW * phases
}

/// The meter's total against its phases and against V·I.
fn witnesses(image: &mut Image<'_>) {
    let Some(id) = image.plant.connection.as_ref().map(|c| c.meter.clone()) else {
        return;
    };
    let believed = image
        .reading(&id, Quantity::ActivePower)
        .filter(|r| r.quality() == Quality::Good);
    let Some((total, at)) = believed.and_then(|r| Some((r.usable()?, r.at()))) else {
        return;
    };
    let Some(phases) = Phases::of(image, &id, at) else {
        return;
    };
    let count = phases.active.len() as f64;
    let above = phases.apparent_sum().is_some_and(|kva| is_above(total, kva, count));
    if let Some(sum) = phases.differs_from(total) {
        let words = format!("{total:.2} kW in all, but its phases are {sum:.2} kW together");
        let ko = format!("합계 {total:.2} kW, 상별 합 {sum:.2} kW: 서로 맞지 않음");
        if phases.are_supported() {
            image.replace(&id, sum, at);
            image.note(
                &id,
                DoubtKind::Answer,
                format!("{words}; volts and amperes fit the phases, their sum is used"),
                ko,
            );
        } else if above || phases.apparent_sum().is_none() || !is_apart(&phases) {
            image.hold_or_refuse(&id, DoubtKind::Answer, words);
        }
        return;
    }
    if is_turned(image, &id, &phases, at) {
        let why = format!("{total:.2} kW, but its amperes flow the other way");
        image.hold_or_refuse(&id, DoubtKind::Answer, why);
        return;
    }
    let mark = format!("{id}/apparent");
    let Some(kva) = phases.apparent_sum() else { return };
    if !above {
        if total.abs() >= KNOWN_KW {
            image.state.accepted.insert(mark, (at, kva));
        }
    } else if image.state.accepted.contains_key(&mark) {
        // meters without currents show zero: only what once fitted can contradict
        let why = format!("{total:.2} kW, but volts times amperes are only {kva:.2} kVA");
        image.hold_or_refuse(&id, DoubtKind::Answer, why);
    }
}

/// Power and amperes have different directions, at a meter whose amperes have shown that they know theirs.
fn is_turned(image: &mut Image<'_>, id: &Id, phases: &Phases, at: Timestamp) -> bool {
    let mark = format!("{id}/signed");
    if phases.loaded().any(|(kw, kva)| kw < 0.0 && kva < 0.0) {
        image.state.accepted.insert(mark, (at, 1.0));
        return false;
    }
    image.state.accepted.contains_key(&mark) && phases.loaded().any(|(kw, kva)| kw * kva < 0.0)
}

/// The phases contradict V·I, while the total does not: it is the phases that are wrong.
fn is_apart(phases: &Phases) -> bool {
    let mut both = phases.active.iter().zip(&phases.apparent);
    both.any(|(active, apparent)| matches!((active, apparent), (Some(kw), Some(kva)) if is_above(*kw, *kva, 1.0)))
}

impl Image<'_> {
    /// What the device showed, before anything was doubted.
    fn shown(&self, id: &Id, quantity: Quantity) -> Option<&Reading<f64>> {
        let mut of = self.scan.measurements.iter();
        of.find(|m| m.component == *id && m.quantity == quantity)
            .map(|m| &m.reading)
    }

    /// Puts another value of the same answer in the place of a power.
    fn replace(&mut self, id: &Id, kw: f64, at: Timestamp) {
        let own = self.components.entry(id.clone()).or_default();
        own.insert(Quantity::ActivePower, Reading::derived(kw, at));
        if let Some(k) = key(id, Quantity::ActivePower) {
            self.state.accepted.insert(k, (at, kw));
        }
    }

    /// The power is not believed: its last good value stands in for two or three polls, then there is none.
    fn hold_or_refuse(&mut self, id: &Id, kind: DoubtKind, why: String) {
        self.refuse(id, kind, why);
        let Some(k) = key(id, Quantity::ActivePower) else {
            return;
        };
        // What this cycle accepted was of the answer that is not believed.
        match self.before.get(id).copied() {
            Some((at, kw)) => {
                self.state.accepted.insert(k, (at, kw));
                let held = Reading::good(kw, at).aged(self.now, self.max_age).held();
                if held.usable().is_some()
                    && let Some(own) = self.components.get_mut(id)
                {
                    own.insert(Quantity::ActivePower, held);
                }
            }
            None => {
                self.state.accepted.remove(&k);
            }
        }
    }
}
