//! Heat pump, tank and building: two thermal nodes.

use super::lease::Lease;
use crate::site::HeatPump;
use crate::time::Timestamp;

/// Conductance of the floor heating between tank and room, kW/K: enough for frost at the tank's lowest temperature.
const FLOOR_KW_PER_K: f64 = 0.5;
/// The floor valve opens by this much per kelvin the room is too cold, kW/K.
const VALVE_KW_PER_K: f64 = 3.0;

#[derive(Debug, Clone)]
pub struct HeatModel {
    pub rating: HeatPump,
    pub tank_c: f64,
    pub room_c: f64,
    /// Electric power, kW ≥ 0.
    pub target: Lease<f64>,
    pub power: f64,
    heating: bool,
    pub discomfort_kh: f64,
    pub outdoor_c: f64,
}

impl HeatModel {
    pub fn new(rating: HeatPump, outdoor_c: f64) -> Self {
        let tank_c = (rating.tank.min.as_celsius() + rating.tank.max.as_celsius()) / 2.0;
        let room_c = rating.building.comfort_min.as_celsius() + 1.0;
        Self {
            rating,
            tank_c,
            room_c,
            target: Lease::none(),
            power: 0.0,
            heating: false,
            discomfort_kh: 0.0,
            outdoor_c,
        }
    }

    pub fn cop(&self) -> f64 {
        let [(cold, at_cold), (mild, at_mild)] = self.rating.cop;
        let slope = (at_mild - at_cold) / (mild.as_celsius() - cold.as_celsius());
        (at_cold + slope * (self.outdoor_c - cold.as_celsius())).max(1.0)
    }

    /// Heat in the tank above its lowest useful temperature, kWh.
    pub fn stored_kwh(&self) -> f64 {
        (self.tank_c - self.rating.tank.min.as_celsius()) * self.rating.tank.kwh_per_k
    }

    pub fn step(&mut self, t: Timestamp, h: f64, outdoor_c: f64) {
        self.outdoor_c = outdoor_c;
        self.power = self.electric(t);
        let wish = self.rating.building.comfort_min.as_celsius() + 1.0;
        let most = ((self.tank_c - self.room_c) * FLOOR_KW_PER_K).max(0.0);
        let floor = ((wish - self.room_c) * VALVE_KW_PER_K).clamp(0.0, most);
        let tank_loss = (self.tank_c - self.room_c) * self.rating.tank.loss_kw_per_k;
        let building_loss = (self.room_c - outdoor_c) * self.rating.building.loss_kw_per_k;
        self.tank_c += (self.power * self.cop() - floor - tank_loss) * h / self.rating.tank.kwh_per_k;
        self.room_c += (floor + tank_loss - building_loss + 0.35) * h / self.rating.building.kwh_per_k;
        self.discomfort_kh += (self.rating.building.comfort_min.as_celsius() - self.room_c).max(0.0) * h;
    }

    /// What the machine does: never above the tank's maximum, always above its minimum, else as told or by thermostat.
    fn electric(&mut self, t: Timestamp) -> f64 {
        let (min, max) = (self.rating.tank.min.as_celsius(), self.rating.tank.max.as_celsius());
        let full = self.rating.electric_max.as_kw();
        if self.tank_c < min - 1.0 {
            self.heating = true;
        }
        match self.target.at(t) {
            _ if self.tank_c >= max => {
                self.heating = false;
                0.0
            }
            Some(told) => {
                // Frost and hygiene guard of the machine itself, until the tank is useful again.
                if self.heating && self.tank_c < min + 1.0 {
                    return full;
                }
                self.heating = false;
                if told < self.rating.electric_min.as_kw() * 0.5 {
                    0.0
                } else {
                    told.min(full)
                }
            }
            None => {
                if self.tank_c < min + 4.0 {
                    self.heating = true;
                } else if self.tank_c > min + 10.0 {
                    self.heating = false;
                }
                if self.heating { full } else { 0.0 }
            }
        }
    }
}
