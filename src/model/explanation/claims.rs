//! What a reason claims of this moment, and whether that is so: a reason that the measured values do not bear out is not
//! told.

use super::bounds::stands_at;
use super::now::Seen;
use crate::model::{Quantity, Reason, ReasonCode, Rung};
use crate::site::{HeatPump, Id, Kind};
use crate::units::Energy;

/// Which way power flows, seen from the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
    Rest,
}

impl Way {
    /// Below this much (kW) a component rests: the page draws the same line.
    pub const REST_KW: f64 = 0.05;

    pub fn of(kw: f64) -> Self {
        match kw {
            kw if kw.abs() < Self::REST_KW => Self::Rest,
            kw if kw > 0.0 => Self::In,
            _ => Self::Out,
        }
    }
}

/// The direction a reason speaks of; `None` where it speaks of none.
fn way(code: ReasonCode) -> Option<Way> {
    use ReasonCode as C;
    match code {
        C::GridCharge | C::StoreSurplus | C::ChargeFast | C::ChargeCheap | C::ChargeSurplus | C::MustChargeNow => {
            Some(Way::In)
        }
        C::RunHeat | C::ComfortHeat | C::RunShiftable | C::DeadlineShiftable | C::KeepServed => Some(Way::In),
        C::CoverLoad | C::SellStored | C::GeneratorNeeded | C::GeneratorMinimum => Some(Way::Out),
        C::HoldForLater | C::WaitCheaper | C::ChargeDone | C::CarTakesNothing | C::NoCar => Some(Way::Rest),
        C::HeatSatisfied | C::WaitShiftable | C::ShedLoad | C::GeneratorRest => Some(Way::Rest),
        _ => None,
    }
}

/// Power of a car or battery at its rating, and of an inverter at its ceiling, from this part of it on.
const AT_RATING: f64 = 0.93;
/// Charge this near its end counts as there.
const NEAR_SOC: f64 = 0.02;

impl Seen<'_> {
    /// Whether everything `reason` says of `id` is so while power flows `kw` into it.
    pub(super) fn is_so(&self, id: &Id, reason: &Reason, kw: f64) -> bool {
        use ReasonCode as C;
        if way(reason.code).is_some_and(|w| w != Way::of(kw)) {
            return false;
        }
        match reason.code {
            C::StoreSurplus => self.grid_kw().is_none_or(|g| g < 0.1),
            C::SellStored => self.grid_kw().is_none_or(|g| g < -Way::REST_KW),
            C::ChargeSurplus => self.sun_kw() > Way::REST_KW,
            C::LimitImport | C::LimitExport | C::LimitFuse | C::ShavePeak => {
                self.bound(id, reason).is_some() && (!self.is_sun(id) || self.is_held_back(id, kw))
            }
            C::LimitExternal | C::DeviceSilent | C::SafeStart => false,
            C::LimitSoc => self.soc_end(id).is_some(),
            C::LimitRating => self.rated(id, kw).is_some_and(|most| kw.abs() >= AT_RATING * most),
            C::CurtailNegative | C::CurtailSurplus => self.is_held_back(id, kw),
            C::NoCar => self.snapshot.plugged(id) == Some(false),
            C::ChargeDone => self.state.sessions.get(id).is_some_and(|s| s.missing() == Energy::ZERO),
            C::CarTakesNothing => self.snapshot.plugged(id) == Some(true),
            C::HeatSatisfied => self.is_warm(id),
            C::FallbackNoPlan => self.state.rung == Rung::Rule,
            C::Override => self.state.overrides.contains_key(id),
            _ => true,
        }
    }

    fn is_sun(&self, id: &Id) -> bool {
        let kind = self.plant.components.get(id).map(|c| &c.kind);
        kind.is_some_and(|k| matches!(k, Kind::Pv(_)))
    }

    /// Production of the sun, kW.
    fn sun_kw(&self) -> f64 {
        let parts = self.plant.components.keys().filter(|id| self.is_sun(id));
        let made = parts.filter_map(|id| self.snapshot.power(id));
        made.map(|p| -p.as_kw()).sum()
    }

    /// `full` or `empty`, where the charge is known to be at that end.
    pub(super) fn soc_end(&self, id: &Id) -> Option<&'static str> {
        let Kind::Battery(b) = &self.plant.components.get(id)?.kind else {
            return None;
        };
        let soc = self.snapshot.soc(id)?.as_ratio();
        let floor = b.soc_min.as_ratio().max(b.reserve.as_ratio());
        match soc {
            s if s >= b.soc_max.as_ratio() - NEAR_SOC => Some("full"),
            s if s <= b.soc_min.as_ratio() + NEAR_SOC => Some("empty"),
            s if s <= floor + NEAR_SOC => Some("reserve"),
            _ => None,
        }
    }

    fn rated(&self, id: &Id, kw: f64) -> Option<f64> {
        match &self.plant.components.get(id)?.kind {
            Kind::Battery(b) if kw > 0.0 => Some(b.charge_max.as_kw()),
            Kind::Battery(b) => Some(b.discharge_max.as_kw()),
            _ => None,
        }
    }

    /// The sun gives as much as it was allowed to.
    fn is_held_back(&self, id: &Id, kw: f64) -> bool {
        let ceiling = self.setpoint(id).and_then(|s| match s.target {
            crate::model::Target::PowerLimit(p) => Some(p.as_kw()),
            _ => None,
        });
        ceiling.is_some_and(|most| stands_at(-kw, most, 0.1))
    }

    fn is_warm(&self, id: &Id) -> bool {
        let Some(Kind::HeatPump(pump)) = self.plant.components.get(id).map(|c| &c.kind) else {
            return false;
        };
        self.room_is_warm(id, pump) || self.tank_is_hot(id, pump)
    }

    fn room_is_warm(&self, id: &Id, pump: &HeatPump) -> bool {
        let room = self.snapshot.usable(id, Quantity::RoomTemperature);
        room.is_some_and(|t| t >= pump.building.comfort_min.as_celsius())
    }

    fn tank_is_hot(&self, id: &Id, pump: &HeatPump) -> bool {
        let tank = self.snapshot.usable(id, Quantity::TankTemperature);
        tank.is_some_and(|t| t >= pump.tank.max.as_celsius() - 1.0)
    }
}
