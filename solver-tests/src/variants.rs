//! The same problem told differently: other prices, halved steps, no whole numbers; and the places of a plan's numbers.

use madang::model::*;

/// Every price times `k`.
pub fn priced(p: &Problem, k: f64) -> Problem {
    let mut value = serde_json::to_value(p).unwrap();
    scale(&mut value, k);
    serde_json::from_value(value).unwrap()
}

fn scale(value: &mut serde_json::Value, k: f64) {
    use serde_json::Value;
    let price = |name: &str| {
        let parts = [
            "cost",
            "price",
            "value",
            "charge_per_kw",
            "overrun",
            "self_sufficiency_per",
            "limit_per",
            "soc_per",
        ];
        (parts.iter().any(|part| name.contains(part)) || ["buy", "sell"].contains(&name))
            // a fuel price times carbon: the carbon price is scaled already
            && name != "end_values"
    };
    match value {
        Value::Object(map) => {
            for (name, v) in map {
                if price(name) {
                    times(v, k);
                } else {
                    scale(v, k);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| scale(v, k)),
        _ => (),
    }
}

fn times(value: &mut serde_json::Value, k: f64) {
    match value {
        serde_json::Value::Array(list) => list.iter_mut().for_each(|v| times(v, k)),
        serde_json::Value::Number(n) => *value = (k * n.as_f64().unwrap()).into(),
        _ => (),
    }
}

/// Without what depends on where steps begin and end: per-step states, ramps, windows of one step.
pub fn timeless(p: &mut Problem) {
    for b in &mut p.batteries {
        (b.loss_per_hour, b.ramp_kw) = (0.0, None);
        b.reserve = None;
        b.dwell.clear();
        // a state outside its band is priced a step
        b.soc_start_kwh = b.soc_start_kwh.clamp(b.soc_min_kwh, b.soc_max_kwh);
        b.standby_kw = 0.0;
    }
    if let Some(g) = &mut p.grid {
        g.demand_window.get_or_insert_with(|| (0..p.steps).collect());
        g.first_window = None;
    }
    p.lifeline = None;
    p.hydro.clear();
    if let Some(h) = &mut p.heat {
        h.tanks.clear();
        // comfort is looked at when steps end
        h.buildings.clear();
    }
}

/// The same problem with every step cut into two equal ones.
pub fn halved(p: &Problem) -> Problem {
    let twice = |v: &[f64]| v.iter().flat_map(|x| [*x, *x]).collect::<Vec<f64>>();
    let steps = |s: &PerStep| match s {
        PerStep::All(v) => PerStep::All(*v),
        PerStep::Each(v) => PerStep::Each(twice(v)),
    };
    let mut h = p.clone();
    h.steps = 2 * p.steps;
    h.step_hours = PerStep::Each((0..h.steps).map(|t| p.step_hours.at(t / 2).unwrap() / 2.0).collect());
    h.load_kw = twice(&p.load_kw);
    if let Some(g) = &mut h.grid {
        (g.import_max_kw, g.export_max_kw) = (steps(&g.import_max_kw), steps(&g.export_max_kw));
        (g.buy, g.sell) = (twice(&g.buy), twice(&g.sell));
        (g.co2_kg_per_kwh, g.renewable_share) = (steps(&g.co2_kg_per_kwh), steps(&g.renewable_share));
        g.demand_window = g
            .demand_window
            .as_ref()
            .map(|w| w.iter().flat_map(|w| [*w, *w]).collect());
        for q in &mut g.quantities {
            q.counts = q.counts.iter().flat_map(|c| [*c, *c]).collect();
        }
        for d in &mut g.demand {
            d.groups = d.groups.iter().flat_map(|g| [*g, *g]).collect();
        }
        for o in &mut g.outages {
            (o.from_step, o.to_step) = (2 * o.from_step, 2 * o.to_step);
        }
    }
    h.pv.iter_mut().for_each(|v| v.available_kw = twice(&v.available_kw));
    h.sheddable.iter_mut().for_each(|s| s.load_kw = twice(&s.load_kw));
    for b in h.batteries.iter_mut() {
        b.goals.iter_mut().for_each(|g| g.step = 2 * g.step + 1);
    }
    for told in &mut h.told {
        (told.asked_kw, told.power_kw) = (twice(&told.asked_kw), twice(&told.power_kw));
    }
    for e in &mut h.evs {
        (e.arrive_step, e.depart_step) = (2 * e.arrive_step, 2 * e.depart_step);
        e.late_step = e.late_step.map(|s| 2 * s);
        for s in &mut e.later {
            (s.arrive_step, s.depart_step) = (2 * s.arrive_step, 2 * s.depart_step);
        }
    }
    for d in &mut h.deferrable {
        (d.earliest_step, d.latest_step) = (2 * d.earliest_step, 2 * d.latest_step);
    }
    if let Some(heat) = &mut h.heat {
        heat.load_kw = twice(&heat.load_kw);
        heat.heat_pumps.iter_mut().for_each(|x| x.cop = steps(&x.cop));
    }
    h
}

/// Leaves out what needs whole numbers, and nothing else that costs.
pub fn relax(p: &mut Problem) {
    if let Some(g) = &mut p.grid {
        g.exclusive = false;
        // the cheapest block for all of it is a bound
        let cheapest = g.blocks.iter().map(|b| b.price).fold(f64::INFINITY, f64::min);
        g.blocks.iter_mut().for_each(|b| b.price = cheapest);
    }
    p.batteries.iter_mut().for_each(|b| b.exclusive = false);
    for g in &mut p.gensets {
        (g.commitment, g.start_cost, g.no_load_cost_per_hour) = (false, 0.0, 0.0);
        g.part_load
            .sort_by(|a, b| a.fuel_cost_per_kwh.total_cmp(&b.fuel_cost_per_kwh));
        let cheapest = g.part_load.first().map(|s| s.fuel_cost_per_kwh);
        g.part_load.clear();
        g.fuel_cost_per_kwh = cheapest.unwrap_or(g.fuel_cost_per_kwh);
    }
    for e in &mut p.evs {
        e.charge_min_kw = 0.0;
        e.store.iter_mut().for_each(|s| s.exclusive = false);
    }
    for d in &mut p.deferrable {
        (d.min_kw, d.start_cost, d.min_on_steps, d.min_off_steps) = (0.0, 0.0, 1, 1);
    }
    for c in p.heat.iter_mut().flat_map(|h| &mut h.chps) {
        c.switching = None;
    }
}

/// Places of the numbers of a plan, its cost and the sizes of its violations.
pub fn numbers(whole: &serde_json::Value) -> Vec<String> {
    fn walk(v: &serde_json::Value, place: String, all: &mut Vec<String>) {
        match v {
            serde_json::Value::Number(_) => all.push(place),
            serde_json::Value::Object(map) => map.iter().for_each(|(k, v)| walk(v, format!("{place}/{k}"), all)),
            serde_json::Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(i, v)| walk(v, format!("{place}/{i}"), all)),
            _ => (),
        }
    }
    let mut all = vec!["/objective".to_owned()];
    walk(&whole["plan"], "/plan".into(), &mut all);
    let violations = whole["violations"].as_array().map_or(0, Vec::len);
    all.extend((0..violations).map(|i| format!("/violations/{i}/amount")));
    all
}
