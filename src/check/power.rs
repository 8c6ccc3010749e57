//! Limits of powers, and the balance of the bus and the circuits.

use super::hours;
use super::ledger::{Ledger, TOLERANCE};

pub fn grid(l: &mut Ledger<'_>) {
    let (p, plan) = (l.p, &l.s.plan);
    l.positive("grid", "import", &plan.import_kw);
    l.positive("grid", "export", &plan.export_kw);
    for t in 0..p.steps {
        let (import, export) = (plan.import_kw[t], plan.export_kw[t]);
        let limits = p.grid.as_ref().map_or((0.0, 0.0), |g| {
            let at = |v: &crate::model::PerStep| v.at(t).unwrap_or(f64::NAN);
            (at(&g.import_max_kw), at(&g.export_max_kw))
        });
        l.excess("import above its limit", "grid", t, import - limits.0, &[]);
        l.excess("export above its limit", "grid", t, export - limits.1, &[]);
        if p.grid.as_ref().is_some_and(|g| g.exclusive) {
            l.excess("import and export at once", "grid", t, import.min(export), &[]);
        }
    }
}

pub fn sources(l: &mut Ledger<'_>) {
    let (p, plan) = (l.p, &l.s.plan);
    l.positive("load", "unserved", &plan.unserved_kw);
    l.positive("site", "spill", &plan.spill_kw);
    for t in 0..p.steps {
        let running: f64 = plan.shiftable_kw.values().map(|s| s[t]).sum();
        let most = p.load_kw[t].max(0.0) + if relaxed(l) { running } else { 0.0 };
        l.excess("more unserved than load", "load", t, plan.unserved_kw[t] - most, &[]);
        if p.spill_cost_per_kwh.is_none() {
            l.excess("dumps power", "site", t, plan.spill_kw[t], &["forced_spill"]);
        }
    }
    for pv in &p.pv {
        let power = &plan.pv_kw[&pv.id];
        l.positive(&pv.id, "power", power);
        for (t, (power, available)) in power.iter().zip(&pv.available_kw).enumerate() {
            l.excess("more than available", &pv.id, t, power - available, &[]);
            if !pv.curtailable {
                l.excess("not taken", &pv.id, t, available - power, &[]);
            }
        }
    }
    for s in &p.sheddable {
        let shed = &plan.shed_kw[&s.id];
        l.positive(&s.id, "shed", shed);
        for (t, (shed, load)) in shed.iter().zip(&s.load_kw).enumerate() {
            l.excess("sheds more than it draws", &s.id, t, shed - load, &[]);
        }
    }
}

fn relaxed(l: &Ledger<'_>) -> bool {
    l.p.elastic.is_some() || l.s.status == crate::model::SolveStatus::Relaxed
}

pub fn evs(l: &mut Ledger<'_>) {
    let p = l.p;
    for ev in &p.evs {
        let plan = &l.s.plan.evs[&ev.id];
        l.positive(&ev.id, "charging", &plan.charge_kw);
        l.positive(&ev.id, "shortfall", &[plan.shortfall_kwh]);
        let mut delivered = 0.0;
        for (t, power) in plan.charge_kw.iter().enumerate() {
            let inside = (ev.arrive_step..ev.depart_step).contains(&t);
            let most = if inside { ev.charge_max_kw } else { 0.0 };
            l.excess("above its power or outside its window", &ev.id, t, power - most, &[]);
            if ev.charge_min_kw > 0.0 && *power > TOLERANCE {
                l.excess("below its minimum", &ev.id, t, ev.charge_min_kw - power, &[]);
            }
            delivered += ev.charge_eff * hours(p, t) * power;
        }
        let balance = delivered + plan.shortfall_kwh - ev.energy_needed_kwh;
        l.excess("energy does not add up", &ev.id, 0, balance.abs(), &[]);
    }
}

pub fn gensets(l: &mut Ledger<'_>) {
    let p = l.p;
    for g in &p.gensets {
        let plan = &l.s.plan.gensets[&g.id];
        l.positive(&g.id, "power", &plan.power_kw);
        let mut before = g.initial_on;
        for t in 0..p.steps {
            let on = plan.on[t] > 0.5;
            let power = plan.power_kw[t];
            l.excess("above its power", &g.id, t, power - g.max_kw, &[]);
            if !g.commitment {
                continue;
            }
            let (least, most) = if on { (g.min_kw, g.max_kw) } else { (0.0, 0.0) };
            l.excess("outside its range", &g.id, t, (power - most).max(least - power), &[]);
            if t < g.fixed_steps && on != g.initial_on {
                l.excess("switches within its minimum time", &g.id, t, 1.0, &[]);
            }
            if on != before {
                let hold = if on { g.min_up_steps } else { g.min_down_steps };
                let soon = plan.on.iter().skip(t).take(hold.max(1)).any(|o| (*o > 0.5) != on);
                l.excess("switches back too soon", &g.id, t, f64::from(u8::from(soon)), &[]);
            }
            before = on;
        }
    }
}

/// A run-once load runs in one piece inside its window, or not at all.
pub fn run_once(l: &mut Ledger<'_>) {
    let p = l.p;
    for s in &p.shiftable {
        let kw = &l.s.plan.shiftable_kw[&s.id];
        l.positive(&s.id, "power", kw);
        let energy: f64 = (0..p.steps).map(|t| hours(p, t) * kw[t]).sum();
        let on: Vec<usize> = (0..p.steps).filter(|t| kw[*t] > TOLERANCE).collect();
        let (Some(first), Some(last)) = (on.first().copied(), on.last().copied()) else {
            continue;
        };
        l.excess("pauses", &s.id, first, (last - first + 1 - on.len()) as f64, &[]);
        let left: f64 = (first..p.steps).map(|t| hours(p, t)).sum();
        let (begin, end, length) = match s.running_hours > 0.0 {
            true => (0, p.steps, s.running_hours.min(left)),
            false => (s.earliest_step, s.latest_step, s.duration_hours),
        };
        l.excess(
            "runs outside its window",
            &s.id,
            first,
            if first < begin || last >= end { 1.0 } else { 0.0 },
            &[],
        );
        l.excess(
            "does not run its length",
            &s.id,
            first,
            (energy - s.power_kw * length).abs(),
            &[],
        );
        for (t, kw) in kw.iter().enumerate().take(last).skip(first) {
            l.excess("does not run at its power", &s.id, t, (kw - s.power_kw).abs(), &[]);
        }
    }
}

/// kW each component draws in step `t`, consumption positive.
fn draws<'a>(l: &'a Ledger<'_>, t: usize) -> Vec<(&'a str, f64)> {
    let (p, plan) = (l.p, &l.s.plan);
    let mut all: Vec<(&str, f64)> = vec![
        ("grid", plan.export_kw[t] - plan.import_kw[t]),
        ("load", p.load_kw[t] - plan.unserved_kw[t]),
        ("spill", plan.spill_kw[t]),
    ];
    all.extend(p.pv.iter().map(|x| (x.id.as_str(), -plan.pv_kw[&x.id][t])));
    all.extend(p.batteries.iter().map(|x| {
        let b = &plan.batteries[&x.id];
        (x.id.as_str(), b.charge_kw[t] - b.discharge_kw[t])
    }));
    all.extend(p.evs.iter().map(|x| (x.id.as_str(), plan.evs[&x.id].charge_kw[t])));
    all.extend(
        p.gensets
            .iter()
            .map(|x| (x.id.as_str(), -plan.gensets[&x.id].power_kw[t])),
    );
    all.extend(
        p.hydro
            .iter()
            .map(|x| (x.id.as_str(), -x.kw_per_m3s * plan.hydro[&x.id].turbine_m3s[t])),
    );
    all.extend(
        p.sheddable
            .iter()
            .map(|x| (x.id.as_str(), x.load_kw[t] - plan.shed_kw[&x.id][t])),
    );
    all.extend(p.shiftable.iter().map(|x| (x.id.as_str(), plan.shiftable_kw[&x.id][t])));
    if let (Some(h), Some(v)) = (&p.heat, &plan.heat) {
        all.extend(h.chps.iter().map(|x| (x.id.as_str(), -v.chps[&x.id].electric_kw[t])));
        all.extend(
            h.heat_pumps
                .iter()
                .map(|x| (x.id.as_str(), v.heat_pumps[&x.id].electric_kw[t])),
        );
    }
    all
}

pub fn balance(l: &mut Ledger<'_>) {
    for t in 0..l.p.steps {
        let sum: f64 = draws(l, t).iter().map(|(_, kw)| kw).sum();
        l.excess("does not balance", "bus", t, sum.abs(), &[]);
        bars(l, t);
    }
}

/// What may not touch the grid: charging beyond the PV surplus, discharging beyond local consumption.
fn bars(l: &mut Ledger<'_>, t: usize) {
    let (p, plan) = (l.p, &l.s.plan);
    let pv: f64 = p.pv.iter().map(|x| x.available_kw[t]).sum();
    let load = p.load_kw[t].max(0.0) + p.sheddable.iter().map(|s| s.load_kw[t]).sum::<f64>();
    let barred = p
        .batteries
        .iter()
        .filter(|b| b.no_grid_charge)
        .map(|b| plan.batteries[&b.id].charge_kw[t]);
    let cars = p
        .evs
        .iter()
        .filter(|e| e.surplus_only)
        .map(|e| plan.evs[&e.id].charge_kw[t]);
    let charging: f64 = barred.chain(cars).sum();
    l.excess(
        "takes more than the PV surplus",
        "surplus",
        t,
        charging - (pv - load).max(0.0),
        &[],
    );
    let given = p
        .batteries
        .iter()
        .filter(|b| b.no_grid_discharge)
        .map(|b| plan.batteries[&b.id].discharge_kw[t]);
    let given: f64 = given.sum();
    let heat_pumps = plan
        .heat
        .iter()
        .flat_map(|h| h.heat_pumps.values())
        .map(|h| h.electric_kw[t]);
    let flexible: f64 = plan.evs.values().map(|e| e.charge_kw[t]).chain(heat_pumps).sum();
    let run_once: f64 = plan.shiftable_kw.values().map(|s| s[t]).sum();
    let local = (load - pv).max(0.0) + flexible + run_once;
    l.excess("gives more than is used locally", "local supply", t, given - local, &[]);
}

pub fn circuits(l: &mut Ledger<'_>) {
    for c in &l.p.circuits {
        for t in 0..l.p.steps {
            let share = |id: &str| {
                let place = c.members.iter().position(|m| m == id);
                place.map_or(0.0, |i| c.weights.get(i).copied().unwrap_or(1.0))
            };
            let sum: f64 = draws(l, t).iter().map(|(id, kw)| share(id) * kw).sum();
            l.excess("above its limit", &c.id, t, sum.abs() - c.limit_kw, &["circuit_limit"]);
        }
    }
}
