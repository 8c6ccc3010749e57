//! What must hold of every problem: a plan always, taken by the checker, no dearer than it can be, the same from every solver.

use crate::generate::{Dice, random, unhurried, unhurry, with_integers};
use crate::variants::{halved, numbers, priced, relax, timeless};
use madang::check;
use madang::model::{PerStep, Problem, Solution, Violation};
use madang::plan::{self, SolveOptions};

/// A property by name: `Err` says what does not hold of the problem of this seed.
pub type Property = (&'static str, fn(u64) -> Result<(), String>);

/// All of them.
pub const PROPERTIES: [Property; 9] = [
    ("a plan the checker takes", checked),
    ("whole numbers, also in a hurry", whole_numbers),
    ("solvers agree", solvers_agree),
    ("a battery is never worse than none", battery_never_worse),
    ("a looser limit never costs more", looser_never_dearer),
    ("prices scale the cost", prices_scale),
    ("halved steps never cost more", halves_never_dearer),
    ("the relaxation never costs more", relaxation_never_dearer),
    ("a changed plan is refused", changed_is_refused),
];

fn solved(p: &Problem, solver: &str) -> Result<Solution, String> {
    let options = SolveOptions {
        solver: solver.into(),
        ..SolveOptions::exact()
    };
    plan::solve(p, &options).map_err(|e| format!("{}: {e}", p.id))
}

/// By HiGHS on an instance that is kept from another problem: a start that is of no use must change no cost.
fn solved_after(before: &Problem, p: &Problem) -> Result<Solution, String> {
    let kept = plan::Kept::default();
    let options = SolveOptions {
        solver: "highs".into(),
        kept: Some(kept.clone()),
        ..SolveOptions::exact()
    };
    plan::solve(before, &options).map_err(|e| format!("{}: {e}", before.id))?;
    kept.next(1);
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
    let broken = |v: &&Violation| !plan::in_objective(&v.name);
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
    if plan::SOLVERS.contains(&"highs") {
        let other = total(&solved(&p, "highs")?);
        ensure(close(mine, other, 1e-6), || {
            format!("{} {mine}, highs {other}", a.solver)
        })?;
        let other = total(&solved_after(&unhurried(seed.wrapping_add(1)), &p)?);
        ensure(close(mine, other, 1e-6), || {
            format!("{} {mine}, highs kept from another problem {other}", a.solver)
        })?;
    }
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
    let (tight, loose) = (solved(&p, "auto")?, solved(&loose, "auto")?);
    // where too little import makes a battery's band soft, the tight problem has a freedom that the loose one has not
    if tight.violations.iter().any(|v| v.name == "soc_below_band") {
        return Ok(());
    }
    let (tight, loose) = (total(&tight), total(&loose));
    ensure(loose <= tight + 1e-5 * tight.abs().max(1.0), || {
        format!("{loose} loose, {tight} tight")
    })
}

pub fn prices_scale(seed: u64) -> Result<(), String> {
    let p = unhurried(seed);
    let (one, ten) = (total(&solved(&p, "auto")?), total(&solved(&priced(&p, 10.0), "auto")?));
    ensure(close(10.0 * one, ten, 1e-5), || {
        format!("{one}, ten times the prices {ten}")
    })
}

/// Powers that stay constant cost the same in halves, and more freedom never costs more.
pub fn halves_never_dearer(seed: u64) -> Result<(), String> {
    let mut p = unhurried(seed);
    timeless(&mut p);
    let (whole, halves) = (total(&solved(&p, "auto")?), total(&solved(&halved(&p), "auto")?));
    ensure(halves <= whole + 1e-5 * whole.abs().max(1.0), || {
        format!("{whole} whole, {halves} in halves")
    })
}

pub fn relaxation_never_dearer(seed: u64) -> Result<(), String> {
    let mut p = with_integers(seed);
    unhurry(&mut p);
    let mut free = p.clone();
    relax(&mut free);
    let options = SolveOptions {
        nodes: Some(3000),
        ..SolveOptions::exact()
    };
    let cost = total(&plan::solve(&p, &options).map_err(|e| e.to_string())?);
    let bound = total(&solved(&free, "auto")?);
    ensure(bound <= cost + 1e-5 * cost.abs().max(1.0), || {
        format!("{bound} relaxed, {cost} with whole numbers")
    })
}

/// Changed by a thousandth in any one number, a plan is refused.
pub fn changed_is_refused(seed: u64) -> Result<(), String> {
    let p = if seed.is_multiple_of(2) {
        random(seed)
    } else {
        with_integers(seed)
    };
    let good = plan::solve(&p, &SolveOptions::controller()).map_err(|e| e.to_string())?;
    taken(&p, &good)?;
    let whole = serde_json::to_value(&good).map_err(|e| e.to_string())?;
    let places = numbers(&whole);
    let mut d = Dice(seed);
    for _ in 0..8 {
        let place = &places[d.index(places.len())];
        let step = if d.chance(0.5) { 1e-3 } else { -1e-3 };
        let mut bad = whole.clone();
        if let Some(value) = bad.pointer_mut(place) {
            let size = value.as_f64().unwrap_or(f64::NAN);
            *value = (size + step * size.abs().max(1.0)).into();
        }
        let bad: Solution = serde_json::from_value(bad).map_err(|e| format!("{place}: {e}"))?;
        ensure(!check::check(&p, &bad).ok, || {
            format!("{place} changed by {step} is taken")
        })?;
    }
    Ok(())
}
