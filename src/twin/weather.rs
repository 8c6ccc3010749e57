//! Sun, clouds and temperature of a place.

use super::noise::Noise;
use crate::site::{Location, Site, Sun};
use crate::time::Timestamp;
use chrono::{Datelike, Timelike};

const DAY_S: f64 = 86_400.0;
/// Temperate climate where the site names none: by month, cloudiness and °C.
const CLOUDINESS: [f64; 12] = [0.65, 0.62, 0.58, 0.54, 0.52, 0.52, 0.52, 0.52, 0.54, 0.58, 0.64, 0.66];
const TEMPERATURE: [f64; 12] = [2.0, 3.0, 6.0, 10.0, 14.0, 18.0, 20.0, 20.0, 16.0, 11.0, 6.0, 3.0];

#[derive(Debug, Clone)]
pub struct Weather {
    location: Location,
    cloudiness: Vec<f64>,
    temperature: Vec<f64>,
    days: Noise,
    clouds: Noise,
    warmth: Noise,
}

impl Weather {
    pub fn new(site: &Site, seed: u64) -> Self {
        let own = site.twin.as_ref();
        Self {
            location: site.plant.location.clone(),
            cloudiness: own
                .and_then(|t| t.cloudiness.clone())
                .unwrap_or_else(|| CLOUDINESS.to_vec()),
            temperature: own
                .and_then(|t| t.temperature.clone())
                .unwrap_or_else(|| TEMPERATURE.to_vec()),
            days: Noise::new(seed, "weather/days"),
            clouds: Noise::new(seed, "weather/clouds"),
            warmth: Noise::new(seed, "weather/warmth"),
        }
    }

    pub fn sun(&self, t: Timestamp) -> Option<Sun> {
        self.location.sun(t)
    }

    /// Share of the sky covered, 0..=1: days have regimes that last, hours drift, minutes flicker when it is half and half.
    pub fn cloud(&self, t: Timestamp) -> f64 {
        let s = seconds(t);
        let day = self.monthly(&self.cloudiness, t) + 0.30 * self.days.smooth(s, 1.3 * DAY_S);
        let hours = 0.16 * self.clouds.smooth(s, 5400.0);
        let c = (day + hours).clamp(0.0, 1.0);
        let broken = 4.0 * c * (1.0 - c);
        (c + broken * (0.20 * self.clouds.smooth(s, 720.0) + 0.08 * self.clouds.smooth(s, 150.0))).clamp(0.0, 1.0)
    }

    /// °C: month, day-to-day and hour.
    pub fn temperature(&self, t: Timestamp) -> f64 {
        let s = seconds(t);
        let local = t.with_timezone(&self.location.time_zone);
        let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
        let swing = 5.5 - 3.5 * self.cloud(t);
        let daily = swing * ((hour - 15.0) / 24.0 * std::f64::consts::TAU).cos();
        self.monthly(&self.temperature, t) + 2.6 * self.warmth.smooth(s, 2.5 * DAY_S) + daily
    }

    /// Between the middles of the months.
    fn monthly(&self, table: &[f64], t: Timestamp) -> f64 {
        let local = t.with_timezone(&self.location.time_zone);
        let x = f64::from(local.month0()) + (f64::from(local.day()) - 15.0) / 30.4;
        let month = x.floor();
        let at = |m: f64| table[(m as i64).rem_euclid(12) as usize];
        at(month) + (at(month + 1.0) - at(month)) * (x - month)
    }
}

/// Seconds since 1970.
pub fn seconds(t: Timestamp) -> f64 {
    t.timestamp_millis() as f64 / 1e3
}
