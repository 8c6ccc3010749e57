//! Charge points and the cars that visit them.

use super::lease::Lease;
use super::noise::Noise;
use crate::site::ChargePoint;
use crate::site::twin::Visits;
use crate::time::{Timestamp, local_instant};
use chrono::{Days, NaiveDate, TimeDelta};

/// One car's stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    pub arrival: Timestamp,
    pub departure: Timestamp,
    /// What its battery can take.
    pub need_kwh: f64,
}

#[derive(Debug, Clone)]
pub struct ChargerModel {
    pub rating: ChargePoint,
    phases: f64,
    volts: f64,
    visits: Option<Visits>,
    tz: chrono_tz::Tz,
    noise: Noise,
    /// Amperes per phase.
    pub limit: Lease<f64>,
    pub power: f64,
    pub visit: Option<Visit>,
    /// Into the car since plug-in, and drawn from the mains since plug-in.
    pub delivered_kwh: f64,
    pub session_kwh: f64,
    /// Stays that are over, in order.
    pub ended: Vec<Stay>,
}

/// A stay that is over: what was promised for it, and what the car got.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stay {
    pub arrival: Timestamp,
    pub departure: Timestamp,
    /// What was asked for or what the car could take, whichever is less.
    pub promised_kwh: f64,
    pub got_kwh: f64,
}

impl Stay {
    pub fn missed_kwh(&self) -> f64 {
        (self.promised_kwh - self.got_kwh).max(0.0)
    }
}

impl ChargerModel {
    pub fn new(
        rating: ChargePoint,
        phases: usize,
        volts: f64,
        visits: Option<Visits>,
        tz: chrono_tz::Tz,
        noise: Noise,
    ) -> Self {
        Self {
            rating,
            phases: phases as f64,
            volts,
            visits,
            tz,
            noise,
            limit: Lease::none(),
            power: 0.0,
            visit: None,
            delivered_kwh: 0.0,
            session_kwh: 0.0,
            ended: Vec::new(),
        }
    }

    /// IEC 61851 as a number: A 0, B 1, C 2.
    pub fn state(&self) -> f64 {
        match (self.visit, self.power > 0.0) {
            (None, _) => 0.0,
            (Some(_), false) => 1.0,
            (Some(_), true) => 2.0,
        }
    }

    /// The limit in force: commanded, or the safe current when nobody speaks.
    pub fn amps(&self, t: Timestamp) -> f64 {
        self.limit
            .at(t)
            .unwrap_or(self.rating.current_min.as_amps())
            .min(self.rating.current_max.as_amps())
    }

    pub fn step(&mut self, t: Timestamp, h: f64) {
        self.come_and_go(t);
        self.power = 0.0;
        let Some(visit) = self.visit else { return };
        let left = (visit.need_kwh - self.delivered_kwh).max(0.0) / self.rating.efficiency;
        let amps = self.amps(t);
        if amps >= self.rating.current_min.as_amps() - 1e-6 && left > 1e-6 {
            self.power = (amps * self.volts * self.phases / 1e3).min(left / h);
        }
        self.session_kwh += self.power * h;
        self.delivered_kwh += self.power * h * self.rating.efficiency;
    }

    fn come_and_go(&mut self, t: Timestamp) {
        if let Some(v) = self.visit {
            if t < v.departure {
                return;
            }
            self.ended.push(Stay {
                arrival: v.arrival,
                departure: v.departure,
                promised_kwh: v.need_kwh.min(self.rating.default_session.energy.as_kwh()),
                got_kwh: self.delivered_kwh,
            });
            self.visit = None;
        }
        let today = t.with_timezone(&self.tz).date_naive();
        let mut now = [today.pred_opt(), Some(today)]
            .into_iter()
            .flatten()
            .filter_map(|d| self.visit_of(d));
        if let Some(v) = now.rfind(|v| v.arrival <= t && t < v.departure) {
            self.visit = Some(v);
            (self.delivered_kwh, self.session_kwh) = (0.0, 0.0);
            self.limit.release();
        }
    }

    /// The stay that begins on a local date: seldom the same time, sometimes much earlier away, some days none.
    pub fn visit_of(&self, date: NaiveDate) -> Option<Visit> {
        let v = self.visits.as_ref()?;
        let day = i64::from(chrono::Datelike::num_days_from_ce(&date)) * 8;
        if self.noise.uniform(day) >= v.probability {
            return None;
        }
        let minutes = |k: i64| {
            let n = self.noise.normal(day + k).clamp(-2.0, 2.0);
            TimeDelta::seconds((60.0 * v.scatter_minutes * n) as i64)
        };
        let arrival = local_instant(self.tz, date.and_time(v.arrival)) + minutes(1);
        let leaves_on = if v.departure > v.arrival {
            date
        } else {
            date.checked_add_days(Days::new(1))?
        };
        let mut departure = local_instant(self.tz, leaves_on.and_time(v.departure)) + minutes(2) / 2;
        if self.noise.uniform(day + 3) < 0.06 {
            departure -= TimeDelta::minutes(90);
        }
        let need_kwh = v.energy.as_kwh() * (1.0 + 0.3 * self.noise.normal(day + 4).clamp(-1.8, 1.8));
        (departure > arrival + TimeDelta::minutes(30)).then_some(Visit {
            arrival,
            departure,
            need_kwh,
        })
    }
}
