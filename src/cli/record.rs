//! `madang record`: a device's traffic as a trace file that replays as a test fixture.

use super::place::span;
use super::{BAD, DONE, UNREACHABLE};
use crate::field::{Recorded, Recording, WireError, record};
use crate::time::{Clock, SystemClock};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Records what a device answers into a trace file; anyone can contribute one. Read-only.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang record tcp://192.168.1.30:502 --profile sunspec --for 60s --out inverter.jsonl --blank-serial\n  madang record my-site --device inverter --for 10s --out inverter.jsonl\n\n\
                  Beside the trace FILE.jsonl stands FILE.expected.json: what its first round was read as. Look at it, compare it with\n\
                  the device's own display, and both are a fixture for tests/traces. madang twin --trace FILE.jsonl serves it."
)]
pub struct Args {
    #[command(flatten)]
    place: super::place::PlaceArgs,
    /// How long
    #[arg(long = "for", default_value = "30 s", value_name = "DURATION")]
    span: String,
    /// Time between two rounds
    #[arg(long, default_value = "1 s")]
    every: String,
    /// The trace file
    #[arg(long)]
    out: PathBuf,
    /// Makes serial numbers unreadable
    #[arg(long)]
    blank_serial: bool,
    /// A line about the device and its circumstances, kept in the trace
    #[arg(long)]
    note: Option<String>,
}

pub fn run(args: Args) -> ExitCode {
    let code = match work(&args) {
        Ok(said) => {
            println!("{said}");
            DONE
        }
        Err((code, why)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            code
        }
    };
    ExitCode::from(code)
}

fn work(args: &Args) -> Result<String, (u8, String)> {
    let place = args.place.find()?;
    let address = place.wiring.address;
    let what = Recording {
        address: address.clone(),
        unit: place.wiring.unit,
        profile: place.profile,
        span: span("for", &args.span, 24 * 3600)?,
        every: span("every", &args.every, 3600)?.max(Duration::from_millis(100)),
        blank_serial: args.blank_serial,
        now: SystemClock.now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let recorded = runtime.block_on(record(what));
    let mut recorded = recorded.map_err(|why| match why {
        // What lies behind the recorder did not answer.
        WireError::Exception(10 | 11) => (UNREACHABLE, format!("{address} does not answer")),
        other => (BAD, format!("{address}: {other}")),
    })?;
    recorded.trace.head.note.clone_from(&args.note);
    keep(&args.out, &recorded).map_err(|why| (BAD, why))
}

/// Writes the trace and what it was read as.
fn keep(out: &Path, recorded: &Recorded) -> Result<String, String> {
    let expected = out.with_extension("expected.json");
    let written = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    written(out, recorded.trace.text()?)?;
    let first = &recorded.first;
    let points: serde_json::Map<String, serde_json::Value> = first
        .points
        .iter()
        .map(|p| {
            (
                p.name.clone(),
                serde_json::json!({"value": p.value, "unit": p.unit, "quality": p.quality}),
            )
        })
        .collect();
    let read = serde_json::json!({"profile": first.profile, "unit_id": first.unit_id, "identity": first.identity, "points": points});
    written(&expected, format!("{read:#}\n"))?;
    let (n, first) = (recorded.trace.exchanges.len(), &recorded.first);
    Ok(format!(
        "{}: {n} exchanges\n{}: {} points as read in the first round; compare them with the device's own display",
        out.display(),
        expected.display(),
        first.points.len()
    ))
}
