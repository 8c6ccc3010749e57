//! The twin as a field without a wire: its points are read and set directly, under the same leases.

use super::world::{Model, World};
use crate::cycle::FieldPort;
use crate::model::{
    CommandHealth, CommandProof, DeviceHealth, IdentityStatus, Measurement, Quantity, Scan, Setpoint, Target,
    WriteOutcome, WriteReport,
};
use crate::reading::Reading;
use crate::site::{Device, Id, Mode, Site};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reversion time of every device when its command is not refreshed.
const LEASE: TimeDelta = TimeDelta::seconds(60);

const SHOWN: [Quantity; 17] = [
    Quantity::ActivePower,
    Quantity::ActivePowerL1,
    Quantity::ActivePowerL2,
    Quantity::ActivePowerL3,
    Quantity::CurrentL1,
    Quantity::CurrentL2,
    Quantity::CurrentL3,
    Quantity::EnergyImport,
    Quantity::EnergyExport,
    Quantity::StateOfCharge,
    Quantity::ChargePointState,
    Quantity::CurrentLimit,
    Quantity::SessionEnergy,
    Quantity::TankTemperature,
    Quantity::RoomTemperature,
    Quantity::OutdoorTemperature,
    Quantity::Running,
];

pub struct Direct {
    world: Arc<Mutex<World>>,
    site: Arc<Site>,
    last: BTreeMap<Id, Target>,
    mode: Mode,
}

impl Direct {
    pub fn new(world: Arc<Mutex<World>>, site: Arc<Site>) -> Self {
        Self {
            world,
            mode: site.plant.mode,
            site,
            last: BTreeMap::new(),
        }
    }

    /// A poisoned lock holds a world between two steps; its readings are still the plant's.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, now: Timestamp) -> Scan {
        let mut world = self.world();
        world.advance_to(now);
        let mut measurements = Vec::new();
        let mut devices = Vec::new();
        for (id, device) in &self.site.wiring.devices {
            for component in &device.components {
                for quantity in SHOWN {
                    if let Some(v) = world.read(component, quantity) {
                        let reading = Reading::good(v, now);
                        measurements.push(Measurement {
                            component: component.clone(),
                            quantity,
                            reading,
                        });
                    }
                }
            }
            let commands = device.components.iter().filter_map(|c| self.told(c)).collect();
            devices.push(DeviceHealth {
                commands,
                ..health(id, device, now)
            });
        }
        Scan { measurements, devices }
    }

    fn told(&self, component: &Id) -> Option<CommandHealth> {
        let value = value_of(*self.last.get(component)?)?;
        Some(CommandHealth {
            command: "direct".into(),
            component: component.clone(),
            value: Some(value),
            proof: CommandProof::Verified,
            foreign: None,
            worn: None,
        })
    }

    fn write(&mut self, now: Timestamp, setpoint: &Setpoint) -> WriteReport {
        let fresh = self.last.insert(setpoint.component.clone(), setpoint.target) != Some(setpoint.target);
        let outcome = if self.mode == Mode::Observe {
            WriteOutcome::Withheld("observe mode".into())
        } else {
            self.carry_out(now, setpoint, fresh)
        };
        self.report(setpoint, outcome)
    }

    fn carry_out(&self, now: Timestamp, setpoint: &Setpoint, fresh: bool) -> WriteOutcome {
        match self.world().obey(&setpoint.component, setpoint.target, now + LEASE) {
            Ok(()) if fresh => WriteOutcome::Verified,
            Ok(()) => WriteOutcome::Withheld("unchanged".into()),
            Err(why) => WriteOutcome::Failed(why),
        }
    }

    fn report(&self, setpoint: &Setpoint, outcome: WriteOutcome) -> WriteReport {
        WriteReport {
            component: setpoint.component.clone(),
            device: self.device_of(&setpoint.component),
            decision: setpoint.decision,
            command: "direct".into(),
            value: value_of(setpoint.target),
            writes: Vec::new(),
            outcome,
        }
    }

    fn device_of(&self, component: &Id) -> Id {
        let found = self
            .site
            .wiring
            .devices
            .iter()
            .find(|(_, d)| d.components.contains(component));
        found.map_or_else(|| component.clone(), |(id, _)| id.clone())
    }
}

fn health(id: &Id, device: &Device, now: Timestamp) -> DeviceHealth {
    DeviceHealth {
        online: true,
        identity: IdentityStatus::Confirmed,
        last_answer: Some(now),
        ..DeviceHealth::unheard(id.clone(), device.components.clone())
    }
}

fn value_of(target: Target) -> Option<f64> {
    match target {
        Target::Power(p) | Target::PowerLimit(p) => Some(p.as_kw()),
        Target::Current(a) => Some(a.as_amps()),
        Target::On(on) => Some(f64::from(u8::from(on))),
        Target::Release => None,
    }
}

impl World {
    /// A component takes a command until `until`; the error says why it cannot.
    pub fn obey(&mut self, id: &Id, target: Target, until: Timestamp) -> Result<(), String> {
        let model = self
            .models
            .get_mut(id)
            .ok_or_else(|| format!("there is no component `{id}`"))?;
        match (model, target) {
            (Model::Battery(b), Target::Power(_)) if b.rating.grid_forming => {
                return Err("it forms the grid and takes no setpoint".into());
            }
            (Model::Battery(b), Target::Power(p)) => b.target.set(p.as_kw(), until),
            (Model::Battery(b), Target::Release) => {
                b.target.release();
                b.bounds.release();
            }
            (Model::Pv(m), Target::PowerLimit(p)) => m.limit.set(p.as_kw().max(0.0), until),
            (Model::Pv(m), Target::Release) => m.limit.release(),
            (Model::Charger(c), Target::Current(a)) => c.limit.set(a.as_amps().max(0.0), until),
            (Model::Charger(c), Target::Release) => c.limit.release(),
            (Model::Heat(m), Target::Power(p)) => m.target.set(p.as_kw().max(0.0), until),
            (Model::Heat(m), Target::Release) => m.target.release(),
            (Model::Generator(g), Target::Power(p)) => g.target.set(p.as_kw().abs(), until),
            (Model::Generator(g), Target::Release) => g.target.release(),
            (Model::Load(l), Target::On(on)) => l.on.set(on, until),
            (Model::Load(l), Target::Release) => l.on.release(),
            (Model::Run(r), Target::On(on)) => r.on.set(on, until),
            (Model::Run(r), Target::Release) => r.on.release(),
            (_, other) => return Err(format!("it does not understand {other:?}")),
        }
        Ok(())
    }
}

impl FieldPort for Direct {
    async fn scan(&mut self, now: Timestamp) -> Scan {
        self.read(now)
    }

    async fn apply(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> Vec<WriteReport> {
        setpoints.iter().map(|s| self.write(now, s)).collect()
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    async fn release(&mut self) -> Vec<WriteReport> {
        let mut world = self.world();
        let ids: Vec<Id> = world.models.keys().cloned().collect();
        for id in ids {
            // A meter has nothing to release.
            let _refused = world.obey(&id, Target::Release, Timestamp::MIN_UTC);
        }
        Vec::new()
    }
}
