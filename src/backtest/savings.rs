//! `bench savings`: seeds × seasons of every policy without the wire; the table stands in docs/savings.md.

use super::market::Market;
use super::money::settle;
use super::report::nmae_by_kind;
use super::runs::{RunSpec, run_policy};
use super::service::UNSEEN;
use crate::model::Policy;
use crate::site::Site;
use crate::time::local_midnight;
use chrono::{NaiveDate, TimeDelta};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One day of one site under the three policies.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    pub site: String,
    pub date: NaiveDate,
    pub seed: u64,
    pub cost: [f64; 3],
    pub ev_shortfall_kwh: [f64; 3],
    pub unserved_kwh: [f64; 3],
    pub discomfort_kh: [f64; 3],
    pub breaches: u64,
    pub fallback: u64,
    /// Mean absolute error of the plan's forecasts over the mean, by kind.
    pub forecast_nmae: BTreeMap<String, f64>,
}

/// Costs are in the order idle, rule, plan.
pub const POLICIES: [Policy; 3] = [Policy::Idle, Policy::Rule, Policy::Plan];

/// The four seasons of the fixed year.
pub fn seasons() -> Vec<NaiveDate> {
    [(1, 20), (4, 14), (7, 21), (10, 13)]
        .into_iter()
        .filter_map(|(m, d)| NaiveDate::from_ymd_opt(2026, m, d))
        .collect()
}

/// Runs one day.
pub fn day(site: &Arc<Site>, date: NaiveDate, seed: u64, cycle: TimeDelta) -> Result<Day, String> {
    let start = local_midnight(site.plant.location.time_zone, date);
    let prices = Market::of(site, start + TimeDelta::days(3))?.map(|m| m.all());
    let mut result = Day {
        site: site.plant.name.to_string(),
        date,
        seed,
        cost: [0.0; 3],
        ev_shortfall_kwh: [0.0; 3],
        unserved_kwh: [0.0; 3],
        discomfort_kh: [0.0; 3],
        breaches: 0,
        fallback: 0,
        forecast_nmae: BTreeMap::new(),
    };
    for (i, policy) in POLICIES.into_iter().enumerate() {
        let spec = RunSpec {
            site: site.clone(),
            policy,
            seed,
            start,
            days: 1,
            cycle,
            wire: false,
            faults: Vec::new(),
        };
        let o = run_policy(&spec, &|_| {})?;
        result.cost[i] = settle(&site.plant, &o.books, prices.as_deref(), o.month.clone(), start).total();
        result.ev_shortfall_kwh[i] = o.books.ev_shortfall_kwh();
        result.unserved_kwh[i] = o.books.unserved_kwh;
        result.discomfort_kh[i] = o.books.discomfort_kh;
        if policy == Policy::Plan {
            result.breaches = o.books.limits.breaches;
            result.fallback = o.tally.fallback;
            result.forecast_nmae = nmae_by_kind(site, &o);
        }
    }
    Ok(result)
}

/// Summary of many days of one site.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub site: String,
    pub days: usize,
    pub idle_mean: f64,
    pub idle_median: f64,
    pub rule_median: f64,
    pub plan_median: f64,
    /// Median over days of plan − rule, and the worst day.
    pub plan_minus_rule_median: f64,
    pub plan_minus_rule_worst: f64,
    pub ev_shortfall_kwh: [f64; 3],
    pub unserved_kwh: [f64; 3],
    pub discomfort_kh: [f64; 3],
    pub breaches: u64,
    pub forecast_nmae: BTreeMap<String, f64>,
}

/// One thing the plan has to do on every site, and whether it did.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub what: String,
    pub holds: bool,
}

/// Extra cost of the worst day that is allowed, as a share of the mean idle day.
const WORST: f64 = 0.02;

impl Summary {
    /// What the plan owes: no worse served than by the rule, cheaper than rule and idle, never much dearer, no limit broken.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let slack = UNSEEN * self.days as f64;
        let served = [self.ev_shortfall_kwh, self.unserved_kwh, self.discomfort_kh]
            .iter()
            .all(|v| v[2] <= v[1] + slack);
        let allowed = WORST * self.idle_mean.abs();
        let verdict = |what: String, holds| Verdict { what, holds };
        vec![
            verdict("serves no less than the rule".into(), served),
            verdict(
                "median cost below the rule's".into(),
                self.plan_median < self.rule_median,
            ),
            verdict(
                format!("worst day at most {allowed:.2} dearer than the rule"),
                self.plan_minus_rule_worst <= allowed,
            ),
            verdict("median cost below idle's".into(), self.plan_median < self.idle_median),
            verdict("no limit broken".into(), self.breaches == 0),
        ]
    }
}

/// Summarises days of one site; `None` for no days.
pub fn summary(days: &[Day]) -> Option<Summary> {
    let first = days.first()?;
    let column = |i: usize| days.iter().map(|d| d.cost[i]).collect::<Vec<_>>();
    let gap: Vec<f64> = days.iter().map(|d| d.cost[2] - d.cost[1]).collect();
    let total = |pick: fn(&Day) -> [f64; 3]| {
        days.iter()
            .map(pick)
            .fold([0.0; 3], |sum, d| [sum[0] + d[0], sum[1] + d[1], sum[2] + d[2]])
    };
    Some(Summary {
        site: first.site.clone(),
        days: days.len(),
        idle_mean: column(0).iter().sum::<f64>() / days.len() as f64,
        idle_median: median(column(0)),
        rule_median: median(column(1)),
        plan_median: median(column(2)),
        plan_minus_rule_median: median(gap.clone()),
        plan_minus_rule_worst: gap.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ev_shortfall_kwh: total(|d| d.ev_shortfall_kwh),
        unserved_kwh: total(|d| d.unserved_kwh),
        discomfort_kh: total(|d| d.discomfort_kh),
        breaches: days.iter().map(|d| d.breaches).sum(),
        forecast_nmae: mean_nmae(days),
    })
}

fn mean_nmae(days: &[Day]) -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (kind, error) in days.iter().flat_map(|d| &d.forecast_nmae) {
        all.entry(kind.clone()).or_default().push(*error);
    }
    let mean = |v: Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
    all.into_iter().map(|(kind, v)| (kind, mean(v))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n % 2 == 1 {
        values[n / 2]
    } else {
        (values[n / 2 - 1] + values[n / 2]) / 2.0
    }
}
