//! `madang plan`: one forecast and plan of a site, with reasons, in the terminal.
//!
//! Without a running controller there are no measurements: storages are taken at their middle, cars as not there.

use super::{BAD, DONE, USAGE, site_or_exit};
use crate::backtest::Market;
use crate::cycle::{PlanInput, PlanOutcome, PricePort, make_plan};
use crate::model::{ControllerState, Language, Measurement, Quantity, Scan, Schedule, Trigger};
use crate::reading::Reading;
use crate::site::{Kind, Plant, Site};
use crate::time::{Clock, SystemClock, TimeGrid, Timestamp};
use crate::{forecast, state};
use chrono::TimeDelta;
use std::process::ExitCode;
use std::sync::Arc;

/// Makes one forecast and plan and shows it with its reasons.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang plan home-amsterdam\n  madang plan sites/island-microgrid --at 2026-07-01T03:00:00Z --json"
)]
pub struct Args {
    /// A folder with site.toml, a path to one, or the name of a shipped site
    site: String,
    /// Moment of planning, RFC 3339; default now
    #[arg(long)]
    at: Option<String>,
    /// Sentences in Korean
    #[arg(long)]
    ko: bool,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    ExitCode::from(plan(&args).unwrap_or_else(|code| code))
}

fn plan(args: &Args) -> Result<u8, u8> {
    let site = site_or_exit(&args.site)?;
    let now = moment(args.at.as_deref())?;
    match one_plan(&site, now) {
        Ok(PlanOutcome::Adopted(schedule)) => {
            show(&site.plant, &schedule, args)?;
            Ok(DONE)
        }
        Ok(PlanOutcome::Rejected(why)) | Err(why) => {
            eprintln!("no plan: {why}");
            Err(BAD)
        }
    }
}

fn moment(text: Option<&str>) -> Result<Timestamp, u8> {
    let Some(text) = text else { return Ok(SystemClock.now()) };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|t| t.to_utc())
        .map_err(|why| {
            eprintln!("--at {text}: {why}; write for example 2026-05-12T06:00:00Z");
            USAGE
        })
}

/// A plan from what the site file alone says.
pub fn one_plan(site: &Site, now: Timestamp) -> Result<PlanOutcome, String> {
    let plant = Arc::new(site.plant.clone());
    let mut memory = ControllerState::fresh(&plant, now);
    let scan = Scan {
        measurements: assumed(&plant, now),
        devices: Vec::new(),
    };
    let snapshot = Arc::new(state::snapshot(&plant, &scan, &mut memory, now));
    let mut market = Market::of(site, now + TimeDelta::days(3))?;
    let prices = market.as_mut().and_then(|m| m.current(now));
    let grid = TimeGrid::aligned(now, plant.timing.interval, plant.timing.horizon);
    let forecast = forecast::forecast(&plant, &memory, Some(&snapshot), prices.as_deref(), grid, now);
    let trigger = Trigger::OnRequest;
    Ok(make_plan(&PlanInput {
        plant,
        snapshot,
        state: memory,
        forecast,
        id: 1,
        trigger,
        now,
        deadline: None,
    }))
}

/// Storages half full, tanks half warm: said in the output.
fn assumed(plant: &Plant, now: Timestamp) -> Vec<Measurement> {
    let mut all = Vec::new();
    let mut put = |component: &crate::site::Id, quantity, value| {
        all.push(Measurement {
            component: component.clone(),
            quantity,
            reading: Reading::good(value, now),
        });
    };
    for (id, c) in &plant.components {
        match &c.kind {
            Kind::Battery(b) => put(
                id,
                Quantity::StateOfCharge,
                (b.soc_min.as_ratio() + b.soc_max.as_ratio()) / 2.0,
            ),
            Kind::HeatPump(h) => {
                put(
                    id,
                    Quantity::TankTemperature,
                    (h.tank.min.as_celsius() + h.tank.max.as_celsius()) / 2.0,
                );
                put(id, Quantity::RoomTemperature, h.building.comfort_min.as_celsius() + 1.0);
            }
            _ => {}
        }
    }
    all
}

fn show(plant: &Plant, schedule: &Schedule, args: &Args) -> Result<(), u8> {
    if args.json {
        let text = serde_json::to_string_pretty(schedule).map_err(|why| {
            eprintln!("the schedule cannot be written as JSON: {why}");
            BAD
        })?;
        println!("{text}");
        return Ok(());
    }
    let language = if args.ko { Language::Ko } else { Language::En };
    print!("{}", table(plant, schedule, language));
    Ok(())
}

/// The schedule hour by hour in 80 columns, then each component's story: one line for each change of reason.
pub fn table(plant: &Plant, schedule: &Schedule, language: Language) -> String {
    let tz = plant.location.time_zone;
    let mut out = format!(
        "{}: plan made {} ({}), {} steps, cost {:.2} {}\n\n",
        plant.name,
        schedule.made_at.with_timezone(&tz).format("%Y-%m-%d %H:%M"),
        tz,
        schedule.grid.len(),
        schedule.solution.objective,
        plant.tariff.currency
    );
    out += &format!(
        "{:<6}{:>9}{:>8}{:>8}{:>8}{:>8}  {}\n",
        "local", "price", "load", "PV", "import", "export", "net"
    );
    for (t, step) in schedule.grid.intervals().enumerate() {
        if t > 0 && step.start.timestamp() % 3600 != 0 {
            continue;
        }
        out += &row(schedule, t, &step.start.with_timezone(&tz).format("%H:%M").to_string());
    }
    out += "\n";
    for id in schedule.why.keys() {
        out += &story(schedule, id, tz, language);
    }
    for v in &schedule.solution.violations {
        out += &format!("not met: {} of {}: {:.2} {}\n", v.name, v.component, v.amount, v.unit);
    }
    out
}

fn row(schedule: &Schedule, t: usize, local: &str) -> String {
    let at = |v: &[f64]| v.get(t).copied().unwrap_or(f64::NAN);
    let plan = &schedule.solution.plan;
    let (import, export) = (at(&plan.import_kw), at(&plan.export_kw));
    let price = schedule
        .buy
        .get(t)
        .copied()
        .flatten()
        .map_or_else(|| "?".into(), |p| format!("{p:.3}"));
    let mark = if schedule.price_estimated.get(t) == Some(&true) {
        "~"
    } else {
        ""
    };
    format!(
        "{local:<6}{:>9}{:>8.1}{:>8.1}{import:>8.1}{export:>8.1}  {}\n",
        format!("{mark}{price}"),
        at(&schedule.load_kw),
        at(&schedule.pv_kw),
        bar(import - export, schedule)
    )
}

/// Import to the right, export to the left of the middle, 28 characters wide.
fn bar(net: f64, schedule: &Schedule) -> String {
    let plan = &schedule.solution.plan;
    let top = plan
        .import_kw
        .iter()
        .chain(&plan.export_kw)
        .copied()
        .fold(0.1, f64::max);
    let half = 14usize;
    let cells = ((net.abs() / top * half as f64).round() as usize).min(half);
    if net >= 0.0 {
        format!("{:>half$}|{}", "", "█".repeat(cells))
    } else {
        format!("{}{}|", " ".repeat(half - cells), "░".repeat(cells))
    }
}

fn story(schedule: &Schedule, id: &crate::site::Id, tz: chrono_tz::Tz, language: Language) -> String {
    let Some(why) = schedule.why.get(id) else {
        return String::new();
    };
    let power = schedule.power_kw.get(id);
    let mut out = format!("{id}\n");
    let mut last = None;
    for (t, step) in schedule.grid.intervals().enumerate() {
        let Some(w) = why.get(t) else { break };
        if last == Some(w.reason.code) {
            continue;
        }
        last = Some(w.reason.code);
        let kw = power.and_then(|p| p.get(t)).map_or_else(String::new, |p| direction(*p));
        let bound = w.binding.as_deref().map_or_else(String::new, |b| format!(" [{b}]"));
        let local = step.start.with_timezone(&tz).format("%H:%M");
        out += &format!("  {local} {kw:>18}  {}{bound}\n", w.reason.sentence(language));
    }
    out
}

/// People never see signs.
fn direction(kw: f64) -> String {
    if kw.abs() < 0.01 {
        "off".into()
    } else if kw > 0.0 {
        format!("takes {kw:.1} kW")
    } else {
        format!("gives {:.1} kW", -kw)
    }
}
