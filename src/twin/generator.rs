//! Generator: start-up time, minimum load, fuel; by itself it guards the island's battery.

use super::lease::Lease;
use crate::site::Generator;
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub struct GeneratorModel {
    pub rating: Generator,
    /// Commanded power, kW ≥ 0; zero stops it.
    pub target: Lease<f64>,
    /// Generated, kW ≥ 0.
    pub power: f64,
    /// When it was started; power comes a start-up time later.
    pub started: Option<Timestamp>,
    pub starts: u32,
    pub cost: f64,
    pub run_h: f64,
    /// Litres burnt; `None` without a fuel curve.
    pub litres: Option<f64>,
}

impl GeneratorModel {
    pub fn new(rating: Generator) -> Self {
        Self {
            litres: rating.fuel_use.map(|_| 0.0),
            rating,
            target: Lease::none(),
            power: 0.0,
            started: None,
            starts: 0,
            cost: 0.0,
            run_h: 0.0,
        }
    }

    pub fn running(&self) -> bool {
        self.started.is_some()
    }

    /// `soc` of the battery it guards when nobody speaks; `room` is what the island can take.
    pub fn step(&mut self, t: Timestamp, h: f64, soc: Option<f64>, room: f64) {
        let told = self.target.at(t);
        let wanted = told.unwrap_or_else(|| self.guard(soc));
        if wanted > 0.0 && self.started.is_none() {
            self.started = Some(t);
            self.starts += 1;
            self.cost += self.rating.start_cost;
        } else if wanted <= 0.0 {
            self.started = None;
        }
        let warm = self.started.is_some_and(|s| t - s >= self.rating.start_time);
        let (low, high) = (self.rating.power_min.as_kw(), self.rating.power_max.as_kw());
        self.power = if warm {
            wanted.clamp(low, high).min(room.max(0.0))
        } else {
            0.0
        };
        let hours = if self.running() { h } else { 0.0 };
        self.run_h += hours;
        let burnt = self
            .rating
            .fuel_use
            .map(|f| f.per_kwh * self.power * h + f.per_hour * hours);
        self.litres = self.litres.zip(burnt).map(|(sum, more)| sum + more);
        if self.running() {
            self.cost += h * self.rating.no_load_per_hour;
        }
        self.cost += self.power * h * self.rating.fuel.as_per_kwh();
    }

    /// Its own controller: on below 15 %, off above 50 %.
    fn guard(&self, soc: Option<f64>) -> f64 {
        match soc {
            Some(soc) if soc < 0.15 || (self.running() && soc < 0.5) => self.rating.power_max.as_kw() * 0.8,
            _ => 0.0,
        }
    }
}
