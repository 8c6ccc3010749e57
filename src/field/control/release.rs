//! Control given back: on request, when a lease runs out, at the end; and what the wire swallowed, sent again meanwhile.

use super::send::Trouble;
use super::{Order, Proof, Told, Written};
use crate::field::client::Client;
use crate::field::device::FieldDevice;
use crate::field::foreign::Other;
use crate::model::WriteOutcome;
use crate::time::Timestamp;
use chrono::TimeDelta;
use tokio::time::Instant;

/// A release that failed is tried again after this long.
const RELEASE_AGAIN: TimeDelta = TimeDelta::seconds(5);

impl FieldDevice {
    /// Gives control back for one command, if it was taken and nobody else has it.
    pub(super) async fn give_back(&mut self, client: &mut Client, order: &Order) -> Written {
        let command = order.command.as_str();
        let withheld = |why: &str| Written::of(order, vec![], WriteOutcome::Withheld(why.into()));
        let Some(told) = self.control.told.get(command) else {
            self.control.failures.remove(command);
            self.control.disobeyed.remove(command);
            return withheld("not in our hands");
        };
        let wear = told.program.wear;
        if self.control.others.get(command).is_some_and(Other::is_waiting) {
            self.forget(command);
            return withheld("another controller holds it");
        }
        let writes = match self.undo(command) {
            Ok(writes) => writes,
            Err(why) => return Written::of(order, vec![], WriteOutcome::Failed(why)),
        };
        let mut sent = Vec::new();
        let outcome = match self.send(client, &[], &writes, wear, order.now, &mut sent).await {
            Ok(()) => {
                self.forget(command);
                self.control.failures.remove(command);
                self.control.disobeyed.remove(command);
                WriteOutcome::Verified
            }
            Err(Trouble::Refused(why) | Trouble::Wire { why, .. }) => {
                self.control.fail(command, &why, order.now, true);
                if let Some(told) = self.control.told.get_mut(command) {
                    told.deadline = Instant::now() + RELEASE_AGAIN.to_std().unwrap_or_default();
                    told.proof = Proof::Unsure;
                }
                WriteOutcome::Failed(why)
            }
        };
        Written::of(order, sent, outcome)
    }

    /// Gives back everything that is in our hands.
    pub async fn give_all_back(&mut self, client: &mut Client) -> Vec<Written> {
        let mut all = Vec::new();
        for command in self.control.in_force() {
            let Some(order) = self.release_order(&command, None) else {
                continue;
            };
            all.push(self.give_back(client, &order).await);
        }
        all
    }

    pub(super) fn release_order(&self, command: &str, now: Option<Timestamp>) -> Option<Order> {
        let told = self.control.told.get(command)?;
        Some(Order {
            value: None,
            now: now.unwrap_or(told.order.valid_until),
            ..told.order.clone()
        })
    }

    /// The supervisor of leases: what nobody has refreshed is given back, by site time where there is one, else by the
    /// link's own timer.
    pub async fn expire(&mut self, client: &mut Client, now: Option<Timestamp>) {
        if now.is_none() {
            self.retry(client).await;
        }
        let over = |t: &Told| match now {
            Some(now) => t.order.valid_until <= now,
            None => t.deadline <= Instant::now(),
        };
        let due: Vec<String> = self
            .control
            .told
            .iter()
            .filter(|(_, t)| over(t))
            .map(|(c, _)| c.clone())
            .collect();
        for command in due {
            let too_soon = self.control.failures.get(&command).zip(now);
            if too_soon.is_some_and(|(f, now)| now < f.not_before) {
                continue;
            }
            if let Some(order) = self.release_order(&command, now) {
                let written = self.give_back(client, &order).await;
                self.control.settled.push(written);
            }
        }
    }

    /// Sends again what the wire swallowed, as long as its lease lasts.
    pub(super) async fn retry(&mut self, client: &mut Client) {
        let due = |t: &Told| t.retry.is_some_and(|r| r <= Instant::now());
        let told = self.control.told.values_mut().filter(|t| due(t));
        let mut orders = Vec::new();
        for t in told {
            t.retry = None;
            let since = TimeDelta::from_std(t.begun.elapsed()).unwrap_or(RELEASE_AGAIN);
            let now = (t.at + since).min(t.order.valid_until - TimeDelta::milliseconds(1));
            orders.push(Order { now, ..t.order.clone() });
        }
        for order in orders {
            let written = self.carry(client, &order).await;
            if !matches!(written.outcome, WriteOutcome::Withheld(_)) {
                self.control.settled.push(written);
            }
        }
    }
}
