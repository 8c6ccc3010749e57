//! Is the device what the site file says it is? Ratings that commands are shares of, held against the site's before every write;
//! and the first powers of a session are small until the device is seen to follow two of them: one alone it may have had
//! by itself.
//!
//! In: ratings as the device shows them, the site's. Out: what contradicts, or the part of a setpoint that is tried first. A
//! device that calls itself a thousandth of what it is takes a thousand times what it is told.

use super::Control;
use super::effect::Effect;
use crate::field::device::FieldDevice;
use crate::field::map::Values;
use crate::field::program::Program;
use crate::model::{RatingFault, RatingSource};
use crate::site::Id;
use std::collections::BTreeMap;

/// A rating this much smaller or larger is another device, another unit or another scale.
const SMALLEST: f64 = 0.5;
const LARGEST: f64 = 2.0;
/// Shares of its rating that a device is told at most until it is seen to follow: at first, and after one power.
const STEPS: [f64; 2] = [0.1, 0.2];
/// Steps of a smaller device are as of one with this rating, kW: less could not be told from noise.
const LEAST_RATING: f64 = 1.0;
/// What is seen of such a power lies within this share of it, or within the tolerance of its law.
const FOLLOWS: f64 = 0.3;

/// What the site file says of the components behind a device, kW.
#[derive(Debug, Clone, Default)]
pub struct Rated {
    pub battery: Option<Rating>,
    /// AC power of its inverters.
    pub inverter: Option<Rating>,
}

/// Largest power of a component, kW.
#[derive(Debug, Clone)]
pub struct Rating {
    pub component: Id,
    pub kw: f64,
}

/// A rating as a device shows it, kW.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub point: String,
    pub kw: f64,
}

impl Rated {
    fn of(&self, command: &str) -> Option<&Rating> {
        match command {
            "pv_limit" => self.inverter.as_ref(),
            c if c.starts_with("battery_") => self.battery.as_ref(),
            _ => None,
        }
    }
}

/// Ratings as first seen, and what the device was seen to follow of each command.
#[derive(Debug, Default)]
pub struct Trust {
    first: BTreeMap<String, f64>,
    followed: BTreeMap<String, Followed>,
}

/// Powers that a device was seen to follow, kW, none near another.
#[derive(Debug)]
struct Followed {
    /// Its ratings meanwhile.
    says: f64,
    powers: Vec<f64>,
}

impl Followed {
    fn is_tried(&self) -> bool {
        self.powers.len() >= STEPS.len()
    }

    /// A power that it had already, or has by itself, proves nothing.
    fn add(&mut self, kw: f64, near: f64) -> bool {
        let new = self.powers.iter().all(|p| (p - kw).abs() > near);
        if new {
            self.powers.push(kw);
        }
        new
    }
}

impl Trust {
    fn contradiction(&mut self, rating: &Rating, shown: &Shown) -> Option<RatingFault> {
        let fault = |expected_kw: f64, source| RatingFault {
            component: rating.component.clone(),
            point: shown.point.clone(),
            shown_kw: shown.kw,
            expected_kw,
            source,
        };
        let like = |kw: f64| (SMALLEST * kw..=LARGEST * kw).contains(&shown.kw);
        if !like(rating.kw) {
            return Some(fault(rating.kw, RatingSource::SiteFile));
        }
        let first = *self.first.entry(shown.point.clone()).or_insert(shown.kw);
        (!like(first)).then(|| fault(first, RatingSource::Before))
    }
}

impl Control {
    /// The device follows what it is told, as far as its rating is still the same.
    pub(super) fn is_tried(&self, command: &str) -> bool {
        self.trust.followed.get(command).is_some_and(Followed::is_tried)
    }

    /// What it holds has not been seen to work: neither its first power nor, for a while now, the last one.
    pub(super) fn is_contradicted(&self, command: &str) -> bool {
        let untried = self.told.get(command).is_some_and(|t| {
            t.value != 0.0 && t.program.effect.is_some_and(|e| !e.law.is_bound()) && !self.is_tried(command)
        });
        untried || self.effects.get(command).is_some_and(super::effect::Watch::is_off)
    }
}

impl FieldDevice {
    /// Ratings that contradict the site file, or what the device showed at first.
    pub(in crate::field) fn rating_faults(&mut self) -> Vec<RatingFault> {
        let mut faults: Vec<RatingFault> = Vec::new();
        for command in ["battery_power", "pv_limit"] {
            let fault = self.rating_fault(command);
            let again = fault
                .as_ref()
                .is_some_and(|f| faults.iter().any(|k| k.component == f.component));
            faults.extend(fault.filter(|_| !again));
        }
        faults
    }

    pub(super) fn rating_fault(&mut self, command: &str) -> Option<RatingFault> {
        let rating = self.control.rated.of(command)?.clone();
        let shown = self.ratings(command);
        shown.iter().find_map(|s| self.control.trust.contradiction(&rating, s))
    }

    /// The setpoint as it is told: a small part of it as long as the device has not been seen to follow.
    pub(super) fn tried(&mut self, command: &str, value: f64, program: Program) -> Result<(f64, Program), String> {
        let (rating, says) = (self.rating_of(command), self.says(command));
        let trust = &mut self.control.trust;
        if trust.followed.get(command).is_some_and(|f| f.says != says) {
            trust.followed.remove(command);
        }
        let seen = trust.followed.get(command).map_or(0, |f| f.powers.len());
        let step = STEPS
            .get(seen)
            .filter(|_| program.effect.is_some_and(|e| !e.law.is_bound()));
        let most = rating
            .zip(step)
            .map(|(kw, step)| step * kw.max(LEAST_RATING))
            .filter(|most| value.abs() > *most);
        let Some(most) = most else { return Ok((value, program)) };
        let small = most.copysign(value);
        Ok((small, self.compile(command, small)?))
    }

    fn rating_of(&self, command: &str) -> Option<f64> {
        self.control.rated.of(command).map(|r| r.kw)
    }

    /// What the device says of itself: another rating is another device.
    fn says(&self, command: &str) -> f64 {
        self.ratings(command).iter().map(|s| s.kw).sum()
    }

    /// A look at the measured power: it has the direction and the size of what was told. True once that is proof.
    pub(super) fn try_out(&mut self, command: &str, effect: &Effect, values: &Values) -> bool {
        if self.control.is_tried(command) || effect.law.is_bound() {
            return false;
        }
        let Some(shown) = effect.shown(values) else {
            return false;
        };
        let near = effect.tolerance().min(FOLLOWS * effect.kw.abs()).max(0.05);
        if effect.kw.abs() <= near || (shown - effect.kw).abs() > near {
            return false;
        }
        let says = self.says(command);
        let powers = Vec::new();
        let followed = self.control.trust.followed.entry(command.to_owned());
        let followed = followed.or_insert(Followed { says, powers });
        followed.add(effect.kw, near) && followed.is_tried()
    }

    /// The owner at the keyboard tries it out himself.
    pub(super) fn trust_owner(&mut self, command: &str) {
        let says = self.says(command);
        let powers = STEPS.to_vec();
        let followed = Followed { says, powers };
        self.control.trust.followed.insert(command.to_owned(), followed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_power_that_a_device_may_have_had_by_itself_is_no_proof() {
        let mut followed = Followed {
            says: 5.0,
            powers: vec![],
        };
        let mut look = |kw, near| (followed.add(kw, near), followed.is_tried());
        assert_eq!(look(0.5, 0.15), (true, false));
        assert_eq!(look(0.5, 0.15), (false, false), "the same again");
        assert_eq!(look(0.6, 0.18), (false, false), "near it");
        assert_eq!(look(1.0, 0.2), (true, true));
    }

    #[test]
    fn a_rating_far_from_the_site_file_or_from_what_it_was_is_named_with_both_numbers() {
        let rating = Rating {
            component: Id::new("battery"),
            kw: 5.0,
        };
        for (shown, said) in [
            (&[5.0][..], None),
            (&[2.5, 5.0], None),
            (&[10.0], None),
            (&[0.001], Some("WChaMax is 0.00100 kW, the site file says 5.00 kW")),
            (&[65.0], Some("WChaMax is 65.0 kW, the site file says 5.00 kW")),
            (&[2.6, 9.9], Some("WChaMax is 9.90 kW, it was 2.60 kW before")),
        ] {
            let mut trust = Trust::default();
            let look = |kw: &f64| {
                let point = "WChaMax".into();
                trust.contradiction(&rating, &Shown { point, kw: *kw })
            };
            let last = shown.iter().map(look).last().flatten();
            let en = last.as_ref().map(|f| f.text_en(f.component.as_str()));
            let ko = last.as_ref().map(|f| f.text_ko(f.component.as_str()));
            assert_eq!(said.is_some(), en.is_some(), "{shown:?}");
            if let (Some(said), Some(en), Some(ko)) = (said, en, ko) {
                assert!(en.contains(said), "{en}");
                let numbers = said.split_whitespace().filter(|w| w.parse::<f64>().is_ok());
                assert!(
                    numbers.clone().count() == 2 && numbers.clone().all(|n| ko.contains(n)),
                    "{ko}"
                );
            }
        }
    }
}
