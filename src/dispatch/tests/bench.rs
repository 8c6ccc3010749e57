//! A shipped site with a plant so simple that every row can be followed by hand: components obey their last setpoint at
//! once, the meter shows the sum.

use crate::dispatch::{Decision, decide};
use crate::model::*;
use crate::reading::Reading;
use crate::site::{EvMode, Id, Kind, Plant, Site, builtin};
use crate::time::{TimeGrid, Timestamp};
use crate::units::{Energy, Power};
use chrono::{TimeDelta, TimeZone, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub struct Bench {
    pub plant: Plant,
    devices: Vec<(Id, Vec<Id>)>,
    pub state: ControllerState,
    pub policy: Policy,
    pub now: Timestamp,
    /// What each component draws, kW; everything unset draws nothing.
    pub kw: BTreeMap<Id, f64>,
    /// Most that a car takes or the sun gives.
    pub can: BTreeMap<Id, f64>,
    pub values: BTreeMap<(Id, Quantity), f64>,
    pub silent: BTreeSet<Id>,
    /// Components that do not do what they are told.
    pub stubborn: BTreeSet<Id>,
    /// What the meter shows instead of the truth, and when that was read.
    pub meter: Option<(f64, Timestamp)>,
    /// How commands stand at their devices: value in the command's unit, proof.
    pub proofs: BTreeMap<Id, (f64, CommandProof)>,
    pub last: Option<Decision>,
}

pub fn noon() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 5, 12, 10, 0, 0).unwrap()
}

impl Bench {
    pub fn new(site: &str, policy: Policy) -> Self {
        let Site { plant, wiring, .. } = builtin(site).unwrap();
        let now = noon();
        let state = ControllerState::fresh(&plant, now);
        let devices = wiring.devices.into_iter().map(|(id, d)| (id, d.components)).collect();
        let mut bench = Self {
            plant,
            devices,
            state,
            policy,
            now,
            kw: BTreeMap::new(),
            can: BTreeMap::new(),
            values: BTreeMap::new(),
            silent: BTreeSet::new(),
            stubborn: BTreeSet::new(),
            meter: None,
            proofs: BTreeMap::new(),
            last: None,
        };
        for (id, c) in bench.plant.components.clone() {
            match &c.kind {
                Kind::Battery(_) => bench.value(id.as_str(), Quantity::StateOfCharge, 0.5),
                Kind::ChargePoint(_) => bench.value(id.as_str(), Quantity::ChargePointState, 0.0),
                Kind::HeatPump(_) => {
                    bench.value(id.as_str(), Quantity::RoomTemperature, 21.0);
                    bench.value(id.as_str(), Quantity::TankTemperature, 40.0);
                    bench.value(id.as_str(), Quantity::OutdoorTemperature, 10.0);
                }
                _ => {}
            }
        }
        bench
    }

    pub fn value(&mut self, id: &str, quantity: Quantity, value: f64) {
        self.values.insert((id.into(), quantity), value);
    }

    /// A car that takes up to `most` kW plugs in.
    pub fn plug(&mut self, id: &str, most: f64, mode: EvMode, energy: f64, until: TimeDelta) {
        self.value(id, Quantity::ChargePointState, 1.0);
        self.can.insert(id.into(), most);
        let session = Session {
            since: self.now,
            departure: self.now + until,
            energy: Energy::kwh(energy),
            mode,
            delivered: Energy::ZERO,
            drawn: Energy::ZERO,
            counter: None,
            told: true,
            idle_since: None,
            woke: false,
        };
        self.state.sessions.insert(id.into(), session);
    }

    /// A plan of hourly steps with the same values in all of them.
    pub fn plan(&mut self, edit: impl FnOnce(&mut Schedule)) {
        let grid = TimeGrid::uniform(self.now, TimeDelta::minutes(15), 96);
        let all = |v: f64| vec![v; 96];
        let mut schedule = Schedule {
            id: 1,
            made_at: self.now,
            grid,
            solution: solution(),
            power_kw: self.plant.components.keys().map(|id| (id.clone(), all(0.0))).collect(),
            marginal_value: BTreeMap::new(),
            peak_kw: None,
            next_peak: None,
            buy: vec![Some(0.30); 96],
            sell: vec![Some(0.10); 96],
            price_estimated: vec![false; 96],
            load_kw: all(0.0),
            pv_kw: all(0.0),
            node_price: BTreeMap::new(),
            price_one_sided: Vec::new(),
            why: BTreeMap::new(),
            trigger: Trigger::Interval,
            check: CheckReport {
                ok: true,
                max_residual: 0.0,
                cost: 0.0,
                faults: Vec::new(),
            },
            placed: None,
        };
        edit(&mut schedule);
        self.state.schedule = Some(Arc::new(schedule));
    }

    /// Draws of everything that obeys, as last told.
    fn obey(&mut self) {
        let Some(decision) = self.last.take() else { return };
        for s in decision
            .setpoints
            .iter()
            .filter(|s| !self.stubborn.contains(&s.component))
        {
            let Some(component) = self.plant.components.get(&s.component) else {
                continue;
            };
            let most = self.can.get(&s.component).copied();
            let kw = match (&component.kind, s.target) {
                (Kind::Battery(_) | Kind::HeatPump(_), Target::Power(p)) => p.as_kw(),
                (Kind::Generator(_), Target::Power(p)) => -p.as_kw(),
                (Kind::ChargePoint(_), Target::Current(a)) => {
                    let phases = component.phases.iter().filter(|p| **p).count() as f64;
                    (a.as_amps() * self.volts() * phases / 1e3).min(most.unwrap_or(0.0))
                }
                (Kind::Pv(_), Target::PowerLimit(p)) => -most.unwrap_or(0.0).min(p.as_kw()),
                (Kind::Pv(_), Target::Release) => -most.unwrap_or(0.0),
                (Kind::ShiftableLoad(l), Target::On(on)) => f64::from(u8::from(on)) * l.power.as_kw(),
                (Kind::SheddableLoad(_), Target::On(on)) => f64::from(u8::from(on)) * most.unwrap_or(0.0),
                _ => continue,
            };
            self.kw.insert(s.component.clone(), kw);
        }
        self.last = Some(decision);
    }

    pub fn volts(&self) -> f64 {
        self.plant.connection.as_ref().map_or(230.0, |c| c.voltage.as_volts())
    }

    /// Sum of everything behind the meter; on an island the forming battery takes what is left.
    pub fn balance(&mut self) -> f64 {
        let forming = self.plant.components.iter().find_map(|(id, c)| match &c.kind {
            Kind::Battery(b) if b.grid_forming => Some(id.clone()),
            _ => None,
        });
        if let Some(id) = &forming {
            self.kw.remove(id);
        }
        let sum: f64 = self.kw.values().sum();
        if let Some(id) = forming {
            self.kw.insert(id, -sum);
        }
        sum
    }

    pub fn grid(&self) -> f64 {
        self.kw.values().sum()
    }

    fn measured(&self, id: &Id) -> bool {
        let of = |d: &&(Id, Vec<Id>)| d.1.contains(id);
        self.devices.iter().any(|d| of(&d) && !self.silent.contains(&d.0))
    }

    pub fn snapshot(&mut self) -> Snapshot {
        let grid = self.balance();
        let at = self.now;
        let mut components: BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>> = BTreeMap::new();
        for (id, c) in &self.plant.components {
            let values = components.entry(id.clone()).or_default();
            if self.measured(id) && !matches!(c.kind, Kind::Meter(_)) {
                let kw = self.kw.get(id).copied().unwrap_or(0.0);
                values.insert(Quantity::ActivePower, Reading::good(kw, at));
            }
        }
        for ((id, quantity), value) in &self.values {
            if self.measured(id) {
                let values = components.entry(id.clone()).or_default();
                values.insert(*quantity, Reading::good(*value, at));
            }
        }
        let meter = self.plant.connection.as_ref().map(|c| c.meter.clone());
        let health = self.devices.iter().map(|(device, components)| DeviceHealth {
            commands: self.commands(components),
            on_loss: components.iter().map(on_loss).collect(),
            online: !self.silent.contains(device),
            identity: IdentityStatus::Confirmed,
            ..DeviceHealth::unheard(device.clone(), components.clone())
        });
        Snapshot {
            at,
            components,
            grid: meter.map(|m| match self.measured(&m) {
                true => {
                    let (kw, read) = self.meter.unwrap_or((grid, at));
                    Reading::good(Power::kw(kw), read)
                }
                false => Reading::missing(at),
            }),
            residual: None,
            rest: None,
            astray: None,
            devices: health.collect(),
            doubts: Vec::new(),
        }
    }

    fn commands(&self, components: &[Id]) -> Vec<CommandHealth> {
        let of = |id: &Id| {
            let (value, proof) = self.proofs.get(id)?.clone();
            Some(CommandHealth {
                command: crate::site::command_of(&self.plant.components.get(id)?.kind)?.into(),
                component: id.clone(),
                value: Some(value),
                proof,
                foreign: None,
                worn: None,
            })
        };
        components.iter().filter_map(of).collect()
    }

    /// One cycle: everything obeys what it was told, is measured, and decided anew.
    pub fn cycle(&mut self) -> &Decision {
        self.obey();
        let snapshot = self.snapshot();
        let decision = decide(&self.plant, self.policy, &snapshot, &mut self.state, None, self.now);
        self.now += self.plant.timing.cycle;
        self.last.insert(decision)
    }

    pub fn cycles(&mut self, count: usize) -> &Decision {
        for _ in 1..count.max(1) {
            self.cycle();
        }
        self.cycle()
    }

    pub fn target(&self, id: &str) -> Option<Target> {
        let setpoints = &self.last.as_ref()?.setpoints;
        setpoints.iter().find(|s| s.component.as_str() == id).map(|s| s.target)
    }

    pub fn told_kw(&self, id: &str) -> f64 {
        match self.target(id) {
            Some(Target::Power(p) | Target::PowerLimit(p)) => p.as_kw(),
            other => panic!("{id} was told {other:?}"),
        }
    }

    pub fn told_amps(&self, id: &str) -> f64 {
        match self.target(id) {
            Some(Target::Current(_)) | None => {}
            other => panic!("{id} was told {other:?}"),
        }
        match self.target(id) {
            Some(Target::Current(a)) => a.as_amps(),
            _ => f64::NAN,
        }
    }

    pub fn why(&self, id: &str) -> Option<ReasonCode> {
        let setpoints = &self.last.as_ref()?.setpoints;
        setpoints
            .iter()
            .find(|s| s.component.as_str() == id)
            .map(|s| s.reason.code)
    }
}

/// Every device falls back to 6 A or its own control after a minute.
fn on_loss(id: &Id) -> OnLoss {
    OnLoss {
        component: id.clone(),
        reverts_s: Some(60.0),
        falls_to: Some(6.0),
    }
}

fn solution() -> Solution {
    let zero = || vec![0.0; 96];
    Solution {
        status: SolveStatus::Optimal,
        objective: 0.0,
        gap: 0.0,
        solver: "none".into(),
        violations: Vec::new(),
        build_ms: 0.0,
        solve_ms: 0.0,
        plan: PlanValues {
            import_kw: zero(),
            export_kw: zero(),
            unserved_kw: zero(),
            spill_kw: zero(),
            pv_kw: BTreeMap::new(),
            batteries: BTreeMap::new(),
            evs: BTreeMap::new(),
            gensets: BTreeMap::new(),
            heat: None,
            hydro: BTreeMap::new(),
            shed_kw: BTreeMap::new(),
            shiftable_kw: BTreeMap::new(),
            deferrable: BTreeMap::new(),
        },
        duals: None,
    }
}
