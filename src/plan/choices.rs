//! What else a part of the problem could do in one step, as people would choose it: candidates, each with a lower bound of
//! its cost where the duals say one. [`super::alternative`] solves them.

use super::alternative::Choice;
use super::sensitivity::Sensitivity;
use crate::model::{Action, IDLE_KW, Problem, Solution};

/// Everything else the part could do in the step, as people would choose it.
pub fn choices(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize) -> Vec<Choice> {
    let mut all = Vec::new();
    // a person has chosen
    if p.told_kw(part, t).is_some() {
        return all;
    }
    let mut add = |action, power_kw: f64, at_least: Option<f64>| {
        all.push(Choice {
            part: part.to_owned(),
            step: t,
            action,
            power_kw,
            at_least: at_least.map(|x| x.max(0.0)),
        });
    };
    if p.batteries.iter().any(|b| b.id == part) {
        battery(p, s, sensitivity, part, t, &mut add);
    } else if p.evs.iter().any(|e| e.id == part) {
        car(p, s, sensitivity, part, t, &mut add);
    } else if p.gensets.iter().any(|g| g.id == part) {
        generator(p, s, part, t, &mut add);
    } else {
        simple(p, s, part, t, &mut add);
        heat(p, s, part, t, &mut add);
        deferrable(p, s, part, t, &mut add);
        hydro(p, s, part, t, &mut add);
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(Action, f64, Option<f64>);

fn hours(p: &Problem, t: usize) -> f64 {
    p.step_hours.at(t).unwrap_or(f64::NAN)
}

fn battery(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize, add: Add<'_>) {
    let (Some(b), Some(plan)) = (p.batteries.iter().find(|b| b.id == part), s.plan.batteries.get(part)) else {
        return;
    };
    let net = plan.charge_kw[t] - plan.discharge_kw[t];
    let dt = hours(p, t);
    let change = |charge: f64, discharge: f64| {
        let k = sensitivity?;
        let (c, d) = (k.charge.get(part)?.get(t)?, k.discharge.get(part)?.get(t)?);
        Some(dt * (c * (charge - plan.charge_kw[t]) + d * (discharge - plan.discharge_kw[t])))
    };
    if net.abs() > IDLE_KW {
        return add(Action::Rest, 0.0, change(0.0, 0.0));
    }
    let before = if t == 0 {
        b.soc_start_kwh
    } else {
        plan.energy_kwh[t - 1]
    };
    let drain = b.standby_kw + b.loss_per_hour * before;
    let room = (b.soc_max_kwh - before) / dt + drain;
    let mut charge = b.charge_max_kw.min(room / b.charge_eff);
    if b.no_grid_charge {
        charge = charge.min(surplus(p, t));
    }
    let stock = (before - b.soc_min_kwh) / dt - drain;
    let mut discharge = b.discharge_max_kw.min(stock * b.discharge_eff);
    let need = s.plan.import_kw[t] - s.plan.export_kw[t];
    if b.no_grid_discharge || need > IDLE_KW {
        discharge = discharge.min(need.max(0.0));
    }
    // a hair inside, so that rounding leaves no crossed bounds
    let (charge, discharge) = (charge - 1e-6, discharge - 1e-6);
    if charge > 0.05 {
        add(Action::Charge, charge, change(charge, 0.0));
    }
    if discharge > 0.05 {
        add(Action::Discharge, discharge, change(0.0, discharge));
    }
}

fn car(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize, add: Add<'_>) {
    let (Some(e), Some(plan)) = (p.evs.iter().find(|e| e.id == part), s.plan.evs.get(part)) else {
        return;
    };
    if !(e.arrive_step..e.depart_step.min(p.steps)).contains(&t) {
        return;
    }
    let dt = hours(p, t);
    let gives = |k: usize| {
        plan.discharge_kw
            .as_ref()
            .and_then(|d| d.get(k).copied())
            .unwrap_or(0.0)
    };
    // the reduced cost is of charging alone
    let change = |kw: f64| match e.store {
        None => Some(dt * sensitivity?.cars.get(part)?.get(t)? * (kw - plan.charge_kw[t])),
        Some(_) => None,
    };
    if plan.charge_kw[t] > IDLE_KW || gives(t) > IDLE_KW {
        return add(Action::Rest, 0.0, change(0.0));
    }
    let eta = e.store.map_or(1.0, |store| store.discharge_eff);
    let before: f64 = (0..t)
        .map(|k| hours(p, k) * (e.charge_eff * plan.charge_kw[k] - gives(k) / eta))
        .sum();
    let room = (e.energy_needed_kwh + e.extra_max_kwh - before) / (e.charge_eff * dt);
    let mut kw = e.charge_max_kw.min(room);
    if e.surplus_only {
        kw = kw.min(surplus(p, t));
    }
    let kw = kw - 1e-6;
    if kw > 0.05 && kw >= e.charge_min_kw {
        add(Action::Charge, kw, change(kw));
    }
    if let Some(store) = e.store.filter(|_| !e.asap) {
        let stock = (store.at_arrival_kwh + before - store.min_kwh) / dt * store.discharge_eff;
        let mut kw = store.discharge_max_kw.min(stock);
        let need = s.plan.import_kw[t] - s.plan.export_kw[t];
        if store.no_grid_discharge || need > IDLE_KW {
            kw = kw.min(need.max(0.0));
        }
        if kw - 1e-6 > 0.05 {
            add(Action::Discharge, kw - 1e-6, None);
        }
    }
}

/// Sun above the load, kW.
fn surplus(p: &Problem, t: usize) -> f64 {
    let sun: f64 = p.pv.iter().map(|v| v.available_kw[t]).sum();
    (sun - p.load_kw[t]).max(0.0)
}

fn generator(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    let (Some(g), Some(plan)) = (p.gensets.iter().find(|g| g.id == part), s.plan.gensets.get(part)) else {
        return;
    };
    if t < g.fixed_steps {
        return;
    }
    if plan.on[t] > 0.5 {
        add(Action::Off, 0.0, None);
    } else {
        add(Action::Run, g.min_kw, None);
    }
}

fn simple(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    if let (Some(v), Some(kw)) = (p.pv.iter().find(|v| v.id == part), s.plan.pv_kw.get(part))
        && v.curtailable
        && kw[t] < v.available_kw[t] - IDLE_KW
    {
        add(Action::Full, v.available_kw[t], None);
    }
    if let Some(shed) = s.plan.shed_kw.get(part)
        && shed[t] > IDLE_KW
    {
        add(Action::Full, 0.0, None);
    }
    if let (Some(x), Some(kw)) = (p.shiftable.iter().find(|x| x.id == part), s.plan.shiftable_kw.get(part))
        && x.running_hours <= 0.0
    {
        let starts = kw[t] > IDLE_KW && (t == 0 || kw[t - 1] <= IDLE_KW);
        let fits = t >= x.earliest_step && t + choice_length(p, x.duration_hours, t) <= x.latest_step.min(p.steps);
        if starts {
            add(Action::Off, 0.0, None);
        } else if kw[t] <= IDLE_KW && fits && kw[..t].iter().all(|kw| *kw <= IDLE_KW) {
            add(Action::Run, x.power_kw, None);
        }
    }
}

/// Running or not, as a switch.
fn switched(kw: f64, run_kw: f64, add: Add<'_>) {
    match kw > IDLE_KW {
        true => add(Action::Off, 0.0, None),
        false if run_kw > 0.05 => add(Action::Run, run_kw, None),
        false => (),
    }
}

fn heat(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    let (Some(h), Some(plan)) = (&p.heat, &s.plan.heat) else {
        return;
    };
    if let (Some(x), Some(v)) = (h.heat_pumps.iter().find(|x| x.id == part), plan.heat_pumps.get(part)) {
        switched(v.electric_kw[t], x.electric_max_kw, add);
    } else if let (Some(x), Some(v)) = (h.chps.iter().find(|x| x.id == part), plan.chps.get(part)) {
        switched(v.electric_kw[t], x.electric_max_kw, add);
    } else if let (Some(x), Some(v)) = (h.boilers.iter().find(|x| x.id == part), plan.boilers.get(part)) {
        // no more than the house takes
        switched(v.heat_kw[t], x.heat_max_kw.min(h.load_kw[t]), add);
    }
}

fn deferrable(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    let (Some(d), Some(plan)) = (p.deferrable.iter().find(|d| d.id == part), s.plan.deferrable.get(part)) else {
        return;
    };
    if !(d.earliest_step..d.latest_step).contains(&t) {
        return;
    }
    let before: f64 = (0..t).map(|k| hours(p, k) * plan.electric_kw[k]).sum();
    let kw = d.power_kw.min((d.energy_kwh - before) / hours(p, t)) - 1e-6;
    switched(plan.electric_kw[t], if kw >= d.min_kw { kw } else { 0.0 }, add);
}

fn hydro(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    if let (Some(h), Some(plan)) = (p.hydro.iter().find(|h| h.id == part), s.plan.hydro.get(part)) {
        let kw = h.kw_per_m3s * plan.turbine_m3s[t];
        switched(kw, h.kw_per_m3s * h.turbine_max_m3s, add);
    }
}

/// Steps from `first` on that `hours` take.
pub fn choice_length(p: &Problem, hours: f64, first: usize) -> usize {
    let mut left = hours;
    (first..p.steps)
        .take_while(|t| {
            let goes_on = left > 1e-9;
            left -= p.step_hours.at(*t).unwrap_or(f64::NAN);
            goes_on
        })
        .count()
}
