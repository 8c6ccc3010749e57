//! Loads: a shape people know, and what no forecast knows.

use super::lease::Lease;
use super::noise::Noise;
use super::weather::seconds;
use crate::site::{ExpectedLoad, ShiftableLoad};
use crate::time::{DayKind, Timestamp, day_kind, local_instant};
use chrono::{Datelike, NaiveDate, Timelike};

/// Kettles and ovens of a household: length of a slot and of an event.
const EVENT_SLOT_S: i64 = 600;
const EVENT_S: i64 = 240;

#[derive(Debug, Clone)]
pub struct LoadModel {
    expected: ExpectedLoad,
    country: String,
    tz: chrono_tz::Tz,
    noise: Noise,
    /// Sheddable loads may be off.
    pub on: Lease<bool>,
    pub power: f64,
}

impl LoadModel {
    pub fn new(expected: ExpectedLoad, country: &str, tz: chrono_tz::Tz, noise: Noise) -> Self {
        Self {
            expected,
            country: country.to_owned(),
            tz,
            noise,
            on: Lease::none(),
            power: 0.0,
        }
    }

    /// What would be consumed at `t`, kW. Large loads are the sum of many small ones and vary less.
    pub fn wanted(&self, t: Timestamp) -> f64 {
        let mean = self.expected.daily.as_kwh() / 24.0;
        let steadiness = (1.0 / (mean / 0.4).max(1.0)).sqrt().max(0.18);
        let local = t.with_timezone(&self.tz);
        let s = seconds(t);
        let day = i64::from(local.num_days_from_ce());
        let habit = self.noise.smooth(s, 40_000.0) * 45.0 * 60.0 * steadiness.max(0.3);
        let shape = self.shape(s + habit, t);
        let kind = match day_kind(local.date_naive(), &self.country, &[]) {
            DayKind::Work => 1.0,
            DayKind::Saturday => self.expected.saturday,
            DayKind::Sunday => self.expected.sunday,
        };
        let today = 1.0 + 0.16 * self.noise.normal(day).clamp(-2.0, 2.0) * steadiness.max(0.45);
        let drift = 1.0 + steadiness * (0.30 * self.noise.smooth(s, 5400.0) + 0.12 * self.noise.smooth(s, 240.0));
        let base = mean * shape * kind * today * drift.max(0.3);
        let power = if mean < 2.0 {
            0.78 * base + self.events(t, shape)
        } else {
            base
        };
        power.clamp(0.02 * mean, self.expected.max.as_kw())
    }

    /// Weight of the (shifted) local hour, linear between hours.
    fn shape(&self, shifted_s: f64, t: Timestamp) -> f64 {
        let local = t.with_timezone(&self.tz);
        let own = f64::from(local.hour()) + f64::from(local.minute()) / 60.0 + f64::from(local.second()) / 3600.0;
        let hour = own + (shifted_s - seconds(t)) / 3600.0 - 0.5;
        let at = |h: f64| self.expected.shape[(h as i64).rem_euclid(24) as usize];
        let low = hour.floor();
        at(low) + (at(low + 1.0) - at(low)) * (hour - low)
    }

    /// Short events of 0.8 to 1.8 kW; their mean is the share taken from the base.
    fn events(&self, t: Timestamp, shape: f64) -> f64 {
        let slot = t.timestamp().div_euclid(EVENT_SLOT_S);
        let into = t.timestamp().rem_euclid(EVENT_SLOT_S);
        let mean = self.expected.daily.as_kwh() / 24.0;
        let likely = 0.22 * mean * shape / (1.3 * EVENT_S as f64 / EVENT_SLOT_S as f64);
        let start = (self.noise.uniform(slot.wrapping_mul(3)) * (EVENT_SLOT_S - EVENT_S) as f64) as i64;
        let happens = self.noise.uniform(slot.wrapping_mul(3) + 1) < likely;
        if happens && (start..start + EVENT_S).contains(&into) {
            0.8 + self.noise.uniform(slot.wrapping_mul(3) + 2)
        } else {
            0.0
        }
    }
}

/// A load that runs once a day.
#[derive(Debug, Clone)]
pub struct RunModel {
    pub rating: ShiftableLoad,
    tz: chrono_tz::Tz,
    pub on: Lease<bool>,
    pub power: f64,
    /// Local date of the run in hand and hours of it done.
    day: NaiveDate,
    pub done_h: f64,
    /// kWh not run by the end of their window.
    pub missed_kwh: f64,
    counted: bool,
}

impl RunModel {
    pub fn new(rating: ShiftableLoad, tz: chrono_tz::Tz, start: Timestamp) -> Self {
        let day = start.with_timezone(&tz).date_naive();
        Self {
            rating,
            tz,
            on: Lease::none(),
            power: 0.0,
            day,
            done_h: 0.0,
            missed_kwh: 0.0,
            counted: false,
        }
    }

    fn need_h(&self) -> f64 {
        self.rating.duration.as_seconds_f64() / 3600.0
    }

    /// Runs when told; by itself from the earliest time on. Stops when done; the window's end counts what is missing.
    pub fn step(&mut self, t: Timestamp, h: f64) {
        let today = t.with_timezone(&self.tz).date_naive();
        if today != self.day {
            (self.day, self.done_h, self.counted) = (today, 0.0, false);
        }
        let from = local_instant(self.tz, today.and_time(self.rating.earliest));
        let until = local_instant(self.tz, today.and_time(self.rating.latest));
        let left = (self.need_h() - self.done_h).max(0.0);
        let wants = self.on.at(t).unwrap_or(t >= from) && t >= from && t < until;
        let share = if wants { (left / h).min(1.0) } else { 0.0 };
        self.power = self.rating.power.as_kw() * share;
        self.done_h += h * share;
        if t >= until && !self.counted {
            self.missed_kwh += left * self.rating.power.as_kw();
            self.counted = true;
        }
    }

    pub fn done(&self) -> bool {
        self.done_h + 1e-9 >= self.need_h()
    }
}
