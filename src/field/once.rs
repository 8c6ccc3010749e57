//! One command for one device, outside of a site: `madang write`.
//!
//! In: an address, a profile, a command and a value. Out: the register writes it takes, or what became of them. It goes the
//! way the controller's setpoints go: arm, set, verify; a failure is taken back. A release that the device refuses is tried
//! again, and what stays in force is read and told.

use super::client::Client;
use super::control::Order;
use super::device::FieldDevice;
use super::dial::Dial;
use super::map::{Value, Values};
use super::program::{How, Known, Program, RegisterWrite, program, release, used};
use super::read::{ReadError, identity, refused};
use super::recognise::ratings;
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
/// A refused release is tried so often, with this pause.
const RELEASES: u32 = 3;
const RELEASE_AGAIN: Duration = Duration::from_secs(1);
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
    /// `None` gives control back.
    pub value: Option<Amount>,
    /// What the command's full value is, kW or A, where a person or the site file says it; else the device is asked.
    pub rating: Option<f64>,
}

/// A value as a person writes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// In the command's unit.
    Own(f64),
    /// A share of the rating, 1 is all, for a command that counts in kW or A.
    Share(f64),
    /// kW, for a command that counts in per cent of the rating.
    Power(f64),
}

/// What would be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub writes: Vec<PlannedWrite>,
    pub told: Told,
}

/// What was meant and what is told, in the command's unit; `None` on a release. They differ where the device or its profile
/// takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Told {
    pub meant: Option<f64>,
    pub used: Option<f64>,
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
    pub told: Told,
    /// How often it was tried.
    pub tries: u32,
    /// After a failure: the point that shows what is in force, and what it shows.
    pub in_force: Option<(String, String)>,
}

/// What a command needs of the device before its writes are known, or `None` where they are known without it.
pub fn plan_without_device(wish: &Wish) -> Option<Result<Planned, String>> {
    let command = wish.profile.commands.get(&wish.command)?;
    let known = Known {
        options: Known::options_of(&wish.profile, &wish.options),
        ..Known::default()
    };
    let rating = wish.rating.or_else(|| stated_rating(wish));
    let needs_rating = !matches!(wish.value, None | Some(Amount::Own(_))) && rating.is_none();
    if !command.points().is_empty() || needs_rating {
        return None;
    }
    Some(match wish.value {
        Some(amount) => in_unit(wish, amount, rating).and_then(|value| {
            let writes = planned(&program(command, value, &known)?, wish.unit);
            let used = used(command, value, &known).ok().filter(|_| command.unit != "word");
            let told = Told {
                meant: Some(value),
                used,
            };
            Ok(Planned { writes, told })
        }),
        None => release(command, &known).map(|list| released(&list, wish.unit)),
    })
}

/// The writes, with what the device shows; nothing is written.
pub async fn plan_with_device(wish: &Wish, clock: &dyn Clock) -> Result<Planned, ReadError> {
    let (_, device, values) = known_device(wish, clock.now()).await?;
    let done = match wish.value {
        Some(amount) => in_unit(wish, amount, rating(wish, &device, &values)).and_then(|value| {
            let writes = planned(&device.compile(&wish.command, value)?, wish.unit);
            let used = device.used(&wish.command, value);
            let told = Told {
                meant: Some(value),
                used,
            };
            Ok(Planned { writes, told })
        }),
        None => device.undo(&wish.command).map(|list| released(&list, wish.unit)),
    };
    done.map_err(|why| cannot(wish, why))
}

fn released(list: &[RegisterWrite], unit: u8) -> Planned {
    Planned {
        writes: list.iter().map(|w| of(w, "release", unit)).collect(),
        told: Told::default(),
    }
}

/// The value in the command's unit.
fn in_unit(wish: &Wish, amount: Amount, rating: Option<f64>) -> Result<f64, String> {
    let rated = rating.filter(|r| *r > 0.0).ok_or_else(|| {
        let what = rating_name(&wish.command);
        format!(
            "the {what} is unknown, of which a percentage is taken: the device does not show it; give it with --rating, or \
             name the site with --site"
        )
    });
    match amount {
        Amount::Own(value) => Ok(value),
        Amount::Share(share) => rated.map(|r| share * r),
        Amount::Power(kw) => rated.map(|r| 100.0 * kw / r),
    }
}

fn rating_name(command: &str) -> &'static str {
    match command {
        "battery_power" | "battery_charge_limit" | "battery_discharge_limit" => "battery's rated power",
        "pv_limit" | "export_limit" => "inverter's rated power",
        "evse_current_limit" => "charger's rated current",
        _ => "device's rating",
    }
}

/// What the options told for this installation say of the rating, kW; a default is a guess, and none.
fn stated_rating(wish: &Wish) -> Option<f64> {
    let discharges = matches!(wish.value, Some(Amount::Share(s)) if s < 0.0);
    let option = match wish.command.as_str() {
        "battery_power" if discharges => "rated_discharge",
        "battery_power" => "rated_charge",
        "pv_limit" | "export_limit" => "rated_power",
        _ => return None,
    };
    wish.options.get(option).copied()
}

/// What is told, else what the device shows.
fn rating(wish: &Wish, device: &FieldDevice, values: &Values) -> Option<f64> {
    let shown = ratings(values);
    let discharges = matches!(wish.value, Some(Amount::Share(s)) if s < 0.0);
    let name = match wish.command.as_str() {
        "battery_power" if discharges => "max_discharge",
        "battery_power" | "battery_charge_limit" => "max_charge",
        "battery_discharge_limit" => "max_discharge",
        "pv_limit" | "export_limit" => "inverter_max",
        "genset_power" | "heatpump_power" => "rated_power",
        _ => "",
    };
    let found = || device.full_power().filter(|_| wish.command == "pv_limit");
    let of_device = || found().or_else(|| shown.get(name).copied());
    wish.rating.or_else(|| stated_rating(wish)).or_else(of_device)
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
    let (mut client, mut device, values) = known_device(wish, clock.now()).await?;
    let value = match wish.value {
        Some(amount) => Some(in_unit(wish, amount, rating(wish, &device, &values)).map_err(|why| cannot(wish, why))?),
        None => None,
    };
    let told = Told {
        meant: value,
        used: value.and_then(|v| device.used(&wish.command, v)),
    };
    let now = clock.now();
    let order = Order {
        device: device.id.clone(),
        component: device.id.clone(),
        decision: DecisionId(0),
        command: wish.command.clone(),
        value,
        now,
        valid_until: now + VALID,
        control: true,
        must: true,
    };
    let mut tries = 1;
    let mut written = device.carry_for_owner(&mut client, &order).await;
    let mut sent = std::mem::take(&mut written.sent);
    // A limit that cannot be lifted now may be liftable in a moment: what the device is busy with is over by then.
    while value.is_none() && !sent.is_empty() && matches!(written.outcome, WriteOutcome::Failed(_)) && tries < RELEASES
    {
        tokio::time::sleep(RELEASE_AGAIN).await;
        tries += 1;
        written = device.carry_for_owner(&mut client, &order).await;
        sent.append(&mut written.sent);
    }
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
    let in_force = match written.outcome {
        WriteOutcome::Failed(_) => in_force(&mut client, &mut device, &wish.command, clock.now()).await,
        _ => None,
    };
    Ok(WriteOnce {
        identity: identity(&device),
        sent,
        outcome: written.outcome,
        told,
        tries,
        in_force,
    })
}

/// What the device shows of a command now, all its blocks read again.
async fn in_force(
    client: &mut Client,
    device: &mut FieldDevice,
    command: &str,
    now: Timestamp,
) -> Option<(String, String)> {
    let point = device.shown_by(command)?.to_owned();
    // Settings stand in slow blocks: they are due again after a minute of the device's time.
    let values = device.poll(client, now + TimeDelta::minutes(2)).await.ok()?;
    let unit = device.unit_of(&point).unwrap_or_default().to_owned();
    let text = match values.get(&point)? {
        Value::Number(n) => format!("{} {unit}", (n * 1e3).round() / 1e3).trim_end().to_owned(),
        Value::Text(t) | Value::State(_, t) => t.clone(),
        Value::Missing | Value::Invalid => return None,
    };
    Some((point, text))
}

/// The device after one read; a wrong one is refused.
async fn known_device(wish: &Wish, now: Timestamp) -> Result<(Client, FieldDevice, Values), ReadError> {
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
    let polled = device.poll(&mut client, now).await;
    let values = polled.map_err(|e| refused(e, &address, name))?;
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
    Ok((client, device, values))
}

fn cannot(wish: &Wish, why: String) -> ReadError {
    ReadError::Cannot {
        address: wish.address.to_string(),
        command: wish.command.clone(),
        why,
    }
}
