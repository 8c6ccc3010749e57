//! One task per physical link: it alone owns the socket; setpoints go before polls.

use super::client::Client;
use super::control::{Order, Written};
use super::device::FieldDevice;
use super::map::Values;
use crate::model::{DeviceHealth, DeviceMemory, WriteOutcome};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

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
    /// What a former process left at each device.
    Remember {
        memories: BTreeMap<Id, DeviceMemory>,
    },
    /// The owner wants control again, whoever else may write.
    TakeBack,
}

/// What a poll of one link brought, by device.
pub struct Polled {
    pub devices: Vec<(DeviceHealth, Values)>,
    /// What became of commands since: pending ones that were seen or not, leases that ran out.
    pub settled: Vec<Written>,
    pub memories: BTreeMap<Id, DeviceMemory>,
    pub at: Timestamp,
}

/// Runs until every sender is gone.
pub async fn serve(mut client: Client, mut devices: Vec<FieldDevice>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = next(&mut client, &mut devices, &mut jobs).await {
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
            Job::Remember { mut memories } => {
                for d in &mut devices {
                    if let Some(memory) = memories.remove(&d.id) {
                        d.control.remember(memory);
                    }
                }
            }
            Job::TakeBack => devices.iter_mut().for_each(|d| d.control.take_back()),
        }
    }
    // Nobody is left to refresh anything.
    release_all(&mut client, &mut devices).await;
}

/// The next job; meanwhile leases that nobody refreshes are given back by the link's own timer.
async fn next(client: &mut Client, devices: &mut [FieldDevice], jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    loop {
        let deadline = devices.iter().filter_map(|d| d.control.next_deadline()).min();
        let idle = Instant::now() + std::time::Duration::from_secs(86_400);
        tokio::select! {
            biased;
            job = jobs.recv() => return job,
            () = sleep_until(deadline.unwrap_or(idle)), if deadline.is_some() => {}
        }
        for d in devices.iter_mut() {
            d.expire(client, None).await;
        }
    }
}

async fn poll(client: &mut Client, devices: &mut [FieldDevice], now: Timestamp, silent_after: TimeDelta) -> Polled {
    let mut all = Vec::new();
    for d in devices.iter_mut() {
        let values = d.poll(client, now).await.unwrap_or_else(|_| Values::new());
        all.push((health(client, d, now, silent_after), values));
    }
    let settled = devices.iter_mut().flat_map(|d| d.control.take_settled()).collect();
    let memories = devices
        .iter()
        .map(|d| (d.id.clone(), d.control.memory().clone()))
        .collect();
    Polled {
        devices: all,
        settled,
        memories,
        at: now,
    }
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
        commands: d.control.health(now),
    }
}

async fn write(client: &mut Client, devices: &mut [FieldDevice], order: &Order) -> Written {
    match devices.iter_mut().find(|d| d.id == order.device) {
        Some(device) => {
            let written = device.carry(client, order).await;
            let memory = Some(device.control.memory().clone()).filter(|_| !written.sent.is_empty());
            Written { memory, ..written }
        }
        None => {
            let outcome = WriteOutcome::Failed("the device is not on this link".into());
            Written::of(order, vec![], outcome)
        }
    }
}

async fn release_all(client: &mut Client, devices: &mut [FieldDevice]) -> Vec<Written> {
    let mut all = Vec::new();
    for d in devices.iter_mut() {
        let written = d.give_all_back(client).await;
        let memory = Some(d.control.memory().clone());
        let told = written.into_iter().map(|w| Written {
            memory: memory.clone(),
            ..w
        });
        all.extend(told);
    }
    all
}
