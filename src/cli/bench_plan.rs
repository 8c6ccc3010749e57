//! `madang bench plan`: CPU time from problem to checked and explained schedule, each with every solver, against raw
//! Clarabel on the same matrix in the same run; whole numbers, reference cases, memory, homes a second.

use super::bench_problems as problems;
use super::bench_whole::{self as whole, Family};
use super::{BAD, DONE};
use crate::check;
use crate::model::{Problem, Solution};
use crate::plan::{self, SolveOptions};
use crate::time::Stopwatch;
use serde::Serialize;

/// Runs a timing is the median of.
const RUNS: usize = 20;
/// All reference cases, proven, in this time, ms.
const CASES_MS: f64 = 40_000.0;
/// Growth of memory while solving, kB.
const MEMORY_KB: u64 = 30_000;
/// Our way to Clarabel may cost this much more than Clarabel alone.
const OVERHEAD: f64 = 1.3;

#[derive(Debug, Serialize)]
struct Timing {
    problem: String,
    steps: usize,
    solver: String,
    /// Problem to checked schedule, CPU ms, median and worst.
    plan_ms: f64,
    worst_ms: f64,
    /// What of it is the explanation of the current interval.
    explain_ms: f64,
    /// Times faster than raw Clarabel's solving of the same matrix.
    against_raw: f64,
    target_ms: Option<f64>,
    holds: bool,
}

/// Plans that follow each other, CPU ms, median.
#[derive(Debug, Serialize)]
struct Replan {
    problem: String,
    solver: String,
    /// Where an instance is kept: how the programs (alternatives too) were started.
    starts: Option<plan::Starts>,
    /// Problem to checked schedule, median and worst; what of it is not building and checking.
    plan_ms: f64,
    worst_ms: f64,
    solve_ms: f64,
    /// With the explanation of the current interval.
    explained_ms: f64,
    target_ms: Option<f64>,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct Memory {
    steps: usize,
    solver: String,
    growth_kb: u64,
    peak_kb: u64,
    holds: bool,
}

/// One thing that must hold, what was measured, and whether it does.
#[derive(Debug, Serialize)]
struct Verdict {
    what: String,
    measured: String,
    holds: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    timings: Vec<Timing>,
    /// Time of our way through Clarabel over Clarabel alone, same matrix.
    overhead_over_raw: f64,
    replan: Vec<Replan>,
    whole_numbers: Vec<Family>,
    cases_ms: f64,
    cases_proven: usize,
    cases: usize,
    memory: Vec<Memory>,
    homes_per_second: Vec<(String, f64)>,
    verdicts: Vec<Verdict>,
    holds: bool,
}

fn solvers() -> impl Iterator<Item = &'static str> {
    plan::SOLVERS.into_iter().filter(|s| *s != "interior")
}

pub fn run(json: bool) -> Result<u8, u8> {
    let report = report().map_err(|why| {
        eprintln!("{why}");
        BAD
    })?;
    if json {
        println!("{}", serde_json::json!(report));
    } else {
        show(&report);
    }
    Ok(if report.holds { DONE } else { BAD })
}

/// `madang bench replan`.
pub fn replans_alone(json: bool) -> Result<u8, u8> {
    let replans = replan().map_err(|why| {
        eprintln!("{why}");
        BAD
    })?;
    match json {
        true => println!("{}", serde_json::json!(replans)),
        false => show_replans(&replans),
    }
    Ok(if replans.iter().all(|r| r.holds) { DONE } else { BAD })
}

fn report() -> Result<Report, String> {
    let fleet = solvers().map(|s| Ok((s.to_owned(), homes_per_second(s)?)));
    let homes_per_second = fleet.collect::<Result<_, String>>()?;
    let (cases_ms, cases_proven, cases) = cases()?;
    let mut report = Report {
        timings: timings()?,
        overhead_over_raw: overhead()?,
        replan: replan()?,
        whole_numbers: whole::families()?,
        cases_ms,
        cases_proven,
        cases,
        memory: memory(),
        homes_per_second,
        verdicts: Vec::new(),
        holds: false,
    };
    report.verdicts = verdicts(&report);
    report.holds = report.verdicts.iter().all(|v| v.holds);
    Ok(report)
}

/// Everything that must hold, in the order of the report.
fn verdicts(r: &Report) -> Vec<Verdict> {
    let verdict = |what: String, measured: String, holds: bool| Verdict { what, measured, holds };
    let timings = r
        .timings
        .iter()
        .map(|t| (&t.problem, &t.solver, t.plan_ms, t.target_ms, t.holds));
    let replans = r
        .replan
        .iter()
        .map(|t| (&t.problem, &t.solver, t.plan_ms, t.target_ms, t.holds));
    let mut all: Vec<Verdict> = timings
        .chain(replans)
        .filter_map(|(problem, solver, ms, target, holds)| {
            let what = format!("{problem} with {solver}, at most {:.0} ms", target?);
            Some(verdict(what, format!("{ms:.2} ms"), holds))
        })
        .collect();
    all.push(verdict(
        format!("our way through Clarabel over Clarabel alone, at most {OVERHEAD}x"),
        format!("{:.2}x", r.overhead_over_raw),
        r.overhead_over_raw <= OVERHEAD,
    ));
    all.extend(whole::verdicts(&r.whole_numbers).map(|(what, measured, holds)| verdict(what, measured, holds)));
    all.push(verdict(
        format!("all {} reference cases proven within {:.0} s", r.cases, CASES_MS / 1e3),
        format!("{} in {:.2} s", r.cases_proven, r.cases_ms / 1e3),
        r.cases_proven == r.cases && r.cases_ms <= CASES_MS,
    ));
    all.extend(r.memory.iter().map(|m| {
        let most = MEMORY_KB / 1000;
        let what = format!("memory of {} steps with {}, at most {most} MB more", m.steps, m.solver);
        verdict(what, format!("{:.1} MB", m.growth_kb as f64 / 1e3), m.holds)
    }));
    all
}

/// A problem by name, and the most its plan may take, ms.
type Timed = (&'static str, Problem, Option<f64>);

fn timed() -> Result<Vec<Timed>, String> {
    Ok(vec![
        ("home with a car (p08)", problems::home_with_car()?, Some(12.0)),
        ("home", problems::home()?, Some(8.0)),
        ("site (p09)", problems::site_day()?, Some(32.0)),
        ("site, 30 min", problems::site(48, 0.5, 1)?, None),
        ("site, 2 days", problems::site(192, 0.25, 1)?, None),
        ("site, 5 min", problems::site(288, 1.0 / 12.0, 1)?, None),
        ("site, 7 days", problems::site(672, 0.25, 1)?, Some(350.0)),
    ])
}

fn timings() -> Result<Vec<Timing>, String> {
    let mut all = Vec::new();
    for (name, p, target) in timed()? {
        let raw = median((0..5).map(|_| plan::raw_clarabel_ms(&p)).collect::<Result<_, _>>()?);
        for solver in solvers() {
            // the targets are for what is done without being told otherwise
            let target = target.filter(|_| solver == "auto");
            all.extend(timing_or_refusal(name, &p, solver, raw, target)?);
        }
    }
    Ok(all)
}

/// A solver asked for by name may have its answer refused (microlp's residuals); the default may not.
fn timing_or_refusal(
    name: &str,
    p: &Problem,
    solver: &str,
    raw: f64,
    target: Option<f64>,
) -> Result<Option<Timing>, String> {
    match timing(name, p, solver, raw, target) {
        Ok(timing) => Ok(Some(timing)),
        Err(why) if solver == "auto" => Err(why),
        Err(why) => {
            eprintln!("{name} with {solver}: {why}");
            Ok(None)
        }
    }
}

fn timing(name: &str, p: &Problem, solver: &str, raw: f64, target_ms: Option<f64>) -> Result<Timing, String> {
    let runs = (0..RUNS).map(|_| planned(p, &options(solver)));
    let runs = runs.collect::<Result<Vec<_>, String>>()?;
    let mut timing = summary(name, runs, raw);
    timing.target_ms = target_ms;
    timing.holds = target_ms.is_none_or(|most| timing.plan_ms <= most);
    Ok(timing)
}

/// One plan as the planner makes it, and what it took, CPU ms.
struct Planned {
    solution: Solution,
    steps: usize,
    plan_ms: f64,
    explain_ms: f64,
}

fn planned(p: &Problem, options: &SolveOptions) -> Result<Planned, String> {
    let watch = Stopwatch::start();
    let (solution, sensitivity) = plan::solve_explained(p, options).map_err(|e| e.to_string())?;
    let report = check::check(p, &solution);
    if !report.ok {
        return Err(report.faults.join("; "));
    }
    let before = watch.cpu_ms();
    // what everything could do else in the current interval, solved again each
    let told = plan::alternatives(p, &solution, sensitivity.as_ref(), 0, options);
    let plan_ms = watch.cpu_ms();
    if told.is_empty() {
        return Err("nothing was explained".into());
    }
    Ok(Planned {
        solution,
        steps: p.steps,
        plan_ms,
        explain_ms: plan_ms - before,
    })
}

fn summary(name: &str, runs: Vec<Planned>, raw: f64) -> Timing {
    let plan_ms = median(runs.iter().map(|r| r.plan_ms).collect());
    Timing {
        problem: name.into(),
        steps: runs.first().map_or(0, |r| r.steps),
        solver: runs.last().map_or(String::new(), |r| r.solution.solver.clone()),
        plan_ms,
        worst_ms: runs.iter().fold(0.0, |a: f64, r| a.max(r.plan_ms)),
        explain_ms: median(runs.iter().map(|r| r.explain_ms).collect()),
        against_raw: raw / plan_ms,
        target_ms: None,
        holds: true,
    }
}

fn options(solver: &str) -> SolveOptions {
    SolveOptions {
        solver: solver.into(),
        ..SolveOptions::exact()
    }
}

fn checked(p: &Problem, solver: &str) -> Result<Solution, String> {
    let solution = plan::solve(p, &options(solver)).map_err(|e| format!("{}: {e}", p.id))?;
    let report = check::check(p, &solution);
    match report.ok {
        true => Ok(solution),
        false => Err(format!("{}: {}", p.id, report.faults.join("; "))),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Problem to measured answer through our door over Clarabel alone, side by side on the site's day.
fn overhead() -> Result<f64, String> {
    let p = problems::site_day()?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let watch = Stopwatch::start();
        plan::solve(&p, &options("clarabel")).map_err(|e| e.to_string())?;
        ours.push(watch.cpu_ms());
        raw.push(plan::raw_clarabel_ms(&p)?);
    }
    Ok(median(ours) / median(raw))
}

/// The next plans, each a step later than the one before, loads and sun forecast anew.
fn replan() -> Result<Vec<Replan>, String> {
    let mut all = Vec::new();
    for (name, p, target) in [
        ("home with a car, a step later", problems::home_with_car()?, 1.0),
        ("site, a step later", problems::site_day()?, 2.0),
    ] {
        let mut truth = p.clone();
        let mut day = vec![p];
        for seed in 0..RUNS as u64 {
            truth = problems::one_step_later(&truth, &checked(&day[day.len() - 1], "auto")?);
            day.push(problems::forecast_anew(&truth, seed));
        }
        for solver in solvers() {
            all.extend(replans_or_refusal(name, &day, &options(solver), None));
        }
        if plan::SOLVERS.contains(&"highs") {
            let options = SolveOptions {
                kept: Some(plan::Kept::default()),
                ..options("highs")
            };
            all.extend(replans_or_refusal(name, &day, &options, Some(target)));
        }
    }
    Ok(all)
}

fn replans_or_refusal(name: &str, day: &[Problem], options: &SolveOptions, target: Option<f64>) -> Option<Replan> {
    let timed = replans(name, day, options, target);
    timed
        .map_err(|why| eprintln!("{name} with {}: {why}", options.solver))
        .ok()
}

/// All but the first are timed.
fn replans(name: &str, day: &[Problem], options: &SolveOptions, target_ms: Option<f64>) -> Result<Replan, String> {
    let mut runs = Vec::new();
    for p in day {
        if let Some(kept) = &options.kept {
            kept.next(1);
        }
        runs.push(planned(p, options)?);
    }
    runs.remove(0);
    let of = |ms: fn(&Planned) -> f64| median(runs.iter().map(ms).collect());
    let plan_ms = of(|r| r.plan_ms - r.explain_ms);
    Ok(Replan {
        problem: name.into(),
        solver: runs[0].solution.solver.clone(),
        starts: options.kept.as_ref().map(plan::Kept::starts),
        plan_ms,
        worst_ms: runs.iter().fold(0.0, |a: f64, r| a.max(r.plan_ms - r.explain_ms)),
        solve_ms: of(|r| r.solution.solve_ms),
        explained_ms: of(|r| r.plan_ms),
        target_ms,
        holds: target_ms.is_none_or(|most| plan_ms <= most),
    })
}

/// CPU ms of all reference cases, how many were proven right, how many there are.
fn cases() -> Result<(f64, usize, usize), String> {
    let cases = problems::cases()?;
    let watch = Stopwatch::start();
    let mut proven = 0;
    for p in &cases {
        let s = checked(p, "auto")?;
        let expected = |key: &str| p.expected.as_ref().and_then(|e| e[key].as_f64());
        let (Some(want), Some(tolerance)) = (expected("objective"), expected("rel_tolerance")) else {
            return Err(format!("{}: nothing expected", p.id));
        };
        let close = (s.objective - want).abs() <= tolerance * want.abs().max(1.0);
        proven += usize::from(close && s.gap <= 1e-6);
    }
    Ok((watch.cpu_ms(), proven, cases.len()))
}

/// Each in a process of its own, so that growth and peak belong to one solve.
fn memory() -> Vec<Memory> {
    let mut all = Vec::new();
    for steps in [96, 672] {
        all.extend(solvers().filter_map(|solver| memory_of_child(steps, solver)));
    }
    all
}

fn memory_of_child(steps: usize, solver: &str) -> Option<Memory> {
    let of = format!("{steps}:{solver}");
    let child = std::process::Command::new(std::env::current_exe().ok()?)
        .args(["bench", "plan", "--memory-of", &of])
        .output()
        .ok()?;
    let text = String::from_utf8(child.stdout).ok()?;
    let mut numbers = text.split_whitespace().map_while(|n| n.parse().ok());
    let (growth_kb, peak_kb) = (numbers.next()?, numbers.next()?);
    Some(Memory {
        steps,
        solver: solver.into(),
        growth_kb,
        peak_kb,
        holds: growth_kb <= MEMORY_KB,
    })
}

/// In the child: solves one problem and prints what the process grew by and its peak, kB.
pub fn memory_of(text: &str) -> Result<u8, u8> {
    let grown = || -> Option<(u64, u64)> {
        let (steps, solver) = text.split_once(':')?;
        let p = problems::site(steps.parse().ok()?, 0.25, 1).ok()?;
        let before = status_kb("VmRSS")?;
        checked(&p, solver).ok()?;
        let peak = status_kb("VmHWM")?;
        Some((peak.saturating_sub(before), peak))
    };
    let (growth, peak) = grown().ok_or(BAD)?;
    println!("{growth} {peak}");
    Ok(DONE)
}

/// A line of /proc/self/status; `None` where there is no such file.
fn status_kb(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Different homes, each planned from its problem to its checked schedule, in a second of CPU.
fn homes_per_second(solver: &str) -> Result<f64, String> {
    let homes: Vec<Problem> = (0..16).map(problems::any_home).collect::<Result<_, _>>()?;
    let watch = Stopwatch::start();
    let mut done = 0.0;
    for p in homes.iter().cycle() {
        checked(p, solver)?;
        done += 1.0;
        if watch.cpu_ms() > 1000.0 {
            break;
        }
    }
    Ok(1e3 * done / watch.cpu_ms())
}

fn show(r: &Report) {
    println!("problem to checked and explained schedule, CPU ms, median of {RUNS}");
    println!(
        "{:<32}{:>6} {:<18}{:>9}{:>9}{:>9}{:>12}",
        "", "steps", "solver", "median", "worst", "explain", "raw / ours"
    );
    for t in &r.timings {
        println!(
            "{:<32}{:>6} {:<18}{:>9.2}{:>9.2}{:>9.2}{:>11.1}x",
            t.problem, t.steps, t.solver, t.plan_ms, t.worst_ms, t.explain_ms, t.against_raw
        );
    }
    show_replans(&r.replan);
    whole::show(&r.whole_numbers);
    if r.memory.is_empty() {
        println!("memory   skipped: no /proc/self/status");
    }
    for m in &r.memory {
        println!(
            "memory, {} steps, {:<10} grew {:>6} kB to {} kB",
            m.steps, m.solver, m.growth_kb, m.peak_kb
        );
    }
    for (solver, homes) in &r.homes_per_second {
        println!("homes a second and core, {solver:<10} {homes:.0}");
    }
    println!("\nwhat must hold");
    for v in &r.verdicts {
        println!(
            "{:<4}{:<68}{:>16}",
            if v.holds { "yes" } else { "NO" },
            v.what,
            v.measured
        );
    }
}

fn show_replans(all: &[Replan]) {
    println!(
        "\nthe next {RUNS} plans, each a step later, 5 % forecast noise: problem to checked schedule, CPU ms, median"
    );
    println!(
        "{:<32}{:<18}{:>9}{:>9}{:>9}{:>11}",
        "", "solver", "median", "worst", "solving", "explained"
    );
    for t in all {
        let kept = if t.starts.is_some() { ", kept" } else { "" };
        print!(
            "{:<32}{:<18}{:>9.2}{:>9.2}{:>9.2}{:>11.2}",
            t.problem,
            format!("{}{kept}", t.solver),
            t.plan_ms,
            t.worst_ms,
            t.solve_ms,
            t.explained_ms
        );
        match t.starts {
            Some(s) => println!(
                "   {} programs hot, {} cold, {} of them refused hot",
                s.hot, s.cold, s.refused
            ),
            None => println!(),
        }
    }
    println!();
}
