//! Refuses what no formulation could mean: wrong lengths, NaN and infinities, crossed ratings; names the place.

mod superset;

use super::SolveError;
use crate::model::{BatteryProblem, BlockProblem, GridProblem, HeatProblem, PerStep, Problem};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Anything a site can have stays far below this (kW, kWh, money per kWh, 1000 m³).
const LARGEST: f64 = 1e9;

/// First fault found, or nothing.
pub fn validate(p: &Problem) -> Result<(), SolveError> {
    if !p.schema.is_empty() && p.schema != "ems-case-1" {
        return fault("schema", format!("`{}` is not known; use ems-case-1", p.schema));
    }
    if p.steps > 100_000 {
        return fault("steps", format!("{} must be 0 to 100000", p.steps));
    }
    per_step(p, "step_hours", &p.step_hours, 1e-6..=8784.0)?;
    series(p, "load_kw", &p.load_kw, -LARGEST..=LARGEST)?;
    number("unserved_cost_per_kwh", p.unserved_cost_per_kwh, -LARGEST..=LARGEST)?;
    number(
        "spill_cost_per_kwh",
        p.spill_cost_per_kwh.unwrap_or(0.0),
        -LARGEST..=LARGEST,
    )?;
    number("co2_price_per_kg", p.co2_price_per_kg, -LARGEST..=LARGEST)?;
    number("co2_cap_kg", p.co2_cap_kg.unwrap_or(0.0), -LARGEST..=LARGEST)?;
    unique_ids(p)?;
    if let Some(g) = &p.grid {
        grid(p, g)?;
    }
    for (i, pv) in p.pv.iter().enumerate() {
        series(p, &format!("pv[{i}].available_kw"), &pv.available_kw, 0.0..=LARGEST)?;
    }
    for (i, b) in p.batteries.iter().enumerate() {
        battery(&format!("batteries[{i}] ({})", b.id), b)?;
    }
    small_parts(p)?;
    if let Some(h) = &p.heat {
        heat(p, h)?;
    }
    hydro(p)?;
    superset::superset(p)
}

fn fault<T>(place: &str, fault: impl Into<String>) -> Result<T, SolveError> {
    Err(SolveError::BadProblem {
        place: place.to_owned(),
        fault: fault.into(),
    })
}

fn number(place: &str, value: f64, allowed: RangeInclusive<f64>) -> Result<(), SolveError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    fault(
        place,
        format!("{value} is not between {} and {}", allowed.start(), allowed.end()),
    )
}

/// Several numbers of one thing: `(name, value)`.
fn numbers(place: &str, values: &[(&str, f64)], allowed: RangeInclusive<f64>) -> Result<(), SolveError> {
    values
        .iter()
        .try_for_each(|(name, v)| number(&format!("{place}.{name}"), *v, allowed.clone()))
}

fn series(p: &Problem, place: &str, values: &[f64], allowed: RangeInclusive<f64>) -> Result<(), SolveError> {
    if values.len() != p.steps {
        return fault(place, format!("{} values for {} steps", values.len(), p.steps));
    }
    values
        .iter()
        .enumerate()
        .try_for_each(|(t, v)| number(&format!("{place}[{t}]"), *v, allowed.clone()))
}

fn per_step(p: &Problem, place: &str, values: &PerStep, allowed: RangeInclusive<f64>) -> Result<(), SolveError> {
    match values {
        PerStep::All(v) => number(place, *v, allowed),
        PerStep::Each(v) => series(p, place, v, allowed),
    }
}

fn ordered(place: &str, low: (&str, f64), high: (&str, f64)) -> Result<(), SolveError> {
    if low.1 <= high.1 {
        return Ok(());
    }
    fault(place, format!("{} {} is above {} {}", low.0, low.1, high.0, high.1))
}

fn unique_ids(p: &Problem) -> Result<(), SolveError> {
    let heat = p.heat.iter().flat_map(|h| {
        let chps = h.chps.iter().map(|c| &c.id);
        chps.chain(h.heat_pumps.iter().map(|x| &x.id))
    });
    let ids = p.pv.iter().map(|x| &x.id).chain(p.batteries.iter().map(|x| &x.id));
    let ids = ids
        .chain(p.evs.iter().map(|x| &x.id))
        .chain(p.gensets.iter().map(|x| &x.id));
    let ids = ids
        .chain(p.hydro.iter().map(|x| &x.id))
        .chain(p.sheddable.iter().map(|x| &x.id));
    let ids = ids.chain(p.deferrable.iter().map(|x| &x.id));
    let ids = ids.chain(p.shiftable.iter().map(|x| &x.id)).chain(heat);
    let mut seen = BTreeSet::from(["load", "spill", "grid"]);
    for id in ids {
        if !seen.insert(id) {
            return fault("id", format!("`{id}` is used twice (or is one of load, spill, grid)"));
        }
    }
    p.circuits.iter().try_for_each(|c| {
        let stranger = c.members.iter().find(|m| !seen.contains(m.as_str()));
        stranger.map_or(Ok(()), |m| {
            fault(&format!("circuits ({})", c.id), format!("`{m}` is not a component"))
        })
    })
}

fn grid(p: &Problem, g: &GridProblem) -> Result<(), SolveError> {
    per_step(p, "grid.import_max_kw", &g.import_max_kw, 0.0..=LARGEST)?;
    per_step(p, "grid.export_max_kw", &g.export_max_kw, 0.0..=LARGEST)?;
    series(p, "grid.buy", &g.buy, -LARGEST..=LARGEST)?;
    series(p, "grid.sell", &g.sell, -LARGEST..=LARGEST)?;
    per_step(p, "grid.co2_kg_per_kwh", &g.co2_kg_per_kwh, -LARGEST..=LARGEST)?;
    let money = [
        ("demand_charge_per_kw", g.demand_charge_per_kw),
        ("peak_so_far_kw", g.peak_so_far_kw),
    ];
    numbers("grid", &money, 0.0..=LARGEST)?;
    number(
        "grid.self_sufficiency_per_kwh",
        g.self_sufficiency_per_kwh,
        -LARGEST..=LARGEST,
    )?;
    if let Some(w) = g.demand_window.as_ref().filter(|w| w.len() != p.steps) {
        return fault(
            "grid.demand_window",
            format!("{} values for {} steps", w.len(), p.steps),
        );
    }
    if let Some(w) = g.first_window {
        let parts = [("imported_kwh", w.imported_kwh), ("past_hours", w.past_hours)];
        numbers("grid.first_window", &parts, 0.0..=LARGEST)?;
    }
    demand(p, g)?;
    blocks("grid.blocks", &g.blocks)?;
    for (i, q) in g.quantities.iter().enumerate() {
        let place = format!("grid.quantities[{i}]");
        if q.counts.len() != p.steps {
            return fault(
                &format!("{place}.counts"),
                format!("{} values for {} steps", q.counts.len(), p.steps),
            );
        }
        blocks(&format!("{place}.blocks"), &q.blocks)?;
    }
    Ok(())
}

/// A charge on several windows knows the group of each step.
fn demand(p: &Problem, g: &GridProblem) -> Result<(), SolveError> {
    for (i, d) in g.demand.iter().enumerate() {
        let place = format!("grid.demand[{i}]");
        let parts = [("charge_per_kw", d.charge_per_kw), ("minimum_kw", d.minimum_kw)];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        d.known
            .iter()
            .try_for_each(|k| number(&format!("{place}.known.kw"), k.kw, 0.0..=LARGEST))?;
        if d.groups.len() != p.steps {
            return fault(
                &format!("{place}.groups"),
                format!("{} values for {} steps", d.groups.len(), p.steps),
            );
        }
        if d.peaks == 0 {
            return fault(&format!("{place}.peaks"), "is 0; at least one window is billed");
        }
    }
    Ok(())
}

/// The last block, and only it, has no end.
fn blocks(place: &str, blocks: &[BlockProblem]) -> Result<(), SolveError> {
    for (i, b) in blocks.iter().enumerate() {
        let place = format!("{place}[{i}]");
        number(&format!("{place}.price"), b.price, -LARGEST..=LARGEST)?;
        number(&format!("{place}.size_kwh"), b.size_kwh.unwrap_or(0.0), 0.0..=LARGEST)?;
        let last = i + 1 == blocks.len();
        if last != b.size_kwh.is_none() {
            return fault(&place, "the last block, and only it, has no size_kwh");
        }
    }
    Ok(())
}

fn battery(place: &str, b: &BatteryProblem) -> Result<(), SolveError> {
    let powers = [
        ("charge_max_kw", b.charge_max_kw),
        ("discharge_max_kw", b.discharge_max_kw),
        ("standby_kw", b.standby_kw),
    ];
    numbers(place, &powers, 0.0..=LARGEST)?;
    numbers(
        place,
        &[("charge_eff", b.charge_eff), ("discharge_eff", b.discharge_eff)],
        1e-3..=1.0,
    )?;
    let energies = [
        ("soc_min_kwh", b.soc_min_kwh),
        ("soc_max_kwh", b.soc_max_kwh),
        ("soc_start_kwh", b.soc_start_kwh),
    ];
    numbers(place, &energies, -LARGEST..=LARGEST)?;
    let rest = [
        ("wear_cost_per_kwh", b.wear_cost_per_kwh),
        ("end_value_per_kwh", b.end_value_per_kwh),
        ("soc_end_kwh", b.soc_end_kwh.unwrap_or(0.0)),
        ("soc_end_min_kwh", b.soc_end_min_kwh.unwrap_or(0.0)),
        ("reserve.kwh", b.reserve.map_or(0.0, |r| r.kwh)),
    ];
    numbers(place, &rest, -LARGEST..=LARGEST)?;
    let price = b.reserve.map_or(0.0, |r| r.cost_per_kwh_hour);
    number(&format!("{place}.reserve.cost_per_kwh_hour"), price, 0.0..=LARGEST)?;
    number(&format!("{place}.loss_per_hour"), b.loss_per_hour, 0.0..=1e3)?;
    ordered(place, ("soc_min_kwh", b.soc_min_kwh), ("soc_max_kwh", b.soc_max_kwh))
}

fn small_parts(p: &Problem) -> Result<(), SolveError> {
    for (i, e) in p.evs.iter().enumerate() {
        let place = format!("evs[{i}] ({})", e.id);
        let parts = [
            ("energy_needed_kwh", e.energy_needed_kwh),
            ("charge_max_kw", e.charge_max_kw),
            ("charge_min_kw", e.charge_min_kw),
            ("late_cost_per_kwh", e.late_cost_per_kwh),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        number(
            &format!("{place}.shortfall_cost_per_kwh"),
            e.shortfall_cost_per_kwh,
            -LARGEST..=LARGEST,
        )?;
        number(&format!("{place}.charge_eff"), e.charge_eff, 1e-3..=1.0)?;
        ordered(
            &place,
            ("charge_min_kw", e.charge_min_kw),
            ("charge_max_kw", e.charge_max_kw),
        )?;
    }
    for (i, g) in p.gensets.iter().enumerate() {
        let place = format!("gensets[{i}] ({})", g.id);
        numbers(&place, &[("min_kw", g.min_kw), ("max_kw", g.max_kw)], 0.0..=LARGEST)?;
        let money = [
            ("fuel_cost_per_kwh", g.fuel_cost_per_kwh),
            ("co2_kg_per_kwh", g.co2_kg_per_kwh),
            ("no_load_cost_per_hour", g.no_load_cost_per_hour),
            ("start_cost", g.start_cost),
        ];
        numbers(&place, &money, -LARGEST..=LARGEST)?;
        if let Some(b) = g.commit_blocks.as_ref().filter(|b| b.len() != p.steps) {
            return fault(
                &place,
                format!("commit_blocks has {} values for {} steps", b.len(), p.steps),
            );
        }
        if g.commitment {
            ordered(&place, ("min_kw", g.min_kw), ("max_kw", g.max_kw))?;
        }
    }
    Ok(())
}

fn heat(p: &Problem, h: &HeatProblem) -> Result<(), SolveError> {
    series(p, "heat.load_kw", &h.load_kw, -LARGEST..=LARGEST)?;
    number(
        "heat.unserved_cost_per_kwh",
        h.unserved_cost_per_kwh,
        -LARGEST..=LARGEST,
    )?;
    for (i, c) in h.chps.iter().enumerate() {
        let place = format!("heat.chps[{i}] ({})", c.id);
        let parts = [
            ("electric_max_kw", c.electric_max_kw),
            ("heat_per_electric", c.heat_per_electric),
            ("fuel_kwh_per_kwh_el", c.fuel_kwh_per_kwh_el),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        let fuel = [
            ("fuel_price_per_kwh", c.fuel_price_per_kwh),
            ("co2_kg_per_kwh_fuel", c.co2_kg_per_kwh_fuel),
        ];
        numbers(&place, &fuel, -LARGEST..=LARGEST)?;
    }
    for (i, b) in h.boilers.iter().enumerate() {
        let place = format!("heat.boilers[{i}] ({})", b.id);
        number(&format!("{place}.heat_max_kw"), b.heat_max_kw, 0.0..=LARGEST)?;
        number(&format!("{place}.efficiency"), b.efficiency, 1e-3..=10.0)?;
        let fuel = [
            ("fuel_price_per_kwh", b.fuel_price_per_kwh),
            ("co2_kg_per_kwh_fuel", b.co2_kg_per_kwh_fuel),
        ];
        numbers(&place, &fuel, -LARGEST..=LARGEST)?;
    }
    for (i, x) in h.heat_pumps.iter().enumerate() {
        let place = format!("heat.heat_pumps[{i}] ({})", x.id);
        number(&format!("{place}.electric_max_kw"), x.electric_max_kw, 0.0..=LARGEST)?;
        per_step(p, &format!("{place}.cop"), &x.cop, 0.0..=100.0)?;
    }
    for (i, k) in h.tanks.iter().enumerate() {
        let place = format!("heat.tanks[{i}] ({})", k.id);
        let parts = [
            ("capacity_kwh", k.capacity_kwh),
            ("start_kwh", k.start_kwh),
            ("charge_max_kw", k.charge_max_kw),
            ("discharge_max_kw", k.discharge_max_kw),
            ("loss_per_hour", k.loss_per_hour),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        let end = [
            ("end_min_kwh", k.end_min_kwh.unwrap_or(0.0)),
            ("end_value_per_kwh", k.end_value_per_kwh),
        ];
        numbers(&place, &end, -LARGEST..=LARGEST)?;
    }
    Ok(())
}

fn hydro(p: &Problem) -> Result<(), SolveError> {
    for (i, h) in p.hydro.iter().enumerate() {
        let place = format!("hydro[{i}] ({})", h.id);
        series(p, &format!("{place}.inflow_m3s"), &h.inflow_m3s, 0.0..=LARGEST)?;
        let parts = [
            ("turbine_max_m3s", h.turbine_max_m3s),
            ("kw_per_m3s", h.kw_per_m3s),
            ("min_release_m3s", h.min_release_m3s),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        let volumes = [
            ("volume_min_m3", h.volume_min_m3),
            ("volume_max_m3", h.volume_max_m3),
            ("volume_start_m3", h.volume_start_m3),
            ("volume_end_min_m3", h.volume_end_min_m3),
        ];
        numbers(&place, &volumes, 0.0..=LARGEST * 1e3)?;
        number(
            &format!("{place}.water_value_per_m3"),
            h.water_value_per_m3,
            -LARGEST..=LARGEST,
        )?;
        ordered(
            &place,
            ("volume_min_m3", h.volume_min_m3),
            ("volume_max_m3", h.volume_max_m3),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(change: impl Fn(&mut Problem)) -> Result<(), SolveError> {
        let mut p = crate::plan::tests::small_home();
        change(&mut p);
        validate(&p)
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        type Change = fn(&mut Problem);
        let rows: [(Change, &str); 7] = [
            (|p| p.load_kw[1] = f64::NAN, "load_kw[1]"),
            (|p| p.load_kw.truncate(1), "load_kw"),
            (|p| p.step_hours = PerStep::All(0.0), "step_hours"),
            (|p| p.batteries[0].soc_min_kwh = 99.0, "batteries[0]"),
            (|p| p.batteries[0].charge_eff = f64::INFINITY, "charge_eff"),
            (|p| p.pv[0].available_kw[0] = -1.0, "pv[0].available_kw[0]"),
            (|p| p.pv[0].id = "bat".into(), "id"),
        ];
        assert_eq!(case(|_| ()), Ok(()));
        for (change, place) in rows {
            let error = case(change).unwrap_err().to_string();
            assert!(error.starts_with(place) || error.contains(place), "{error}");
        }
    }
}
