//! Is one value believable by itself? Range by rating, patterns that mean "not available", no change faster than the
//! rating allows, counters that only rise.
//!
//! A value that is not believed is replaced by the last good one as long as that is fresh (two or three polls), marked as
//! held; after that there is none. What comes back at another level and stays there (a counter that was reset, a state of
//! charge that was calibrated) is believed from then on.
//!
//! A power of exactly zero that comes with a counter back at zero is an answer full of zeros until it has been repeated: a
//! meter that truly restarted shows its power, and only its counters begin again.

use crate::model::{Doubt, DoubtKind, Measurement, Quantity, Suspicion};
use crate::reading::Reading;
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use crate::units::hours;
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};

/// Ratings are exceeded a little in reality (inverter overload, meter tolerance).
const MARGIN: f64 = 1.5;
/// A new level of a counter or state of charge is believed after this many polls.
const SETTLED: u32 = 4;
/// A counter below this shows nothing, and has fallen when it showed more than this before, kWh.
const EMPTY_KWH: f64 = 0.01;
/// Bit patterns of "not available" and their neighbours, as unsigned and signed numbers.
const SENTINELS: [f64; 8] = [
    65_535.0,
    65_534.0,
    32_768.0,
    32_767.0,
    4_294_967_295.0,
    4_294_967_294.0,
    2_147_483_648.0,
    2_147_483_647.0,
];

/// What one value is checked against.
pub struct Judge<'a> {
    pub plant: &'a Plant,
    pub now: Timestamp,
    pub max_age: TimeDelta,
    /// Last believed value by "component/quantity".
    pub accepted: &'a mut BTreeMap<String, (Timestamp, f64)>,
    /// Components of which a counter fell back to zero in this cycle ([`emptied`]).
    pub emptied: &'a BTreeSet<Id>,
    pub suspicions: &'a mut BTreeMap<String, Suspicion>,
    pub doubts: &'a mut Vec<Doubt>,
}

/// What is wrong, and whether it may turn out to be the truth.
struct Fault {
    kind: DoubtKind,
    why: String,
    may_be_true: bool,
}

impl Judge<'_> {
    /// The reading; or the last good one, held; or none.
    pub fn check(&mut self, component: &Id, quantity: Quantity, reading: Reading<f64>) -> Reading<f64> {
        let Some(value) = reading.usable() else { return reading };
        let Some(key) = key(component, quantity) else {
            return match self.lone_fault(component, quantity, value, None) {
                None => reading,
                Some(fault) => {
                    self.doubt(component, quantity, &fault);
                    Reading::invalid(reading.at())
                }
            };
        };
        let before = self.accepted.get(&key).copied();
        let fault = self
            .lone_fault(component, quantity, value, before.map(|(_, v)| v))
            .or_else(|| self.moved(component, quantity, value, reading.at(), before));
        let Some(fault) = fault else {
            self.suspicions.remove(&key);
            self.accepted.insert(key, (reading.at(), value));
            return reading;
        };
        if self.is_settled(&key, &fault, value, reading.at()) {
            self.accepted.insert(key, (reading.at(), value));
            return reading;
        }
        self.doubt(component, quantity, &fault);
        let held = before.map(|(at, v)| Reading::good(v, at).aged(self.now, self.max_age).held());
        held.filter(|r| r.usable().is_some())
            .unwrap_or(Reading::invalid(reading.at()))
    }

    fn doubt(&mut self, component: &Id, quantity: Quantity, fault: &Fault) {
        self.doubts.push(Doubt {
            component: component.clone(),
            quantity,
            kind: fault.kind,
            why: fault.why.clone(),
            why_ko: None,
        });
    }

    /// Counts polls that say the same; a level that stays is the new truth.
    fn is_settled(&mut self, key: &str, fault: &Fault, value: f64, at: Timestamp) -> bool {
        let fresh = || Suspicion::new(fault.kind, value, at);
        let s = self.suspicions.entry(key.to_owned()).or_insert_with(fresh);
        let near = (value - s.value).abs() <= 0.02 * value.abs().max(s.value.abs()) + 0.05;
        if s.kind != fault.kind || !near {
            *s = fresh();
        }
        if s.polls == 0 || at > s.last {
            (s.last, s.value) = (at, value);
            s.polls += 1;
        }
        if fault.may_be_true && s.polls >= SETTLED {
            self.suspicions.remove(key);
            return true;
        }
        false
    }

    fn lone_fault(&self, component: &Id, quantity: Quantity, value: f64, before: Option<f64>) -> Option<Fault> {
        let fault = |kind, why| Fault {
            kind,
            why,
            may_be_true: false,
        };
        if !value.is_finite() {
            return Some(fault(DoubtKind::Range, format!("{value} is not a number")));
        }
        let (low, high) = range(self.plant, component, quantity)?;
        if (low..=high).contains(&value) {
            // Inside the range only a jump to such a number is one: a large meter passes it now and then.
            let jumped = before.is_none_or(|b| (value - b).abs() > 0.2 * high);
            let large = value.abs() > 0.3 * high.max(1.0);
            let why = sentinel(quantity, value).filter(|_| jumped && large && quantity == Quantity::ActivePower)?;
            return Some(fault(DoubtKind::Sentinel, why));
        }
        let inside = |v: f64| (low..=high).contains(&v);
        let outside = format!("{value:.3} lies outside {low:.1} to {high:.1}");
        Some(if let Some(why) = sentinel(quantity, value) {
            fault(DoubtKind::Sentinel, why)
        } else if quantity == Quantity::ActivePower && inside(-value) {
            fault(DoubtKind::Sign, format!("{outside}: its sign may be turned"))
        } else if quantity == Quantity::ActivePower && value.abs() > 20.0 * high && inside(value / 1e3) {
            fault(
                DoubtKind::Unit,
                format!("{outside}: it may be a thousand times too large"),
            )
        } else if value.abs() > 1e3 * high.abs().max(low.abs()) {
            fault(
                DoubtKind::WordOrder,
                format!("{outside}: its words may be in the wrong order"),
            )
        } else {
            fault(DoubtKind::Range, outside)
        })
    }

    /// Against the last believed value.
    fn moved(
        &self,
        component: &Id,
        quantity: Quantity,
        value: f64,
        at: Timestamp,
        before: Option<(Timestamp, f64)>,
    ) -> Option<Fault> {
        let (since, before) = before?;
        let h = hours((at - since).max(TimeDelta::zero()));
        let fault = |kind, why| {
            Some(Fault {
                kind,
                why,
                may_be_true: true,
            })
        };
        let most = power_range(self.plant, component).map(|(low, high)| low.abs().max(high))?;
        match quantity {
            Quantity::ActivePower => {
                let blank = value == 0.0 && before != 0.0 && self.emptied.contains(component);
                let why = || format!("0 kW after {before:.3} kW, while its counters went back to zero");
                if blank { fault(DoubtKind::Reset, why()) } else { None }
            }
            Quantity::StateOfCharge => {
                let Some(Kind::Battery(b)) = self.plant.components.get(component).map(|c| &c.kind) else {
                    return None;
                };
                let step = most * h / b.capacity.as_kwh().max(1e-3) + 0.03;
                let jump = (value - before).abs();
                let why = || {
                    format!(
                        "it moved from {:.0} % to {:.0} % at once",
                        before * 100.0,
                        value * 100.0
                    )
                };
                if jump > step {
                    fault(DoubtKind::Spike, why())
                } else {
                    None
                }
            }
            Quantity::EnergyImport | Quantity::EnergyExport => {
                if value < before - EMPTY_KWH {
                    let why = format!("the counter fell from {before:.2} to {value:.2} kWh");
                    return fault(DoubtKind::Reset, why);
                }
                if value - before > most * h + 1.0 {
                    return fault(
                        DoubtKind::Leap,
                        format!("the counter leapt by {:.2} kWh", value - before),
                    );
                }
                None
            }
            _ => None,
        }
    }
}

/// Components of which a counter stands at zero that did not before.
pub fn emptied(list: &[Measurement], accepted: &BTreeMap<String, (Timestamp, f64)>) -> BTreeSet<Id> {
    let is_counter = |m: &&Measurement| matches!(m.quantity, Quantity::EnergyImport | Quantity::EnergyExport);
    let fell = |m: &&Measurement| {
        let before = key(&m.component, m.quantity).and_then(|k| accepted.get(&k));
        let shown = m.reading.usable();
        shown
            .zip(before)
            .is_some_and(|(v, (_, b))| v.abs() < EMPTY_KWH && *b > v + EMPTY_KWH)
    };
    let fallen = list.iter().filter(is_counter).filter(fell);
    fallen.map(|m| m.component.clone()).collect()
}

/// Where the last accepted value of a quantity is remembered; `None` for what is judged without its past.
pub fn key(component: &Id, quantity: Quantity) -> Option<String> {
    let name = match quantity {
        Quantity::ActivePower => "power",
        Quantity::StateOfCharge => "soc",
        Quantity::EnergyImport => "import",
        Quantity::EnergyExport => "export",
        Quantity::VoltageL1 => "volts-1",
        Quantity::VoltageL2 => "volts-2",
        Quantity::VoltageL3 => "volts-3",
        Quantity::Frequency => "hertz",
        _ => return None,
    };
    Some(format!("{component}/{name}"))
}

/// "Not available" times a power of ten.
fn sentinel(quantity: Quantity, value: f64) -> Option<String> {
    use Quantity::{ActivePower, EnergyExport, EnergyImport};
    if !matches!(quantity, ActivePower | EnergyImport | EnergyExport) {
        return None;
    }
    let is = |s: f64| (-4..=2).any(|k| (value.abs() / (s * 10f64.powi(k)) - 1.0).abs() < 1e-9);
    let found = SENTINELS.into_iter().find(|s| is(*s))?;
    Some(format!(
        "{value} is {found} scaled: the device means that it has no value"
    ))
}

/// Believable range in the quantity's own unit; `None` where anything goes.
fn range(plant: &Plant, component: &Id, quantity: Quantity) -> Option<(f64, f64)> {
    match quantity {
        Quantity::ActivePower => power_range(plant, component),
        Quantity::StateOfCharge => Some((0.0, 1.0)),
        Quantity::VoltageL1 => voltage_range(plant, component, 0),
        Quantity::VoltageL2 => voltage_range(plant, component, 1),
        Quantity::VoltageL3 => voltage_range(plant, component, 2),
        Quantity::Frequency => Some((45.0, 65.0)),
        Quantity::ChargePointState => Some((0.0, 5.0)),
        Quantity::TankTemperature => Some((-20.0, 110.0)),
        Quantity::RoomTemperature => Some((-20.0, 60.0)),
        Quantity::OutdoorTemperature => Some((-60.0, 60.0)),
        Quantity::EnergyImport | Quantity::EnergyExport | Quantity::SessionEnergy => Some((0.0, 1e9)),
        _ => None,
    }
}

/// V: the network's nominal voltage with what faults of a network make of it (EN 50160 allows -15 to +10 %); `None` for a
/// phase that the component does not have.
fn voltage_range(plant: &Plant, component: &Id, phase: usize) -> Option<(f64, f64)> {
    let used = plant.components.get(component).is_none_or(|c| c.phases[phase]);
    let Some(point) = &plant.connection else {
        return used.then_some((80.0, 300.0));
    };
    let nominal = point.voltage.as_volts();
    let used = used && phase < usize::from(point.phases);
    used.then_some((0.6 * nominal, 1.35 * nominal))
}

/// kW, from what the component can do.
pub fn power_range(plant: &Plant, component: &Id) -> Option<(f64, f64)> {
    let voltage = plant.connection.as_ref().map_or(0.23, |c| c.voltage.as_volts() / 1e3);
    let c = plant.components.get(component)?;
    let phases = c.phases.iter().filter(|p| **p).count() as f64;
    let (low, high) = match &c.kind {
        Kind::Meter(_) => {
            let point = plant.connection.as_ref()?;
            // A fuse carries twice its rating for a while; a meter must still be believed then.
            let most = 3.0 * point.fuse.as_amps() * voltage * 2.0;
            (-most, most)
        }
        Kind::Pv(p) => (-p.inverter_max.max(p.peak).as_kw(), 0.1 * p.inverter_max.as_kw()),
        Kind::Battery(b) => (-b.discharge_max.as_kw(), b.charge_max.as_kw()),
        Kind::ChargePoint(p) => {
            let most = p.current_max.as_amps() * voltage * phases;
            (-0.1, most)
        }
        Kind::HeatPump(h) => (-0.1, h.electric_max.as_kw()),
        Kind::Generator(g) => (-g.power_max.as_kw(), 0.1 * g.power_max.as_kw()),
        Kind::ShiftableLoad(l) => (-0.1, l.power.as_kw()),
        Kind::SheddableLoad(l) => (-0.1, 2.0 * l.expected.max.as_kw()),
        Kind::Load(l) => (-0.1, 3.0 * l.expected.max.as_kw()),
    };
    Some((low * MARGIN - 0.05, high * MARGIN + 0.05))
}
