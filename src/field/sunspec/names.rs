//! Names besides those that discovery gives: what the site asks for by its model, and what a vendor's profile calls otherwise.

use super::points::Point;
use super::tables::layout;
use super::{Discovered, Model};
use crate::field::map::{Value, Values};
use std::collections::BTreeSet;

impl Discovered {
    /// Names under which the site asks for values of a certain model: `meter[1].active_power` also where that meter comes first
    /// and its name is plain, `inverter[1].…` for an inverter or a DER. What no model has is missing, not another model's.
    pub fn answer_to(&mut self, asked: &[String]) {
        let is_new = |name: &&String| name.contains("].") && !self.points.iter().any(|p| p.name == **name);
        let also = asked
            .iter()
            .filter(is_new)
            .map(|name| (name.clone(), self.resolve(name)));
        self.also = also.collect();
    }

    /// The point meant by the name of a certain model's value.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let Some((place, own)) = name
            .split_once("].")
            .filter(|_| !self.points.iter().any(|p| p.name == name))
        else {
            return Some(name.to_owned());
        };
        let (family, number) = place.split_once('[')?;
        let is_meant = |m: &&(usize, &Model)| {
            let of = layout(m.1.id).map(|l| l.family);
            of == Some(family) || family == "inverter" && of == Some("der")
        };
        let models: Vec<(usize, &Model)> = self.models.iter().enumerate().collect();
        let (model, _) = models
            .iter()
            .filter(is_meant)
            .nth(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        let is_own = |p: &&Point| p.model == *model && p.name.rsplit('.').next() == Some(own);
        self.points.iter().find(is_own).map(|p| p.name.clone())
    }

    /// Families of the device's own models: `inverter`, `meter`, `der`, …; a meter that is read along at another unit is a device
    /// of its own.
    pub fn families(&self) -> BTreeSet<&'static str> {
        let own = self.models.first().map(|m| m.unit);
        let own = self.models.iter().filter(|m| Some(m.unit) == own);
        own.filter_map(|m| Some(layout(m.id)?.family)).collect()
    }

    /// The profile's names, the points they are, and whether the sign turns.
    pub(super) fn renames(&self) -> Vec<(String, Option<String>, bool)> {
        let rename = |(name, source): (&String, &String)| {
            let plain = source.trim_start_matches('-');
            (name.clone(), self.resolve(plain), source != plain)
        };
        self.quirks.names.iter().map(rename).collect()
    }

    /// Adds what the site asks for by other names, then gives the profile's names.
    pub(super) fn name(&self, values: &mut Values) {
        for (name, point) in &self.also {
            let value = match point {
                Some(point) => values.get(point).cloned(),
                None => Some(Value::Missing),
            };
            values.extend(value.map(|v| (name.clone(), v)));
        }
        if !self.renamed.is_empty() {
            self.rename(values);
        }
    }

    /// A name whose source no model of this device has is gone: what stands there would be another model's.
    fn rename(&self, values: &mut Values) {
        let original = values.clone();
        for (name, point, _) in &self.renamed {
            values.remove(name);
            point.iter().for_each(|p| drop(values.remove(p)));
        }
        for (name, point, turned) in &self.renamed {
            let value = match point.as_ref().and_then(|p| original.get(p)) {
                Some(Value::Number(n)) if *turned => Value::Number(-n + 0.0),
                Some(other) => other.clone(),
                None => continue,
            };
            values.insert(name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::tests::{found, model, poll};
    use super::*;

    /// Watts of the inverter (103) and of the meter (203), whichever model comes first.
    fn of_both(inverter: u16, meter: u16) -> impl FnMut(u16) -> u16 {
        move |at| match at {
            _ if at == inverter + 14 => 3000,
            _ if at == meter + 18 => 1200,
            _ if at == meter + 19 => 400,
            _ => 0,
        }
    }

    #[test]
    fn a_component_s_values_come_from_its_own_model_in_any_order() {
        let asked = [
            "meter[1].active_power",
            "meter[1].active_power_l1",
            "inverter[1].active_power",
        ]
        .map(String::from);
        for (inverter, meter) in [(40_000, 40_052), (40_107, 40_000)] {
            let mut models = vec![model(103, inverter, 50, 0), model(203, meter, 105, 0)];
            models.sort_by_key(|m| m.addr);
            let mut d = found(models, "", 125);
            d.answer_to(&asked);
            let v = poll(&mut d, &mut of_both(inverter, meter));
            assert_eq!(
                asked.each_ref().map(|n| v[n].clone()),
                [1.2, 0.4, -3.0].map(Value::Number)
            );
        }
    }

    #[test]
    fn what_no_model_has_is_missing_and_never_another_model_s() {
        let asked = [
            "meter[1].active_power".to_owned(),
            "meter[1].active_power_l1".to_owned(),
        ];
        let mut d = found(vec![model(103, 40_000, 50, 0)], "", 125);
        d.answer_to(&asked);
        let v = poll(&mut d, &mut of_both(40_000, 41_000));
        assert_eq!(v["active_power"], Value::Number(-3.0));
        assert!(asked.iter().all(|n| v[n] == Value::Missing), "{v:?}");
        // A vendor's names: without a meter nothing is called the meter's, neither power nor counters of a DER.
        let quirks = "[names]\nac_power = \"active_power\"\nactive_power = \"meter[1].active_power\"\nenergy_import = \"meter[1].energy_import\"";
        let mut d = found(vec![model(701, 40_000, 153, 0)], quirks, 125);
        let v = poll(&mut d, &mut |_| 1);
        assert!(v.contains_key("ac_power"), "{v:?}");
        assert!(
            !v.contains_key("active_power") && !v.contains_key("energy_import"),
            "{v:?}"
        );
    }

    #[test]
    fn the_names_of_the_profile_room_are_those_that_discovery_gives() {
        let ids = [
            1, 103, 113, 120, 121, 122, 123, 124, 160, 203, 213, 701, 702, 703, 704, 713, 714, 715, 802, 803, 804,
        ];
        let mut models: Vec<Model> = Vec::new();
        let mut addr = 40_000;
        for id in ids.into_iter().chain(ids) {
            models.push(model(id, addr, 400, 2));
            addr += 402;
        }
        let plain = crate::profile::builtin("sunspec").unwrap();
        let d = found(models, "", 125);
        let strange: Vec<&str> = d
            .points
            .iter()
            .map(|p| p.name.as_str())
            .filter(|n| !plain.shows(n))
            .collect();
        assert!(strange.is_empty() && d.points.len() > 500, "{strange:?}");
    }
}
