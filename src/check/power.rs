//! Limits of powers, and the balance of the bus and the circuits.

use super::hours;
use super::ledger::Ledger;
use super::switching::{self, Times};

pub fn grid(l: &mut Ledger<'_>) {
    let (p, plan) = (l.p, &l.s.plan);
    l.positive("grid", "import", &plan.import_kw);
    l.positive("grid", "export", &plan.export_kw);
    for t in 0..p.steps {
        let (import, export) = (plan.import_kw[t], plan.export_kw[t]);
        let limits = p.grid.as_ref().map_or((0.0, 0.0), |g| {
            let out = g.outages.iter().any(|o| o.from_step <= t && t < o.to_step);
            let at = |v: &crate::model::PerStep| if out { 0.0 } else { v.at(t).unwrap_or(f64::NAN) };
            (at(&g.import_max_kw), at(&g.export_max_kw))
        });
        l.excess("import above its limit", "grid", t, import - limits.0);
        l.excess("export above its limit", "grid", t, export - limits.1);
        if p.grid.as_ref().is_some_and(|g| g.exclusive) {
            l.excess("import and export at once", "grid", t, import.min(export));
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
        l.excess("more unserved than load", "load", t, plan.unserved_kw[t] - most);
        if p.spill_cost_per_kwh.is_none() {
            l.elastic(
                ("forced_spill", hours(p, t)),
                "dumps power",
                "site",
                t,
                plan.spill_kw[t],
            );
        }
    }
    for pv in &p.pv {
        let power = &plan.pv_kw[&pv.id];
        l.positive(&pv.id, "power", power);
        for (t, (power, available)) in power.iter().zip(&pv.available_kw).enumerate() {
            l.excess("more than available", &pv.id, t, power - available);
            if !pv.curtailable {
                l.excess("not taken", &pv.id, t, available - power);
            }
        }
    }
    for s in &p.sheddable {
        let shed = &plan.shed_kw[&s.id];
        l.positive(&s.id, "shed", shed);
        for (t, (shed, load)) in shed.iter().zip(&s.load_kw).enumerate() {
            l.excess("sheds more than it draws", &s.id, t, shed - load);
        }
    }
}

fn relaxed(l: &Ledger<'_>) -> bool {
    l.p.elastic.is_some() || l.s.status == crate::model::SolveStatus::Relaxed
}

pub fn gensets(l: &mut Ledger<'_>) {
    let p = l.p;
    for g in &p.gensets {
        let plan = &l.s.plan.gensets[&g.id];
        l.positive(&g.id, "power", &plan.power_kw);
        let range = if g.commitment {
            (g.min_kw, g.max_kw)
        } else {
            (0.0, g.max_kw)
        };
        switching::range(l, &g.id, &plan.on, &plan.power_kw, range);
        if !g.commitment {
            continue;
        }
        for (t, on) in plan.on.iter().enumerate().take(g.fixed_steps) {
            let moved = (*on > 0.5) != g.initial_on;
            l.excess("switches within its minimum time", &g.id, t, f64::from(u8::from(moved)));
        }
        let times = Times {
            initial_on: g.initial_on,
            up: g.min_up_steps,
            down: g.min_down_steps,
        };
        switching::times(l, &g.id, &plan.on, times);
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
    all.extend(p.evs.iter().map(|x| {
        let car = &plan.evs[&x.id];
        let given = car.discharge_kw.as_ref().map_or(0.0, |d| d[t]);
        (x.id.as_str(), car.charge_kw[t] - given)
    }));
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
    all.extend(
        p.deferrable
            .iter()
            .map(|x| (x.id.as_str(), plan.deferrable[&x.id].electric_kw[t])),
    );
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
        l.excess("does not balance", "bus", t, sum.abs());
        bars(l, t);
    }
}

/// What may not touch the grid: charging beyond the PV surplus, discharging beyond local consumption.
fn bars(l: &mut Ledger<'_>, t: usize) {
    let (p, plan) = (l.p, &l.s.plan);
    let free = |part: &str| p.told_kw(part, t).is_none();
    let pv: f64 = p.pv.iter().map(|x| x.available_kw[t]).sum();
    let load = p.load_kw[t].max(0.0) + p.sheddable.iter().map(|s| s.load_kw[t]).sum::<f64>();
    let barred = p
        .batteries
        .iter()
        .filter(|b| b.no_grid_charge && free(&b.id))
        .map(|b| plan.batteries[&b.id].charge_kw[t]);
    let cars = p
        .evs
        .iter()
        .filter(|e| e.surplus_only && free(&e.id))
        .map(|e| plan.evs[&e.id].charge_kw[t]);
    let charging: f64 = barred.chain(cars).sum();
    l.excess(
        "takes more than the PV surplus",
        "surplus",
        t,
        charging - (pv - load).max(0.0),
    );
    let given = p
        .batteries
        .iter()
        .filter(|b| b.no_grid_discharge && free(&b.id))
        .map(|b| plan.batteries[&b.id].discharge_kw[t]);
    let v2h = p.evs.iter().filter(|e| e.store.is_some_and(|s| s.no_grid_discharge));
    let cars = v2h.filter_map(|e| plan.evs[&e.id].discharge_kw.as_ref()).map(|d| d[t]);
    let given: f64 = given.chain(cars).sum();
    let heat_pumps = plan
        .heat
        .iter()
        .flat_map(|h| h.heat_pumps.values())
        .map(|h| h.electric_kw[t]);
    let flexible: f64 = plan.evs.values().map(|e| e.charge_kw[t]).chain(heat_pumps).sum();
    let run_once: f64 = plan.shiftable_kw.values().map(|s| s[t]).sum();
    let deferred: f64 = plan.deferrable.values().map(|d| d.electric_kw[t]).sum();
    let local = (load - pv).max(0.0) + flexible + run_once + deferred;
    l.excess("gives more than is used locally", "local supply", t, given - local);
}

pub fn circuits(l: &mut Ledger<'_>) {
    for c in &l.p.circuits {
        for t in 0..l.p.steps {
            let share = |id: &str| {
                let place = c.members.iter().position(|m| m == id);
                place.map_or(0.0, |i| c.weights.get(i).copied().unwrap_or(1.0))
            };
            let sum: f64 = draws(l, t).iter().map(|(id, kw)| share(id) * kw).sum();
            let limit = ("circuit_limit", hours(l.p, t));
            l.elastic(limit, "above its limit", &c.id, t, sum.abs() - c.limit_kw);
        }
    }
}

/// Every part draws what a person told it, in all steps that were told.
pub fn told(l: &mut Ledger<'_>) {
    for told in &l.p.told {
        for (t, kw) in told.power_kw.iter().enumerate() {
            let drawn: f64 = draws(l, t)
                .iter()
                .filter(|(id, _)| *id == told.id)
                .map(|(_, kw)| kw)
                .sum();
            let word = ("told_power", hours(l.p, t));
            l.elastic(word, "does not do what it was told", &told.id, t, (drawn - kw).abs());
        }
    }
}
