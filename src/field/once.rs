//! One command for one device, outside of a site: `madang write`.
//!
//! In: an address, a profile, a command and a value. Out: the register writes it takes, or what became of them. It goes the
//! way the controller's setpoints go: arm, set, verify; a failure is taken back.

use super::client::Client;
use super::control::Order;
use super::device::FieldDevice;
use super::dial::Dial;
use super::program::{How, Known, Program, RegisterWrite, program, release};
use super::read::{ReadError, identity, refused};
use crate::model::{DecisionId, IdentityStatus, WriteOutcome};
use crate::profile::Profile;
use crate::site::{Address, Device, Id};
use crate::time::{Clock, Timestamp};
use chrono::TimeDelta;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a pending command is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// A command of a person is no lease: it stays until the device falls back or is told otherwise.
const VALID: TimeDelta = TimeDelta::days(1);

/// What is to be written where.
#[derive(Debug, Clone)]
pub struct Wish {
    pub address: Address,
    pub unit: u8,
    pub profile: Profile,
    pub options: BTreeMap<String, f64>,
    pub command: String,
    /// In the command's unit; `None` gives control back.
    pub value: Option<f64>,
}

/// One request as it would go out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedWrite {
    /// `arm`, `set` or `release`
    pub step: &'static str,
    pub unit_id: u8,
    pub function: u8,
    pub address: u16,
    pub words: Vec<u16>,
    /// Where the register is read first: left out if it holds the words already, or only some bits are changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<&'static str>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WriteOnce {
    pub identity: serde_json::Value,
    /// Register writes sent: address and words.
    pub sent: Vec<(u16, Vec<u16>)>,
    pub outcome: WriteOutcome,
}

/// What a command needs of the device before its writes are known, or `None` where they are known without it.
pub fn plan_without_device(wish: &Wish) -> Option<Result<Vec<PlannedWrite>, String>> {
    let command = wish.profile.commands.get(&wish.command)?;
    let known = Known {
        options: Known::options_of(&wish.profile, &wish.options),
        ..Known::default()
    };
    if !command.points().is_empty() {
        return None;
    }
    Some(match wish.value {
        Some(value) => program(command, value, &known).map(|p| planned(&p, wish.unit)),
        None => release(command, &known).map(|list| list.iter().map(|w| of(w, "release", wish.unit)).collect()),
    })
}

/// The writes, with what the device shows; nothing is written.
pub async fn plan_with_device(wish: &Wish, clock: &dyn Clock) -> Result<Vec<PlannedWrite>, ReadError> {
    let (_, device) = known_device(wish, clock.now()).await?;
    let done = match wish.value {
        Some(value) => device.compile(&wish.command, value).map(|p| planned(&p, wish.unit)),
        None => {
            let writes = device.undo(&wish.command);
            writes.map(|list| list.iter().map(|w| of(w, "release", wish.unit)).collect())
        }
    };
    done.map_err(|why| cannot(wish, why))
}

fn planned(p: &Program, unit: u8) -> Vec<PlannedWrite> {
    let arm = p.arm.iter().map(|w| of(w, "arm", unit));
    arm.chain(p.set.iter().map(|w| of(w, "set", unit))).collect()
}

fn of(w: &RegisterWrite, step: &'static str, unit: u8) -> PlannedWrite {
    PlannedWrite {
        step,
        unit_id: w.unit.unwrap_or(unit),
        function: w.fc,
        address: w.addr,
        words: w.words.clone(),
        condition: match w.how {
            How::Always => None,
            How::IfDifferent => Some("only if it differs"),
            How::Bits { .. } => Some("these bits only, the others stay"),
        },
    }
}

/// Reads the device, then carries the command out and waits until the device shows it or its time is up.
pub async fn write_once(wish: &Wish, clock: &dyn Clock) -> Result<WriteOnce, ReadError> {
    let (mut client, mut device) = known_device(wish, clock.now()).await?;
    let now = clock.now();
    let order = Order {
        device: device.id.clone(),
        component: device.id.clone(),
        decision: DecisionId(0),
        command: wish.command.clone(),
        value: wish.value,
        now,
        valid_until: now + VALID,
        control: true,
        must: true,
    };
    let mut written = device.carry_for_owner(&mut client, &order).await;
    let mut sent = std::mem::take(&mut written.sent);
    while written.outcome == WriteOutcome::Pending {
        tokio::time::sleep(LOOK).await;
        let polled = device.poll(&mut client, clock.now()).await;
        if let Some(settled) = device
            .control
            .take_settled()
            .into_iter()
            .find(|w| w.command == wish.command)
        {
            sent.extend(settled.sent.clone());
            written = settled;
        } else if let Err(error) = polled {
            written.outcome = WriteOutcome::Failed(format!("sent, but not seen to work: {error}"));
        }
    }
    Ok(WriteOnce {
        identity: identity(&device),
        sent,
        outcome: written.outcome,
    })
}

/// The device after one read; a wrong one is refused.
async fn known_device(wish: &Wish, now: Timestamp) -> Result<(Client, FieldDevice), ReadError> {
    let id = Id::new("device");
    let wiring = Device {
        address: wish.address.clone(),
        profile: wish.profile.id.clone(),
        unit: wish.unit,
        components: vec![],
        points: Default::default(),
        // The owner stands at the keyboard.
        control: true,
        identity_confirmed: true,
        writes_per_day: crate::site::WRITES_PER_DAY,
        options: wish.options.clone(),
    };
    let link = wish.profile.link.clone();
    let mut client = Client::new(Dial::Sockets, id.clone(), wish.address.clone(), link);
    let mut device = FieldDevice::new(id, wiring, wish.profile.clone());
    let (address, name) = (wish.address.to_string(), &wish.profile.id);
    device
        .poll(&mut client, now)
        .await
        .map_err(|e| refused(e, &address, name))?;
    if device.identity == IdentityStatus::Mismatch {
        let found = device
            .trouble
            .as_ref()
            .map_or_else(|| "another device".into(), |t| t.en.clone());
        return Err(ReadError::NotThat {
            address,
            profile: name.clone(),
            found,
        });
    }
    Ok((client, device))
}

fn cannot(wish: &Wish, why: String) -> ReadError {
    ReadError::Cannot {
        address: wish.address.to_string(),
        command: wish.command.clone(),
        why,
    }
}
