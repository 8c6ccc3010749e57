//! One task per physical link. Each of its devices has a queue of its own and takes turns at the one connection:
//! a setpoint waits for nothing but the request in flight, and a silent device holds up nobody but itself.

use super::client::{Class, Client};
use super::control::{Order, Written};
use super::device::FieldDevice;
use super::map::Values;
use crate::model::{DeviceHealth, DeviceMemory, LinkHealth, WriteOutcome};
use crate::time::Timestamp;
use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// A device that has not answered for this long is shown as silent.
const SILENT: TimeDelta = TimeDelta::milliseconds(2_500);
/// Jobs waiting for one device, at most.
pub const INBOX: usize = 16;

pub enum Job {
    Poll {
        now: Timestamp,
        silent_after: TimeDelta,
        answer: oneshot::Sender<Polled>,
    },
    Write {
        order: Box<Order>,
        answer: oneshot::Sender<Written>,
    },
    ReleaseAll {
        answer: oneshot::Sender<Vec<Written>>,
    },
    /// What a former process left at the device.
    Remember {
        memory: Box<DeviceMemory>,
    },
    /// The owner wants control again, whoever else may write.
    TakeBack,
}

/// What a poll of one device brought.
pub struct Polled {
    pub health: DeviceHealth,
    pub values: Values,
    /// What became of commands since: pending ones that were seen or not, leases that ran out.
    pub settled: Vec<Written>,
    pub memory: DeviceMemory,
    pub at: Timestamp,
}

/// A device, its view of the link, and what it was told to do.
pub struct Attended {
    device: FieldDevice,
    client: Client,
    inbox: mpsc::Receiver<Job>,
    /// Everything but polls, in order of arrival.
    orders: VecDeque<Job>,
    poll: Option<Poll>,
    last_round: Option<Timestamp>,
    last_expiry: Option<Instant>,
    /// Every sender is gone.
    closed: bool,
}

/// A poll that is due or under way.
struct Poll {
    now: Timestamp,
    silent_after: TimeDelta,
    due: Instant,
    answer: oneshot::Sender<Polled>,
}

/// Runs until every sender is gone.
pub async fn serve(devices: Vec<Attended>) {
    let mut running: FuturesUnordered<_> = devices.into_iter().map(Attended::attend).collect();
    while running.next().await.is_some() {}
}

impl Attended {
    pub fn new(device: FieldDevice, client: Client, inbox: mpsc::Receiver<Job>) -> Self {
        Self {
            device,
            client,
            inbox,
            orders: VecDeque::new(),
            poll: None,
            last_round: None,
            last_expiry: None,
            closed: false,
        }
    }

    /// Carries out orders as they come, gives back what nobody refreshes, and between them polls, a request at a time.
    async fn attend(mut self) {
        while !self.closed {
            self.listen();
            if let Some(order) = self.orders.pop_front() {
                self.client.set_class(Class::Setpoint, None);
                // Orders are few; their state is not kept in every poll's.
                Box::pin(self.carry_out(order)).await;
            } else if self.next_deadline().is_some_and(|t| t <= Instant::now()) {
                self.client.set_class(Class::Setpoint, None);
                self.last_expiry = Some(Instant::now());
                Box::pin(self.device.expire(&mut self.client, None)).await;
            } else if let Some(now) = self.poll.as_ref().map(|p| p.now) {
                self.go_on_reading(now).await;
            } else {
                self.wait().await;
            }
        }
        // Nobody is left to refresh anything.
        self.client.set_class(Class::Setpoint, None);
        Box::pin(self.release_all()).await;
    }

    fn listen(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(job) => self.put(job),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    /// The next job, or the end of a lease: those are given back by the link's own timer.
    async fn wait(&mut self) {
        let deadline = self.next_deadline();
        let idle = Instant::now() + std::time::Duration::from_secs(86_400);
        tokio::select! {
            biased;
            job = self.inbox.recv() => self.take(job),
            () = sleep_until(deadline.unwrap_or(idle)), if deadline.is_some() => {}
        }
    }

    /// When the next lease ends; what could not be given back is tried again a second later.
    fn next_deadline(&self) -> Option<Instant> {
        let again = self.last_expiry.map(|t| t + std::time::Duration::from_secs(1));
        let deadline = self.device.control.next_deadline()?;
        Some(again.map_or(deadline, |again| deadline.max(again)))
    }

    fn take(&mut self, job: Option<Job>) {
        match job {
            Some(job) => self.put(job),
            None => self.closed = true,
        }
    }

    fn put(&mut self, job: Job) {
        match job {
            Job::Poll {
                now,
                silent_after,
                answer,
            } => {
                let due = Instant::now();
                self.poll = Some(Poll {
                    now,
                    silent_after,
                    due,
                    answer,
                });
            }
            order => self.orders.push_back(order),
        }
    }

    async fn go_on_reading(&mut self, now: Timestamp) {
        if self.is_too_soon(now) {
            self.report(Values::new());
            return;
        }
        self.client.set_class(Class::Poll, self.poll.as_ref().map(|p| p.due));
        if self.device.needs_wire(now) && !self.has_the_turn().await {
            return;
        }
        if let Some(done) = self.device.step(&mut self.client, now).await {
            self.last_round = Some(now);
            self.report(done.unwrap_or_else(|_| Values::new()));
        }
    }

    /// Some devices want to be read no more often than they say.
    fn is_too_soon(&self, now: Timestamp) -> bool {
        let least = self.device.link().min_read_ms.map(i64::from);
        let since = self.last_round.map(|t| (now - t).num_milliseconds());
        matches!((least, since), (Some(least), Some(since)) if (0..least).contains(&since))
    }

    /// Waits for the next turn of a poll; an order that comes meanwhile goes before it.
    async fn has_the_turn(&mut self) -> bool {
        let job = tokio::select! {
            biased;
            () = self.client.take_turn() => return true,
            job = self.inbox.recv() => job,
        };
        self.take(job);
        false
    }

    async fn carry_out(&mut self, job: Job) {
        // Whoever asked may have stopped waiting; the write stands, and the next cycle sees it.
        let _late = match job {
            Job::Write { order, answer } => answer.send(self.write(&order).await).is_err(),
            Job::ReleaseAll { answer } => answer.send(self.release_all().await).is_err(),
            Job::Remember { memory } => {
                self.device.control.remember(*memory);
                false
            }
            Job::TakeBack => {
                self.device.control.take_back();
                false
            }
            Job::Poll { .. } => false,
        };
    }

    fn report(&mut self, values: Values) {
        let Some(poll) = self.poll.take() else { return };
        let polled = Polled {
            health: self.health(poll.now, poll.silent_after),
            values,
            settled: self.device.control.take_settled(),
            memory: self.device.control.memory().clone(),
            at: poll.now,
        };
        // The cycle may have stopped waiting; the values are asked for again.
        let _late = poll.answer.send(polled);
    }

    fn health(&mut self, now: Timestamp, silent_after: TimeDelta) -> DeviceHealth {
        let ratings = self.device.rating_faults();
        let (d, client) = (&self.device, &self.client);
        DeviceHealth {
            device: d.id.clone(),
            components: d.wiring.components.clone(),
            online: d.last_answer.is_some_and(|t| now - t <= silent_after.max(SILENT)),
            identity: d.identity,
            last_answer: d.last_answer,
            answer_ms: client.last_ms,
            requests: client.requests,
            failures: client.failures,
            trouble: d.trouble.as_ref().map(|t| t.en.clone()),
            trouble_ko: d.trouble.as_ref().map(|t| t.ko.clone()),
            commands: d.control.health(now),
            link: LinkHealth {
                unreadable: d.refusals.unreadable() as u64,
                restarts: d.restarts,
                ..client.health()
            },
            // who knows the sun says so
            asleep: false,
            on_loss: d.on_loss(),
            ratings,
        }
    }

    async fn write(&mut self, order: &Order) -> Written {
        let written = match self.device.resolved(order) {
            Ok(order) => self.device.carry(&mut self.client, &order).await,
            Err(why) => Written::of(order, vec![], WriteOutcome::Failed(why)),
        };
        let memory = Some(self.device.control.memory().clone()).filter(|_| !written.sent.is_empty());
        Written { memory, ..written }
    }

    async fn release_all(&mut self) -> Vec<Written> {
        let written = self.device.give_all_back(&mut self.client).await;
        let memory = Some(self.device.control.memory().clone());
        let told = written.into_iter().map(|w| Written {
            memory: memory.clone(),
            ..w
        });
        told.collect()
    }
}
