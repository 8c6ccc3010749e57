//! When a battery's mode changes, as `bench stability` counts it, the same for every planner (docs/stability.md).
//!
//! In: planned power of one interval after the other. Out: changes of mode, and reversals among them.

/// Share of the rating at which a direction begins, and below which it ends: standby watts are no mode, and a power that
/// hovers at one threshold is not a change each time.
const ENTER: f64 = 0.05;
const LEAVE: f64 = 0.02;
/// A pause shorter than this is no rest: the inverter stays connected and nobody notices, hours.
const REST: f64 = 1.0;

/// Share of the capacity from its ends within which a battery that filled or emptied itself stands still for want of room.
const END: f64 = 0.02;

/// A battery's ratings, as magnitudes.
#[derive(Debug, Clone, Copy)]
pub struct Ratings {
    pub charge_kw: f64,
    pub discharge_kw: f64,
    /// Lowest and highest stored energy, kWh.
    pub band_kwh: (f64, f64),
}

/// What one battery does: −1 discharges, 0 rests, +1 charges.
#[derive(Debug, Clone, Default)]
pub struct Modes {
    /// Within the dead band's hysteresis.
    direction: i8,
    paused: f64,
    /// Mode that counts; `None` before the first.
    mode: Option<i8>,
    /// Last mode that was not rest.
    last: i8,
    pub changes: u32,
    /// Charging after discharging or discharging after charging, with or without a rest between.
    pub reversals: u32,
}

impl Modes {
    /// `kw` into the battery over `hours`, which then holds `kwh`.
    pub fn see(&mut self, kw: f64, kwh: f64, hours: f64, r: &Ratings) {
        let rating = if kw >= 0.0 { r.charge_kw } else { r.discharge_kw };
        let share = kw / rating;
        self.direction = match self.direction {
            _ if share > ENTER => 1,
            _ if share < -ENTER => -1,
            1 if share > LEAVE => 1,
            -1 if share < -LEAVE => -1,
            _ => 0,
        };
        // full after charging, empty after discharging: it stopped by itself, nobody told it to rest
        let (low, high) = r.band_kwh;
        let spare = END * (high - low);
        let at_end = match self.mode {
            Some(1) => kwh >= high - spare,
            Some(-1) => kwh <= low + spare,
            _ => false,
        };
        self.paused = if self.direction == 0 && !at_end {
            self.paused + hours
        } else {
            0.0
        };
        let pauses = self.direction == 0 && self.paused < REST - 1e-9;
        if !(pauses && self.mode.is_some()) {
            self.enter(self.direction);
        }
    }

    fn enter(&mut self, mode: i8) {
        self.changes += u32::from(self.mode.is_some_and(|was| was != mode));
        self.mode = Some(mode);
        if mode != 0 {
            self.reversals += u32::from(self.last == -mode);
            self.last = mode;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATINGS: Ratings = Ratings {
        charge_kw: 10.0,
        discharge_kw: 10.0,
        band_kwh: (1.0, 10.0),
    };

    #[test]
    fn a_change_is_another_direction_or_an_hour_of_rest_beyond_the_dead_band() {
        // kW of a 10 kW battery in quarter-hours, changes, reversals
        let rows: [(&[f64], u32, u32); 9] = [
            // standby watts are rest
            (&[0.0, 0.02, -0.02, 0.4, -0.4], 0, 0),
            // a direction begins at 5 % and goes on down to 2 %
            (&[1.0, 0.3, 0.4, 0.3, 1.0], 0, 0),
            // a pause of three quarters of an hour is none, an hour is a rest: stop and start
            (&[1.0, 0.0, 0.0, 0.0, 1.0], 0, 0),
            (&[1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 2, 0),
            // reversal, with and without a pause
            (&[1.0, -1.0], 1, 1),
            (&[1.0, 0.0, -1.0], 1, 1),
            (&[1.0, 0.0, 0.0, 0.0, 0.0, -1.0], 2, 1),
            // flapping counts each time
            (&[1.0, -1.0, 1.0, -1.0], 3, 3),
            // rest from the start is a mode
            (&[0.0, 1.0], 1, 0),
        ];
        for (kw, changes, reversals) in rows {
            let mut modes = Modes::default();
            kw.iter().for_each(|kw| modes.see(*kw, 5.0, 0.25, &RATINGS));
            assert_eq!((modes.changes, modes.reversals), (changes, reversals), "{kw:?}");
        }
    }

    #[test]
    fn a_battery_that_is_full_or_empty_has_not_been_told_to_rest() {
        // stored before, power before, stored during two hours without power, changes
        for (kw, kwh, changes) in [
            (1.0, 9.9, 0),
            (1.0, 9.5, 1),
            (-1.0, 1.1, 0),
            (-1.0, 1.5, 1),
            (-1.0, 9.9, 1),
        ] {
            let mut modes = Modes::default();
            modes.see(kw, kwh, 0.25, &RATINGS);
            (0..8).for_each(|_| modes.see(0.0, kwh, 0.25, &RATINGS));
            assert_eq!(modes.changes, changes, "{kw} kW, {kwh} kWh");
        }
    }
}
