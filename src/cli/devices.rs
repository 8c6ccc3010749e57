//! `madang devices`: the device profiles inside the binary.

use super::{DONE, USAGE};
use crate::profile::{Profile, builtin, builtin_names};
use serde_json::json;
use std::process::ExitCode;

/// Lists the built-in device profiles, or shows one in full.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  madang devices\n  madang devices eastron-sdm630")]
pub struct Args {
    /// Profile to show in full
    name: Option<String>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    ExitCode::from(match &args.name {
        None => list(args.json),
        Some(name) => one(name, args.json),
    })
}

fn list(json: bool) -> u8 {
    let profiles: Vec<Profile> = builtin_names().iter().filter_map(|n| builtin(n)).collect();
    if json {
        let rows: Vec<_> = profiles.iter().map(summary).collect();
        println!("{}", serde_json::Value::Array(rows));
        return DONE;
    }
    println!(
        "{:<20}{:<16}{:>7}{:>10}  models",
        "profile", "kind", "points", "commands"
    );
    for p in &profiles {
        let models = p.models.join(", ");
        println!(
            "{:<20}{:<16}{:>7}{:>10}  {}",
            p.id,
            p.kind,
            p.points.len(),
            p.commands.len(),
            models
        );
    }
    DONE
}

fn summary(p: &Profile) -> serde_json::Value {
    json!({"profile": p.id, "kind": p.kind, "models": p.models, "sunspec": p.sunspec, "points": p.points.len(),
           "commands": p.commands.keys().collect::<Vec<_>>(), "notes": p.notes})
}

fn one(name: &str, json: bool) -> u8 {
    let Some(p) = builtin(name) else {
        eprintln!(
            "there is no profile `{name}`; built in are {}",
            builtin_names().join(", ")
        );
        return USAGE;
    };
    if json {
        println!("{}", full(&p));
        return DONE;
    }
    println!("{}  ({})\nmodels  {}\n", p.id, p.kind, p.models.join(", "));
    for point in &p.points {
        println!(
            "  {:<28}{:>6} {:<9}{}",
            point.name,
            point.addr,
            format!("{:?}", point.table).to_lowercase(),
            point.unit
        );
    }
    for (name, c) in &p.commands {
        let range = match (c.min, c.max) {
            (Some(min), Some(max)) => format!("{min} to {max} {}", c.unit),
            _ => c.unit.clone(),
        };
        let timeout = c.device_timeout_s.map_or("unknown".into(), |s| format!("{s} s"));
        println!("\ncommand {name}: {range}; the device falls back after {timeout}");
    }
    for note in &p.notes {
        println!("\n{note}");
    }
    DONE
}

fn full(p: &Profile) -> serde_json::Value {
    let points: Vec<_> = p
        .points
        .iter()
        .map(|x| json!({"name": x.name, "address": x.addr, "unit": x.unit, "scale": x.scale, "note": x.note}))
        .collect();
    let mut all = summary(p);
    all["points"] = points.into();
    all
}
