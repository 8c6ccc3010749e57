//! PV: sun, clouds, plane, temperature, inverter, and a power limit with its lease.

use super::lease::Lease;
use super::weather::Weather;
use crate::site::{Pv, Sun};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub struct PvModel {
    pub rating: Pv,
    /// Limit on generation, kW.
    pub limit: Lease<f64>,
    /// Generated now, kW ≥ 0.
    pub power: f64,
    /// Could be generated now.
    pub available: f64,
}

impl PvModel {
    pub fn new(rating: Pv) -> Self {
        Self {
            rating,
            limit: Lease::none(),
            power: 0.0,
            available: 0.0,
        }
    }

    /// Sets what is available and obeys the limit; `ceiling` is what the island can take, if it is one.
    pub fn step(&mut self, available: f64, t: Timestamp, ceiling: Option<f64>) {
        self.available = available.clamp(0.0, self.rating.inverter_max.as_kw());
        let limit = self.limit.at(t).unwrap_or(f64::INFINITY);
        self.power = self.available.min(limit).min(ceiling.unwrap_or(f64::INFINITY)).max(0.0);
    }
}

/// AC power of unlimited modules under the sky of `t`, kW, before the inverter's cap.
///
/// Clear sky after Haurwitz (1945); diffuse share after Erbs (1982); isotropic sky; cell temperature and −0.4 %/K.
pub fn available_kw(pv: &Pv, weather: &Weather, t: Timestamp) -> f64 {
    let Some(sun) = weather.sun(t) else { return 0.0 };
    let cosz = sun.zenith.to_radians().cos();
    if cosz <= 0.02 {
        return 0.0;
    }
    let cloud = weather.cloud(t);
    let through = 1.0 - 0.76 * cloud.powf(1.7);
    let clear = 1098.0 * cosz * (-0.057 / cosz).exp();
    let ghi = clear * through;
    let diffuse = ghi * diffuse_share(ghi / (1361.0 * cosz));
    let poa = on_plane(pv, sun, cosz, ghi, diffuse);
    let cell = weather.temperature(t) + 0.03 * poa;
    pv.peak.as_kw() * poa / 1000.0 * 0.88 * (1.0 - 0.004 * (cell - 25.0))
}

fn diffuse_share(k: f64) -> f64 {
    if k <= 0.22 {
        1.0 - 0.09 * k
    } else if k <= 0.8 {
        0.9511 - 0.1604 * k + 4.388 * k.powi(2) - 16.638 * k.powi(3) + 12.336 * k.powi(4)
    } else {
        0.165
    }
}

fn on_plane(pv: &Pv, sun: Sun, cosz: f64, ghi: f64, diffuse: f64) -> f64 {
    let (tilt, azimuth) = (pv.tilt.as_degrees().to_radians(), pv.azimuth.as_degrees().to_radians());
    let (zenith, sun_azimuth) = (sun.zenith.to_radians(), sun.azimuth.to_radians());
    let incidence = zenith.cos() * tilt.cos() + zenith.sin() * tilt.sin() * (sun_azimuth - azimuth).cos();
    let beam = ((ghi - diffuse) * incidence.max(0.0) / cosz.max(0.05)).min(1100.0);
    beam + diffuse * (1.0 + tilt.cos()) / 2.0 + ghi * 0.2 * (1.0 - tilt.cos()) / 2.0
}
