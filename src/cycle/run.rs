//! The loop itself: waits for the next cycle, hears people, runs the cycle, hands the report on.

use super::answers::Answer;
use super::controller::Controller;
use super::ports::{CycleReport, FieldPort, JournalPort};
use crate::model::PeopleInput;
use crate::time::{Pacer, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// What a person said, and where the answer goes.
pub type Heard = (PeopleInput, oneshot::Sender<Answer>);

/// Shows from outside whether cycles end.
#[derive(Debug, Default)]
pub struct Beat {
    cycles: AtomicU64,
    handed_back: AtomicBool,
}

impl Beat {
    /// Cycles that ended since the start.
    pub fn cycles(&self) -> u64 {
        self.cycles.load(Ordering::Acquire)
    }
    /// A cycle has ended.
    pub fn ended(&self) {
        self.cycles.fetch_add(1, Ordering::AcqRel);
    }
    /// Told by whoever gave the devices back because no cycle ended: the next one begins in Safe.
    pub fn hand_back(&self) {
        self.handed_back.store(true, Ordering::Release);
    }
    /// Whether that was told since it was asked last.
    pub fn was_handed_back(&self) -> bool {
        self.handed_back.swap(false, Ordering::AcqRel)
    }
}

/// When the loop ends.
pub struct Stop {
    /// Site time at which it ends by itself (virtual time); `None`: only when told.
    pub at: Option<Timestamp>,
    /// Set to true to end it.
    pub told: watch::Receiver<bool>,
    /// Where each end of a cycle shows.
    pub beat: Arc<Beat>,
}

/// Runs cycles until told to stop, then gives the devices back. `publish` must not block.
pub async fn run<F: FieldPort, J: JournalPort>(
    controller: &mut Controller<F, J>,
    pacer: &mut Pacer,
    inbox: &mut mpsc::Receiver<Heard>,
    mut stop: Stop,
    mut publish: impl FnMut(CycleReport),
) {
    let cycle = controller.plant().timing.cycle;
    let mut next = pacer.clock().now();
    while !*stop.told.borrow() && stop.at.is_none_or(|end| next < end) {
        tokio::select! {
            biased;
            _ = stop.told.changed() => continue,
            () = pacer.wait_until(next) => {}
        }
        let turn = pacer.turn();
        let now = pacer.clock().now();
        next += turn.step.unwrap_or_default();
        controller.turn(turn, now);
        if stop.beat.was_handed_back() {
            controller.was_handed_back(now);
        }
        hear_all(controller, inbox, now);
        publish(controller.cycle(now).await);
        stop.beat.ended();
        next = (next + cycle).max(now + cycle / 2);
    }
    controller.shut_down(pacer.clock().now()).await;
}

fn hear_all<F: FieldPort, J: JournalPort>(
    controller: &mut Controller<F, J>,
    inbox: &mut mpsc::Receiver<Heard>,
    now: Timestamp,
) {
    while let Ok((input, answer)) = inbox.try_recv() {
        controller.hear(&input, now, answer);
    }
}
