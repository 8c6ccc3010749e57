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
    pub(super) points: Vec<Point>,
    /// Names the site asks for besides those of `points`, and the points they are; `None` where no model has such a point.
    pub(super) also: Vec<(String, Option<String>)>,
    /// The profile's names, the points they are, and whether the sign turns.
    pub(super) renamed: Vec<(String, Option<String>, bool)>,
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
        found.renamed = found.renames();
        found
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
        self.name(values);
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
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn model(id: u16, addr: u16, len: u16, repeats: u16) -> Model {
        Model {
            unit: 1,
            via: None,
            id,
            addr,
            len,
            repeats,
        }
    }

    pub fn found(models: Vec<Model>, quirks: &str, most: u16) -> Discovered {
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
    pub fn poll(d: &mut Discovered, at: &mut dyn FnMut(u16) -> u16) -> Values {
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
