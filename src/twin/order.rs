//! What a written register asks of the plant, and how a device with a fault carries it out.

use super::world::{Model, World};
use crate::model::Target;
use crate::site::{Id, Kind};
use crate::time::Timestamp;
use crate::units::{Current, Power};

/// One wish, in force until a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub component: Id,
    pub wish: Wish,
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    Target(Target),
    /// A battery's power, kW, charging +; and what it falls to after the time.
    PowerThen(f64, f64),
    /// Lowest and highest power a battery takes by itself, kW.
    Bounds(f64, f64),
}

impl Order {
    pub fn new(component: &Id, target: Target, until: Timestamp) -> Self {
        let (component, wish) = (component.clone(), Wish::Target(target));
        Self { component, wish, until }
    }

    /// No more than this share of the component's rating.
    pub fn clipped(mut self, world: &World, share: f64) -> Self {
        let Some(most) = rating(world, &self.component).map(|r| r * share) else {
            return self;
        };
        self.wish = match self.wish {
            Wish::Target(Target::Power(p)) => Wish::Target(Target::Power(Power::kw(p.as_kw().clamp(-most, most)))),
            Wish::Target(Target::Current(a)) => Wish::Target(Target::Current(Current::amps(a.as_amps().min(most)))),
            Wish::PowerThen(kw, after) => Wish::PowerThen(kw.clamp(-most, most), after),
            other => other,
        };
        self
    }

    /// The plant does it; the error says why it cannot.
    pub fn carry_out(self, world: &mut World) -> Result<(), String> {
        let forming = |b: &super::storage::BatteryModel| b.rating.grid_forming;
        match (self.wish, world.models.get_mut(&self.component)) {
            (Wish::Target(target), _) => world.obey(&self.component, target, self.until),
            (Wish::PowerThen(kw, after), Some(Model::Battery(b))) if !forming(b) => {
                b.target.set_then(kw, self.until, after);
                Ok(())
            }
            (Wish::Bounds(low, high), Some(Model::Battery(b))) if !forming(b) => {
                b.target.release();
                b.bounds.set((low, high), self.until);
                Ok(())
            }
            _ => Err("it takes no such command".into()),
        }
    }
}

/// kW, or amperes of a charge point.
fn rating(world: &World, id: &Id) -> Option<f64> {
    Some(match &world.site.plant.components.get(id)?.kind {
        Kind::Battery(b) => b.charge_max.max(b.discharge_max).as_kw(),
        Kind::ChargePoint(c) => c.current_max.as_amps(),
        Kind::Generator(g) => g.power_max.as_kw(),
        Kind::Pv(p) => p.inverter_max.as_kw(),
        _ => return None,
    })
}
