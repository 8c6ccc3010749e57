//! Where the sun stands over a place.

use super::plant::Location;
use crate::time::Timestamp;
use solar_positioning::SolarPositions;

/// Where the sun stands, degrees.
#[derive(Debug, Clone, Copy)]
pub struct Sun {
    pub zenith: f64,
    /// Clockwise from north.
    pub azimuth: f64,
}

impl Sun {
    /// Above the horizon, degrees; negative at night.
    pub fn elevation(self) -> f64 {
        90.0 - self.zenith
    }
}

impl Location {
    /// The sun at `t`, by Grena's algorithm 3 (Solar Energy 86, 2012; good to 0.01° until 2110), without refraction.
    pub fn sun(&self, t: Timestamp) -> Option<Sun> {
        let place = solar_positioning::Location {
            latitude: self.latitude.as_degrees(),
            longitude: self.longitude.as_degrees(),
        };
        let p = SolarPositions::grena3().at(&t, place, 0.0, 69.0, None);
        p.ok().map(|p| Sun {
            zenith: p.zenith_angle(),
            azimuth: p.azimuth(),
        })
    }
}
