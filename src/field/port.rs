//! The field as the cycle sees it: scans all links at once, carries out setpoints, gives everything back.

use super::client::Client;
use super::control::{Order, Rated, Rating, Reach, Written};
use super::device::FieldDevice;
use super::dial::Dial;
use super::hand::Hand;
use super::link::{Attended, INBOX, Job, Polled, serve};
use super::link_thread::LinkThread;
use super::map::{DeviceType, Value};
use crate::cycle::FieldPort;
use crate::model::{
    DeviceHealth, DeviceMemory, FieldMemory, Measurement, Quantity, ReasonCode, Scan, Setpoint, Target, WriteOutcome,
    WriteReport,
};
use crate::profile::Link;
use crate::reading::Reading;
use crate::site::{Feed, Id, Kind, Mode, Site, charge_point_state, command_of};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Control cycle, as the wire sees it (real time; in accelerated runs shorter than in site time).
    pub patience: Duration,
    /// A device silent for this long (site time) is offline.
    pub silent_after: TimeDelta,
}

/// Giving back is waited for this long: a request under way, its time-out, and the writes behind it, within the five seconds in
/// which the process ends.
const RELEASE: Duration = Duration::from_millis(2_500);

/// The way to a device's own queue on its link.
struct DeviceHandle {
    jobs: mpsc::Sender<Job>,
    pending: Option<oneshot::Receiver<Polled>>,
}

pub struct Field {
    site: Site,
    devices: BTreeMap<Id, DeviceHandle>,
    feeds: Vec<Feed>,
    /// The device that moves each component.
    movers: BTreeMap<Id, Id>,
    options: Options,
    /// Last value of each device's point, with the moment of its reading.
    image: BTreeMap<(Id, String), (Timestamp, Value)>,
    health: BTreeMap<Id, DeviceHealth>,
    mode: Mode,
    /// Orders whose link has not answered yet, by device and command.
    under_way: BTreeMap<(Id, String), (Order, oneshot::Receiver<Written>)>,
    /// Reports of pending commands and leases for the next `apply`.
    settled: Vec<WriteReport>,
    memory: FieldMemory,
}

impl Field {
    /// Starts one task per physical link (peer) on a thread of the links: whatever holds up who calls the field does not hold
    /// up leases, and not giving back.
    pub fn on_thread(site: &Site, options: Options, thread: &LinkThread) -> Result<Self, String> {
        let _entered = thread.enter();
        Self::spawning(site, &Dial::Sockets, options, |attended| thread.spawn(serve(attended)))
    }

    /// Starts one task per physical link (peer) on the caller's runtime. Profiles come from the binary or from the site's
    /// `profiles` folder.
    pub fn new(site: &Site, dial: &Dial, options: Options) -> Result<Self, String> {
        Self::spawning(site, dial, options, |attended| drop(tokio::spawn(serve(attended))))
    }

    fn spawning(site: &Site, dial: &Dial, options: Options, spawn: impl Fn(Vec<Attended>)) -> Result<Self, String> {
        let mut by_peer: BTreeMap<String, Vec<FieldDevice>> = BTreeMap::new();
        let mut health = BTreeMap::new();
        let mut types: BTreeMap<&str, DeviceType> = BTreeMap::new();
        let (feeds, movers) = (site.feeds(), site.movers());
        for (id, d) in &site.wiring.devices {
            let kind = match types.get(d.profile.as_str()) {
                Some(kind) => kind.clone(),
                None => DeviceType::from(site.find_profile(&d.profile)?),
            };
            types.entry(&d.profile).or_insert_with(|| kind.clone());
            health.insert(id.clone(), unheard(id, d));
            let mut device = FieldDevice::new(id.clone(), d.clone(), kind);
            device.control.name(commands_of(site, d));
            device.control.reach = reach(site, d);
            device.control.rated = rated(site, d);
            device.ask_for(feeds.iter().filter(|f| f.device == *id).map(|f| f.point.clone()));
            by_peer.entry(d.address.peer()).or_default().push(device);
        }
        let mut devices = BTreeMap::new();
        for sharing in by_peer.into_values() {
            let Some(first) = sharing.first() else { continue };
            let address = first.wiring.address.clone().rooted(site.folder.as_deref());
            let links: Vec<&Link> = sharing.iter().map(FieldDevice::link).collect();
            let clients = Client::sharing(dial.clone(), first.id.clone(), address, &links);
            let mut attended = Vec::new();
            for (device, client) in sharing.into_iter().zip(clients) {
                let of_device = site.wiring.proxies.iter().filter(|p| p.device == device.id);
                // In virtual time nobody else is there.
                for config in of_device.filter(|_| matches!(dial, Dial::Sockets)) {
                    super::proxy::attach(config, client.guest(device.link()))?;
                }
                let (jobs, inbox) = mpsc::channel(INBOX);
                devices.insert(device.id.clone(), DeviceHandle { jobs, pending: None });
                attended.push(Attended::new(device, client, inbox));
            }
            spawn(attended);
        }
        Ok(Self {
            feeds,
            movers,
            mode: site.plant.mode,
            site: site.clone(),
            devices,
            options,
            image: BTreeMap::new(),
            health,
            under_way: BTreeMap::new(),
            settled: Vec::new(),
            memory: FieldMemory::default(),
        })
    }

    /// The way to give all devices back beside whoever holds the field.
    pub fn hand(&self) -> Hand {
        let link = |(id, handle): (&Id, &DeviceHandle)| (id.clone(), handle.jobs.downgrade());
        Hand::new(self.devices.iter().map(link).collect())
    }

    fn ask_devices(&mut self, now: Timestamp) {
        for handle in self.devices.values_mut() {
            if handle.pending.is_some() {
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            let job = Job::Poll {
                now,
                silent_after: self.options.silent_after,
                answer,
            };
            if handle.jobs.try_send(job).is_ok() {
                handle.pending = Some(receiver);
            }
        }
    }

    /// Takes what has come until the deadline; what is late is taken in a later cycle, with its own time stamp.
    async fn gather(&mut self) {
        let deadline = tokio::time::Instant::now() + self.options.patience;
        let mut taken = Vec::new();
        for handle in self.devices.values_mut() {
            let Some(receiver) = handle.pending.as_mut() else {
                continue;
            };
            if let Ok(done) = tokio::time::timeout_at(deadline, receiver).await {
                handle.pending = None;
                taken.extend(done.ok());
            }
        }
        taken.into_iter().for_each(|polled| self.take(polled));
    }

    fn take(&mut self, polled: Polled) {
        let (health, at) = (polled.health, polled.at);
        for (name, value) in polled.values {
            self.image.insert((health.device.clone(), name), (at, value));
        }
        self.settled.extend(polled.settled.iter().map(report));
        self.know(health.device.clone(), polled.memory);
        self.health.insert(health.device.clone(), health);
    }

    fn know(&mut self, device: Id, memory: DeviceMemory) {
        if self.memory.devices.get(&device) != Some(&memory) {
            self.memory.devices.insert(device, memory);
        }
    }

    fn measurements(&self) -> Vec<Measurement> {
        let mut taken: BTreeMap<(&Id, Quantity), ()> = BTreeMap::new();
        let mut all = Vec::new();
        for f in &self.feeds {
            let Some((at, value)) = self.image.get(&(f.device.clone(), f.point.clone())) else {
                continue;
            };
            if taken.insert((&f.component, f.quantity), ()).is_some() {
                continue;
            }
            let reading = match value {
                Value::Number(n) => Reading::good(n * f.factor, *at),
                Value::Text(t) | Value::State(_, t) => {
                    charge_point_state(t).map_or(Reading::invalid(*at), |v| Reading::good(v, *at))
                }
                Value::Missing => Reading::missing(*at),
                Value::Invalid => Reading::invalid(*at),
            };
            all.push(Measurement {
                component: f.component.clone(),
                quantity: f.quantity,
                reading,
            });
        }
        all
    }

    /// Silence shows even while a link is still waiting for an answer.
    fn health_at(&self, now: Timestamp) -> Vec<DeviceHealth> {
        let late = self.options.silent_after.max(TimeDelta::milliseconds(2_500));
        let aged = |h: &DeviceHealth| {
            let online = h.online && h.last_answer.is_some_and(|t| now - t <= late);
            DeviceHealth { online, ..h.clone() }
        };
        self.health.values().map(aged).collect()
    }

    fn device_of(&self, component: &Id) -> Option<(&Id, &crate::site::Device)> {
        self.site.wiring.devices.get_key_value(self.movers.get(component)?)
    }

    fn order(&self, now: Timestamp, s: &Setpoint) -> Option<Order> {
        let kind = &self.site.plant.components.get(&s.component)?.kind;
        let (command, value) = command_value(kind, s.target)?;
        let (device, _) = self.device_of(&s.component)?;
        Some(Order {
            device: device.clone(),
            component: s.component.clone(),
            decision: s.decision,
            command: command.to_owned(),
            value,
            now,
            valid_until: s.valid_until,
            control: self.mode == Mode::Control,
            must: is_limit(s.reason.code),
        })
    }

    /// Hands orders to their links and waits for what they say, as long as the cycle's patience lasts. What a link owes
    /// after that is taken in a later cycle; until then its command gets no second order.
    async fn send(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> Vec<WriteReport> {
        let mut reports = std::mem::take(&mut self.settled);
        for s in setpoints {
            let Some(order) = self.order(now, s) else { continue };
            let key = (order.device.clone(), order.command.clone());
            if let Some(outcome) = self.held_up(&key) {
                reports.push(report(&Written::of(&order, vec![], outcome)));
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            let link = self.devices.get(&order.device);
            let job = Job::Write {
                order: Box::new(order.clone()),
                answer,
            };
            let taken = link.is_some_and(|l| l.jobs.try_send(job).is_ok());
            match taken {
                true => {
                    self.under_way.insert(key, (order, receiver));
                }
                false => {
                    let outcome = WriteOutcome::Failed("the link is overloaded".into());
                    reports.push(report(&Written::of(&order, vec![], outcome)));
                }
            }
        }
        reports.extend(self.answers().await);
        reports
    }

    fn held_up(&self, key: &(Id, String)) -> Option<WriteOutcome> {
        if self.health.get(&key.0).is_some_and(|h| !h.online) {
            return Some(WriteOutcome::Withheld("the device is silent".into()));
        }
        let waits = self.under_way.contains_key(key);
        waits.then(|| WriteOutcome::Withheld("the last order is still under way".into()))
    }

    async fn answers(&mut self) -> Vec<WriteReport> {
        let deadline = tokio::time::Instant::now() + self.options.patience;
        let mut reports = Vec::new();
        for (key, (order, mut receiver)) in std::mem::take(&mut self.under_way) {
            match tokio::time::timeout_at(deadline, &mut receiver).await {
                Ok(Ok(written)) => {
                    if let Some(memory) = &written.memory {
                        self.know(written.device.clone(), memory.clone());
                    }
                    reports.push(report(&written));
                }
                Ok(Err(_)) => {
                    let outcome = WriteOutcome::Failed("the link has stopped".into());
                    reports.push(report(&Written::of(&order, vec![], outcome)));
                }
                Err(_) => {
                    self.under_way.insert(key, (order, receiver));
                }
            }
        }
        reports
    }

    /// Tells every device's link something that needs no answer. A full inbox is as good as a lost message: it is said again.
    fn tell_devices(&self, job: impl Fn(&Id) -> Option<Job>) {
        for (id, handle) in &self.devices {
            if job(id).is_some_and(|job| handle.jobs.try_send(job).is_err()) {
                tracing::warn!("the link of {id} is too busy to hear");
            }
        }
    }
}

/// The command that moves a component and its value in the command's unit; no value gives control back.
fn command_value(kind: &Kind, target: Target) -> Option<(&'static str, Option<f64>)> {
    let command = command_of(kind)?;
    let value = match target {
        Target::Power(p) if command == "genset_power" => Some(p.as_kw().abs()),
        Target::Power(p) | Target::PowerLimit(p) => Some(p.as_kw()),
        Target::Current(a) => Some(a.as_amps()),
        Target::On(on) => Some(f64::from(u8::from(on))),
        Target::Release => None,
    };
    Some((command, value))
}

/// Reasons that hold a limit: such a write goes before the wear of a register.
fn is_limit(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        LimitImport | LimitExport | LimitFuse | LimitExternal | Ceiling | SafeGridSilent | SafeStart
    )
}

fn report(w: &Written) -> WriteReport {
    let release = w.value.is_none();
    WriteReport {
        component: w.component.clone(),
        device: w.device.clone(),
        decision: w.decision,
        command: if release {
            format!("release {}", w.command)
        } else {
            w.command.clone()
        },
        value: w.value,
        writes: w.sent.clone(),
        outcome: w.outcome.clone(),
    }
}

/// Whom each command of a device moves.
fn commands_of(site: &Site, device: &crate::site::Device) -> BTreeMap<String, Id> {
    let of = |id: &Id| Some((command_of(&site.plant.components.get(id)?.kind)?.to_owned(), id.clone()));
    device.components.iter().filter_map(of).collect()
}

/// How far the battery behind a device may be charged and emptied.
fn reach(site: &Site, device: &crate::site::Device) -> Reach {
    let kinds = device.components.iter().filter_map(|c| site.plant.components.get(c));
    let batteries = kinds.filter_map(|c| match &c.kind {
        Kind::Battery(b) => Some(b),
        _ => None,
    });
    batteries.fold(Reach::default(), |_, b| Reach {
        empty: 100.0 * b.soc_min.as_ratio(),
        full: 100.0 * b.soc_max.as_ratio(),
        output: None,
    })
}

/// Largest powers of what is behind a device; several of a kind add up.
fn rated(site: &Site, device: &crate::site::Device) -> Rated {
    let mut rated = Rated::default();
    for id in &device.components {
        let (place, kw) = match site.plant.components.get(id).map(|c| &c.kind) {
            Some(Kind::Battery(b)) => (&mut rated.battery, b.charge_max.max(b.discharge_max).as_kw()),
            Some(Kind::Pv(p)) => (&mut rated.inverter, p.inverter_max.as_kw()),
            _ => continue,
        };
        let component = id.clone();
        let known = place.get_or_insert(Rating { component, kw: 0.0 });
        known.kw += kw;
    }
    rated
}

fn unheard(id: &Id, d: &crate::site::Device) -> DeviceHealth {
    DeviceHealth {
        trouble: Some("has not answered yet".into()),
        trouble_ko: Some("아직 응답한 적 없음".into()),
        ..DeviceHealth::unheard(id.clone(), d.components.clone())
    }
}

impl FieldPort for Field {
    async fn scan(&mut self, now: Timestamp) -> Scan {
        self.ask_devices(now);
        self.gather().await;
        Scan {
            measurements: self.measurements(),
            devices: self.health_at(now),
        }
    }

    async fn apply(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> Vec<WriteReport> {
        self.send(now, setpoints).await
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    fn memory(&self) -> Option<&FieldMemory> {
        Some(&self.memory)
    }

    /// What was meant for a component before a crash counts as possibly sent.
    fn remember(&mut self, memory: &FieldMemory) {
        self.memory = memory.clone();
        for (component, target) in &memory.intended {
            let Some(kind) = self.site.plant.components.get(component).map(|c| &c.kind) else {
                continue;
            };
            let Some((device, _)) = self.device_of(component) else {
                continue;
            };
            let known = self.memory.devices.entry(device.clone()).or_default();
            if let Some((command, Some(value))) = command_value(kind, *target) {
                known.hold(command, value);
            }
        }
        self.tell_devices(|id| {
            let memory = Box::new(self.memory.devices.get(id)?.clone());
            Some(Job::Remember { memory })
        });
    }

    fn take_back(&mut self) {
        self.tell_devices(|_| Some(Job::TakeBack));
    }

    async fn release(&mut self) -> Vec<WriteReport> {
        let deadline = tokio::time::Instant::now() + RELEASE;
        let mut waiting = Vec::new();
        for link in self.devices.values() {
            let (answer, receiver) = oneshot::channel();
            let asked = link.jobs.send(Job::ReleaseAll { answer });
            // A link that takes nothing gives back by its leases, and when the field is gone.
            if let Ok(Ok(())) = tokio::time::timeout_at(deadline, asked).await {
                waiting.push(receiver);
            }
        }
        let mut reports = Vec::new();
        for receiver in waiting {
            if let Ok(Ok(all)) = tokio::time::timeout_at(deadline, receiver).await {
                reports.extend(all.iter().map(report));
                for w in all {
                    w.memory.into_iter().for_each(|m| self.know(w.device.clone(), m));
                }
            }
        }
        reports
    }
}
