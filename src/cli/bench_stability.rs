//! `bench stability`: how often plans change their mind on noisy forecasts, beside a plain simplex, and what calm costs.

use super::{BAD, DONE};
use crate::backtest::stability::{Planner, Row, run};
use crate::site::Site;
use chrono::NaiveDate;
use serde_json::json;
use std::sync::Arc;

const DAYS: u32 = 3;
const SEED: u64 = 1;
/// What must hold (per battery and day, per session, share of plain simplex's cost).
const MODES_MAX: f64 = 6.0;
const STARTS_MAX: f64 = 2.0;
const COST_MAX: f64 = 0.005;

pub fn stability(sites: &[Arc<Site>], json: bool) -> Result<u8, u8> {
    let date = NaiveDate::from_ymd_opt(2026, 4, 14).ok_or(BAD)?;
    let one = |site, planner| {
        run(site, planner, date, DAYS, SEED).map_err(|why| {
            eprintln!("{}: {why}", site.plant.name);
            BAD
        })
    };
    let mut pairs = Vec::new();
    for site in sites {
        pairs.push((one(site, Planner::Ours)?, one(site, Planner::PlainSimplex)?));
    }
    let kept = pairs.iter().all(|(ours, plain)| holds(ours, plain));
    if json {
        let rows: Vec<_> = pairs.iter().flat_map(|(a, b)| [a, b]).collect();
        println!("{}", json!({"stability": rows, "holds": kept}));
    } else {
        show(&pairs);
    }
    Ok(if kept { DONE } else { BAD })
}

/// Same service, so that cost compares.
fn holds(ours: &Row, plain: &Row) -> bool {
    ours.mode_changes_per_day <= MODES_MAX
        && ours.ev_starts_per_session <= STARTS_MAX
        && ours.cost <= plain.cost + COST_MAX * plain.cost.abs()
        && ours.ev_shortfall_kwh <= plain.ev_shortfall_kwh + 0.1
}

fn show(pairs: &[(Row, Row)]) {
    println!(
        "{:<20}{:<14}{:>11}{:>11}{:>12}{:>12}",
        "site", "planner", "modes/day", "EV starts", "change, kW", "cost"
    );
    for (ours, plain) in pairs {
        for (name, r) in [("ours", ours), ("plain simplex", plain)] {
            println!(
                "{:<20}{name:<14}{:>11.1}{:>11.2}{:>12.3}{:>12.2}",
                r.site, r.mode_changes_per_day, r.ev_starts_per_session, r.plan_change_kw, r.cost
            );
        }
        let more = 100.0 * (ours.cost - plain.cost) / plain.cost.abs();
        let verdict = if holds(ours, plain) { "holds" } else { "DOES NOT HOLD" };
        println!("{:<20}{more:+.2} % of cost: {verdict}", "");
    }
}
