//! Faults of what `ems-case-1` does not know.

use super::{LARGEST, fault, number, numbers, ordered, per_step, series};
use crate::model::*;
use crate::plan::SolveError;

pub fn superset(p: &Problem) -> Result<(), SolveError> {
    for (i, s) in p.sheddable.iter().enumerate() {
        series(p, &format!("sheddable[{i}].load_kw"), &s.load_kw, 0.0..=LARGEST)?;
        number(
            &format!("sheddable[{i}].shed_cost_per_kwh"),
            s.shed_cost_per_kwh,
            -LARGEST..=LARGEST,
        )?;
    }
    for (i, s) in p.shiftable.iter().enumerate() {
        let place = format!("shiftable[{i}] ({})", s.id);
        let parts = [
            ("power_kw", s.power_kw),
            ("duration_hours", s.duration_hours),
            ("running_hours", s.running_hours),
            ("missed_cost_per_kwh", s.missed_cost_per_kwh),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        for phase in &s.phases {
            let parts = [("phases.power_kw", phase.power_kw), ("phases.hours", phase.hours)];
            numbers(&place, &parts, 0.0..=LARGEST)?;
        }
        let ends = [s.phases.first(), s.phases.last()];
        if ends.into_iter().flatten().any(|phase| phase.power_kw <= 0.0) {
            return fault(&place, "phases: the first and the last need power");
        }
        let follows = |id: &String| *id != s.id && p.shiftable.iter().any(|b| b.id == *id);
        if let Some(stranger) = s.after.as_ref().filter(|id| !follows(id)) {
            return fault(&place, format!("after: `{stranger}` is not another run-once load"));
        }
    }
    for (i, c) in p.circuits.iter().enumerate() {
        number(&format!("circuits[{i}] ({}).limit_kw", c.id), c.limit_kw, 0.0..=LARGEST)?;
    }
    for c in p.circuits.iter().filter(|c| !c.weights.is_empty()) {
        let place = format!("circuits ({}).weights", c.id);
        if c.weights.len() != c.members.len() {
            return fault(
                &place,
                format!("{} values for {} members", c.weights.len(), c.members.len()),
            );
        }
        c.weights
            .iter()
            .try_for_each(|w| number(&place, *w, -LARGEST..=LARGEST))?;
    }
    for told in &p.told {
        let place = format!("told ({})", told.id);
        if told.asked_kw.len() != told.power_kw.len() || told.power_kw.len() > p.steps {
            return fault(
                &place,
                format!("asked_kw, power_kw: one value for each of at most {} steps", p.steps),
            );
        }
        for kw in told.asked_kw.iter().chain(&told.power_kw) {
            number(&place, *kw, -LARGEST..=LARGEST)?;
        }
        let parts = [
            ("hours", told.hours),
            ("short_cost_per_kwh", told.short_cost_per_kwh),
            ("beyond_cost_per_kwh", told.beyond_cost_per_kwh),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
    }
    if let Some(e) = p.elastic {
        let prices = [("limit_per_kwh", e.limit_per_kwh), ("soc_per_kwh", e.soc_per_kwh)];
        numbers("elastic", &prices, 0.0..=LARGEST)?;
    }
    if let Some(t) = &p.taste {
        let prices = [
            ("wear_per_kwh", t.wear_per_kwh),
            ("early_per_kwh_step", t.early_per_kwh_step),
        ];
        numbers("taste", &prices, 0.0..=LARGEST)?;
    }
    deferrable(p)?;
    site(p)?;
    for (i, b) in p.batteries.iter().enumerate() {
        battery(&format!("batteries[{i}] ({})", b.id), b)?;
    }
    for (i, e) in p.evs.iter().enumerate() {
        car(p, &format!("evs[{i}] ({})", e.id), e)?;
    }
    for (i, g) in p.gensets.iter().enumerate() {
        part_load(&format!("gensets[{i}] ({})", g.id), g)?;
    }
    p.heat.as_ref().map_or(Ok(()), |h| heat(p, h))
}

fn deferrable(p: &Problem) -> Result<(), SolveError> {
    for (i, d) in p.deferrable.iter().enumerate() {
        let place = format!("deferrable[{i}] ({})", d.id);
        let parts = [
            ("power_kw", d.power_kw),
            ("energy_kwh", d.energy_kwh),
            ("min_kw", d.min_kw),
            ("missed_cost_per_kwh", d.missed_cost_per_kwh),
            ("start_cost", d.start_cost),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        ordered(&place, ("min_kw", d.min_kw), ("power_kw", d.power_kw))?;
    }
    Ok(())
}

fn site(p: &Problem) -> Result<(), SolveError> {
    if let Some(line) = &p.lifeline {
        series(p, "lifeline.need_kwh", &line.need_kwh, 0.0..=LARGEST)?;
        number("lifeline.cost_per_kwh_hour", line.cost_per_kwh_hour, 0.0..=LARGEST)?;
    }
    for (place, wish) in [("self_sufficiency", p.self_sufficiency), ("renewable", p.renewable)] {
        if let Some(wish) = wish {
            number(&format!("{place}.share"), wish.share, 0.0..=1.0)?;
            number(
                &format!("{place}.missing_cost_per_kwh"),
                wish.missing_cost_per_kwh,
                0.0..=LARGEST,
            )?;
        }
    }
    let Some(g) = &p.grid else { return Ok(()) };
    per_step(p, "grid.renewable_share", &g.renewable_share, 0.0..=1.0)?;
    for (i, o) in g.outages.iter().enumerate() {
        let (from, to) = (("from_step", o.from_step as f64), ("to_step", o.to_step as f64));
        ordered(&format!("grid.outages[{i}]"), from, to)?;
    }
    let capacity = g.capacity.map_or([0.0; 4], |c| {
        [c.subscribed_kw, c.overrun_per_kw, c.overrun_per_kwh, c.peak_so_far_kw]
    });
    capacity
        .into_iter()
        .try_for_each(|v| number("grid.capacity", v, 0.0..=LARGEST))
}

fn battery(place: &str, b: &BatteryProblem) -> Result<(), SolveError> {
    for d in &b.dwell {
        number(&format!("{place}.dwell.above_kwh"), d.above_kwh, -LARGEST..=LARGEST)?;
        number(
            &format!("{place}.dwell.cost_per_kwh_hour"),
            d.cost_per_kwh_hour,
            0.0..=LARGEST,
        )?;
    }
    number(&format!("{place}.ramp_kw"), b.ramp_kw.unwrap_or(0.0), 0.0..=LARGEST)?;
    number(
        &format!("{place}.power_start_kw"),
        b.power_start_kw.unwrap_or(0.0),
        -LARGEST..=LARGEST,
    )?;
    for g in &b.goals {
        number(&format!("{place}.goals.kwh"), g.kwh, -LARGEST..=LARGEST)?;
        let prices = [
            ("goals.missing_cost_per_kwh", g.missing_cost_per_kwh),
            ("goals.excess_cost_per_kwh", g.excess_cost_per_kwh),
        ];
        numbers(place, &prices, 0.0..=LARGEST)?;
    }
    let (mut worth, mut from) = (b.end_value_per_kwh, f64::NEG_INFINITY);
    for v in &b.end_values {
        let parts = [
            ("end_values.above_kwh", v.above_kwh),
            ("end_values.value_per_kwh", v.value_per_kwh),
        ];
        numbers(place, &parts, -LARGEST..=LARGEST)?;
        ordered(
            place,
            ("end_values.value_per_kwh", v.value_per_kwh),
            ("the one before", worth),
        )?;
        ordered(place, ("end_values.above_kwh before", from), ("above_kwh", v.above_kwh))?;
        (worth, from) = (v.value_per_kwh, v.above_kwh);
    }
    Ok(())
}

fn car(p: &Problem, place: &str, e: &EvProblem) -> Result<(), SolveError> {
    let parts = [
        ("demand_missed_cost_per_kwh", e.demand_missed_cost_per_kwh),
        ("extra_max_kwh", e.extra_max_kwh),
    ];
    numbers(place, &parts, 0.0..=LARGEST)?;
    number(
        &format!("{place}.extra_value_per_kwh"),
        e.extra_value_per_kwh,
        -LARGEST..=LARGEST,
    )?;
    if let Some(demand) = &e.demand_kw {
        per_step(p, &format!("{place}.demand_kw"), demand, 0.0..=LARGEST)?;
    }
    let mut over = e.depart_step.max(e.arrive_step);
    for s in &e.later {
        number(
            &format!("{place}.later.energy_needed_kwh"),
            s.energy_needed_kwh,
            0.0..=LARGEST,
        )?;
        number(
            &format!("{place}.later.shortfall_cost_per_kwh"),
            s.shortfall_cost_per_kwh,
            -LARGEST..=LARGEST,
        )?;
        if s.arrive_step < over {
            return fault(
                place,
                format!(
                    "later: back in step {} before it has left in step {over}",
                    s.arrive_step
                ),
            );
        }
        over = s.depart_step.max(s.arrive_step);
    }
    let last = e
        .later
        .last()
        .map_or(e.shortfall_cost_per_kwh, |s| s.shortfall_cost_per_kwh);
    if e.extra_max_kwh > 0.0 {
        // a car would otherwise miss its need in order to have more than it
        ordered(
            place,
            ("extra_value_per_kwh", e.extra_value_per_kwh),
            ("its shortfall_cost_per_kwh", last),
        )?;
    }
    e.store.map_or(Ok(()), |s| store(place, &s))
}

fn store(place: &str, s: &CarStore) -> Result<(), SolveError> {
    let parts = [
        ("store.capacity_kwh", s.capacity_kwh),
        ("store.at_arrival_kwh", s.at_arrival_kwh),
        ("store.min_kwh", s.min_kwh),
        ("store.discharge_max_kw", s.discharge_max_kw),
        ("store.wear_cost_per_kwh", s.wear_cost_per_kwh),
    ];
    numbers(place, &parts, 0.0..=LARGEST)?;
    number(&format!("{place}.store.discharge_eff"), s.discharge_eff, 1e-3..=1.0)?;
    ordered(
        place,
        ("store.min_kwh", s.min_kwh),
        ("store.capacity_kwh", s.capacity_kwh),
    )
}

/// Segments follow each other and end at full power.
fn part_load(place: &str, g: &GensetProblem) -> Result<(), SolveError> {
    let mut from = 0.0;
    for s in &g.part_load {
        number(&format!("{place}.part_load.up_to_kw"), s.up_to_kw, 0.0..=LARGEST)?;
        number(
            &format!("{place}.part_load.fuel_cost_per_kwh"),
            s.fuel_cost_per_kwh,
            -LARGEST..=LARGEST,
        )?;
        ordered(place, ("part_load before", from), ("up_to_kw", s.up_to_kw))?;
        from = s.up_to_kw;
    }
    if !g.part_load.is_empty() && from != g.max_kw {
        return fault(place, format!("part_load ends at {from}, not at max_kw {}", g.max_kw));
    }
    Ok(())
}

fn heat(p: &Problem, h: &HeatProblem) -> Result<(), SolveError> {
    for (i, c) in h.chps.iter().enumerate() {
        let Some(s) = c.switching else { continue };
        let place = format!("heat.chps[{i}] ({}).switching", c.id);
        let parts = [
            ("electric_min_kw", s.electric_min_kw),
            ("no_load_fuel_kw", s.no_load_fuel_kw),
            ("start_cost", s.start_cost),
        ];
        numbers(&place, &parts, 0.0..=LARGEST)?;
        let most = ("electric_max_kw", c.electric_max_kw);
        ordered(&place, ("electric_min_kw", s.electric_min_kw), most)?;
    }
    let buildings = h.buildings.iter().enumerate();
    for (i, b) in buildings {
        building(p, &format!("heat.buildings[{i}] ({})", b.id), b)?;
    }
    Ok(())
}

fn building(p: &Problem, place: &str, b: &BuildingProblem) -> Result<(), SolveError> {
    number(&format!("{place}.kwh_per_k"), b.kwh_per_k, 1e-6..=LARGEST)?;
    let parts = [
        ("loss_kw_per_k", b.loss_kw_per_k),
        ("heat_max_kw", b.heat_max_kw),
        ("cold_cost_per_k_hour", b.cold_cost_per_k_hour),
        ("warm_cost_per_k_hour", b.warm_cost_per_k_hour),
    ];
    numbers(place, &parts, 0.0..=LARGEST)?;
    number(
        &format!("{place}.end_value_per_k"),
        b.end_value_per_k,
        -LARGEST..=LARGEST,
    )?;
    number(&format!("{place}.start_c"), b.start_c, -273.15..=1e3)?;
    let series = [
        ("outdoor_c", &b.outdoor_c),
        ("comfort_min_c", &b.comfort_min_c),
        ("comfort_max_c", &b.comfort_max_c),
    ];
    for (name, values) in series {
        per_step(p, &format!("{place}.{name}"), values, -273.15..=1e3)?;
    }
    per_step(p, &format!("{place}.gain_kw"), &b.gain_kw, -LARGEST..=LARGEST)
}
