//! Batteries and reservoirs followed step by step from their powers.

use super::hours;
use super::ledger::Ledger;

pub fn batteries(l: &mut Ledger<'_>) {
    let p = l.p;
    for b in &p.batteries {
        let plan = &l.s.plan.batteries[&b.id];
        l.positive(&b.id, "charge", &plan.charge_kw);
        l.positive(&b.id, "discharge", &plan.discharge_kw);
        let mut energy = b.soc_start_kwh;
        for t in 0..p.steps {
            let (c, d, dt) = (plan.charge_kw[t], plan.discharge_kw[t], hours(p, t));
            l.excess("charges above its power", &b.id, t, c - b.charge_max_kw);
            l.excess("discharges above its power", &b.id, t, d - b.discharge_max_kw);
            if b.exclusive {
                l.excess("charges and discharges at once", &b.id, t, c.min(d));
            }
            let kept = energy - energy * b.loss_per_hour * dt;
            energy = kept + (b.charge_eff * c - d / b.discharge_eff - b.standby_kw) * dt;
            let (under, over) = (b.soc_min_kwh - energy, energy - b.soc_max_kwh);
            l.elastic(("soc_below_band", 1.0), "below its band", &b.id, t, under);
            l.elastic(("soc_above_band", 1.0), "above its band", &b.id, t, over);
            l.excess("states another energy", &b.id, t, (plan.energy_kwh[t] - energy).abs());
        }
        if let Some(end) = b.soc_end_kwh {
            l.elastic(("soc_end", 1.0), "misses its end", &b.id, p.steps, (energy - end).abs());
        }
        if let Some(end) = b.soc_end_min_kwh {
            l.elastic(("soc_end_min", 1.0), "ends too low", &b.id, p.steps, end - energy);
        }
        ramp(l, b);
    }
}

/// Net power changes by no more than the ramp from step to step.
fn ramp(l: &mut Ledger<'_>, b: &crate::model::BatteryProblem) {
    let plan = &l.s.plan.batteries[&b.id];
    let Some(most) = b.ramp_kw else { return };
    let mut before = b.power_start_kw;
    for (t, (c, d)) in plan.charge_kw.iter().zip(&plan.discharge_kw).enumerate() {
        let change = before.map_or(0.0, |kw| (c - d - kw).abs());
        l.elastic(
            ("battery_ramp", 1.0),
            "changes faster than it may",
            &b.id,
            t,
            change - most,
        );
        before = Some(c - d);
    }
}

pub fn hydro(l: &mut Ledger<'_>) {
    let p = l.p;
    for h in &p.hydro {
        let plan = &l.s.plan.hydro[&h.id];
        l.positive(&h.id, "turbine", &plan.turbine_m3s);
        l.positive(&h.id, "spill", &plan.spill_m3s);
        let mut volume = h.volume_start_m3;
        for t in 0..p.steps {
            let (q, s) = (plan.turbine_m3s[t], plan.spill_m3s[t]);
            l.excess("above its turbine", &h.id, t, q - h.turbine_max_m3s);
            let release = ("hydro_release", 3.6 * hours(p, t));
            l.elastic(release, "releases too little", &h.id, t, h.min_release_m3s - q - s);
            volume += (h.inflow_m3s[t] - q - s) * 3600.0 * hours(p, t);
            let stated = (plan.volume_m3[t] - volume).abs() / 1e2;
            l.excess("states another volume", &h.id, t, stated);
            // per 3600 m3, so that the tolerance means the same as for flows
            let (low, high) = ((h.volume_min_m3 - volume) / 3600.0, (volume - h.volume_max_m3) / 3600.0);
            l.elastic(("hydro_volume", 3.6), "volume too low", &h.id, t, low);
            l.elastic(("hydro_volume", 3.6), "volume too high", &h.id, t, high);
        }
        let missing = (h.volume_end_min_m3 - volume) / 3600.0;
        l.elastic(("hydro_volume_end", 3.6), "ends too low", &h.id, p.steps, missing);
    }
}
