//! Heat side: limits, tanks, balance.

use super::hours;
use super::ledger::Ledger;
use crate::model::{HeatPlan, HeatProblem};

/// Every series the heat part of a plan must have.
pub fn series<'a>(h: &'a HeatProblem, plan: Option<&'a HeatPlan>, all: &mut Vec<(&'a str, Option<&'a Vec<f64>>)>) {
    all.push(("heat.unserved_kw", plan.map(|v| &v.unserved_kw)));
    all.push(("heat.dump_kw", plan.map(|v| &v.dump_kw)));
    all.extend(h.chps.iter().map(|x| {
        (
            x.id.as_str(),
            plan.and_then(|v| v.chps.get(&x.id)).map(|v| &v.electric_kw),
        )
    }));
    all.extend(h.boilers.iter().map(|x| {
        (
            x.id.as_str(),
            plan.and_then(|v| v.boilers.get(&x.id)).map(|v| &v.heat_kw),
        )
    }));
    all.extend(h.heat_pumps.iter().map(|x| {
        (
            x.id.as_str(),
            plan.and_then(|v| v.heat_pumps.get(&x.id)).map(|v| &v.electric_kw),
        )
    }));
    for k in &h.tanks {
        let tank = plan.and_then(|v| v.tanks.get(&k.id));
        all.push((&k.id, tank.map(|t| &t.charge_kw)));
        all.push((&k.id, tank.map(|t| &t.discharge_kw)));
    }
}

pub fn heat(l: &mut Ledger<'_>) {
    let p = l.p;
    let (Some(h), Some(v)) = (&p.heat, &l.s.plan.heat) else {
        return;
    };
    let mut heat_in: Vec<f64> = (0..p.steps)
        .map(|t| v.unserved_kw[t] - v.dump_kw[t] - h.load_kw[t])
        .collect();
    l.positive("heat", "unserved", &v.unserved_kw);
    l.positive("heat", "dump", &v.dump_kw);
    let mut source = |l: &mut Ledger<'_>, id: &str, kw: &[f64], most: f64, factor: &dyn Fn(usize) -> f64| {
        l.positive(id, "power", kw);
        for (t, power) in kw.iter().enumerate() {
            l.excess("above its power", id, t, power - most, &[]);
            heat_in[t] += factor(t) * power;
        }
    };
    for c in &h.chps {
        source(l, &c.id, &v.chps[&c.id].electric_kw, c.electric_max_kw, &|_| {
            c.heat_per_electric
        });
    }
    for b in &h.boilers {
        source(l, &b.id, &v.boilers[&b.id].heat_kw, b.heat_max_kw, &|_| 1.0);
    }
    for x in &h.heat_pumps {
        let cop = |t: usize| x.cop.at(t).unwrap_or(f64::NAN);
        source(l, &x.id, &v.heat_pumps[&x.id].electric_kw, x.electric_max_kw, &cop);
    }
    for k in &h.tanks {
        let plan = &v.tanks[&k.id];
        source(l, &k.id, &plan.charge_kw, k.charge_max_kw, &|_| -1.0);
        source(l, &k.id, &plan.discharge_kw, k.discharge_max_kw, &|_| 1.0);
    }
    tanks(l);
    for (t, sum) in heat_in.iter().enumerate() {
        l.excess("does not balance", "heat", t, sum.abs(), &[]);
        if !h.dump_allowed {
            l.excess("dumps heat", "heat", t, v.dump_kw[t], &["heat_dump"]);
        }
    }
}

fn tanks(l: &mut Ledger<'_>) {
    let p = l.p;
    let (Some(h), Some(v)) = (&p.heat, &l.s.plan.heat) else {
        return;
    };
    for k in &h.tanks {
        let plan = &v.tanks[&k.id];
        let mut energy = k.start_kwh;
        for t in 0..p.steps {
            let dt = hours(p, t);
            energy += dt * (plan.charge_kw[t] - plan.discharge_kw[t] - k.loss_per_hour * energy);
            l.excess("below empty", &k.id, t, -energy, &[]);
            l.excess("above full", &k.id, t, energy - k.capacity_kwh, &["tank_above_band"]);
        }
        if let Some(end) = k.end_min_kwh {
            l.excess("ends too low", &k.id, p.steps, end - energy, &["tank_end"]);
        }
    }
}
