//! Collects what does not hold.

use crate::model::{CheckReport, Problem, Solution};

/// Tolerance of every limit and balance, kW or kWh.
pub const TOLERANCE: f64 = 2e-6;

pub struct Ledger<'a> {
    pub p: &'a Problem,
    pub s: &'a Solution,
    worst: f64,
    faults: Vec<String>,
}

impl<'a> Ledger<'a> {
    pub fn new(p: &'a Problem, s: &'a Solution) -> Self {
        Self {
            p,
            s,
            worst: 0.0,
            faults: Vec::new(),
        }
    }

    /// `amount` beyond a limit; excused where the solution names that wish (any of `wishes`) as broken for `component`.
    pub fn excess(&mut self, what: &str, component: &str, t: usize, amount: f64, wishes: &[&str]) {
        let named = |v: &crate::model::Violation| wishes.contains(&v.name.as_str()) && v.component == component;
        if amount <= TOLERANCE && !amount.is_nan() {
            self.worst = self.worst.max(amount);
            return;
        }
        if amount.is_finite() && self.s.violations.iter().any(named) {
            return;
        }
        self.worst = if amount.is_nan() {
            f64::INFINITY
        } else {
            self.worst.max(amount)
        };
        // a handful of faults says enough
        if self.faults.len() < 20 {
            self.faults
                .push(format!("{component}: {what} by {amount:.3e} in step {t}"));
        }
    }

    pub fn fault(&mut self, text: String) {
        self.worst = f64::INFINITY;
        self.faults.push(text);
    }

    pub fn broken(&self) -> bool {
        !self.faults.is_empty()
    }

    /// A series of non-negative powers.
    pub fn positive(&mut self, component: &str, what: &str, values: &[f64]) {
        for (t, v) in values.iter().enumerate() {
            self.excess(&format!("{what} is negative"), component, t, -v, &[]);
        }
    }

    /// Every series has one value a step and belongs to a component of the problem, and none is missing.
    pub fn lengths(&mut self) {
        let (p, plan) = (self.p, &self.s.plan);
        let mut series: Vec<(&str, Option<&Vec<f64>>)> = vec![
            ("import_kw", Some(&plan.import_kw)),
            ("export_kw", Some(&plan.export_kw)),
            ("unserved_kw", Some(&plan.unserved_kw)),
            ("spill_kw", Some(&plan.spill_kw)),
        ];
        series.extend(p.pv.iter().map(|x| (x.id.as_str(), plan.pv_kw.get(&x.id))));
        for b in &p.batteries {
            let plan = plan.batteries.get(&b.id);
            series.push((&b.id, plan.map(|b| &b.charge_kw)));
            series.push((&b.id, plan.map(|b| &b.discharge_kw)));
            series.push((&b.id, plan.map(|b| &b.energy_kwh)));
        }
        series.extend(
            p.evs
                .iter()
                .map(|x| (x.id.as_str(), plan.evs.get(&x.id).map(|e| &e.charge_kw))),
        );
        for g in &p.gensets {
            let plan = plan.gensets.get(&g.id);
            series.push((&g.id, plan.map(|g| &g.power_kw)));
            series.push((&g.id, plan.map(|g| &g.on)));
        }
        for h in &p.hydro {
            let plan = plan.hydro.get(&h.id);
            series.push((&h.id, plan.map(|h| &h.turbine_m3s)));
            series.push((&h.id, plan.map(|h| &h.spill_m3s)));
        }
        series.extend(p.sheddable.iter().map(|x| (x.id.as_str(), plan.shed_kw.get(&x.id))));
        series.extend(
            p.shiftable
                .iter()
                .map(|x| (x.id.as_str(), plan.shiftable_kw.get(&x.id))),
        );
        if let Some(h) = &p.heat {
            super::heat::series(h, plan.heat.as_ref(), &mut series);
        }
        for (name, values) in series {
            match values {
                None => self.fault(format!("{name}: missing in the plan")),
                Some(v) if v.len() != p.steps => {
                    self.fault(format!("{name}: {} values for {} steps", v.len(), p.steps))
                }
                Some(_) => (),
            }
        }
    }

    pub fn report(self, cost: f64) -> CheckReport {
        CheckReport {
            ok: self.faults.is_empty(),
            max_residual: self.worst,
            cost,
            faults: self.faults,
        }
    }
}
