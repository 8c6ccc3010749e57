//! Heat side: limits, tanks, balance.

use super::hours;
use super::ledger::{Ledger, Series, each};
use super::switching::{self, Times};
use crate::model::{BuildingProblem, HeatPlan, HeatProblem};

/// Every series the heat part of a plan must have.
pub fn series<'a>(h: &'a HeatProblem, v: &'a HeatPlan, all: &mut Series<'a>) {
    all.push(("heat.unserved_kw", Some(&v.unserved_kw)));
    all.push(("heat.dump_kw", Some(&v.dump_kw)));
    each(all, h.chps.iter().map(|x| &x.id), &v.chps, |x| {
        std::iter::once(&x.electric_kw).chain(&x.on).collect()
    });
    each(all, h.boilers.iter().map(|x| &x.id), &v.boilers, |x| vec![&x.heat_kw]);
    each(all, h.heat_pumps.iter().map(|x| &x.id), &v.heat_pumps, |x| {
        vec![&x.electric_kw]
    });
    each(all, h.tanks.iter().map(|x| &x.id), &v.tanks, |x| {
        vec![&x.charge_kw, &x.discharge_kw, &x.energy_kwh]
    });
    each(all, h.buildings.iter().map(|x| &x.id), &v.buildings, |x| {
        vec![&x.heat_kw, &x.indoor_c]
    });
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
            l.excess("above its power", id, t, power - most);
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
    for b in &h.buildings {
        source(l, &b.id, &v.buildings[&b.id].heat_kw, b.heat_max_kw, &|_| -1.0);
    }
    tanks(l);
    chps(l);
    h.buildings.iter().for_each(|b| building(l, b));
    for (t, sum) in heat_in.iter().enumerate() {
        l.excess("does not balance", "heat", t, sum.abs());
        if !h.dump_allowed {
            l.elastic(("heat_dump", hours(p, t)), "dumps heat", "heat", t, v.dump_kw[t]);
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
            l.excess("below empty", &k.id, t, -energy);
            let over = energy - k.capacity_kwh;
            l.elastic(("tank_above_band", 1.0), "above full", &k.id, t, over);
            l.excess("states another energy", &k.id, t, (plan.energy_kwh[t] - energy).abs());
        }
        if let Some(end) = k.end_min_kwh {
            l.elastic(("tank_end", 1.0), "ends too low", &k.id, p.steps, end - energy);
        }
    }
}

/// CHPs that are on or off.
fn chps(l: &mut Ledger<'_>) {
    let p = l.p;
    let (Some(h), Some(v)) = (&p.heat, &l.s.plan.heat) else {
        return;
    };
    for c in &h.chps {
        let plan = &v.chps[&c.id];
        let (Some(s), Some(on)) = (c.switching, &plan.on) else {
            l.excess(
                "says on and off",
                &c.id,
                0,
                f64::from(u8::from(c.switching.is_some() != plan.on.is_some())),
            );
            continue;
        };
        let times = Times {
            initial_on: s.initial_on,
            up: s.min_up_steps,
            down: s.min_down_steps,
        };
        switching::range(l, &c.id, on, &plan.electric_kw, (s.electric_min_kw, c.electric_max_kw));
        switching::times(l, &c.id, on, times);
    }
}

/// Indoor temperature integrated in small pieces of each step, independent of any closed form.
fn building(l: &mut Ledger<'_>, b: &BuildingProblem) {
    let (p, Some(v)) = (l.p, &l.s.plan.heat) else { return };
    let plan = &v.buildings[&b.id];
    let mut indoor = b.start_c;
    for t in 0..p.steps {
        indoor = warmed(b, t, indoor, plan.heat_kw[t], hours(p, t));
        l.excess(
            "states another temperature",
            &b.id,
            t,
            (plan.indoor_c[t] - indoor).abs(),
        );
        // follow the stated one, so that differences of rounding do not add up
        indoor = plan.indoor_c[t];
    }
}

/// Taylor series of `exp(A·dt)` on the balance `C·dT/dt = heat + gain − U·(T − outdoor)`, in pieces that are short
/// against the building's time constant.
fn warmed(b: &BuildingProblem, t: usize, start: f64, heat_kw: f64, hours: f64) -> f64 {
    let at = |s: &crate::model::PerStep| s.at(t).unwrap_or(f64::NAN);
    let rate = b.loss_kw_per_k / b.kwh_per_k;
    let pieces = (hours * rate / 0.1).ceil().clamp(1.0, 1e5);
    let dt = hours / pieces;
    let mut indoor = start;
    for _ in 0..pieces as usize {
        let slope = (heat_kw + at(&b.gain_kw) + b.loss_kw_per_k * (at(&b.outdoor_c) - indoor)) / b.kwh_per_k;
        // slope·(dt − rate·dt²/2! + rate²·dt³/3! − …)
        let (mut term, mut sum) = (dt, 0.0);
        for n in 2..12 {
            sum += term;
            term *= -rate * dt / f64::from(n);
        }
        indoor += slope * sum;
    }
    indoor
}
