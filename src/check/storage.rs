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
            l.excess("charges above its power", &b.id, t, c - b.charge_max_kw, &[]);
            l.excess("discharges above its power", &b.id, t, d - b.discharge_max_kw, &[]);
            if b.exclusive {
                l.excess("charges and discharges at once", &b.id, t, c.min(d), &[]);
            }
            let kept = energy - energy * b.loss_per_hour * dt;
            energy = kept + (b.charge_eff * c - d / b.discharge_eff - b.standby_kw) * dt;
            l.excess("below its band", &b.id, t, b.soc_min_kwh - energy, &["soc_below_band"]);
            l.excess("above its band", &b.id, t, energy - b.soc_max_kwh, &["soc_above_band"]);
            l.excess(
                "states another energy",
                &b.id,
                t,
                (plan.energy_kwh[t] - energy).abs(),
                &[],
            );
        }
        if let Some(end) = b.soc_end_kwh {
            l.excess("misses its end", &b.id, p.steps, (energy - end).abs(), &["soc_end"]);
        }
        if let Some(end) = b.soc_end_min_kwh {
            l.excess("ends too low", &b.id, p.steps, end - energy, &["soc_end_min"]);
        }
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
            l.excess("above its turbine", &h.id, t, q - h.turbine_max_m3s, &[]);
            l.excess(
                "releases too little",
                &h.id,
                t,
                h.min_release_m3s - q - s,
                &["hydro_release"],
            );
            volume += (h.inflow_m3s[t] - q - s) * 3600.0 * hours(p, t);
            // per 3600 m3, so that the tolerance means the same as for flows
            l.excess(
                "volume too low",
                &h.id,
                t,
                (h.volume_min_m3 - volume) / 3600.0,
                &["hydro_volume"],
            );
            l.excess(
                "volume too high",
                &h.id,
                t,
                (volume - h.volume_max_m3) / 3600.0,
                &["hydro_volume"],
            );
        }
        let missing = (h.volume_end_min_m3 - volume) / 3600.0;
        l.excess("ends too low", &h.id, p.steps, missing, &["hydro_volume_end"]);
    }
}
