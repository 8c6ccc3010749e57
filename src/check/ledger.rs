//! Collects what does not hold, and compares broken wishes with what the solution says of them.

use crate::model::{CheckReport, Problem, Solution};
use std::collections::{BTreeMap, BTreeSet};

/// Tolerance of every limit and balance, kW or kWh.
pub const TOLERANCE: f64 = 2e-6;

/// How far the size of a broken wish may be from the one that is stated, relative to the larger of it and 1.
const STATED: f64 = 5e-4;

pub struct Ledger<'a> {
    pub p: &'a Problem,
    pub s: &'a Solution,
    worst: f64,
    faults: Vec<String>,
    /// Sizes of missed wishes by name and component, as measured here.
    missed: BTreeMap<(String, String), f64>,
}

impl<'a> Ledger<'a> {
    pub fn new(p: &'a Problem, s: &'a Solution) -> Self {
        Self {
            p,
            s,
            worst: 0.0,
            faults: Vec::new(),
            missed: BTreeMap::new(),
        }
    }

    /// `amount` beyond a limit that nothing excuses.
    pub fn excess(&mut self, what: &str, component: &str, t: usize, amount: f64) {
        if amount <= TOLERANCE && !amount.is_nan() {
            self.worst = self.worst.max(amount);
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

    /// `amount` beyond an elastic limit: excused where the solution names that wish as broken for `component`; its size
    /// (`weight` units for each) is compared in [`Ledger::wishes`].
    pub fn elastic(&mut self, wish: (&str, f64), what: &str, component: &str, t: usize, amount: f64) {
        let named = |v: &crate::model::Violation| v.name == wish.0 && v.component == component;
        if amount.is_finite() && self.s.violations.iter().any(named) {
            self.missed(wish.0, component, wish.1 * amount.max(0.0));
        } else {
            self.excess(what, component, t, amount);
        }
    }

    /// Adds to the size of a missed wish.
    pub fn missed(&mut self, name: &str, component: &str, amount: f64) {
        *self
            .missed
            .entry((name.to_owned(), component.to_owned()))
            .or_insert(0.0) += amount;
    }

    /// Every wish that is missed is named with its size, and none that is not.
    pub fn wishes(&mut self) {
        let mut stated: BTreeMap<(String, String), f64> = BTreeMap::new();
        for v in &self.s.violations {
            *stated.entry((v.name.clone(), v.component.clone())).or_insert(0.0) += v.amount;
        }
        let keys: BTreeSet<_> = stated.keys().chain(self.missed.keys()).cloned().collect();
        for key in keys {
            let size = |of: &BTreeMap<_, f64>| of.get(&key).copied().unwrap_or(0.0);
            let (stated, found) = (size(&stated), size(&self.missed));
            let close = (stated - found).abs() <= STATED * found.abs().max(1.0);
            if !close {
                self.fault(format!("{}: {} is stated as {stated}, it is {found}", key.1, key.0));
            }
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
        let what = format!("{what} is negative");
        for (t, v) in values.iter().enumerate() {
            self.excess(&what, component, t, -v);
        }
    }

    /// Every series has one value a step and belongs to a component of the problem, and none is missing or foreign.
    pub fn lengths(&mut self) {
        let (p, plan) = (self.p, &self.s.plan);
        let mut series: Series<'_> = vec![
            ("import_kw", Some(&plan.import_kw)),
            ("export_kw", Some(&plan.export_kw)),
            ("unserved_kw", Some(&plan.unserved_kw)),
            ("spill_kw", Some(&plan.spill_kw)),
        ];
        each(&mut series, p.pv.iter().map(|x| &x.id), &plan.pv_kw, |v| vec![v]);
        each(&mut series, p.batteries.iter().map(|x| &x.id), &plan.batteries, |b| {
            vec![&b.charge_kw, &b.discharge_kw, &b.energy_kwh]
        });
        each(&mut series, p.evs.iter().map(|x| &x.id), &plan.evs, |e| {
            std::iter::once(&e.charge_kw).chain(&e.discharge_kw).collect()
        });
        each(&mut series, p.gensets.iter().map(|x| &x.id), &plan.gensets, |g| {
            vec![&g.power_kw, &g.on]
        });
        each(&mut series, p.hydro.iter().map(|x| &x.id), &plan.hydro, |h| {
            vec![&h.turbine_m3s, &h.spill_m3s, &h.volume_m3]
        });
        each(&mut series, p.sheddable.iter().map(|x| &x.id), &plan.shed_kw, |v| {
            vec![v]
        });
        each(
            &mut series,
            p.shiftable.iter().map(|x| &x.id),
            &plan.shiftable_kw,
            |v| vec![v],
        );
        each(&mut series, p.deferrable.iter().map(|x| &x.id), &plan.deferrable, |d| {
            std::iter::once(&d.electric_kw).chain(&d.on).collect()
        });
        match (&p.heat, &plan.heat) {
            (Some(h), Some(v)) => super::heat::series(h, v, &mut series),
            (None, None) => (),
            _ => series.push(("heat", None)),
        }
        for (name, values) in series {
            match values {
                None => self.fault(format!("{name}: missing in the plan, or not in the problem")),
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

/// Series of a plan by name; `None` where one is missing.
pub type Series<'a> = Vec<(&'a str, Option<&'a Vec<f64>>)>;

/// The series of each component, and a missing one for each that only one side knows.
pub fn each<'a, P>(
    series: &mut Series<'a>,
    ids: impl Iterator<Item = &'a String>,
    plan: &'a BTreeMap<String, P>,
    parts: impl Fn(&'a P) -> Vec<&'a Vec<f64>>,
) {
    let ids: BTreeSet<&String> = ids.collect();
    series.extend(plan.keys().filter(|id| !ids.contains(id)).map(|id| (id.as_str(), None)));
    for id in ids {
        match plan.get(id) {
            None => series.push((id, None)),
            Some(part) => series.extend(parts(part).into_iter().map(|v| (id.as_str(), Some(v)))),
        }
    }
}
