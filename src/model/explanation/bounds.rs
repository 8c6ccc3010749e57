//! Limits that bind now: those at which the measured power stands, of those that a reason may name.

use super::now::Seen;
use crate::model::{Direction, Quantity, Reason, ReasonCode, own_limit};
use crate::site::{Circuit, Component, Id, Kind};
use serde::Serialize;

/// A limit at which the measured power stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Bound {
    /// At the connection point; `source` is `site` for its own.
    Import {
        kw: f64,
        source: String,
    },
    Export {
        kw: f64,
        source: String,
    },
    MainFuse {
        amps: f64,
    },
    /// Of a circuit in the wiring.
    CircuitFuse {
        circuit: Id,
        amps: f64,
    },
    CircuitPower {
        circuit: Id,
        kw: f64,
    },
    /// Mean import that keeps the demand peak.
    Demand {
        kw: f64,
    },
}

/// A flow stands at its limit from this part of it on: dispatch leaves 3 % free and raises in steps.
const AT: f64 = 0.95;
/// And from this much below it on, where the limit is small: kW, A.
const NEAR_KW: f64 = 0.1;
const NEAR_A: f64 = 0.5;

/// Whether a measured magnitude stands at a limit.
pub fn stands_at(value: f64, limit: f64, near: f64) -> bool {
    value >= (AT * limit).min(limit - near)
}

impl Seen<'_> {
    /// The limit that a reason names for a component, if it is one that binds.
    pub(super) fn bound(&self, id: &Id, reason: &Reason) -> Option<Bound> {
        match reason.code {
            ReasonCode::LimitImport => self.at_connection(Direction::Import),
            ReasonCode::LimitExport => self.at_connection(Direction::Export),
            ReasonCode::LimitFuse => self.at_main_fuse(id).or_else(|| self.at_circuit(id)),
            ReasonCode::ShavePeak => {
                let (kw, import) = (reason.limit?, self.grid_kw()?);
                (import > NEAR_KW && stands_at(import, kw, NEAR_KW)).then_some(Bound::Demand { kw })
            }
            _ => None,
        }
    }

    /// The limit at the connection point that the meter shows to be reached, whoever told it.
    pub fn at_connection(&self, direction: Direction) -> Option<Bound> {
        let own = own_limit(self.plant, direction)?;
        let told = self.state.limits.tightest(direction, self.snapshot.at);
        let told = told.filter(|l| l.power.as_kw() < own);
        let kw = told.map_or(own, |l| l.power.as_kw());
        let source = told.map_or("site", |l| l.source.as_str()).to_owned();
        let grid = self.grid_kw()?;
        match direction {
            Direction::Import => stands_at(grid, kw, NEAR_KW).then_some(Bound::Import { kw, source }),
            Direction::Export => stands_at(-grid, kw, NEAR_KW).then_some(Bound::Export { kw, source }),
        }
    }

    pub(super) fn grid_kw(&self) -> Option<f64> {
        Some(self.snapshot.grid?.usable()?.as_kw())
    }

    fn at_main_fuse(&self, id: &Id) -> Option<Bound> {
        use Quantity::{ActivePowerL1, ActivePowerL2, ActivePowerL3, CurrentL1, CurrentL2, CurrentL3};
        let c = self.plant.connection.as_ref()?;
        let shares = self.plant.phase_shares(self.plant.components.get(id)?);
        let amps = c.fuse.as_amps();
        let full = |(current, power): (Quantity, Quantity)| {
            let current = self.snapshot.usable(&c.meter, current);
            let by_power = || Some(self.snapshot.usable(&c.meter, power)? * 1e3 / self.plant.volts());
            let flows = current.or_else(by_power).map(f64::abs);
            flows.is_some_and(|a| stands_at(a, amps, NEAR_A))
        };
        let phases = [
            (CurrentL1, ActivePowerL1),
            (CurrentL2, ActivePowerL2),
            (CurrentL3, ActivePowerL3),
        ];
        let own = phases.into_iter().zip(shares).take(self.plant.phases());
        let mut own = own.filter(|(_, share)| *share > 0.0);
        own.any(|(phase, _)| full(phase)).then_some(Bound::MainFuse { amps })
    }

    /// A full circuit between the component and the connection point.
    fn at_circuit(&self, id: &Id) -> Option<Bound> {
        let own = self.plant.components.get(id)?.circuit.as_ref()?;
        let above = self.plant.circuits.iter();
        let mut above = above.filter(|(c, _)| self.plant.is_under(own, c));
        above.find_map(|(name, circuit)| self.full(name, circuit))
    }

    fn full(&self, name: &Id, circuit: &Circuit) -> Option<Bound> {
        let members = || {
            let all = self.plant.components.iter();
            all.filter(|(_, c)| c.circuit.as_ref().is_some_and(|own| self.plant.is_under(own, name)))
        };
        // what is unknown may be anything: nothing is said of a circuit with such a member
        let sum = |share: &dyn Fn(&Component) -> f64| -> Option<f64> {
            let flows = members().map(|(id, c)| Some(share(c) * self.flow(id, &c.kind)?));
            flows.sum()
        };
        if let Some(most) = circuit.power_max.map(|p| p.as_kw())
            && stands_at(sum(&|_| 1.0)?.abs(), most, NEAR_KW)
        {
            let circuit = name.clone();
            return Some(Bound::CircuitPower { circuit, kw: most });
        }
        let amps = circuit.fuse?.as_amps();
        let on_phase = |p: usize| sum(&|c: &Component| self.plant.phase_shares(c).get(p).copied().unwrap_or(0.0));
        let full =
            |p: usize| on_phase(p).is_some_and(|kw| stands_at(kw.abs() * 1e3 / self.plant.volts(), amps, NEAR_A));
        let circuit = name.clone();
        (0..self.plant.phases())
            .any(full)
            .then_some(Bound::CircuitFuse { circuit, amps })
    }

    /// Measured power, or what the balance leaves for the load nobody measures, kW.
    pub(super) fn flow(&self, id: &Id, kind: &Kind) -> Option<f64> {
        let measured = self.snapshot.power(id).map(|p| p.as_kw());
        measured.or_else(|| self.snapshot.residual_of(id, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_stands_at_its_limit_within_what_dispatch_leaves_free() {
        for (value, limit, at) in [
            (7.76, 8.0, true),
            (7.4, 8.0, false),
            (0.95, 1.0, true),
            (0.91, 1.0, true),
            (0.85, 1.0, false),
            (-0.05, 0.0, true),
            (-0.2, 0.0, false),
            (9.0, 8.0, true),
        ] {
            assert_eq!(stands_at(value, limit, NEAR_KW), at, "{value} of {limit}");
        }
    }
}
