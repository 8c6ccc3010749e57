//! `madang twin`: only the simulated devices of a site, as Modbus TCP servers.

use super::service::told_to_stop;
use super::{BAD, DONE, UNREACHABLE, USAGE, site_or_exit};
use crate::profile::trace::Trace;
use crate::site::Site;
use crate::time::{Clock, Pacer, SteppedClock, SystemClock};
use crate::twin::{Fault, Listening, Served, World, serve_tcp, serve_trace};
use chrono::TimeDelta;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Plant physics move at least this often, asked or not.
const STEP: TimeDelta = TimeDelta::milliseconds(500);

/// Serves the simulated devices of a site as Modbus TCP servers, without a controller.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang twin sites/home-amsterdam\n  madang twin apartment-seoul --component battery --json\n  madang twin --trace tests/traces/twin-sunspec-hybrid.jsonl\n\nThen in another terminal: madang run sites/home-amsterdam"
)]
pub struct Args {
    /// A folder with site.toml, a path to one, or the name of a shipped site
    #[arg(required_unless_present = "trace")]
    site: Option<String>,
    /// Instead of a site: a recorded trace (madang record), answered as it was
    #[arg(long, conflicts_with_all = ["site", "component", "fault"])]
    trace: Option<std::path::PathBuf>,
    /// Only the device that feeds this component
    #[arg(long)]
    component: Option<String>,
    /// Address to listen on instead of the one the site names
    #[arg(long)]
    listen: Option<String>,
    /// Site seconds a second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seed of weather, load and people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault in a device: COMPONENT:KIND[=VALUE], e.g. battery:dead, meter:slow=300ms
    #[arg(long)]
    fault: Vec<String>,
    /// Print the device list as one JSON document once all listen
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> ExitCode {
    let code = twin(&args).map_or_else(
        |(code, why)| {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            code
        },
        |()| DONE,
    );
    ExitCode::from(code)
}

fn twin(args: &Args) -> Result<(), (u8, String)> {
    if let Some(path) = &args.trace {
        return replay(path, args);
    }
    let name = args.site.as_deref().unwrap_or_default();
    let site = Arc::new(site_or_exit(name).map_err(|code| (code, String::new()))?);
    if !(args.speed > 0.0 && args.speed <= 3600.0) {
        return Err((USAGE, format!("--speed {} is not between 0 and 3600", args.speed)));
    }
    let faults = faults(args, &site)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let served = runtime.block_on(serve(args, &site, &faults));
    runtime.shutdown_background();
    served.map_err(|why| (UNREACHABLE, why))
}

/// Serves a recorded trace until told to stop.
fn replay(path: &std::path::Path, args: &Args) -> Result<(), (u8, String)> {
    let text = std::fs::read_to_string(path).map_err(|e| (USAGE, format!("cannot read {}: {e}", path.display())))?;
    let trace = Trace::parse(&text).map_err(|why| (BAD, format!("{}: {why}", path.display())))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (UNREACHABLE, format!("cannot start the runtime: {e}")))?;
    let served = runtime.block_on(async {
        let served = serve_trace(&trace, args.listen.as_deref().unwrap_or("127.0.0.1")).await?;
        show(&[served], args.json);
        let mut told = told_to_stop()?;
        // An error would mean that nobody can tell us any more.
        let _told = told.changed().await;
        Ok(())
    });
    runtime.shutdown_background();
    served.map_err(|why: String| (UNREACHABLE, why))
}

fn faults(args: &Args, site: &Site) -> Result<Vec<Fault>, (u8, String)> {
    let parse = |text: &String| Fault::parse(text, site).map_err(|why| (USAGE, format!("--fault {text}: {why}")));
    args.fault.iter().map(parse).collect()
}

async fn serve(args: &Args, site: &Arc<Site>, faults: &[Fault]) -> Result<(), String> {
    let start = SystemClock.now();
    let mut pacer = if (args.speed - 1.0).abs() < f64::EPSILON {
        Pacer::System
    } else {
        Pacer::scaled(SteppedClock::new(start), args.speed)
    };
    let world = World::new(site, args.seed, start, site.plant.timing.cycle)?;
    let world = Arc::new(Mutex::new(world));
    let what = Listening {
        faults,
        seed: args.seed,
        component: args.component.as_deref(),
        host: args.listen.as_deref(),
    };
    let served = serve_tcp(site, &world, &pacer.clock(), what).await?;
    if served.is_empty() {
        return Err(format!(
            "no device feeds `{}`",
            args.component.as_deref().unwrap_or_default()
        ));
    }
    show(&served, args.json);
    let mut told = told_to_stop()?;
    let mut next = start;
    loop {
        next += STEP;
        tokio::select! {
            biased;
            _ = told.changed() => return Ok(()),
            () = pacer.wait_until(next) => {}
        }
        let now = pacer.clock().now();
        world.lock().unwrap_or_else(PoisonError::into_inner).advance_to(now);
    }
}

fn show(served: &[Served], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "devices": served }));
        return;
    }
    println!("{:<16}{:<18}{:<26}{:>5}  feeds", "device", "profile", "address", "unit");
    for s in served {
        let feeds: Vec<&str> = s.components.iter().map(|c| c.as_str()).collect();
        println!(
            "{:<16}{:<18}{:<26}{:>5}  {}",
            s.device.as_str(),
            s.profile,
            s.address,
            s.unit_id,
            feeds.join(", ")
        );
    }
    println!("\nCtrl-C stops them");
}
