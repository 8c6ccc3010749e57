//! Reads one device once by its profile: `madang read`.

use super::client::{Client, WireError};
use super::device::FieldDevice;
use super::dial::Dial;
use super::map::{Value, Values};
use crate::model::IdentityStatus;
use crate::profile::Profile;
use crate::reading::Quality;
use crate::site::{Address, Device, Id};
use crate::time::Timestamp;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadPoint {
    pub name: String,
    pub value: Option<ReadValue>,
    pub unit: String,
    pub quality: Quality,
    pub age_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ReadValue {
    Number(f64),
    Text(String),
}

/// INTERFACE: `read --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadReport {
    pub address: String,
    pub unit_id: u8,
    pub profile: String,
    pub identity: serde_json::Value,
    pub points: Vec<ReadPoint>,
    pub requests: u64,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    #[error("{address} does not answer: {why}")]
    Unreachable { address: String, why: String },
    #[error("{address} is not a {profile}: {found}")]
    NotThat {
        address: String,
        profile: String,
        found: String,
    },
    #[error("`{command}` cannot be made for {address}: {why}")]
    Cannot {
        address: String,
        command: String,
        why: String,
    },
}

/// One full read.
pub async fn read_once(address: Address, unit: u8, profile: Profile, now: Timestamp) -> Result<ReadReport, ReadError> {
    let id = Id::new("device");
    let name = profile.id.clone();
    let wiring = alone(&address, unit, &profile);
    let mut client = Client::new(Dial::Sockets, id.clone(), address.clone(), profile.link.clone());
    let mut device = FieldDevice::new(id, wiring, profile);
    let address = address.to_string();
    let polled = device.poll(&mut client, now).await;
    let values = polled.map_err(|error| refused(error, &address, &name))?;
    if device.identity == IdentityStatus::Mismatch {
        let found = device
            .trouble
            .as_ref()
            .map_or_else(|| "another device".into(), |t| t.en.clone());
        return Err(ReadError::NotThat {
            address,
            profile: name,
            found,
        });
    }
    Ok(report(&device, &values, &address, client.requests))
}

/// Why the first read of a device brought nothing.
pub(super) fn refused(error: WireError, address: &str, profile: &str) -> ReadError {
    let (address, profile) = (address.to_owned(), profile.to_owned());
    match error {
        WireError::Wrong(found) => ReadError::NotThat {
            address,
            profile,
            found,
        },
        WireError::Exception(code) => ReadError::NotThat {
            address,
            profile,
            found: format!("it refuses the first request with exception {code}"),
        },
        other => ReadError::Unreachable {
            address,
            why: other.to_string(),
        },
    }
}

/// A device of no site: read, never controlled.
pub fn alone(address: &Address, unit: u8, profile: &Profile) -> Device {
    Device {
        address: address.clone(),
        profile: profile.id.clone(),
        unit,
        components: vec![],
        points: Default::default(),
        control: false,
        identity_confirmed: false,
        writes_per_day: crate::site::WRITES_PER_DAY,
        options: Default::default(),
    }
}

/// What was read of a device, by the names, units and qualities of its map.
pub fn report(device: &FieldDevice, values: &Values, address: &str, requests: u64) -> ReadReport {
    let unit_of = |point: &str| {
        let found = device.map().and_then(|m| m.points.iter().find(|p| p.name == point));
        let discovered = || device.unit_of(point).map(str::to_owned);
        found
            .map(|p| p.unit.clone())
            .or_else(discovered)
            .unwrap_or_else(|| derived_unit(point))
    };
    // What the device refused to be asked for is missing, not absent.
    let mut all = values.clone();
    for name in device.point_names() {
        all.entry(name.to_owned()).or_insert(Value::Missing);
    }
    ReadReport {
        address: address.to_owned(),
        unit_id: device.wiring.unit,
        profile: device.wiring.profile.clone(),
        identity: identity(device),
        points: all.iter().map(|(n, v)| point(n, v, unit_of(n))).collect(),
        requests,
    }
}

fn derived_unit(point: &str) -> String {
    if point.contains("energy") {
        "kWh".into()
    } else {
        "kW".into()
    }
}

fn point(name: &str, value: &Value, unit: String) -> ReadPoint {
    let (value, quality) = match value {
        Value::Number(n) => (Some(ReadValue::Number(*n)), Quality::Good),
        Value::Text(t) | Value::State(_, t) => (Some(ReadValue::Text(t.clone())), Quality::Good),
        Value::Missing => (None, Quality::Missing),
        Value::Invalid => (None, Quality::Invalid),
    };
    ReadPoint {
        name: name.to_owned(),
        value,
        unit,
        quality,
        age_ms: 0,
    }
}

pub(super) fn identity(device: &FieldDevice) -> serde_json::Value {
    match device.identity_text() {
        Some(i) => serde_json::json!({"status": device.identity, "manufacturer": i.manufacturer, "model": i.model,
            "version": i.version, "serial": i.serial}),
        None => serde_json::json!({ "status": device.identity }),
    }
}
