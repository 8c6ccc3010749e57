//! The field as the cycle sees it: scans all links at once, carries out setpoints, gives everything back.

use super::client::Client;
use super::device::FieldDevice;
use super::dial::Dial;
use super::link::{Job, Order, Polled, Written, serve};
use super::map::Value;
use crate::cycle::FieldPort;
use crate::model::{
    DecisionId, DeviceHealth, IdentityStatus, Measurement, Quantity, Scan, Setpoint, Target, WriteOutcome, WriteReport,
};
use crate::profile::Profile;
use crate::reading::Reading;
use crate::site::{Feed, Id, Mode, Site, charge_point_state, command_of};
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

struct LinkHandle {
    jobs: mpsc::Sender<Job>,
    pending: Option<oneshot::Receiver<Polled>>,
}

pub struct Field {
    site: Site,
    links: Vec<LinkHandle>,
    link_of: BTreeMap<Id, usize>,
    feeds: Vec<Feed>,
    options: Options,
    /// Last value of each device's point, with the moment of its reading.
    image: BTreeMap<(Id, String), (Timestamp, Value)>,
    health: BTreeMap<Id, DeviceHealth>,
    mode: Mode,
}

impl Field {
    /// Starts one task per physical link (address). Profiles come from the binary or from the site's `profiles` folder.
    pub fn new(site: &Site, dial: &Dial, options: Options) -> Result<Self, String> {
        let mut by_address: BTreeMap<String, Vec<FieldDevice>> = BTreeMap::new();
        let mut health = BTreeMap::new();
        for (id, d) in &site.wiring.devices {
            let profile = find_profile(site, &d.profile)?;
            health.insert(id.clone(), unheard(id, d));
            let device = FieldDevice::new(id.clone(), d.clone(), profile);
            by_address.entry(d.address.to_string()).or_default().push(device);
        }
        let (mut links, mut link_of) = (Vec::new(), BTreeMap::new());
        for devices in by_address.into_values() {
            let Some(first) = devices.first() else { continue };
            let link = find_profile(site, &first.wiring.profile)?.link;
            let client = Client::new(dial.clone(), first.id.clone(), first.wiring.address.clone(), link);
            for d in &devices {
                link_of.insert(d.id.clone(), links.len());
            }
            let (jobs, inbox) = mpsc::channel(256);
            tokio::spawn(serve(client, devices, inbox));
            links.push(LinkHandle { jobs, pending: None });
        }
        Ok(Self {
            feeds: site.wiring.feeds(&site.plant),
            mode: site.plant.mode,
            site: site.clone(),
            links,
            link_of,
            options,
            image: BTreeMap::new(),
            health,
        })
    }

    fn ask_links(&mut self, now: Timestamp) {
        for link in &mut self.links {
            if link.pending.is_some() {
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            let job = Job::Poll {
                now,
                silent_after: self.options.silent_after,
                answer,
            };
            if link.jobs.try_send(job).is_ok() {
                link.pending = Some(receiver);
            }
        }
    }

    /// Takes what has come until the deadline; what is late is taken in a later cycle, with its own time stamp.
    async fn gather(&mut self) {
        let deadline = tokio::time::Instant::now() + self.options.patience;
        for i in 0..self.links.len() {
            let Some(receiver) = self.links[i].pending.as_mut() else {
                continue;
            };
            if let Ok(done) = tokio::time::timeout_at(deadline, receiver).await {
                self.links[i].pending = None;
                if let Ok(polled) = done {
                    self.take(polled);
                }
            }
        }
    }

    fn take(&mut self, polled: Polled) {
        for (health, values) in polled.devices {
            for (name, value) in values {
                self.image.insert((health.device.clone(), name), (polled.at, value));
            }
            self.health.insert(health.device.clone(), health);
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
                Value::Text(t) => charge_point_state(t).map_or(Reading::invalid(*at), |v| Reading::good(v, *at)),
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

    fn order(&self, now: Timestamp, s: &Setpoint) -> Option<Order> {
        let kind = &self.site.plant.components.get(&s.component)?.kind;
        let command = command_of(kind)?;
        let (device, _) = self
            .site
            .wiring
            .devices
            .iter()
            .find(|(_, d)| d.components.contains(&s.component))?;
        let value = match s.target {
            Target::Power(p) if command == "genset_power" => Some(p.as_kw().abs()),
            Target::Power(p) | Target::PowerLimit(p) => Some(p.as_kw()),
            Target::Current(a) => Some(a.as_amps()),
            Target::On(on) => Some(f64::from(u8::from(on))),
            Target::Release => None,
        };
        let control = self.mode == Mode::Control;
        let command = command.to_owned();
        Some(Order {
            device: device.clone(),
            command,
            value,
            now,
            control,
        })
    }

    async fn send(&mut self, now: Timestamp, setpoints: &[Setpoint]) -> Vec<WriteReport> {
        let mut waiting = Vec::new();
        let mut reports = Vec::new();
        for s in setpoints {
            let Some(order) = self.order(now, s) else { continue };
            let report = |outcome| blank(s, &order, outcome);
            let offline = self.health.get(&order.device).is_some_and(|h| !h.online);
            if offline {
                reports.push(report(WriteOutcome::Withheld("the device is silent".into())));
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            let link = self.link_of.get(&order.device).and_then(|i| self.links.get(*i));
            match link.map(|l| {
                l.jobs.try_send(Job::Write {
                    order: order.clone(),
                    answer,
                })
            }) {
                Some(Ok(())) => waiting.push((s, order, receiver)),
                _ => reports.push(report(WriteOutcome::Failed("the link is overloaded".into()))),
            }
        }
        let deadline = tokio::time::Instant::now() + self.options.patience;
        for (s, order, receiver) in waiting {
            let outcome = match tokio::time::timeout_at(deadline, receiver).await {
                Ok(Ok(written)) => {
                    reports.push(WriteReport {
                        writes: written.sent,
                        ..blank(s, &order, written.outcome)
                    });
                    continue;
                }
                Ok(Err(_)) => WriteOutcome::Failed("the link has stopped".into()),
                Err(_) => WriteOutcome::Pending,
            };
            reports.push(blank(s, &order, outcome));
        }
        reports
    }
}

fn blank(s: &Setpoint, order: &Order, outcome: WriteOutcome) -> WriteReport {
    WriteReport {
        component: s.component.clone(),
        device: order.device.clone(),
        decision: s.decision,
        command: if order.value.is_some() {
            order.command.clone()
        } else {
            format!("release {}", order.command)
        },
        value: order.value,
        writes: Vec::new(),
        outcome,
    }
}

fn unheard(id: &Id, d: &crate::site::Device) -> DeviceHealth {
    DeviceHealth {
        device: id.clone(),
        components: d.components.clone(),
        online: false,
        identity: IdentityStatus::Unchecked,
        last_answer: None,
        answer_ms: None,
        requests: 0,
        failures: 0,
        trouble: Some("has not answered yet".into()),
    }
}

/// A profile from the site's own folder, else from the binary.
pub fn find_profile(site: &Site, name: &str) -> Result<Profile, String> {
    if let Some(folder) = &site.folder {
        let file = folder.join("profiles").join(format!("{name}.toml"));
        if file.exists() {
            let text = std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            return crate::profile::parse(&text).map_err(|faults| {
                let list: Vec<String> = faults
                    .iter()
                    .map(|f| format!("line {}: {}", f.line, f.message))
                    .collect();
                format!("{}: {}", file.display(), list.join("; "))
            });
        }
    }
    let known = crate::profile::builtin_names().join(", ");
    crate::profile::builtin(name).ok_or_else(|| format!("there is no profile `{name}`; built in are {known}"))
}

impl FieldPort for Field {
    async fn scan(&mut self, now: Timestamp) -> Scan {
        self.ask_links(now);
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

    async fn release(&mut self) -> Vec<WriteReport> {
        let mut waiting = Vec::new();
        for link in &self.links {
            let (answer, receiver) = oneshot::channel();
            if link.jobs.send(Job::ReleaseAll { answer }).await.is_ok() {
                waiting.push(receiver);
            }
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
        let mut reports = Vec::new();
        for receiver in waiting {
            if let Ok(Ok(all)) = tokio::time::timeout_at(deadline, receiver).await {
                reports.extend(all.into_iter().map(released));
            }
        }
        reports
    }
}

fn released(w: Written) -> WriteReport {
    WriteReport {
        component: w.device.clone(),
        device: w.device,
        decision: DecisionId(0),
        command: format!("release {}", w.command),
        value: None,
        writes: w.sent,
        outcome: w.outcome,
    }
}
