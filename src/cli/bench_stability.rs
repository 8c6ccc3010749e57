//! `bench stability`: how often plans change their mind on noisy forecasts, beside a plain simplex, and what calm costs.

use super::{BAD, DONE};
use crate::backtest::stability::{Planner, Row, run};
use crate::site::Site;
use chrono::NaiveDate;
use serde_json::json;
use std::sync::Arc;

const DAYS: u32 = 3;
const SEED: u64 = 1;
/// What must hold: changes a day of each battery and of whatever else is switched, EV starts a session, and cost against
/// the same plans not held to the ones in force.
const CHANGES_MAX: f64 = 6.0;
const STARTS_MAX: f64 = 2.0;
const COST_MAX: f64 = 0.005;

/// One site under all planners.
struct Rows {
    ours: Row,
    free: Row,
    plain: Row,
}

pub fn stability(sites: &[Arc<Site>], json: bool) -> Result<u8, u8> {
    let date = NaiveDate::from_ymd_opt(2026, 4, 14).ok_or(BAD)?;
    let one = |site, planner| {
        run(site, planner, date, DAYS, SEED).map_err(|why| {
            eprintln!("{}: {why}", site.plant.name);
            BAD
        })
    };
    let mut all = Vec::new();
    for site in sites {
        all.push(Rows {
            ours: one(site, Planner::Ours)?,
            free: one(site, Planner::Free)?,
            plain: one(site, Planner::PlainSimplex)?,
        });
    }
    let kept = all.iter().all(holds);
    if json {
        let rows: Vec<_> = all.iter().flat_map(|r| [&r.ours, &r.free, &r.plain]).collect();
        println!("{}", json!({"stability": rows, "holds": kept}));
    } else {
        show(&all);
    }
    Ok(if kept { DONE } else { BAD })
}

/// Same service, so that cost compares.
fn holds(r: &Rows) -> bool {
    let Rows { ours, free, .. } = r;
    ours.mode_changes_per_day.is_none_or(|n| n <= CHANGES_MAX)
        && ours.switchings_per_day.values().all(|n| *n <= CHANGES_MAX)
        && ours.ev_starts_per_session <= STARTS_MAX
        && ours.cost <= free.cost + COST_MAX * free.cost.abs()
        && ours.ev_shortfall_kwh <= free.ev_shortfall_kwh + 0.1
}

fn show(all: &[Rows]) {
    println!(
        "{:<18}{:<14}{:>10}{:>11}{:>11}{:>8}{:>8}{:>11}{:>11}{:>12}",
        "a day and device:",
        "planner",
        "modes",
        "reversals",
        "generator",
        "loads",
        "PV cut",
        "EV starts",
        "change, kW",
        "cost"
    );
    for r in all {
        for (name, row) in [("ours", &r.ours), ("not held", &r.free), ("plain simplex", &r.plain)] {
            let told = |n: Option<f64>| n.map_or("-".to_owned(), |n| format!("{n:.1}"));
            let switched = |kind: &str| told(row.switchings_per_day.get(kind).copied());
            println!(
                "{:<18}{name:<14}{:>10}{:>11}{:>11}{:>8}{:>8}{:>11.2}{:>11.3}{:>12.2}",
                row.site,
                told(row.mode_changes_per_day),
                told(row.reversals_per_day),
                switched("generator"),
                switched("load"),
                switched("pv_limit"),
                row.ev_starts_per_session,
                row.plan_change_kw,
                row.cost
            );
        }
        let more = |than: &Row| 100.0 * (r.ours.cost - than.cost) / than.cost.abs();
        let verdict = if holds(r) { "holds" } else { "DOES NOT HOLD" };
        println!(
            "{:<18}cost {:+.2} % against not held, {:+.2} % against plain simplex: {verdict}",
            "",
            more(&r.free),
            more(&r.plain)
        );
    }
}
