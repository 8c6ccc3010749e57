//! Watches every limit of the plant: connection point, circuits, fuses by phase.

use crate::site::{Id, Plant};
use std::collections::BTreeMap;

/// Above this a limit is broken at once (INTERFACE: policies and money).
const AT_ONCE: f64 = 1.10;
/// Rounding of registers and currents.
const TOLERANCE: f64 = 1.002;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitBook {
    pub breaches: u64,
    pub worst_excess_kw: f64,
    /// Minutes during which some limit was used to 95 % or more.
    pub binding_minutes: f64,
}

#[derive(Debug, Clone)]
struct Limit {
    name: String,
    /// Kilowatts (of one phase for a fuse).
    limit: f64,
    over_s: f64,
    in_breach: bool,
}

#[derive(Debug, Clone)]
pub struct Watch {
    limits: Vec<Limit>,
    patience_s: f64,
    book: LimitBook,
}

impl Watch {
    /// `patience_s`: how long a small excess may last.
    pub fn new(plant: &Plant, patience_s: f64) -> Self {
        let mut limits = Vec::new();
        let mut add = |name: String, limit: f64| {
            limits.push(Limit {
                name,
                limit,
                over_s: 0.0,
                in_breach: false,
            })
        };
        let volts = plant.connection.as_ref().map_or(0.23, |c| c.voltage.as_volts() / 1e3);
        if let Some(c) = &plant.connection {
            add("import".into(), c.import_max.as_kw());
            add("export".into(), c.export_max.as_kw());
            for phase in 0..3 {
                add(format!("fuse/{phase}"), c.fuse.as_amps() * volts);
            }
        }
        for (id, c) in &plant.circuits {
            if let Some(p) = c.power_max {
                add(format!("circuit/{id}"), p.as_kw());
            }
            if let Some(f) = c.fuse {
                for phase in 0..3 {
                    add(format!("circuit/{id}/{phase}"), f.as_amps() * volts);
                }
            }
        }
        let book = LimitBook {
            breaches: 0,
            worst_excess_kw: 0.0,
            binding_minutes: 0.0,
        };
        Self {
            limits,
            patience_s,
            book,
        }
    }

    pub fn book(&self) -> LimitBook {
        self.book
    }

    /// Judges one step of `dt_s` seconds.
    pub fn step(&mut self, plant: &Plant, powers: &BTreeMap<Id, f64>, grid: f64, dt_s: f64) {
        let mut binding = false;
        for l in &mut self.limits {
            let value = flow(plant, &l.name, powers, grid);
            let excess = value - l.limit;
            binding |= l.limit > 0.0 && value >= 0.95 * l.limit;
            if value <= l.limit * TOLERANCE + 1e-6 {
                (l.over_s, l.in_breach) = (0.0, false);
                continue;
            }
            l.over_s += dt_s;
            self.book.worst_excess_kw = self.book.worst_excess_kw.max(excess);
            if (value > l.limit * AT_ONCE + 1e-6 || l.over_s > self.patience_s + 1e-6) && !l.in_breach {
                l.in_breach = true;
                self.book.breaches += 1;
            }
        }
        if binding {
            self.book.binding_minutes += dt_s / 60.0;
        }
    }
}

/// Power through a limit, kW.
fn flow(plant: &Plant, name: &str, powers: &BTreeMap<Id, f64>, grid: f64) -> f64 {
    match name {
        "import" => return grid,
        "export" => return -grid,
        _ => {}
    }
    let mut parts = name.split('/');
    let (what, which) = (parts.next(), parts.next());
    let (circuit, phase) = match what {
        Some("fuse") => (None, which),
        _ => (which, parts.next()),
    };
    let phase: Option<usize> = phase.and_then(|p| p.parse().ok());
    let sum: f64 = plant
        .components
        .iter()
        .filter(|(_, c)| circuit.is_none_or(|wanted| under(plant, c.circuit.as_ref(), wanted)))
        .filter_map(|(id, c)| powers.get(id).map(|p| p * share(c.phases, phase)))
        .sum();
    // A fuse does not care for the direction.
    if phase.is_some() { sum.abs() } else { sum }
}

fn share(phases: [bool; 3], phase: Option<usize>) -> f64 {
    let Some(phase) = phase else { return 1.0 };
    let n = phases.iter().filter(|p| **p).count() as f64;
    if phases[phase] { 1.0 / n } else { 0.0 }
}

fn under(plant: &Plant, circuit: Option<&Id>, wanted: &str) -> bool {
    let mut at = circuit.cloned();
    let mut steps = 0;
    while let Some(c) = at {
        if c.as_str() == wanted {
            return true;
        }
        steps += 1;
        at = if steps > 64 {
            None
        } else {
            plant.circuits.get(&c).and_then(|x| x.parent.clone())
        };
    }
    false
}
