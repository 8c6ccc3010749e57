//! The report of `demo --once`: what each policy cost, what service it gave, and whether anything was broken.

use super::money::{co2_kg, settle};
use super::runs::{Outcome, RunSpec, run_policy};
use super::service::{Missed, Service, UNSEEN, missed, not_comparable};
use crate::model::{Costs, Policy};
use crate::site::{Kind, Plant, Site};
use crate::time::{Timestamp, local_midnight};
use crate::twin::{Books, Fault};
use chrono::{NaiveDate, TimeDelta};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// INTERFACE: the JSON of `demo --once --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub site: String,
    pub seed: u64,
    pub date: NaiveDate,
    pub days: u32,
    pub cycle_s: f64,
    pub currency: String,
    pub cost: BTreeMap<Policy, f64>,
    pub cost_parts: BTreeMap<Policy, Costs>,
    pub service: BTreeMap<Policy, Service>,
    /// Policies that served less than another one: their cost is not comparable.
    pub not_comparable: Vec<Policy>,
    /// Cars that left short under the plan.
    pub missed: Vec<Missed>,
    pub co2_kg: BTreeMap<Policy, f64>,
    /// Empty without a generator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub generators: BTreeMap<Policy, Generators>,
    pub kpi: Kpi,
    pub energy_balance_error_kwh: f64,
    pub meter_against_integrated_percent: f64,
    pub limits: Limits,
    pub writes: Writes,
    pub forecast_nmae: BTreeMap<String, f64>,
    pub plans: Plans,
    pub journal_hash: String,
    pub wall_s: f64,
}

/// All generators of the site in one run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Generators {
    /// Absent where one of them has no fuel curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_litres: Option<f64>,
    pub run_h: f64,
    pub starts: u32,
}

impl Generators {
    fn of(books: &Books) -> Self {
        Self {
            fuel_litres: books.fuel_litres,
            run_h: books.generator_run_h,
            starts: books.generator_starts,
        }
    }
}

/// Of the plan's run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kpi {
    pub self_sufficiency: f64,
    pub self_consumption: f64,
    pub peak_kw: f64,
    pub renewable_share: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    pub breaches: u64,
    pub worst_excess_kw: f64,
    pub binding_minutes: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Writes {
    pub issued: u64,
    pub verified: u64,
    pub failed: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Plans {
    pub made: u64,
    pub rejected: u64,
    pub fallback: u64,
    pub solve_ms: BTreeMap<&'static str, f64>,
}

/// Runs the three policies and reports.
pub fn once(
    site: &Arc<Site>,
    seed: u64,
    date: NaiveDate,
    days: u32,
    cycle: TimeDelta,
    faults: Vec<Fault>,
    progress: &dyn Fn(Policy, f64),
) -> Result<Report, String> {
    let begun = std::time::Instant::now();
    let start = local_midnight(site.plant.location.time_zone, date);
    let mut outcomes = BTreeMap::new();
    for policy in [Policy::Idle, Policy::Rule, Policy::Plan] {
        let wire = policy == Policy::Plan;
        let faults = if wire { faults.clone() } else { Vec::new() };
        let spec = RunSpec {
            site: site.clone(),
            policy,
            seed,
            start,
            days,
            cycle,
            wire,
            faults,
        };
        outcomes.insert(policy, run_policy(&spec, &|share| progress(policy, share))?);
    }
    let mut report = assemble(site, seed, date, days, cycle, &outcomes, start)?;
    report.wall_s = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl Report {
    /// Nothing was broken, and no service was lost that could have been given: the exit status of `demo --once`.
    pub fn ok(&self) -> bool {
        self.limits.breaches == 0 && self.energy_balance_error_kwh <= 1e-6 && !self.lost_service()
    }

    /// A car left at its time without energy that it was promised and that could have been given, or the plan left more load
    /// unserved or more discomfort than the rule.
    pub fn lost_service(&self) -> bool {
        let slack = UNSEEN * f64::from(self.days);
        let lost: f64 = self.missed.iter().map(Missed::lost_kwh).sum();
        let (plan, rule) = (self.service.get(&Policy::Plan), self.service.get(&Policy::Rule));
        let worse = plan.zip(rule).is_some_and(|(plan, rule)| {
            plan.unserved_kwh > rule.unserved_kwh + slack || plan.discomfort_kh > rule.discomfort_kh + slack
        });
        lost > slack || worse
    }
}

fn assemble(
    site: &Arc<Site>,
    seed: u64,
    date: NaiveDate,
    days: u32,
    cycle: TimeDelta,
    outcomes: &BTreeMap<Policy, Outcome>,
    start: Timestamp,
) -> Result<Report, String> {
    let plant = &site.plant;
    let end = start + TimeDelta::days(i64::from(days) + 2);
    let prices = super::market::Market::of(site, end)?.map(|m| m.all());
    let parts: BTreeMap<Policy, Costs> = outcomes
        .iter()
        .map(|(p, o)| (*p, settle(plant, &o.books, prices.as_deref(), o.month.clone(), start)))
        .collect();
    let plan = outcomes.get(&Policy::Plan).ok_or("the plan's run is missing")?;
    let idle = outcomes.get(&Policy::Idle).ok_or("the idle run is missing")?;
    let service: BTreeMap<Policy, Service> = outcomes.iter().map(|(p, o)| (*p, Service::of(&o.books))).collect();
    Ok(Report {
        site: plant.name.to_string(),
        seed,
        date,
        days,
        cycle_s: cycle.as_seconds_f64(),
        currency: plant.tariff.currency.clone(),
        cost: parts.iter().map(|(p, c)| (*p, c.total())).collect(),
        cost_parts: parts,
        not_comparable: not_comparable(&service, f64::from(days)),
        missed: missed(&plan.books, &idle.books, &plan.reasons),
        service,
        co2_kg: outcomes.iter().map(|(p, o)| (*p, co2_kg(plant, &o.books))).collect(),
        generators: generators(plant, outcomes),
        kpi: kpi(site, plan),
        energy_balance_error_kwh: plan.books.balance_error_kwh,
        meter_against_integrated_percent: plan.books.meter_against_integrated_percent,
        limits: Limits {
            breaches: plan.books.limits.breaches,
            worst_excess_kw: plan.books.limits.worst_excess_kw,
            // Power kept within 5 % of a limit, or a margin before it that dispatch held something back for.
            binding_minutes: plan
                .books
                .limits
                .binding_minutes
                .max(plan.tally.binding_cycles as f64 * cycle.as_seconds_f64() / 60.0),
        },
        writes: Writes {
            issued: plan.tally.writes_issued,
            verified: plan.tally.writes_verified,
            failed: plan.tally.writes_failed,
        },
        forecast_nmae: nmae_by_kind(site, plan),
        plans: plans(plan),
        journal_hash: plan.journal_hash.clone(),
        wall_s: 0.0,
    })
}

fn generators(plant: &Plant, outcomes: &BTreeMap<Policy, Outcome>) -> BTreeMap<Policy, Generators> {
    let any = plant.components.values().any(|c| matches!(c.kind, Kind::Generator(_)));
    let all = outcomes.iter().filter(|_| any);
    all.map(|(p, o)| (*p, Generators::of(&o.books))).collect()
}

fn plans(plan: &Outcome) -> Plans {
    let mut times = plan.tally.solve_ms.clone();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times
            .get(((times.len() as f64 - 1.0) * share).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    Plans {
        made: plan.tally.plans,
        rejected: plan.tally.rejected,
        fallback: plan.tally.fallback,
        solve_ms: BTreeMap::from([("p50", at(0.5)), ("p99", at(0.99))]),
    }
}

/// Energy ratios over the run; PV as generated, load as everything consumed on site without storage.
fn kpi(site: &Site, plan: &Outcome) -> Kpi {
    let books = &plan.books;
    let imported: f64 = books.metered.iter().map(|m| m.import.as_kwh()).sum();
    let exported: f64 = books.metered.iter().map(|m| m.export.as_kwh()).sum();
    let of = |wanted: fn(&Kind) -> bool| -> f64 {
        let mine = site.plant.components.iter().filter(|(_, c)| wanted(&c.kind));
        mine.filter_map(|(id, _)| books.components.get(id))
            .map(|e| e.energy_out)
            .sum()
    };
    let (pv, fuel) = (
        of(|k| matches!(k, Kind::Pv(_))),
        of(|k| matches!(k, Kind::Generator(_))),
    );
    let supply = imported + pv + fuel;
    let hours = books.metered.iter().map(|m| m.import / m.interval.length());
    Kpi {
        self_sufficiency: 1.0 - imported / (supply - exported),
        self_consumption: if pv > 0.0 { 1.0 - exported / pv } else { f64::NAN },
        peak_kw: hours.map(|p| p.as_kw()).fold(0.0, f64::max),
        renewable_share: pv / supply,
    }
}

/// One figure for load and one for PV: energy-weighted over the series would hide small ones, so the mean is shown.
pub(super) fn nmae_by_kind(site: &Site, plan: &Outcome) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<&'static str, (f64, f64)> = BTreeMap::new();
    for (name, value) in &plan.nmae {
        let id = name.rsplit(['/', ':']).next().unwrap_or(name);
        let kind = match site.plant.components.get(id).map(|c| &c.kind) {
            Some(Kind::Pv(_)) => "pv",
            Some(_) => "load",
            None => continue,
        };
        let sum = sums.entry(kind).or_insert((0.0, 0.0));
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    sums.into_iter().map(|(k, (sum, n))| (k.to_owned(), sum / n)).collect()
}
