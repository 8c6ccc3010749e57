//! Battery: efficiencies, power and energy limits, standby loss; by itself it does self-consumption.

use super::lease::Lease;
use crate::site::Battery;
use crate::time::Timestamp;

/// Share of the net load that its own control takes: a loop on a meter leaves a remainder, and a meter held at exactly zero
/// for minutes is one that stands still.
const HOLDS: f64 = 0.99;

#[derive(Debug, Clone)]
pub struct BatteryModel {
    pub rating: Battery,
    pub stored_kwh: f64,
    /// Commanded AC power, charging +.
    pub target: Lease<f64>,
    /// Bounds on what it does by itself: lowest and highest AC power.
    pub bounds: Lease<(f64, f64)>,
    /// AC power now, charging +.
    pub power: f64,
    /// Lost inside so far, kWh.
    pub lost_kwh: f64,
}

impl BatteryModel {
    pub fn new(rating: Battery, soc: f64) -> Self {
        let soc = soc.clamp(rating.soc_min.as_ratio(), rating.soc_max.as_ratio());
        let stored_kwh = soc * rating.capacity.as_kwh();
        Self {
            rating,
            stored_kwh,
            target: Lease::none(),
            bounds: Lease::none(),
            power: 0.0,
            lost_kwh: 0.0,
        }
    }

    pub fn soc(&self) -> f64 {
        self.stored_kwh / self.rating.capacity.as_kwh()
    }

    /// Highest charging power over `h` hours, AC.
    pub fn charge_room(&self, h: f64) -> f64 {
        let top = self.rating.soc_max.as_ratio() * self.rating.capacity.as_kwh();
        let room = (top - self.stored_kwh).max(0.0) / (self.rating.charge_efficiency * h);
        room.min(self.rating.charge_max.as_kw())
    }

    /// Highest discharging power over `h` hours, AC.
    pub fn discharge_room(&self, h: f64) -> f64 {
        let bottom = self.rating.soc_min.as_ratio() * self.rating.capacity.as_kwh();
        let left = (self.stored_kwh - bottom).max(0.0) * self.rating.discharge_efficiency / h;
        left.min(self.rating.discharge_max.as_kw())
    }

    /// Moves at `wanted` (charging +) as far as it can over `h` hours.
    pub fn step(&mut self, wanted: f64, h: f64) {
        self.power = wanted.clamp(-self.discharge_room(h), self.charge_room(h));
        let before = self.stored_kwh;
        let (eta_c, eta_d) = (self.rating.charge_efficiency, self.rating.discharge_efficiency);
        let flow = if self.power >= 0.0 {
            self.power * eta_c
        } else {
            self.power / eta_d
        };
        let floor = self.rating.soc_min.as_ratio() * self.rating.capacity.as_kwh();
        let standby = (self.rating.standby_loss.as_kw() * h).min((before + flow * h - floor).max(0.0));
        self.stored_kwh = before + flow * h - standby;
        self.lost_kwh += self.power * h - (self.stored_kwh - before);
    }

    /// The command in force, or self-consumption against `net`, the power of everything else at the meter.
    pub fn wanted(&self, t: Timestamp, net: f64) -> f64 {
        let (low, high) = self.bounds.at(t).unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        self.target.at(t).unwrap_or_else(|| (-HOLDS * net).min(high).max(low))
    }
}
