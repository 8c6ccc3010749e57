//! One task per physical link: it alone owns the socket; setpoints go before polls.

use super::client::Client;
use super::device::FieldDevice;
use super::map::Values;
use crate::model::{DeviceHealth, WriteOutcome};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;
use tokio::sync::{mpsc, oneshot};

/// A device that has not answered for this long is shown as silent.
const SILENT: TimeDelta = TimeDelta::milliseconds(2_500);

pub enum Job {
    Poll {
        now: Timestamp,
        silent_after: TimeDelta,
        answer: oneshot::Sender<Polled>,
    },
    Write {
        order: Order,
        answer: oneshot::Sender<Written>,
    },
    ReleaseAll {
        answer: oneshot::Sender<Vec<Written>>,
    },
}

/// One command for one device.
#[derive(Debug, Clone)]
pub struct Order {
    pub device: Id,
    pub command: String,
    /// `None` gives control back.
    pub value: Option<f64>,
    pub now: Timestamp,
    pub control: bool,
}

pub struct Written {
    pub device: Id,
    pub command: String,
    pub sent: Vec<(u16, Vec<u16>)>,
    pub outcome: WriteOutcome,
}

/// What a poll of one link brought, by device.
pub struct Polled {
    pub devices: Vec<(DeviceHealth, Values)>,
    pub at: Timestamp,
}

/// Runs until every sender is gone.
pub async fn serve(mut client: Client, mut devices: Vec<FieldDevice>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Poll {
                now,
                silent_after,
                answer,
            } => {
                let polled = poll(&mut client, &mut devices, now, silent_after).await;
                // The cycle may have stopped waiting; the values are asked for again.
                let _late = answer.send(polled);
            }
            Job::Write { order, answer } => {
                let _late = answer.send(write(&mut client, &mut devices, &order).await);
            }
            Job::ReleaseAll { answer } => {
                let _late = answer.send(release_all(&mut client, &mut devices).await);
            }
        }
    }
}

async fn poll(client: &mut Client, devices: &mut [FieldDevice], now: Timestamp, silent_after: TimeDelta) -> Polled {
    let mut all = Vec::new();
    for d in devices.iter_mut() {
        let values = d.poll(client, now).await.unwrap_or_else(|_| Values::new());
        all.push((health(client, d, now, silent_after), values));
    }
    Polled { devices: all, at: now }
}

fn health(client: &Client, d: &FieldDevice, now: Timestamp, silent_after: TimeDelta) -> DeviceHealth {
    DeviceHealth {
        device: d.id.clone(),
        components: d.wiring.components.clone(),
        online: d.last_answer.is_some_and(|t| now - t <= silent_after.max(SILENT)),
        identity: d.identity,
        last_answer: d.last_answer,
        answer_ms: client.last_ms,
        requests: client.requests,
        failures: client.failures,
        trouble: d.trouble.clone(),
    }
}

async fn write(client: &mut Client, devices: &mut [FieldDevice], order: &Order) -> Written {
    let Some(device) = devices.iter_mut().find(|d| d.id == order.device) else {
        let outcome = WriteOutcome::Failed("the device is not on this link".into());
        return Written {
            device: order.device.clone(),
            command: order.command.clone(),
            sent: vec![],
            outcome,
        };
    };
    let (sent, outcome) = match order.value {
        Some(value) => {
            device
                .command(client, order.now, &order.command, value, order.control)
                .await
        }
        None => device.release(client, &order.command).await,
    };
    Written {
        device: order.device.clone(),
        command: order.command.clone(),
        sent,
        outcome,
    }
}

async fn release_all(client: &mut Client, devices: &mut [FieldDevice]) -> Vec<Written> {
    let mut all = Vec::new();
    for d in devices.iter_mut() {
        for (command, _) in d.in_force() {
            let (sent, outcome) = d.release(client, &command).await;
            all.push(Written {
                device: d.id.clone(),
                command,
                sent,
                outcome,
            });
        }
    }
    all
}
