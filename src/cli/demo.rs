//! `madang demo`: the twin of a shipped site and the controller against it, live or as a day in virtual time.

use super::demo_live::{Demo, live};
use super::{BAD, UNREACHABLE, USAGE, site_or_exit};
use crate::backtest::{Report, once};
use crate::model::Policy;
use crate::site::Site;
use crate::time::is_believable;
use crate::twin::Fault;
use crate::units::parse_duration;
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Runs a site's digital twin and the controller against it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = format!("Examples:\n  madang demo --site apartment-seoul --speed 60\n  madang demo --once --json\n  madang demo --fault battery:dead\n\n{}", crate::twin::FAULTS)
)]
pub struct Args {
    /// A shipped site (home-amsterdam, apartment-seoul, island-microgrid), a folder, or a site.toml
    #[arg(long, default_value = "home-amsterdam")]
    site: String,
    /// Site seconds a second; 60 shows a minute a second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Port of the page on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8420)]
    port: u16,
    /// Seed of weather, load and people; the same seed gives the same day
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// First day, local date; `--once` starts at 2026-05-12 unless told, a live demo runs on today's date
    #[arg(long)]
    date: Option<NaiveDate>,
    /// A fault in a device: COMPONENT:KIND[=VALUE], e.g. battery:dead, meter:slow=300ms, all:drop=2%; the list stands below
    #[arg(long)]
    fault: Vec<String>,
    /// One day (or --days) in virtual time, as fast as possible; prints the day's report
    #[arg(long)]
    once: bool,
    /// Days of `--once`
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// Control cycle of `--once`
    #[arg(long, default_value = "10s")]
    cycle: String,
    /// Folder for journal and history of a live demo; default: one of its own that is removed at the end
    #[arg(long)]
    state: Option<PathBuf>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    match demo(args) {
        Ok(code) => ExitCode::from(code),
        Err((code, why)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            ExitCode::from(code)
        }
    }
}

fn demo(args: Args) -> Result<u8, (u8, String)> {
    let site = Arc::new(site_or_exit(&args.site).map_err(|code| (code, String::new()))?);
    let faults = faults(&args.fault, &site)?;
    if !(args.speed > 0.0 && args.speed <= 3600.0) {
        return Err((USAGE, format!("--speed {} is not between 0 and 3600", args.speed)));
    }
    if let Some(date) = args.date
        && !is_believable(date.and_time(NaiveTime::MIN).and_utc())
    {
        return Err((USAGE, format!("--date {date} is not between the years 1970 and 2199")));
    }
    if args.once {
        let report = simulate(&args, &site, faults)?;
        show(&report, args.json);
        if !args.json && !args.fault.is_empty() {
            let faults = args.fault.join(", ");
            println!("faults    {faults} under the plan only; idle and rule ran on healthy devices");
        }
        return Ok(if report.ok() { super::DONE } else { BAD });
    }
    if args.json {
        return Err((USAGE, "--json belongs to --once; a live demo has its API".to_owned()));
    }
    let demo = Demo {
        site,
        asked: args.site,
        speed: args.speed,
        port: args.port,
        seed: args.seed,
        date: args.date,
        faults,
        state: args.state,
    };
    live(&demo).map_err(|why| (UNREACHABLE, why))?;
    Ok(super::DONE)
}

fn faults(texts: &[String], site: &Site) -> Result<Vec<Fault>, (u8, String)> {
    let mut faults = Vec::new();
    for text in texts {
        let more = Fault::parse_all(text, site).map_err(|why| (USAGE, format!("--fault {text}: {why}")))?;
        faults.extend(more);
    }
    Ok(faults)
}

fn simulate(args: &Args, site: &Arc<Site>, faults: Vec<Fault>) -> Result<Report, (u8, String)> {
    let cycle = parse_duration(&args.cycle).map_err(|e| (USAGE, format!("--cycle: {e}")))?;
    if !(TimeDelta::seconds(1)..=TimeDelta::minutes(1)).contains(&cycle) {
        return Err((USAGE, format!("--cycle {} is not between 1 s and 60 s", args.cycle)));
    }
    if !(1..=366).contains(&args.days) {
        return Err((USAGE, format!("--days {} is not between 1 and 366", args.days)));
    }
    let date = args
        .date
        .or_else(|| NaiveDate::from_ymd_opt(2026, 5, 12))
        .ok_or((USAGE, "--date".to_owned()))?;
    let bar = bar(args.json);
    let progress = |policy: Policy, share: f64| {
        let nth = match policy {
            Policy::Idle => 0.0,
            Policy::Rule => 1.0,
            Policy::Plan | Policy::Perfect => 2.0,
        };
        bar.set_message(format!("policy {policy:?}").to_lowercase());
        bar.set_position(((nth + share) / 3.0 * 1000.0) as u64);
    };
    let report = once(site, args.seed, date, args.days, cycle, faults, &progress).map_err(|why| (BAD, why));
    bar.finish_and_clear();
    report
}

fn bar(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg:14} {bar:40} {percent}%").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1000).with_style(style)
}

fn show(report: &Report, json: bool) {
    if json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => println!("{text}"),
            Err(why) => eprintln!("the report cannot be written as JSON: {why}"),
        }
        return;
    }
    print!("{}", text(report));
}

/// The report for people, in 80 columns.
fn text(r: &Report) -> String {
    let mut out = format!(
        "{}  {}  seed {}  {} day(s) in {:.1} s\n\n",
        r.site, r.date, r.seed, r.days, r.wall_s
    );
    out += &format!("{:<26}{:>14}{:>14}{:>14}\n", "", "idle", "rule", "plan");
    let row = |name: &str, value: &dyn Fn(Policy) -> Option<f64>, places: usize| {
        let cell = |p| value(p).map_or_else(|| "-".to_owned(), |v| format!("{v:.places$}"));
        format!(
            "{name:<26}{:>14}{:>14}{:>14}\n",
            cell(Policy::Idle),
            cell(Policy::Rule),
            cell(Policy::Plan)
        )
    };
    let money = if r.currency == "KRW" { 0 } else { 2 };
    out += &row(&format!("cost, {}", r.currency), &|p| r.cost.get(&p).copied(), money);
    for (name, part) in PARTS {
        out += &row(&format!("  {name}"), &|p| r.cost_parts.get(&p).map(part), money);
    }
    out += &row("CO2, kg", &|p| r.co2_kg.get(&p).copied(), 1);
    let engines = |p: &Policy| r.generators.get(p);
    if !r.generators.is_empty() {
        out += &row("fuel, litres", &|p| engines(&p)?.fuel_litres, 1);
        out += &row("generator, h", &|p| engines(&p).map(|g| g.run_h), 1);
        out += &row("generator, starts", &|p| engines(&p).map(|g| f64::from(g.starts)), 0);
    }
    out += &row(
        "EV shortfall, kWh",
        &|p| r.service.get(&p).map(|s| s.ev_shortfall_kwh),
        2,
    );
    out += &row("unserved, kWh", &|p| r.service.get(&p).map(|s| s.unserved_kwh), 2);
    out += &row("discomfort, K·h", &|p| r.service.get(&p).map(|s| s.discomfort_kh), 2);
    out += &missed(r);
    out += &format!(
        "\nlimits    {} breaches, worst excess {:.2} kW, binding {:.0} min\n",
        r.limits.breaches, r.limits.worst_excess_kw, r.limits.binding_minutes
    );
    out += &format!(
        "writes    {} issued, {} verified, {} failed\n",
        r.writes.issued, r.writes.verified, r.writes.failed
    );
    let solve = |k| r.plans.solve_ms.get(k).copied().unwrap_or(f64::NAN);
    out += &format!(
        "plans     {} made, {} rejected, {} by fallback; solved in {:.1} ms (p99 {:.1} ms)\n",
        r.plans.made,
        r.plans.rejected,
        r.plans.fallback,
        solve("p50"),
        solve("p99")
    );
    let nmae: Vec<String> = r.forecast_nmae.iter().map(|(k, v)| format!("{k} {v:.2}")).collect();
    out += &format!("forecast  error against mean (nMAE): {}\n", nmae.join(", "));
    out += &format!(
        "books     balance error {:.1e} kWh, meter against integrated {:.3} %\n",
        r.energy_balance_error_kwh, r.meter_against_integrated_percent
    );
    out += &format!("journal   {}\n", r.journal_hash);
    out
}

/// Cars that left short, and costs that cannot be compared; nothing where all were served alike.
fn missed(r: &Report) -> String {
    let mut out = String::new();
    for policy in &r.not_comparable {
        let name = format!("{policy:?}").to_lowercase();
        out += &format!("\n{name}: not comparable, it served less\n");
    }
    for m in &r.missed {
        out += &format!(
            "missed    {}: {:.1} of {:.1} kWh between {} and {}",
            m.component,
            m.missed_kwh,
            m.promised_kwh,
            m.arrival.format("%m-%d %H:%M"),
            m.departure.format("%m-%d %H:%M UTC"),
        );
        let why = m.why.iter().map(|h| format!("{} {:.0} min", h.code.en(), h.minutes));
        out += &format!("\n          {}\n", why.collect::<Vec<_>>().join("; "));
        if let Some(early) = m.left_early() {
            out += &format!("          it left {} min before its time\n", early.num_minutes());
        } else if m.lost_kwh() < m.missed_kwh {
            let not_possible = m.missed_kwh - m.lost_kwh();
            out += &format!("          {not_possible:.1} kWh of it were not possible at full power either\n");
        }
    }
    out
}

type Part = fn(&crate::model::Costs) -> f64;
const PARTS: [(&str, Part); 6] = [
    ("energy", |c| c.energy),
    ("demand charge", |c| c.demand),
    ("fuel", |c| c.fuel),
    ("battery wear", |c| c.wear),
    ("carbon price", |c| c.carbon),
    ("stored energy (minus)", |c| c.stored),
];
