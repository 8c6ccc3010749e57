//! The live demo: a twin behind real sockets, today until now played in advance, then the controller as in `run`.

use super::access;
use super::exits::{Exits, Places};
use super::output;
use super::run::{block_on, cycle, options};
use super::service::Service;
use crate::backtest::{Market, NoMarket};
use crate::cycle::{Config, Controller, Planner, PricePort, Stop, run};
use crate::field::{Field, LinkThread};
use crate::journal::HashJournal;
use crate::model::{ControllerState, Policy};
use crate::site::{Address, Mode, Site};
use crate::time::{Clock, Pacer, SteppedClock, SystemClock, Timestamp, local_midnight};
use crate::twin::{Direct, Fault, Listening, Served, World, serve_tcp};
use chrono::{NaiveDate, TimeDelta};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// Control cycle of the part of the day that is played in advance.
const PAST_CYCLE: TimeDelta = TimeDelta::seconds(10);
/// Samples of that part are stored this often.
const PAST_EVERY: TimeDelta = TimeDelta::minutes(1);

/// What to show.
pub struct Demo {
    pub site: Arc<Site>,
    /// How the site was named on the command line.
    pub asked: String,
    pub speed: f64,
    pub port: u16,
    pub seed: u64,
    /// Local date to show instead of today, at the present time of day.
    pub date: Option<NaiveDate>,
    pub faults: Vec<Fault>,
    /// Folder of journal and history; a folder of its own, removed at the end, where none is told.
    pub state: Option<PathBuf>,
}

/// Runs until SIGINT or SIGTERM.
pub fn live(demo: &Demo) -> Result<(), String> {
    output::detach()?;
    let folder = Folder::of(demo)?;
    let now = start(demo);
    let site = Arc::new(controlled(&demo.site, demo.site.plant.timing.cycle));
    let midnight = local_midnight(zone(&site), now.with_timezone(&zone(&site)).date_naive());
    let world = Arc::new(Mutex::new(World::new(&site, demo.seed, midnight, PAST_CYCLE)?));
    let places = Places {
        state: folder.path.clone(),
        port: demo.port,
    };
    let mut opened = Exits::open(&site, &places, now)?;
    eprintln!("playing today until now …");
    let state = play_past(demo, &world, &mut opened.exits, (midnight, now))?;
    let pacer = pacer(demo, now);
    let served = devices(&site, &world, &pacer.clock(), demo)?;
    let addressed = Arc::new(readdress(&site, &served)?);
    greet(demo, &served, &opened.exits.access.greeting(), &folder.path);
    let links = LinkThread::start()?;
    block_on(Service {
        field: Field::on_thread(&addressed, options(&site, demo.speed)?, &links)?,
        links,
        site: addressed,
        prices: prices(&site, now)?,
        pacer,
        opened,
        restored: Some(state),
        solver: "auto".into(),
        state: folder.path.clone(),
        cycle: cycle(&site, demo.speed)?,
    })
}

/// Its own folder is removed when the demo ends.
struct Folder {
    path: PathBuf,
    own: bool,
}

impl Folder {
    fn of(demo: &Demo) -> Result<Self, String> {
        if let Some(path) = &demo.state {
            return Ok(Self {
                path: path.clone(),
                own: false,
            });
        }
        let name = format!("madang-demo-{}-{}", demo.site.plant.name, std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
        Ok(Self { path, own: true })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own
            && let Err(why) = std::fs::remove_dir_all(&self.path)
        {
            tracing::debug!("{} stays: {why}", self.path.display());
        }
    }
}

fn zone(site: &Site) -> chrono_tz::Tz {
    site.plant.location.time_zone
}

/// The present moment, or the same time of day on another date.
fn start(demo: &Demo) -> Timestamp {
    let now = SystemClock.now();
    let Some(date) = demo.date else { return now };
    let local = now.with_timezone(&zone(&demo.site));
    crate::time::local_instant(zone(&demo.site), date.and_time(local.time()))
}

fn pacer(demo: &Demo, now: Timestamp) -> Pacer {
    if demo.date.is_none() && (demo.speed - 1.0).abs() < f64::EPSILON {
        return Pacer::live();
    }
    Pacer::scaled(SteppedClock::new(now), demo.speed)
}

/// The demo controls its twin; `observe` is the default for real devices.
fn controlled(site: &Site, cycle: TimeDelta) -> Site {
    let mut site = site.clone();
    site.plant.mode = Mode::Control;
    site.plant.timing.cycle = cycle;
    site
}

fn prices(site: &Site, now: Timestamp) -> Result<Box<dyn PricePort>, String> {
    Ok(match Market::of(site, now + TimeDelta::days(400))? {
        Some(market) => Box::new(market),
        None => Box::new(NoMarket),
    })
}

/// Today until now in virtual time, without the wire, so that the page has a day to show. Gives the state to go on from.
fn play_past(
    demo: &Demo,
    world: &Arc<Mutex<World>>,
    exits: &mut Exits,
    (from, to): (Timestamp, Timestamp),
) -> Result<ControllerState, String> {
    let site = Arc::new(controlled(&demo.site, PAST_CYCLE));
    let config = Config {
        plant: Arc::new(site.plant.clone()),
        policy: Policy::Plan,
        deadline: None,
        explain: true,
        oracle: None,
    };
    let field = Direct::new(world.clone(), site.clone());
    let prices = prices(&site, to)?;
    let mut controller = Controller::new(config, field, HashJournal::new(), prices, Planner::inline(), None, from);
    let (_keep, told) = watch::channel(false);
    let (_people, mut inbox) = mpsc::channel(1);
    let mut pacer = Pacer::Free(SteppedClock::new(from));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| format!("cannot start the runtime: {e}"))?;
    let mut stored = from - PAST_EVERY;
    let stop = Stop {
        at: Some(to),
        told,
        beat: Default::default(),
    };
    runtime.block_on(run(&mut controller, &mut pacer, &mut inbox, stop, |report| {
        let at = report.snapshot.at;
        if let Ok(mut world) = world.lock() {
            world.advance_to(at);
        }
        if at - stored >= PAST_EVERY {
            stored = at;
            exits.take_past(&report);
        }
    }));
    Ok(controller.state)
}

/// The twin's devices listen on a thread of their own, as real ones would.
fn devices(
    site: &Arc<Site>,
    world: &Arc<Mutex<World>>,
    clock: &Arc<dyn Clock>,
    demo: &Demo,
) -> Result<Vec<Served>, String> {
    let (site, world, clock) = (site.clone(), world.clone(), clock.clone());
    let faults = demo.faults.iter().map(|f| f.clone().at_speed(demo.speed));
    let (faults, seed) = (faults.collect::<Vec<_>>(), demo.seed);
    let (tell, told) = std::sync::mpsc::channel();
    let serve = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(why) => return drop(tell.send(Err(format!("cannot start the twin: {why}")))),
        };
        runtime.block_on(async {
            let what = Listening {
                faults: &faults,
                seed,
                component: None,
                host: None,
                // Nobody but this demo is told where its devices listen.
                free_ports: true,
            };
            let served = serve_tcp(&site, &world, &clock, what).await;
            // The demo may have ended before its devices listened.
            let _gone = tell.send(served);
            std::future::pending::<()>().await;
        });
    };
    let thread = std::thread::Builder::new().name("twin".into()).spawn(serve);
    thread.map_err(|e| format!("cannot start a thread for the twin: {e}"))?;
    told.recv().map_err(|e| format!("the twin ended early: {e}"))?
}

/// The site with the addresses its devices really listen on.
fn readdress(site: &Site, served: &[Served]) -> Result<Site, String> {
    let mut site = site.clone();
    for s in served {
        if let Some(d) = site.wiring.devices.get_mut(&s.device) {
            d.address = Address::parse(&s.address)?;
        }
    }
    Ok(site)
}

fn greet(demo: &Demo, served: &[Served], page: &str, state: &Path) {
    println!(
        "madang demo  {}  seed {}  speed {}",
        demo.site.plant.name, demo.seed, demo.speed
    );
    println!("page     {page}");
    println!("token    {}", access::path(state).display());
    println!(
        "say      madang set {} --state {} mode observe",
        shell(&demo.asked),
        shell(&state.display().to_string())
    );
    let ports: Vec<&str> = served.iter().filter_map(|s| s.address.rsplit(':').next()).collect();
    println!(
        "devices  {} Modbus servers on 127.0.0.1, ports {}",
        served.len(),
        span(&ports)
    );
    println!("stop     Ctrl-C\n");
}

/// A word as a shell reads it.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn span(ports: &[&str]) -> String {
    match (ports.iter().min(), ports.iter().max()) {
        (Some(first), Some(last)) if ports.len() > 3 => format!("{first} to {last}"),
        _ => ports.join(", "),
    }
}
