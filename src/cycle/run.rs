//! The loop itself: waits for the next cycle, hears people, runs the cycle, hands the report on.

use super::answers::Answer;
use super::controller::Controller;
use super::ports::{CycleReport, FieldPort, JournalPort};
use crate::model::PeopleInput;
use crate::time::{Pacer, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

/// What a person said, and where the answer goes.
pub type Heard = (PeopleInput, oneshot::Sender<Answer>);

/// When the loop ends.
pub struct Stop {
    /// Site time at which it ends by itself (virtual time); `None`: only when told.
    pub at: Option<Timestamp>,
    /// Set to true to end it.
    pub told: watch::Receiver<bool>,
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
        let now = pacer.clock().now();
        hear_all(controller, inbox, now);
        publish(controller.cycle(now).await);
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
