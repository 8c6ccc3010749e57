//! `madang bench`: the project's own measurements; ratios against baselines in the same run.

use super::{BAD, DONE, USAGE};
use crate::backtest::savings;
use crate::cycle::PlanOutcome;
use crate::time::local_instant;
use chrono::{NaiveDate, TimeDelta};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the project's benchmarks.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang bench plan\n  madang bench sites\n  madang bench savings --seeds 20\n  madang bench savings --site island-microgrid --seeds 5 --json"
)]
pub struct Args {
    /// plan (problem to checked and explained schedule, CPU, against raw Clarabel), replan (of that, the plans that follow each other), sites (one plan of each shipped site), live (memory, CPU and start of a running controller), field (the links against raw C and libmodbus, 1,000 devices, a serial scan), savings (seeds × seasons of every policy), stability (how often plans change their mind); default: plan
    name: Option<String>,
    /// Seeds of `savings`
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Only this site
    #[arg(long)]
    site: Option<String>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
    /// In a child of `plan`: memory of one solve, STEPS:SOLVER
    #[arg(long, hide = true)]
    memory_of: Option<String>,
}

pub fn run(args: Args) -> ExitCode {
    let code = match args.name.as_deref() {
        None | Some("plan") => match &args.memory_of {
            Some(of) => super::bench_plan::memory_of(of),
            None => super::bench_plan::run(args.json),
        },
        Some("replan") => super::bench_plan::replans_alone(args.json),
        Some("sites") => one_plan_each(&args),
        Some("savings") => savings(&args),
        Some("stability") => sites(&args).and_then(|sites| super::bench_stability::stability(&sites, args.json)),
        Some("field") => super::bench_field::field(args.json),
        Some("live") => super::bench_live::live(args.site.as_deref().unwrap_or("apartment-seoul"), args.json),
        Some(other) => {
            eprintln!(
                "there is no benchmark `{other}`; there are plan, replan, sites, live, field, savings and stability"
            );
            Err(USAGE)
        }
    };
    ExitCode::from(code.unwrap_or_else(|c| c))
}

fn sites(args: &Args) -> Result<Vec<Arc<crate::site::Site>>, u8> {
    match &args.site {
        Some(name) => Ok(vec![Arc::new(super::site_or_exit(name)?)]),
        None => Ok(crate::site::builtin_names()
            .into_iter()
            .filter_map(|name| crate::site::builtin(&name))
            .map(Arc::new)
            .collect()),
    }
}

/// Plan time of each site, input to checked schedule; the fastest half of the runs, since machines are shared.
fn one_plan_each(args: &Args) -> Result<u8, u8> {
    let mut rows = Vec::new();
    for site in sites(args)? {
        let noon = NaiveDate::from_ymd_opt(2026, 5, 12)
            .and_then(|d| d.and_hms_opt(6, 0, 0))
            .ok_or(BAD)?;
        let now = local_instant(site.plant.location.time_zone, noon);
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            match super::plan::one_plan(&site, now) {
                Ok(PlanOutcome::Adopted(_)) => times.push(begun.elapsed().as_secs_f64() * 1e3),
                Ok(PlanOutcome::Rejected(why)) | Err(why) => {
                    eprintln!("{}: {why}", site.plant.name);
                    return Err(BAD);
                }
            }
        }
        times.sort_by(f64::total_cmp);
        rows.push((
            site.plant.name.to_string(),
            times[times.len() / 4],
            times[times.len() - 1],
        ));
    }
    if args.json {
        let json: Vec<_> = rows
            .iter()
            .map(|(s, q, w)| serde_json::json!({"site": s, "plan_ms": q, "worst_ms": w}))
            .collect();
        println!("{}", serde_json::json!({"sites": json}));
    } else {
        println!("{:<22}{:>14}{:>14}", "site", "plan, ms", "worst, ms");
        for (site, quick, worst) in rows {
            println!("{site:<22}{quick:>14.1}{worst:>14.1}");
        }
    }
    Ok(DONE)
}

fn savings(args: &Args) -> Result<u8, u8> {
    let sites = sites(args)?;
    let seasons = savings::seasons();
    let work: Vec<_> = sites
        .iter()
        .flat_map(|s| {
            seasons
                .iter()
                .flat_map(move |d| (1..=args.seeds).map(move |seed| (s.clone(), *d, seed)))
        })
        .collect();
    let style = ProgressStyle::with_template("{pos}/{len} days {bar:40} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(work.len() as u64).with_style(style);
    let days = in_parallel(&work, |(site, date, seed)| {
        let day = savings::day(site, *date, *seed, TimeDelta::seconds(10));
        bar.inc(1);
        day
    });
    bar.finish_and_clear();
    let days: Result<Vec<_>, String> = days.into_iter().collect();
    let days = days.map_err(|why| {
        eprintln!("{why}");
        BAD
    })?;
    let summaries: Vec<_> = sites
        .iter()
        .filter_map(|s| {
            let mine: Vec<_> = days
                .iter()
                .filter(|d| d.site == s.plant.name.as_str())
                .cloned()
                .collect();
            savings::summary(&mine)
        })
        .collect();
    let verdicts: Vec<_> = summaries.iter().map(savings::Summary::verdicts).collect();
    if args.json {
        println!(
            "{}",
            serde_json::json!({"summary": summaries, "verdicts": verdicts, "days": days})
        );
    } else {
        for (summary, verdicts) in summaries.iter().zip(&verdicts) {
            show_summary(summary, verdicts);
        }
    }
    let kept = verdicts.iter().flatten().all(|v| v.holds);
    Ok(if kept { DONE } else { BAD })
}

fn show_summary(s: &savings::Summary, verdicts: &[savings::Verdict]) {
    println!("{} ({} days)", s.site, s.days);
    println!(
        "  median cost    idle {:>12.2}  rule {:>12.2}  plan {:>12.2}",
        s.idle_median, s.rule_median, s.plan_median
    );
    println!(
        "  plan - rule    median {:.2}, worst day {:+.2} ({:+.1} % of the mean idle day)",
        s.plan_minus_rule_median,
        s.plan_minus_rule_worst,
        100.0 * s.plan_minus_rule_worst / s.idle_mean
    );
    for (name, v) in [
        ("EV short, kWh", s.ev_shortfall_kwh),
        ("unserved, kWh", s.unserved_kwh),
        ("discomfort, Kh", s.discomfort_kh),
    ] {
        println!(
            "  {name:<14} idle {:>12.2}  rule {:>12.2}  plan {:>12.2}",
            v[0], v[1], v[2]
        );
    }
    let errors = s.forecast_nmae.iter().map(|(kind, e)| format!("{kind} {e:.2}"));
    println!("  forecast nMAE  {}", errors.collect::<Vec<_>>().join(", "));
    for v in verdicts {
        println!("  {}  {}", if v.holds { "yes" } else { "NO " }, v.what);
    }
}

/// Maps over `work` on all cores, results in order.
fn in_parallel<T: Sync, R: Send>(work: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(item) = work.get(i) else { return mine };
                        mine.push((i, f(item)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, r)| r).collect()
}
