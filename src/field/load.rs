//! The links under load, for `madang bench field`: many devices polled at a pace, and what a full scan of one costs.
//!
//! Devices, clients and link tasks are those of a running controller; only who asks is different.

use super::client::Client;
use super::device::FieldDevice;
use super::dial::{Dial, Wire};
use super::frame::crc;
use super::link::{Attended, INBOX, Job, serve};
use super::map::DeviceType;
use crate::profile::Profile;
use crate::site::{Address, Device, Id, SerialLine};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// What came of a paced run.
#[derive(Debug, Clone, Default)]
pub struct Paced {
    /// From the moment a poll was due to its last answer, ms.
    pub late_ms: Vec<f64>,
    /// Polls that brought no values.
    pub failed: u64,
}

fn device(id: &str, address: &Address, kind: &DeviceType) -> FieldDevice {
    let profile = &kind.profile;
    let wiring = Device {
        address: address.clone(),
        profile: profile.id.clone(),
        unit: profile.link.unit.unwrap_or(1),
        components: vec![],
        points: Default::default(),
        control: false,
        identity_confirmed: false,
        writes_per_day: crate::site::WRITES_PER_DAY,
        options: Default::default(),
    };
    FieldDevice::new(Id::new(id), wiring, kind.clone())
}

/// Polls a device at each address once a period for `rounds` periods, spread evenly over it. The first round (connecting)
/// is not counted; `begin` is called when the counted ones start.
pub async fn paced(
    addresses: &[Address],
    profile: &Profile,
    period: Duration,
    rounds: u32,
    start: Timestamp,
    begin: impl FnOnce(),
) -> Paced {
    let kind = DeviceType::from(profile.clone());
    let mut inboxes = Vec::new();
    for (i, address) in addresses.iter().enumerate() {
        let (jobs, inbox) = mpsc::channel(INBOX);
        let id = format!("device-{i}");
        let client = Client::new(Dial::Sockets, Id::new(&id), address.clone(), profile.link.clone());
        tokio::spawn(serve(vec![Attended::new(device(&id, address, &kind), client, inbox)]));
        inboxes.push(jobs);
    }
    let result = Arc::new(Mutex::new(Paced::default()));
    let step = period / addresses.len().max(1) as u32;
    let mut due = Instant::now() + Duration::from_millis(20);
    let mut begin = Some(begin);
    for round in 0..=rounds {
        if round == 1 {
            begin.take().into_iter().for_each(|b| b());
        }
        for jobs in &inboxes {
            sleep_until(due).await;
            let (answer, polled) = oneshot::channel();
            let now =
                start + TimeDelta::from_std(due.elapsed()).unwrap_or_default() + TimeDelta::seconds(i64::from(round));
            let job = Job::Poll {
                now,
                silent_after: TimeDelta::seconds(5),
                answer,
            };
            // A full inbox is a poll that brings nothing.
            let _full = jobs.try_send(job);
            let (result, counted) = (result.clone(), round > 0);
            tokio::spawn(async move {
                let brought = polled.await.is_ok_and(|p| !p.values.is_empty());
                let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
                if counted && brought {
                    result.late_ms.push(due.elapsed().as_secs_f64() * 1e3);
                }
                result.failed += u64::from(counted && !brought);
            });
            due += step;
        }
    }
    sleep_until(due + Duration::from_millis(200)).await;
    let result = result.lock().unwrap_or_else(PoisonError::into_inner);
    result.clone()
}

/// Requests and seconds on the wire of one full scan.
#[derive(Debug, Clone, Copy)]
pub struct ScanCost {
    pub requests: u64,
    pub points: usize,
    pub wire_s: f64,
}

/// Scans a device that answers zeros over RTU, and computes what the same frames take on a serial line.
pub async fn scan_cost(profile: &Profile, line: SerialLine, now: Timestamp) -> Result<ScanCost, String> {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let log = bytes.clone();
    let dial = Dial::Pipes(Arc::new(move |_| {
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(answer_zeros(theirs, log.clone()));
        Ok(Box::new(ours) as Box<dyn Wire>)
    }));
    let address = Address::Rtu {
        path: "/dev/null".into(),
        line,
    };
    let mut client = Client::new(dial, Id::new("meter"), address.clone(), profile.link.clone());
    let mut device = device("meter", &address, &profile.clone().into());
    let values = device.poll(&mut client, now).await.map_err(|e| e.to_string())?;
    let frames = bytes.lock().unwrap_or_else(PoisonError::into_inner);
    // Each frame is followed by a silence of three and a half characters.
    let characters = |n: &usize| line.seconds(*n) + line.seconds(7) / 2.0;
    Ok(ScanCost {
        requests: client.requests,
        points: values.len(),
        wire_s: frames.iter().map(characters).sum(),
    })
}

/// Answers register reads; the length of each frame, both ways, goes to `log`.
async fn answer_zeros(mut wire: DuplexStream, log: Arc<Mutex<Vec<usize>>>) {
    let mut request = [0u8; 8];
    while wire.read_exact(&mut request).await.is_ok() {
        let mut answer = vec![request[0], request[1], request[5].wrapping_mul(2)];
        answer.resize(3 + usize::from(request[5]) * 2, 0);
        answer.extend(crc(&answer).to_le_bytes());
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend([request.len(), answer.len()]);
        if wire.write_all(&answer).await.is_err() {
            return;
        }
    }
}
