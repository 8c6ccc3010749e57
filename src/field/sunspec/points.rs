//! From the models found to points with addresses and names, and to the requests that read them.

use super::Model;
use super::tables::{Absent, Def, Layout, layout};
use crate::field::map::BlockRead;
use crate::profile::{Every, MeterSign, Quirks, RegisterType, Table};
use std::collections::{BTreeMap, BTreeSet};

/// One value of the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub name: String,
    pub unit_id: u8,
    pub addr: u16,
    pub size: u16,
    pub type_: RegisterType,
    pub absent: Absent,
    pub mandatory: bool,
    /// 1 or −1: from SunSpec's sign to ours.
    pub sign: f64,
    /// Power of ten from SunSpec's unit to ours.
    pub exponent: i32,
    /// Address of its scale factor.
    pub scale_factor: Option<u16>,
    pub unit: &'static str,
    pub every: Every,
    /// Which of the models found it belongs to.
    pub model: usize,
}

impl Point {
    fn end(&self) -> u16 {
        self.addr + (self.size - 1)
    }
}

/// Our unit and the power of ten to it.
fn unit(sunspec: &'static str) -> (&'static str, i32) {
    match sunspec {
        "W" => ("kW", -3),
        "Wh" => ("kWh", -3),
        "VA" => ("kVA", -3),
        "var" => ("kvar", -3),
        "VAh" => ("kVAh", -3),
        "varh" => ("kvarh", -3),
        other => (other, 0),
    }
}

/// Gives names that are taken only once.
struct Names {
    taken: BTreeSet<String>,
    families: BTreeMap<&'static str, u16>,
    /// Parts of each kind seen before the present model.
    parts: BTreeMap<&'static str, u16>,
}

/// Every shown point of the models found.
pub fn points(models: &[Model], quirks: &Quirks) -> Vec<Point> {
    let (taken, families, parts) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let mut names = Names { taken, families, parts };
    let mut all = Vec::new();
    for (i, m) in models.iter().enumerate() {
        if let Some(l) = layout(m.id) {
            all.extend(of_model(i, m, l, quirks, &mut names));
        }
    }
    all
}

fn of_model(i: usize, m: &Model, l: &'static Layout, quirks: &Quirks, names: &mut Names) -> Vec<Point> {
    let number = names.families.entry(l.family).or_insert(0);
    *number += 1;
    let prefix = format!("{}[{number}].", l.family);
    // Strings are many by nature: the first is no more the battery's than the others.
    let always = l.family == "battery_string";
    let mut own = Vec::new();
    for d in &l.points {
        let Some(p) = point(i, m, l, d, 0, quirks) else {
            continue;
        };
        let plain = !always && names.taken.insert(p.name.clone());
        let name = if plain { p.name } else { format!("{prefix}{}", p.name) };
        own.push(Point { name, ..p });
    }
    let Some(g) = &l.group else { return own };
    let before = if always {
        0
    } else {
        names.parts.get(g.name).copied().unwrap_or(0)
    };
    let outer = if always { prefix.as_str() } else { "" };
    for r in 0..m.repeats {
        let start = g.start.saturating_add(g.size.saturating_mul(r));
        for d in &g.points {
            let Some(p) = point(i, m, l, d, start, quirks) else {
                continue;
            };
            let name = format!(
                "{outer}{}[{}].{}",
                g.name,
                before.saturating_add(r).saturating_add(1),
                p.name
            );
            own.push(Point { name, ..p });
        }
    }
    names.parts.insert(g.name, before.saturating_add(m.repeats));
    own
}

/// The point of a definition, where it is shown and lies inside the model as this device has it.
fn point(i: usize, m: &Model, l: &'static Layout, d: &'static Def, start: u16, quirks: &Quirks) -> Option<Point> {
    let name = d.shown?;
    let offset = start.checked_add(d.offset)?;
    if !m.holds(offset, d.size) {
        return None;
    }
    let scale_factor = match d.scale_factor.and_then(|sf| l.point(sf)) {
        Some(sf) if m.holds(sf.offset, 1) => Some(m.addr.checked_add(sf.offset)?),
        // A scale that the model is too short to hold: the value cannot be understood.
        Some(_) => return None,
        None => None,
    };
    let (unit, exponent) = unit(d.unit);
    let backwards = l.family == "meter"
        && quirks.meter_sign == Some(MeterSign::ExportPositive)
        && (name.starts_with("active_power") || name.starts_with("reactive_power"));
    let sign = if d.turned != backwards { -1.0 } else { 1.0 };
    Some(Point {
        name: name.to_owned(),
        unit_id: m.unit,
        addr: m.addr.checked_add(offset)?,
        size: d.size,
        type_: d.type_,
        absent: d.absent,
        mandatory: d.mandatory,
        sign,
        exponent,
        scale_factor,
        unit,
        every: l.every,
        model: i,
    })
}

/// Requests in the order they must be made. Neighbouring models share one as long as it can hold them; a model longer than a
/// request is cut between values, with its scale factors read before and after.
pub fn blocks(points: &[Point], asked: u8, most: u16) -> Vec<BlockRead> {
    let mut all = Vec::new();
    for every in [Every::Once, Every::Slow, Every::Fast] {
        let mut units: Vec<u8> = points.iter().map(|p| p.unit_id).collect();
        units.sort_unstable();
        units.dedup();
        for unit in units {
            let spans = spans(points, unit, every, most);
            let block = |(low, high): (u16, u16)| BlockRead {
                table: Table::Holding,
                addr: low,
                count: high - low + 1,
                every,
                unit: (unit != asked).then_some(unit),
            };
            all.extend(spans.into_iter().map(block));
        }
    }
    all
}

fn spans(points: &[Point], unit: u8, every: Every, most: u16) -> Vec<(u16, u16)> {
    let mut models: Vec<usize> = points.iter().map(|p| p.model).collect();
    models.dedup();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    // A cut model is left alone: the order of its requests means something.
    let mut open = false;
    for m in models {
        let own: Vec<&Point> = points
            .iter()
            .filter(|p| p.model == m && p.unit_id == unit && p.every == every)
            .collect();
        let Some((low, high)) = reach(&own) else { continue };
        if high - low >= most {
            merged.extend(cut(&own, most));
            open = false;
            continue;
        }
        match merged.last_mut().filter(|_| open) {
            Some(last) if high - last.0 < most && low >= last.0 => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
        open = true;
    }
    merged
}

/// First and last register of points and their scale factors.
fn reach(points: &[&Point]) -> Option<(u16, u16)> {
    let registers = || {
        points
            .iter()
            .flat_map(|p| [p.addr, p.end()].into_iter().chain(p.scale_factor))
    };
    Some((registers().min()?, registers().max()?))
}

fn cut(points: &[&Point], most: u16) -> Vec<(u16, u16)> {
    let factors = points.iter().filter_map(|p| p.scale_factor);
    let scales = factors.clone().min().zip(factors.max());
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|p| p.addr);
    let mut chunks: Vec<(u16, u16)> = Vec::new();
    for p in sorted {
        match chunks.last_mut() {
            Some(last) if p.end() - last.0 < most => last.1 = last.1.max(p.end()),
            _ => chunks.push((p.addr, p.end())),
        }
    }
    let mut all: Vec<(u16, u16)> = scales.into_iter().collect();
    all.extend(chunks);
    all.extend(scales);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn names(models: &[Model]) -> Vec<String> {
        points(models, &Quirks::standard())
            .into_iter()
            .map(|p| p.name)
            .collect()
    }

    #[test]
    fn the_first_model_keeps_its_names_plain_and_later_ones_are_told_apart() {
        let meters: Vec<Model> = (0..3).map(|i| model(203, 40_200 + 107 * i, 105, 0)).collect();
        let all = [vec![model(103, 40_070, 50, 0)], meters.clone()].concat();
        let found = names(&all);
        for name in [
            "active_power",
            "meter[1].active_power",
            "meter[3].active_power",
            "energy_import",
        ] {
            assert_eq!(found.iter().filter(|n| *n == name).count(), 1, "{name}: {found:?}");
        }
        let found = names(&meters);
        assert!(found.contains(&"active_power".to_owned()) && found.contains(&"meter[2].active_power".to_owned()));
        let unique: BTreeSet<&String> = found.iter().collect();
        assert_eq!(unique.len(), found.len());
    }

    #[test]
    fn parts_are_numbered_through_and_never_reach_past_their_model() {
        let found = names(&[
            model(160, 40_000, 8 + 40, 2),
            model(160, 40_100, 8 + 20, 1),
            model(804, 40_200, 46 + 32, 2),
        ]);
        for name in [
            "mppt[2].dc_power",
            "mppt[3].dc_power",
            "battery_string[1].module[2].soc",
            "battery_string[1].soc",
        ] {
            assert!(found.contains(&name.to_owned()), "{name}: {found:?}");
        }
        // A map that is cut off shows what is whole.
        let found = names(&[model(103, 40_000, 10, 0)]);
        assert!(!found.contains(&"voltage_l1".to_owned()) && found.contains(&"current_l1".to_owned()));
    }

    #[test]
    fn long_models_are_cut_between_values_with_their_scales_before_and_after() {
        for most in [20, 30, 60, 124, 125] {
            for m in [
                model(160, 40_000, 8 + 20 * 9, 9),
                model(701, 40_000, 153, 0),
                model(803, 40_000, 26 + 32 * 20, 20),
            ] {
                let points = points(&[m], &Quirks::standard());
                let blocks = blocks(&points, 1, most);
                assert!(blocks.iter().all(|b| b.count <= most), "{blocks:?}");
                for p in &points {
                    let inside = |b: &BlockRead| p.addr >= b.addr && p.end() < b.addr + b.count;
                    assert!(
                        blocks.iter().any(inside),
                        "{} lies in no request of {most}: {blocks:?}",
                        p.name
                    );
                }
                if blocks.len() > 1 {
                    assert_eq!(blocks.first(), blocks.last(), "scales before and after");
                }
            }
        }
        let whole = points(&[model(701, 40_000, 153, 0)], &Quirks::standard());
        assert_eq!(blocks(&whole, 1, 125).len(), 1, "what is shown of 701 fits one request");
    }
}
