//! `madang solve`: dispatch cases to plans, exactly the case's objective.

use crate::model::{Problem, Solution};
use crate::plan::{self, SolveError, SolveOptions};
use crate::{check, units};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Solves dispatch cases (schema `ems-case-1` and our superset, see docs/planning.md).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  madang solve solver-tests/cases/p08_home_15min_ev.json\n  madang solve case.json --plan --json"
)]
pub struct Args {
    /// Case files (JSON).
    #[arg(required = true, value_name = "CASE.json")]
    cases: Vec<PathBuf>,
    /// auto, interior or clarabel (LPs only), microlp; highs where it is compiled in.
    #[arg(long, default_value = "auto", value_name = "NAME")]
    solver: String,
    /// Stop searching after this time, e.g. "1s"; without it until the optimum is proven.
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Include the plan itself.
    #[arg(long)]
    plan: bool,
    /// What each part could do else in the first step, and what that would cost.
    #[arg(long)]
    why: bool,
    /// One JSON array on stdout.
    #[arg(long)]
    json: bool,
}

/// What became of one case file.
enum Outcome {
    Solved(Box<Problem>, Box<Solution>),
    /// Faults of the file or of the solving.
    Bad(String),
    Usage(String),
}

pub fn run(args: Args) -> ExitCode {
    let options = match options(&args) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    };
    let (mut rows, mut status) = (Vec::new(), 0);
    for path in &args.cases {
        match solve(path, &options) {
            Outcome::Solved(problem, solution) => {
                let mut row = report(&problem, &solution, args.plan);
                if args.why && problem.steps > 0 {
                    row["alternatives"] = json!(plan::alternatives(&problem, &solution, None, 0, &options));
                }
                status = status.max(u8::from(row["check"]["ok"] != true));
                if !args.json {
                    print_line(&row);
                }
                rows.push(row);
            }
            Outcome::Bad(fault) => {
                eprintln!("{}: {fault}", path.display());
                status = status.max(1);
            }
            Outcome::Usage(fault) => {
                eprintln!("{}: {fault}", path.display());
                status = 2;
            }
        }
    }
    if args.json {
        println!("{}", Value::Array(rows));
    }
    ExitCode::from(status)
}

fn options(args: &Args) -> Result<SolveOptions, String> {
    if !plan::SOLVERS.contains(&args.solver.as_str()) {
        return Err(format!(
            "--solver {}: use one of {}",
            args.solver,
            plan::SOLVERS.join(", ")
        ));
    }
    let deadline = match &args.deadline {
        None => None,
        Some(text) => {
            let time = units::parse_duration(text).map_err(|e| format!("--deadline: {e}"))?;
            Some(
                time.to_std()
                    .map_err(|_| format!("--deadline {text}: must not be negative"))?,
            )
        }
    };
    Ok(SolveOptions {
        solver: args.solver.clone(),
        deadline,
        ..SolveOptions::exact()
    })
}

fn solve(path: &PathBuf, options: &SolveOptions) -> Outcome {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => return Outcome::Bad(format!("cannot read: {e}")),
    };
    let problem = match plan::read_case(&text) {
        Ok(problem) => problem,
        Err(fault) => return Outcome::Bad(fault),
    };
    match plan::solve(&problem, options) {
        Ok(solution) => Outcome::Solved(Box::new(problem), Box::new(solution)),
        Err(SolveError::Usage(fault)) => Outcome::Usage(fault),
        Err(other) => Outcome::Bad(other.to_string()),
    }
}

/// One object of `solve --json`.
fn report(problem: &Problem, s: &Solution, with_plan: bool) -> Value {
    let check = check::check(problem, s);
    let mut row = json!({
        "id": problem.id, "status": s.status, "objective": s.objective, "gap": s.gap, "solver": s.solver,
        "checks": check::totals(problem, s), "violations": s.violations, "build_ms": s.build_ms, "solve_ms": s.solve_ms,
        "check": {"ok": check.ok, "max_residual": check.max_residual},
    });
    if !check.faults.is_empty() {
        row["check"]["faults"] = json!(check.faults);
    }
    if with_plan {
        row["plan"] = json!(s.plan);
    }
    row
}

fn print_line(row: &Value) {
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "{:32} {:9} {:>16.6} gap {:.1e} {:16} {:8.1} ms  check {}",
        row["id"].as_str().unwrap_or("?"),
        row["status"].as_str().unwrap_or("?"),
        number("objective"),
        number("gap"),
        row["solver"].as_str().unwrap_or("?"),
        number("build_ms") + number("solve_ms"),
        if row["check"]["ok"] == true { "ok" } else { "FAILED" },
    );
    for v in row["violations"].as_array().into_iter().flatten() {
        let text = |key: &str| v[key].as_str().unwrap_or("?");
        let amount = v["amount"].as_f64().unwrap_or(f64::NAN);
        println!(
            "  {} of {}: {amount:.3} {}",
            text("name"),
            text("component"),
            text("unit")
        );
    }
    for (part, other) in row["alternatives"].as_object().into_iter().flatten() {
        let number = |key: &str| other[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "  {part}: {} at {:.3} kW would cost {:.4} more, {:.3} kWh missed",
            other["action"].as_str().unwrap_or("?"),
            number("power_kw"),
            number("extra_cost"),
            number("missed_kwh")
        );
    }
}
