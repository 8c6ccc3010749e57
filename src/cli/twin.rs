//! `madang twin`: only the simulated devices of a site, or one device of any profile, as Modbus servers.

use super::service::told_to_stop;
use super::{BAD, DONE, UNREACHABLE, USAGE, site_or_exit};
use crate::profile::trace::Trace;
use crate::site::Site;
use crate::time::{Clock, Pacer, SteppedClock, SystemClock};
use crate::twin::{FAULTS, Fault, Listening, Served, World, lone, serve_tcp, serve_trace};
use chrono::TimeDelta;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Plant physics move at least this often, asked or not.
const STEP: TimeDelta = TimeDelta::milliseconds(500);

const EXAMPLES: &str = "Examples:
  madang twin sites/home-amsterdam
  madang twin apartment-seoul --component battery --json
  madang twin --trace tests/traces/twin-sunspec-hybrid.jsonl
  madang twin --profile fronius-gen24 --listen 127.0.0.1:15020
  madang twin --profile my-site/profiles/acme-m3.toml

Then in another terminal: madang run sites/home-amsterdam, or madang read tcp://127.0.0.1:15020 --profile fronius-gen24

Exit status: 0 stopped, 1 a site or profile with a fault, 2 wrong usage, 3 a port is taken (see --free-ports)";

/// Port of a lone device where nothing else is asked for.
const PORT: u16 = 15_020;

/// Serves the simulated devices of a site, or one device of any profile, as Modbus servers, without a controller.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{FAULTS}"))]
pub struct Args {
    /// A folder with site.toml, a path to one, or the name of a shipped site
    #[arg(required_unless_present_any = ["trace", "profile"], conflicts_with = "profile")]
    site: Option<String>,
    /// Instead of a site: a recorded trace (madang record), answered as it was
    #[arg(long, conflicts_with_all = ["site", "component", "fault", "profile"])]
    trace: Option<std::path::PathBuf>,
    /// Instead of a site: one device of this profile (see `madang devices`) or profile file, with a small plant behind it
    #[arg(long)]
    profile: Option<String>,
    /// Only the device that feeds this component
    #[arg(long, conflicts_with = "profile")]
    component: Option<String>,
    /// Address to listen on instead of the one the site names; with --profile HOST:PORT
    #[arg(long)]
    listen: Option<String>,
    /// Where a port is taken, listen on a free one; the list says on which
    #[arg(long)]
    free_ports: bool,
    /// Site seconds a second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seed of weather, load and people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault in a device: COMPONENT:KIND[=VALUE], e.g. battery:dead, meter:slow=300ms; the list stands below
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
    let site = match (&args.profile, &args.site) {
        (Some(profile), _) => one_device(profile, args.listen.as_deref())?,
        (None, Some(site)) => site_or_exit(site).map_err(|code| (code, String::new()))?,
        (None, None) => return Err((USAGE, "name a site, or a --profile".into())),
    };
    let site = Arc::new(site);
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

/// A small plant behind one device of this profile.
fn one_device(name: &str, listen: Option<&str>) -> Result<Site, (u8, String)> {
    let profile = super::profiles::find(name, None)?;
    let (host, port) = match listen.map(|l| l.rsplit_once(':').unwrap_or((l, ""))) {
        None => ("127.0.0.1", PORT),
        Some((host, "")) => (host, PORT),
        Some((host, port)) => {
            let wrong = || (USAGE, format!("--listen {host}:{port}: `{port}` is not a port"));
            (host, port.parse().map_err(|_| wrong())?)
        }
    };
    let text = match name.ends_with(".toml") {
        true => Some(std::fs::read_to_string(name).map_err(|e| (USAGE, format!("cannot read {name}: {e}")))?),
        false => None,
    };
    lone(&profile, text, host, port).map_err(|why| (BAD, why))
}

fn faults(args: &Args, site: &Site) -> Result<Vec<Fault>, (u8, String)> {
    let mut faults = Vec::new();
    for text in &args.fault {
        let more = Fault::parse_all(text, site).map_err(|why| (USAGE, format!("--fault {text}: {why}")))?;
        faults.extend(more.into_iter().map(|f| f.at_speed(args.speed)));
    }
    Ok(faults)
}

async fn serve(args: &Args, site: &Arc<Site>, faults: &[Fault]) -> Result<(), String> {
    let start = SystemClock.now();
    let mut pacer = if (args.speed - 1.0).abs() < f64::EPSILON {
        Pacer::live()
    } else {
        Pacer::scaled(SteppedClock::new(start), args.speed)
    };
    let mut world = World::new(site, args.seed, start, site.plant.timing.cycle)?;
    if args.profile.is_some() {
        world.age();
    }
    let world = Arc::new(Mutex::new(world));
    let what = Listening {
        faults,
        seed: args.seed,
        component: args.component.as_deref(),
        host: args.listen.as_deref().filter(|_| args.profile.is_none()),
        free_ports: args.free_ports,
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
            _ = told.changed() => {
                show_wear(&world.lock().unwrap_or_else(PoisonError::into_inner));
                return Ok(());
            }
            () = pacer.wait_until(next) => {}
        }
        let now = pacer.clock().now();
        world.lock().unwrap_or_else(PoisonError::into_inner).advance_to(now);
    }
}

/// What masters did to registers that wear, for whoever looks after their flash.
fn show_wear(world: &World) {
    for ((device, register), writes) in world.wear() {
        eprintln!("{device}: register {register}, which wears, was written {writes} times");
    }
}

fn show(served: &[Served], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "devices": served }));
        return;
    }
    let width = served.iter().map(|s| s.profile.len()).max().unwrap_or(0).max(16) + 2;
    println!(
        "{:<16}{:<width$}{:<26}{:>5}  feeds",
        "device", "profile", "address", "unit"
    );
    for s in served {
        let feeds: Vec<&str> = s.components.iter().map(|c| c.as_str()).collect();
        println!(
            "{:<16}{:<width$}{:<26}{:>5}  {}",
            s.device.as_str(),
            s.profile,
            s.address,
            s.unit_id,
            feeds.join(", ")
        );
    }
    println!("\nCtrl-C stops them");
}
