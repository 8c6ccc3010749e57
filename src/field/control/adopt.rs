//! What a device holds before our first write: ours from before a restart, nobody's, or somebody else's.

use super::{Order, Proof, Told, deadline};
use crate::field::client::Client;
use crate::field::device::FieldDevice;
use crate::field::foreign::Other;
use crate::field::owned::{self, Cells};
use crate::field::program::Program;
use crate::model::DecisionId;
use crate::time::Timestamp;
use chrono::TimeDelta;
use tokio::time::Instant;

impl FieldDevice {
    /// What a former process of ours left in force is ours again until its lease ends; else it is somebody's.
    pub(super) async fn adopt(&mut self, client: &mut Client, now: Timestamp) {
        let left: Vec<(String, Vec<f64>)> = self
            .control
            .memory
            .held
            .iter()
            .filter(|(c, _)| !self.control.inspected.contains(*c) && !self.control.told.contains_key(*c))
            .map(|(c, v)| (c.clone(), v.clone()))
            .collect();
        for (command, values) in left {
            let Some(value) = values.last() else { continue };
            let Ok(program) = self.compile(&command, *value) else {
                self.control.memory.held.remove(&command);
                continue;
            };
            let order = Order {
                device: self.id.clone(),
                component: self.control.component(&command),
                decision: DecisionId(0),
                command,
                value: Some(*value),
                now,
                valid_until: now + TimeDelta::seconds(30),
                control: true,
                must: false,
            };
            self.inspect(client, &order, &values, &program).await;
        }
    }

    /// Before the first write: what is in force at the device? One of `values` is ours; what its release leaves, zeros and
    /// a limit at its most are nobody's; anything else is somebody else's.
    pub(super) async fn inspect(&mut self, client: &mut Client, order: &Order, values: &[f64], program: &Program) {
        let command = order.command.as_str();
        let mut found = None;
        for value in values.iter().rev() {
            let Ok(p) = self.compile(command, *value) else { continue };
            let own = self.own(command, *value, &p);
            match owned::read(client, self.wiring.unit, &own).await {
                Ok(shown) if shown == own => {
                    self.control.inspected.insert(command.to_owned());
                    if self.control.memory.held.contains_key(command) {
                        self.take_over(order, *value, p, own);
                    }
                    return;
                }
                Ok(shown) => match owned::read(client, self.wiring.unit, &own).await {
                    Ok(again) if again == shown && !owned::is_noise(&own, &shown) => found = Some(shown),
                    // Two looks that do not agree say nothing; it is looked at again before the first write.
                    _ => return,
                },
                Err(e) if e.is_refusal() => {
                    self.control.unreadable.insert(command.to_owned());
                    break;
                }
                // Not now; it is asked again before the first write.
                Err(_) => return,
            }
        }
        self.control.inspected.insert(command.to_owned());
        let was_ours = self.control.memory.held.remove(command).is_some();
        if let Some(shown) = found {
            if self.is_nobodys(client, command, &shown).await {
                return;
            }
            let text = owned::text(&shown);
            tracing::warn!("device {}: found {text} in force, which is not ours", self.id);
            self.control
                .others
                .insert(command.to_owned(), Other::new(text, order.now));
        } else if let Some(value) = values.last().filter(|_| was_ours) {
            // It was ours and cannot be read: it is given back unless it is told again.
            let own = self.own(command, *value, program);
            self.take_over(order, *value, program.clone(), own);
        }
    }

    pub(super) fn take_over(&mut self, order: &Order, value: f64, program: Program, own: Cells) {
        self.control.memory.hold(&order.command, value);
        let told = Told {
            order: order.clone(),
            value,
            program,
            own,
            at: order.now,
            deadline: deadline(order),
            // Armed and refreshed with the first order.
            proof: Proof::Unsure,
            read_back: order.now,
            begun: Instant::now(),
            retry: None,
        };
        self.control.told.insert(order.command.clone(), told);
    }

    pub(super) async fn is_nobodys(&self, client: &mut Client, command: &str, shown: &Cells) -> bool {
        if shown.values().all(|w| *w == 0) {
            return true;
        }
        let most = self.compile(command, self.most(command));
        let is_limit = matches!(command, "evse_current_limit" | "pv_limit");
        let open = most.is_ok_and(|p| {
            let own = owned::cells(&p.set);
            shown.iter().all(|(c, w)| own.get(c) == Some(w))
        });
        if is_limit && open {
            return true;
        }
        let Some(first) = self.undo(command).ok().and_then(|u| u.into_iter().next()) else {
            return false;
        };
        let idle = owned::cells(std::slice::from_ref(&first));
        match owned::read(client, self.wiring.unit, &idle).await {
            Ok(words) => words == idle,
            // Unknown is not foreign: no alarm is raised on a guess.
            Err(_) => true,
        }
    }

    /// Registers whose content depends on the command's value.
    pub(super) fn own(&self, command: &str, value: f64, program: &Program) -> Cells {
        let samples = [0.0, 1.0, -1.0, value * 0.5 + 0.1, self.most(command)];
        let others: Vec<Program> = samples.iter().filter_map(|v| self.compile(command, *v).ok()).collect();
        owned::owned(program, &others)
    }
}
