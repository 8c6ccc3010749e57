//! What discovery found, what was last read of it, and the values in it.

use super::points::{Point, blocks, points};
use super::tables::{Absent, layout};
use super::{Identity, Model};
use crate::field::codec::{Raw, decode};
use crate::field::map::{BlockRead, MapPoint, Meaning, Value, Values, power_of_ten};
use crate::profile::{Quirks, Table, WordOrder};
use std::collections::{BTreeMap, BTreeSet};

/// Unit id and address of a register.
type Register = (u8, u16);

/// A SunSpec device as found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// The device's unit id in the site file; the one that answers may be another.
    asked: u8,
    pub models: Vec<Model>,
    pub identity: Identity,
    pub blocks: Vec<BlockRead>,
    points: Vec<Point>,
    /// Names the site asks for besides those of `points`, and the points they are; `None` where no model has such a point.
    also: Vec<(String, Option<String>)>,
    /// The profile's names, the points they are, and whether the sign turns.
    renamed: Vec<(String, Option<String>, bool)>,
    pub(super) quirks: Quirks,
    /// Registers as last read.
    seen: BTreeMap<Register, u16>,
    /// Registers read in this round of requests.
    round: BTreeMap<Register, u16>,
    /// Accumulators that have counted: their zero is a zero.
    counted: BTreeSet<Register>,
}

impl Discovered {
    pub fn new(asked: u8, models: Vec<Model>, identity: Identity, quirks: Quirks, most: u16) -> Self {
        let points = points(&models, &quirks);
        let mut found = Self {
            asked,
            models,
            identity,
            blocks: blocks(&points, asked, most.clamp(16, 125)),
            points,
            also: Vec::new(),
            renamed: Vec::new(),
            quirks,
            seen: BTreeMap::new(),
            round: BTreeMap::new(),
            counted: BTreeSet::new(),
        };
        let rename = |(name, source): (&String, &String)| {
            let plain = source.trim_start_matches('-');
            (name.clone(), found.resolve(plain), source != plain)
        };
        found.renamed = found.quirks.names.iter().map(rename).collect();
        found
    }

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
    fn resolve(&self, name: &str) -> Option<String> {
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

    /// Whether points of the models lie in a block (or in a piece of one).
    pub fn owns(&self, block: &BlockRead) -> bool {
        let unit = block.unit.unwrap_or(self.asked);
        let mut points = self.points.iter();
        block.table == Table::Holding && points.any(|p| p.unit_id == unit && lies_in(p.addr, p.size, block))
    }

    /// The points as the rest of the room knows points: where they lie, and what goes with them.
    pub fn map_points(&self) -> Vec<MapPoint> {
        let point = |p: &Point| MapPoint {
            name: p.name.clone(),
            table: Table::Holding,
            addr: p.addr,
            count: p.size,
            type_: p.type_,
            words: WordOrder::HiFirst,
            scale: p.sign * 10f64.powi(p.exponent),
            offset: 0.0,
            scale_factor: p.scale_factor,
            unit: p.unit.to_owned(),
            nan: absent(p.absent),
            range: (None, None),
            bit: None,
            meaning: Meaning::default(),
        };
        self.points.iter().map(point).collect()
    }

    /// A new round of requests begins: scale factors of the last one no longer count.
    pub fn begin(&mut self) {
        self.round.clear();
    }

    /// Takes the answer to one of [`Self::blocks`]: values of the points in it, under the names discovery gives.
    pub fn take(&mut self, block: &BlockRead, words: &[u16], values: &mut Values) {
        let unit = block.unit.unwrap_or(self.asked);
        let moved = self.store(unit, block.addr, words);
        let points = std::mem::take(&mut self.points);
        for p in points
            .iter()
            .filter(|p| p.unit_id == unit && lies_in(p.addr, p.size, block))
        {
            let value = self.value(p, block, words);
            values.insert(p.name.clone(), value);
        }
        self.points = points;
        self.distrust(&moved, block, values);
    }

    /// Keeps registers; those that were read in this round already and have moved since.
    fn store(&mut self, unit: u8, addr: u16, words: &[u16]) -> BTreeSet<Register> {
        let mut moved = BTreeSet::new();
        for (at, word) in (addr..=u16::MAX).zip(words) {
            self.seen.insert((unit, at), *word);
            if self.round.insert((unit, at), *word).is_some_and(|old| old != *word) {
                moved.insert((unit, at));
            }
        }
        moved
    }

    /// Values that were scaled in this round by a factor that has moved: which of the two was meant, nobody knows.
    fn distrust(&self, moved: &BTreeSet<Register>, block: &BlockRead, values: &mut Values) {
        for p in &self.points {
            let scaled = p.scale_factor.is_some_and(|sf| moved.contains(&(p.unit_id, sf)));
            if scaled
                && !lies_in(p.addr, p.size, block)
                && let Some(value @ Value::Number(_)) = values.get_mut(&p.name)
            {
                *value = Value::Invalid;
            }
        }
    }

    fn value(&mut self, p: &Point, block: &BlockRead, words: &[u16]) -> Value {
        let at = usize::from(p.addr - block.addr);
        let Some(own) = words.get(at..at + usize::from(p.size)) else {
            return Value::Missing;
        };
        let counted = self.counted.contains(&(p.unit_id, p.addr));
        match raw(p, own, counted) {
            Raw::Missing => Value::Missing,
            Raw::Text(text) => Value::Text(text),
            Raw::Number(n) => {
                if matches!(p.absent, Absent::Accumulator(_)) && n != 0.0 {
                    self.counted.insert((p.unit_id, p.addr));
                }
                self.scaled(p, n)
            }
        }
    }

    fn scaled(&self, p: &Point, n: f64) -> Value {
        let exponent = match p.scale_factor {
            None => Some(0),
            Some(sf) => match self.round.get(&(p.unit_id, sf)) {
                Some(0x8000) | None => None,
                Some(word) if power_of_ten(*word).is_some() => Some(i32::from(*word as i16)),
                Some(_) => return Value::Invalid,
            },
        };
        let Some(exponent) = exponent else {
            return Value::Missing;
        };
        let v = p.sign * shifted(n, exponent + p.exponent) + 0.0;
        let share = p.unit == "%" && (p.name.ends_with("soc") || p.name.ends_with("soh"));
        if share && !(-0.5..=110.0).contains(&v) {
            return Value::Invalid;
        }
        Value::Number(v)
    }

    /// Unit of a value by its name, also of those that are derived or renamed.
    pub fn unit_of(&self, name: &str) -> Option<&'static str> {
        let source = self.quirks.names.get(name).map_or(name, |s| s.trim_start_matches('-'));
        let point = self.resolve(source)?;
        self.points.iter().find(|p| p.name == point).map(|p| p.unit)
    }

    /// Adds what follows from others and what the site asks for by other names, then gives the profile's names.
    pub fn finish(&self, values: &mut Values) {
        self.derive(values);
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

    /// Battery and PV of a hybrid from its DC modules: GEN24's third charges the battery and its fourth discharges it.
    fn derive(&self, values: &mut Values) {
        let Some([charge, discharge]) = self.battery_modules() else {
            return;
        };
        let modules: u16 = self.models.iter().filter(|m| m.id == 160).map(|m| m.repeats).sum();
        let module = |i: u16, what: &str| values.get(&format!("mppt[{i}].{what}")).and_then(Value::number);
        let strings = || (1..=modules).filter(|i| *i != charge && *i != discharge);
        let sum = |what: &str| {
            // The device gives no value for a string that is dark: it generates nothing then.
            let known: Vec<f64> = strings().filter_map(|i| module(i, what)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>())
        };
        let power = module(charge, "dc_power").zip(module(discharge, "dc_power"));
        let derived = [
            ("battery_power", power.map(|(c, d)| c - d)),
            ("energy_charged", module(charge, "dc_energy")),
            ("energy_discharged", module(discharge, "dc_energy")),
            ("pv_power", sum("dc_power").map(|w| -w + 0.0)),
            ("energy_produced", sum("dc_energy")),
        ];
        if !values.contains_key(&format!("mppt[{charge}].dc_power")) {
            return;
        }
        for (name, v) in derived {
            values.insert(name.to_owned(), v.map_or(Value::Missing, Value::Number));
        }
    }

    /// Charging and discharging module, where the device has them.
    fn battery_modules(&self) -> Option<[u16; 2]> {
        let has = |id| self.models.iter().any(|m| m.id == id);
        let modules: u16 = self.models.iter().filter(|m| m.id == 160).map(|m| m.repeats).sum();
        let named = self.quirks.battery_modules;
        let pair = named.or_else(|| (has(124) && modules == 4).then_some([3, 4]))?;
        pair.iter().all(|i| *i <= modules).then_some(pair)
    }

    /// The first model of this number.
    pub(super) fn model(&self, id: u16) -> Option<Model> {
        self.models.iter().copied().find(|m| m.id == id)
    }

    /// Raw number of a model's point as last read; `None` where it is not there or says "not implemented".
    pub(super) fn raw(&self, m: &Model, point: &str) -> Option<f64> {
        let d = layout(m.id)?.point(point).filter(|d| m.holds(d.offset, d.size))?;
        let at = |i: u16| m.addr.checked_add(d.offset).and_then(|a| a.checked_add(i));
        let word = |i: u16| at(i).and_then(|a| self.seen.get(&(m.unit, a)).copied());
        let words: Vec<u16> = (0..d.size).map(word).collect::<Option<_>>()?;
        match decode(d.type_, WordOrder::HiFirst, &words, &absent(d.absent)) {
            Raw::Number(n) => Some(n),
            _ => None,
        }
    }

    /// The factor of a point as last read: 1 where it has none.
    pub(super) fn factor(&self, m: &Model, point: &str) -> Option<f64> {
        match layout(m.id)?.point(point)?.scale_factor {
            None => Some(1.0),
            Some(sf) => power_of_ten(self.raw(m, sf)? as i16 as u16),
        }
    }

    /// A point in SunSpec's unit.
    pub(super) fn scaled_of(&self, m: &Model, point: &str) -> Option<f64> {
        Some(self.raw(m, point)? * self.factor(m, point)?)
    }
}

/// `n × 10^exponent`; divided where that is exact (700 W are 0.7 kW). The caller adds zero, so that no zero is negative.
fn shifted(n: f64, exponent: i32) -> f64 {
    let power = 10f64.powi(exponent.abs());
    if exponent < 0 { n / power } else { n * power }
}

fn lies_in(addr: u16, size: u16, block: &BlockRead) -> bool {
    addr >= block.addr && u32::from(addr) + u32::from(size) <= u32::from(block.addr) + u32::from(block.count)
}

fn absent(absent: Absent) -> Vec<i128> {
    match absent {
        Absent::Raw(n) | Absent::Accumulator(n) => vec![n],
        Absent::Never => vec![],
    }
}

/// An accumulator at zero is "not implemented" by the letter of the standard, and a counter that has not counted yet by sense.
/// A mandatory one must be there, and one that has counted is there: for these zero is zero.
fn raw(p: &Point, words: &[u16], counted: bool) -> Raw {
    match decode(p.type_, WordOrder::HiFirst, words, &absent(p.absent)) {
        Raw::Number(0.0) if matches!(p.absent, Absent::Accumulator(_)) && !p.mandatory && !counted => Raw::Missing,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(id: u16, addr: u16, len: u16, repeats: u16) -> Model {
        Model {
            unit: 1,
            via: None,
            id,
            addr,
            len,
            repeats,
        }
    }

    fn found(models: Vec<Model>, quirks: &str, most: u16) -> Discovered {
        let text = || String::new();
        let identity = Identity {
            manufacturer: text(),
            model: text(),
            version: text(),
            serial: text(),
        };
        Discovered::new(1, models, identity, toml::from_str(quirks).unwrap(), most)
    }

    /// Reads every block from a register image that `at` gives.
    fn poll(d: &mut Discovered, at: &mut dyn FnMut(u16) -> u16) -> Values {
        let mut values = Values::new();
        d.begin();
        for b in d.blocks.clone() {
            let words: Vec<u16> = (b.addr..b.addr + b.count).map(&mut *at).collect();
            d.take(&b, &words, &mut values);
        }
        d.finish(&mut values);
        values
    }

    #[test]
    fn scale_factors_are_those_of_the_same_request_and_absent_values_are_missing() {
        let mut d = found(vec![model(103, 40_000, 50, 0)], "", 125);
        let mut image = |at: u16| match at - 40_000 {
            14 => 250,
            15 => 1,
            16 => 5_000,
            17 => 0xFFFE,
            22 => 90,
            23 => 0x8000,
            24..=26 => 0,
            _ => 0xFFFF,
        };
        let v = poll(&mut d, &mut image);
        assert_eq!(v["active_power"], Value::Number(-2.5));
        assert_eq!(v["frequency"], Value::Number(50.0));
        assert_eq!(v["current"], Value::Missing);
        assert_eq!(v["power_factor"], Value::Missing, "no scale, no value");
        assert_eq!(
            v["energy_export"],
            Value::Number(0.0),
            "a mandatory counter that has not counted yet"
        );
        let v = poll(&mut d, &mut |at| if at == 40_015 { 2 } else { image(at) });
        assert_eq!(
            v["active_power"],
            Value::Number(-25.0),
            "the factor has changed at run time"
        );
        let v = poll(&mut d, &mut |at| if at == 40_015 { 11 } else { image(at) });
        assert_eq!(v["active_power"], Value::Invalid, "a factor that cannot be");
    }

    #[test]
    fn an_optional_counter_is_believed_at_zero_only_once_it_has_counted() {
        let mut d = found(vec![model(160, 40_000, 28, 1)], "", 125);
        let with = |energy: u16| {
            move |at: u16| match at - 40_000 {
                5 => 0,
                23 => energy,
                _ => 0,
            }
        };
        assert_eq!(poll(&mut d, &mut with(0))["mppt[1].dc_energy"], Value::Missing);
        assert_eq!(poll(&mut d, &mut with(500))["mppt[1].dc_energy"], Value::Number(0.5));
        assert_eq!(
            poll(&mut d, &mut with(0))["mppt[1].dc_energy"],
            Value::Number(0.0),
            "a reset is seen"
        );
    }

    #[test]
    fn a_scale_that_moves_between_the_requests_of_a_long_model_spoils_its_values() {
        let mut d = found(vec![model(803, 40_000, 26 + 32 * 6, 6)], "", 125);
        let mut calm = |at: u16| if at == 40_026 { 0 } else { 50 };
        assert_eq!(poll(&mut d, &mut calm)["string[6].soc"], Value::Number(50.0));
        let mut reads = 0;
        let mut moving = |at: u16| {
            if at != 40_026 {
                return 50;
            }
            reads += 1;
            if reads > 2 { 0xFFFF } else { 0 }
        };
        assert_eq!(poll(&mut d, &mut moving)["string[6].soc"], Value::Invalid);
    }

    #[test]
    fn quirks_turn_the_meter_and_rename() {
        let quirks = "meter_sign = \"export_positive\"\n[names]\nac_power = \"active_power\"\nactive_power = \"meter[1].active_power\"\npv1_power = \"-mppt[1].dc_power\"";
        let models = vec![
            model(103, 40_000, 50, 0),
            model(203, 40_052, 105, 0),
            model(160, 40_200, 28, 1),
        ];
        let mut d = found(models, quirks, 125);
        let v = poll(&mut d, &mut |at| match at {
            40_014 => 3000,
            40_070 => 1200,
            40_221 => 700,
            _ => 0,
        });
        assert_eq!(v["ac_power"], Value::Number(-3.0));
        assert_eq!(v["active_power"], Value::Number(-1.2), "the vendor counts export");
        assert_eq!(v["pv1_power"], Value::Number(-0.7));
        assert!(!v.contains_key("meter[1].active_power") && !v.contains_key("mppt[1].dc_power"));
        assert_eq!(d.unit_of("pv1_power"), Some("kW"));
    }

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_registers_make_it_panic(
            ids in proptest::collection::vec((0usize..31, 0u16..260, 0u16..12), 1..8),
            start in prop_oneof![Just(40_000u16), 0u16..65_535], seed: u64, most in 0u16..200,
        ) {
            let known = [1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160, 201, 202, 203, 204, 211, 212, 213,
                214, 701, 702, 703, 704, 713, 714, 715, 802, 803, 804];
            let mut addr = start;
            let mut models = vec![];
            for (i, len, repeats) in ids {
                let Some(next) = addr.checked_add(2).and_then(|a| a.checked_add(len)) else { break };
                models.push(model(known[i], addr, len, repeats));
                addr = next;
            }
            let mut d = found(models, "battery_modules = [1, 2]", most);
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut any = |_| if rng.bool() { rng.u16(..) } else { [0, 0xFFFF, 0x8000, 0x7FC0][rng.usize(0..4)] };
            for _ in 0..3 {
                let values = poll(&mut d, &mut any);
                prop_assert!(values.values().all(|v| v.number().is_none_or(f64::is_finite)));
            }
            for command in ["battery_power", "pv_limit", "battery_charge_limit", "battery_discharge_limit", "battery_hold"] {
                for value in [0.0, -3.0, 4.5, f64::NAN, f64::INFINITY] {
                    let _refused = d.program(command, value);
                    let _refused = d.release(command);
                }
            }
            let _beat = d.heartbeats();
            let _local = d.kept_local();
        }
    }
}
