//! `madang run`: the controller for a real site.

use super::access;
use super::exits::{Exits, Places};
use super::prices::WatchedPrices;
use super::service::Service;
use super::{BAD, DONE, UNREACHABLE, output, site_or_exit, state_dir};
use crate::backtest::{Market, NoMarket};
use crate::cycle::PricePort;
use crate::field::{Field, LinkThread, Options};
use crate::plan;
use crate::site::marks::{Marks, standings};
use crate::site::{Mode, Site};
use crate::time::{Clock, Pacer, SystemClock};
use chrono::TimeDelta;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Runs a site: reads its devices, plans, controls (where its owner said so), records, and shows a page.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  madang run sites/home-amsterdam\n  madang run /etc/madang/mysite --state /var/lib/madang --port 8420\n\nEnds on SIGINT or SIGTERM: devices are given back, everything is flushed."
)]
pub struct Args {
    /// Folder with site.toml, or a path to one
    site: String,
    /// State folder; default: $STATE_DIRECTORY, else ~/.local/state/madang/<site>
    #[arg(long)]
    state: Option<PathBuf>,
    /// Port of page and API on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8420)]
    port: u16,
    /// Solver that plans: auto, or highs where it is compiled in (it keeps its last plan and starts from it)
    #[arg(long, default_value = "auto", value_parser = plan::CONTROLLERS)]
    solver: String,
}

pub fn run(args: Args) -> ExitCode {
    // Before the first word.
    if let Err(why) = output::detach() {
        eprintln!("{why}");
        return ExitCode::from(UNREACHABLE);
    }
    let code = match site_or_exit(&args.site) {
        Err(code) => code,
        Ok(site) => match control(Arc::new(site), &args) {
            Ok(()) => DONE,
            Err((code, why)) => {
                eprintln!("{why}");
                code
            }
        },
    };
    ExitCode::from(code)
}

fn control(site: Arc<Site>, args: &Args) -> Result<(), (u8, String)> {
    let unreachable = |why| (UNREACHABLE, why);
    let places = Places {
        state: state_dir(args.state.as_deref(), site.plant.name.as_str()),
        port: args.port,
    };
    let pacer = Pacer::live();
    let opened = Exits::open(&site, &places, pacer.clock().now()).map_err(unreachable)?;
    greet(&site, &opened.exits.access.greeting(), &places);
    let prices = prices(&site).map_err(|why| (BAD, why))?;
    let links = LinkThread::start().map_err(unreachable)?;
    let options = options(&site, 1.0).map_err(unreachable)?;
    let cycle = cycle(&site, 1.0).map_err(unreachable)?;
    let service = Service {
        field: Field::on_thread(&site, options, &links).map_err(unreachable)?,
        links,
        site,
        prices,
        pacer,
        opened,
        restored: None,
        solver: args.solver.clone(),
        state: places.state,
        cycle,
    };
    block_on(service).map_err(unreachable)
}

/// The loop has this thread to itself.
pub fn block_on(service: Service) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the runtime: {e}"))?;
    let served = runtime.block_on(service.serve());
    runtime.shutdown_background();
    served
}

/// Length of a control cycle in real time.
pub fn cycle(site: &Site, speed: f64) -> Result<Duration, String> {
    let cycle = site.plant.timing.cycle.to_std().map_err(|e| e.to_string())?;
    Ok(cycle.div_f64(speed))
}

/// How long a cycle waits for devices: less than half of it, so that the rest of the work fits behind a silent one.
pub fn options(site: &Site, speed: f64) -> Result<Options, String> {
    let cycle = site.plant.timing.cycle;
    let patience = (cycle * 2 / 5).to_std().map_err(|e| e.to_string())?;
    Ok(Options {
        patience: patience.div_f64(speed).max(Duration::from_millis(40)),
        silent_after: (cycle * 2).max(TimeDelta::seconds(2)),
    })
}

fn prices(site: &Site) -> Result<Box<dyn PricePort>, String> {
    if let Some(watched) = WatchedPrices::of(site)? {
        return Ok(Box::new(watched));
    }
    let until = SystemClock.now() + TimeDelta::days(400);
    Ok(match Market::of(site, until)? {
        Some(market) => Box::new(market),
        None => Box::new(NoMarket),
    })
}

fn greet(site: &Site, page: &str, places: &Places) {
    let mode = match site.plant.mode {
        Mode::Observe => {
            "observe: reads, plans and shows what it would write; `mode = \"control\"` in site.toml lets it act"
        }
        Mode::Control => "control",
    };
    println!("madang run {}  mode {mode}", site.plant.name);
    println!("page   {page}");
    println!("state  {}", places.state.display());
    println!("token  {}", access::path(&places.state).display());
    marks(site);
    println!();
}

/// What was tried of the commands that will be used: information, the owner's `control = true` decides.
fn marks(site: &Site) {
    let Some(folder) = &site.folder else { return };
    match Marks::load(folder) {
        Ok(marks) => {
            let tried = standings(site, &marks).into_iter().filter(|(_, _, s)| s.on.is_some());
            tried.for_each(|(id, command, s)| println!("marks  {id}: {}", s.sentence(&command)));
        }
        Err(why) => eprintln!("{why}"),
    }
}
