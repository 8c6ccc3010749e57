//! A device under test and the meter that sees it: reads, writes, gives back.

use super::Plan;
use crate::field::client::{Client, WireError};
use crate::field::device::FieldDevice;
use crate::field::dial::Dial;
use crate::field::map::{Value, Values};
use crate::field::program::RegisterWrite;
use crate::field::read::alone;
use crate::profile::Profile;
use crate::site::{Address, Device, Id};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Attempts to give the command back.
const ATTEMPTS: u32 = 5;

/// A device under test: its own connection, and the meter that sees what it does.
pub struct Bench {
    pub client: Client,
    pub device: FieldDevice,
    pub meter: Option<(Client, FieldDevice)>,
    /// Who it says it is (INTERFACE `identity`), once it was read.
    pub identity: serde_json::Value,
    /// What this command was last told, and when.
    told: Option<(f64, Instant)>,
    begun: Instant,
    refresh: Duration,
}

/// A bench for the device at an address, and for its meter.
pub fn bench(wiring: Device, profile: Profile, meter: Option<(Address, Profile, u8)>) -> Bench {
    let open = |name: &str, wiring: Device, profile: Profile| {
        let id = Id::new(name);
        let address = wiring.address.clone();
        let client = Client::new(Dial::Sockets, id.clone(), address, profile.link.clone());
        (client, FieldDevice::new(id, wiring, profile))
    };
    let (client, device) = open("device", wiring, profile);
    let meter = meter.map(|(address, profile, unit)| open("meter", alone(&address, unit, &profile), profile));
    Bench::new(client, device, meter)
}

impl Bench {
    pub fn new(client: Client, device: FieldDevice, meter: Option<(Client, FieldDevice)>) -> Self {
        Self {
            client,
            device,
            meter,
            identity: serde_json::Value::Null,
            told: None,
            begun: Instant::now(),
            refresh: Duration::from_secs(10),
        }
    }

    fn now(&self, plan: &Plan) -> Timestamp {
        plan.now + TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default()
    }

    pub(super) async fn values(&mut self, plan: &Plan) -> Result<Values, WireError> {
        let now = self.now(plan);
        self.device.poll(&mut self.client, now).await
    }

    /// Whether anything was written that has not been given back.
    pub fn is_in_our_hands(&self) -> bool {
        self.told.is_some()
    }

    async fn send(&mut self, list: &[RegisterWrite]) -> Result<(), String> {
        self.device.write_bare(&mut self.client, list).await
    }

    /// Writes the command's program; armed with the first.
    pub(super) async fn tell(&mut self, plan: &Plan, value: f64) -> Result<(), String> {
        let bounded = value.clamp(-plan.most, plan.most);
        let program = self.device.compile(&plan.command, bounded)?;
        let first = self.told.is_none();
        // From here on something may stand in the device, whatever comes of the writes.
        self.told = Some((bounded, Instant::now()));
        self.refresh = Duration::from_secs_f64((program.refresh_s / 2.0).clamp(2.0, 30.0));
        if first {
            self.send(&program.arm).await?;
        }
        self.send(&program.set).await
    }

    /// Writes again what stands, when it is due.
    pub(super) async fn refresh(&mut self, plan: &Plan) -> Result<(), String> {
        match self.told {
            Some((value, at)) if at.elapsed() >= self.refresh => self.tell(plan, value).await,
            _ => Ok(()),
        }
    }

    /// Gives the command back, again and again until it is done or hopeless. Says how.
    pub async fn give_back(&mut self, command: &str) -> Result<&'static str, String> {
        if self.told.is_none() {
            return Ok("nothing was in our hands");
        }
        let list = self.device.undo(command)?;
        if list.is_empty() {
            self.told = None;
            return Ok("no longer refreshed: there is nothing to write, the device falls back as its profile says");
        }
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            match self.send(&list).await {
                Ok(()) => {
                    self.told = None;
                    return Ok("given back");
                }
                Err(why) => last = why,
            }
            sleep(Duration::from_millis(500) * (attempt + 1)).await;
        }
        Err(last)
    }

    pub(super) async fn grid(&mut self, plan: &Plan) -> Option<f64> {
        let now = self.now(plan);
        let (client, meter) = self.meter.as_mut()?;
        let values = meter.poll(client, now).await.ok()?;
        values.get("active_power").and_then(Value::number)
    }
}
