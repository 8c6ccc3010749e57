//! A live controller: one loop, its exits, its end. `run` and `demo` differ only in what they hand in.

use super::exits::{Exits, Opened};
use super::live::Screen;
use crate::cycle::{Config, Controller, CycleReport, FieldPort, Planner, PricePort, Stop, run};
use crate::journal::FileJournal;
use crate::model::{ControllerState, Policy};
use crate::site::Site;
use crate::time::{Pacer, Timestamp};
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Wall-clock bound of a plan in a live controller.
const DEADLINE: Duration = Duration::from_secs(1);

/// What a live controller is made of.
pub struct Service<F> {
    pub site: Arc<Site>,
    pub field: F,
    pub prices: Box<dyn PricePort>,
    pub pacer: Pacer,
    pub opened: Opened,
    /// State to go on from instead of the journal's.
    pub restored: Option<ControllerState>,
    /// Who plans: one of `plan::CONTROLLERS`.
    pub solver: String,
}

impl<F: FieldPort> Service<F> {
    /// Runs until SIGINT or SIGTERM; then devices are given back, and everything is flushed.
    pub async fn serve(self) -> Result<(), String> {
        let now = self.pacer.clock().now();
        let Opened {
            mut exits,
            journal,
            restored,
            mut inbox,
        } = self.opened;
        let restored = self.restored.or(restored);
        let config = Config {
            plant: Arc::new(self.site.plant.clone()),
            policy: Policy::Plan,
            deadline: Some(DEADLINE),
            explain: true,
            oracle: None,
        };
        let planner = Planner::threaded(&self.solver).map_err(|e| format!("cannot start the planner's thread: {e}"))?;
        let mut controller: Controller<F, FileJournal> =
            Controller::new(config, self.field, journal, self.prices, planner, restored, now);
        let stop = Stop {
            at: None,
            told: told_to_stop()?,
        };
        let mut pacer = self.pacer;
        let mut screen = Screen::new();
        let mut ready = Ready::default();
        let site = self.site;
        run(&mut controller, &mut pacer, &mut inbox, stop, |mut report| {
            exits.take(&mut report);
            ready.tell(&report);
            screen.show(&site.plant, &report);
        })
        .await;
        sd(&[NotifyState::Stopping]);
        drop(controller);
        close(exits).await
    }
}

/// Closing waits for threads; the runtime's own must not be blocked by it.
async fn close(exits: Exits) -> Result<(), String> {
    tokio::task::spawn_blocking(move || exits.finish())
        .await
        .map_err(|e| format!("the exits did not close well: {e}"))
}

/// Turns true on SIGINT or SIGTERM.
pub fn told_to_stop() -> Result<watch::Receiver<bool>, String> {
    let said = |e: std::io::Error| format!("cannot listen for signals: {e}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(said)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(said)?;
    let (stop, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Nobody listens any more: the loop has ended by itself.
        let _ended = stop.send(true);
    });
    Ok(told)
}

/// Tells the service manager: ready after the first complete cycle, alive with each one.
#[derive(Default)]
struct Ready {
    said: bool,
    watched_at: Option<Timestamp>,
}

impl Ready {
    fn tell(&mut self, report: &CycleReport) {
        if !self.said {
            self.said = true;
            sd(&[NotifyState::Ready]);
        }
        let now = report.snapshot.at;
        if self.watched_at.is_none_or(|t| (now - t).num_seconds() >= 1) {
            self.watched_at = Some(now);
            sd(&[NotifyState::Watchdog]);
        }
    }
}

/// Does nothing where no service manager listens.
fn sd(state: &[NotifyState]) {
    if let Err(why) = sd_notify::notify(state) {
        tracing::debug!("the service manager cannot be told: {why}");
    }
}
