//! What must hold of every problem: a plan always, taken by the checker, no dearer than it can be, the same from every solver.

use crate::generate::{random, unhurried, with_integers};
use madang::check;
use madang::model::{PerStep, Problem, Solution, Violation};
use madang::plan::{self, SolveOptions};

/// A property by name: `Err` says what does not hold of the problem of this seed.
pub type Property = (&'static str, fn(u64) -> Result<(), String>);

/// All of them.
pub const PROPERTIES: [Property; 5] = [
    ("a plan the checker takes", checked),
    ("whole numbers, also in a hurry", whole_numbers),
    ("solvers agree", solvers_agree),
    ("a battery is never worse than none", battery_never_worse),
    ("a looser limit never costs more", looser_never_dearer),
];

fn solved(p: &Problem, solver: &str) -> Result<Solution, String> {
    let options = SolveOptions {
        solver: solver.into(),
        ..SolveOptions::exact()
    };
    plan::solve(p, &options).map_err(|e| format!("{}: {e}", p.id))
}

fn taken(p: &Problem, s: &Solution) -> Result<(), String> {
    let report = check::check(p, s);
    if report.ok {
        Ok(())
    } else {
        Err(format!("{:?}", report.faults))
    }
}

/// Cost with everything in it that the program minimises: money and broken wishes (late charging apart).
fn total(s: &Solution) -> f64 {
    let broken = |v: &&Violation| !["unserved_load", "ev_shortfall", "heat_unserved"].contains(&v.name.as_str());
    s.objective + s.violations.iter().filter(broken).map(|v| v.cost).sum::<f64>()
}

fn ensure(holds: bool, what: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

pub fn checked(seed: u64) -> Result<(), String> {
    let p = random(seed);
    taken(&p, &solved(&p, "auto")?)
}

/// Also cut short there is a plan, and the bound it states is honest: the exact optimum lies within it.
pub fn whole_numbers(seed: u64) -> Result<(), String> {
    let p = with_integers(seed);
    let hasty = plan::solve(&p, &SolveOptions::controller()).map_err(|e| e.to_string())?;
    taken(&p, &hasty)?;
    let options = SolveOptions {
        nodes: Some(3000),
        ..SolveOptions::exact()
    };
    let exact = plan::solve(&p, &options).map_err(|e| e.to_string())?;
    taken(&p, &exact)?;
    ensure(exact.gap <= hasty.gap + 1e-3, || {
        format!("gap {} with more effort, {} with less", exact.gap, hasty.gap)
    })
}

pub fn solvers_agree(seed: u64) -> Result<(), String> {
    let p = unhurried(seed);
    let (a, b) = (solved(&p, "auto")?, solved(&p, "clarabel")?);
    let (mine, other) = (total(&a), total(&b));
    ensure(close(mine, other, 1e-6), || {
        format!("{} {mine}, clarabel {other}", a.solver)
    })?;
    // an answer of microlp that was refused for its residual is no disagreement
    let Ok(c) = solved(&p, "microlp") else { return Ok(()) };
    let vertex = total(&c);
    ensure(close(mine, vertex, 1e-5), || {
        format!("{} {mine}, microlp {vertex}", a.solver)
    })
}

pub fn battery_never_worse(seed: u64) -> Result<(), String> {
    let p = unhurried(seed);
    let mut idle = p.clone();
    for b in &mut idle.batteries {
        (b.charge_max_kw, b.discharge_max_kw) = (0.0, 0.0);
    }
    let (free, idle) = (total(&solved(&p, "auto")?), total(&solved(&idle, "auto")?));
    ensure(free <= idle + 1e-5 * idle.abs().max(1.0), || {
        format!("{free} with, {idle} without")
    })
}

pub fn looser_never_dearer(seed: u64) -> Result<(), String> {
    let p = unhurried(seed);
    let mut loose = p.clone();
    if let Some(g) = &mut loose.grid {
        let wider = |t: usize| g.import_max_kw.at(t).map_or(f64::NAN, |kw| kw + 2.0);
        g.import_max_kw = PerStep::Each((0..p.steps).map(wider).collect());
    }
    let (tight, loose) = (total(&solved(&p, "auto")?), total(&solved(&loose, "auto")?));
    ensure(loose <= tight + 1e-5 * tight.abs().max(1.0), || {
        format!("{loose} loose, {tight} tight")
    })
}
