//! Finds out what answers at an address, without writing anything: `madang scan`.
//!
//! In: an address, the units to ask, the profiles to try. Out: a device for each unit that is recognised, with a word for how
//! sure that is. One connection at a time, a gap between requests; a silent unit is asked once.

use super::dial::Dial;
use super::probe::{Heard, Probe, ProbeError};
use super::recognise::{Recognised, Recogniser};
use crate::profile::{Profile, Table};
use crate::site::{Address, TlsFiles};
use crate::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// How to ask.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Units to ask; `None`: the usual ones first, the others where nothing was found (all on a serial line).
    pub units: Option<Vec<u8>>,
    /// Gap between two requests.
    pub pace: Duration,
    /// How long a unit may take for its first answer.
    pub patience: Duration,
    pub profiles: Vec<Profile>,
    pub now: Timestamp,
}

/// How sure it is that a device is what its profile says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Its values could be those of this device.
    Possible,
    /// It carries no identity, but many of its values fit together.
    Likely,
    /// It says what it is.
    Confirmed,
}

/// A device that was recognised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundDevice {
    pub unit_id: u8,
    pub profile: String,
    pub identity: serde_json::Value,
    pub confidence: Confidence,
    /// What the site file must say of it besides.
    #[serde(skip)]
    pub wants: Wants,
    /// What speaks for it, in words.
    pub evidence: Vec<String>,
    /// Other profiles whose values would fit too.
    pub also: Vec<String>,
    /// Kinds of components it would feed (`meter`, `pv`, `battery`, …).
    pub feeds: Vec<String>,
    /// Ratings the device says itself, kW and kWh by name.
    pub ratings: std::collections::BTreeMap<String, f64>,
}

/// What a profile leaves to the site file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wants {
    /// Its PV takes no limit.
    pub unlimited: bool,
    /// Numbers of the installation without which its commands cannot be made: name, unit, note.
    pub options: Vec<(String, String, String)>,
}

/// INTERFACE: `scan --json`, but for the fragment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScanReport {
    pub address: String,
    /// What a tls:// address was reached with.
    #[serde(skip)]
    pub files: Option<TlsFiles>,
    pub found: Vec<FoundDevice>,
    /// Units that answered without being recognised.
    pub unknown: Vec<u8>,
    pub notes: Vec<String>,
    pub requests: u64,
}

/// Told while scanning.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// `done` of `of` units have been asked.
    Asking {
        unit: u8,
        done: usize,
        of: usize,
    },
    Recognising {
        unit: u8,
    },
    Found(&'a FoundDevice),
}

/// Answers on some devices over their own network (Huawei's WiFi); on a serial line it is for all at once and never answers.
const ANY: u8 = 0;
/// Units that devices come with, besides 1 to 10: Victron 100, SMA SunSpec 126, Fronius meter 200, Victron 225 to 247, 255.
const USUAL: [u8; 12] = [100, 126, 180, 200, 201, 225, 227, 240, 242, 246, 247, 255];
/// The same device at so many further units: it does not look at the unit id.
const ECHOES: usize = 2;
/// Least patience once the link has shown how fast it is.
const LEAST: Duration = Duration::from_millis(150);

/// Scans an address. An error means that nothing could be asked at all.
pub async fn scan(
    address: &Address,
    options: &ScanOptions,
    told: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<ScanReport, ProbeError> {
    let mut scan = Scan {
        probe: Probe::new(Dial::Sockets, address.clone(), options.pace),
        recogniser: Recogniser::new(address, options),
        address,
        options,
        report: ScanReport {
            address: address.to_string(),
            files: match address {
                Address::Tls { files, .. } => Some(files.clone()),
                _ => None,
            },
            found: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
            requests: 0,
        },
        prints: Vec::new(),
        echoes: false,
        told,
    };
    let mut stages = scan.stages().into_iter();
    for units in stages.by_ref() {
        scan.over(&units).await?;
        if !scan.report.found.is_empty() || !scan.report.unknown.is_empty() {
            break;
        }
    }
    let left: usize = stages.map(|units| units.len()).sum();
    if left > 0 {
        let note = format!("{left} units were not asked: --units 0-247 asks all");
        scan.report.notes.push(note);
    }
    scan.report.requests = scan.probe.requests + scan.recogniser.requests;
    Ok(scan.report)
}

struct Scan<'a> {
    probe: Probe,
    recogniser: Recogniser,
    address: &'a Address,
    options: &'a ScanOptions,
    report: ScanReport,
    /// By what each found device is known again, in the order of `report.found`.
    prints: Vec<Vec<String>>,
    /// It does not look at the unit id: nothing more to find.
    echoes: bool,
    told: &'a mut (dyn FnMut(Step<'_>) + Send),
}

impl Scan<'_> {
    /// Units to ask, in stages: a later one is asked only where those before brought nothing.
    fn stages(&self) -> Vec<Vec<u8>> {
        if let Some(units) = &self.options.units {
            return vec![units.clone()];
        }
        let all = 1..=247u8;
        if self.address.is_rtu() {
            return vec![all.collect()];
        }
        let named = self.options.profiles.iter().filter_map(|p| p.link.unit);
        let usual: BTreeSet<u8> = (1..=10).chain(USUAL).chain(named).collect();
        let rest = all.filter(|u| !usual.contains(u)).collect();
        vec![usual.into_iter().collect(), vec![ANY], rest]
    }

    async fn over(&mut self, units: &[u8]) -> Result<(), ProbeError> {
        for (done, unit) in units.iter().enumerate() {
            (self.told)(Step::Asking {
                unit: *unit,
                done,
                of: units.len(),
            });
            self.unit(*unit).await?;
            if self.echoes {
                let note = "it answers to every unit id as the same device; the other units were left out";
                self.report.notes.push(note.into());
                return Ok(());
            }
        }
        Ok(())
    }

    async fn unit(&mut self, unit: u8) -> Result<(), ProbeError> {
        let patience = self.patience();
        let Some(marker) = self.alive(unit, patience).await? else {
            return Ok(());
        };
        (self.told)(Step::Recognising { unit });
        let recognised = self.recogniser.recognise(&mut self.probe, unit, marker).await?;
        if let Some(why) = self.recogniser.trouble.take() {
            self.report.notes.push(format!("unit {unit}: {why}"));
        }
        match recognised {
            None if self.recogniser.is_nobody(unit) => {}
            None => self.report.unknown.push(unit),
            Some(Recognised { device, print }) => self.add(device, print),
        }
        Ok(())
    }

    /// On TCP the same device at one unit after the other is one that does not look at the unit: its first stays.
    fn add(&mut self, device: FoundDevice, print: Vec<String>) {
        (self.told)(Step::Found(&device));
        self.report.found.push(device);
        self.prints.push(print);
        let tcp = matches!(self.address, Address::Tcp { .. } | Address::Tls { .. });
        let last = self.prints.last().filter(|p| tcp && !p.is_empty());
        let Some(last) = last.cloned() else { return };
        let same: Vec<usize> = (0..self.prints.len()).filter(|i| self.prints[*i] == last).collect();
        if same.len() > ECHOES {
            self.echoes = true;
            let again = &same[1..];
            let mut at = 0..;
            self.report
                .found
                .retain(|_| at.next().is_none_or(|i| !again.contains(&i)));
        }
    }

    /// A link that has answered shows how long to wait.
    fn patience(&self) -> Duration {
        let learned = self.probe.slowest.map(|s| (s * 4).max(LEAST));
        learned.map_or(self.options.patience, |l| l.min(self.options.patience))
    }

    /// The first words of a SunSpec map, if there is one; `None` where the unit is silent.
    async fn alive(&mut self, unit: u8, patience: Duration) -> Result<Option<Heard>, ProbeError> {
        let heard = self.probe.read(unit, (Table::Holding, 40_000, 2), patience).await?;
        Ok(match heard {
            // Gateway: no path, no answer from the target.
            Heard::Silence | Heard::Refused(10 | 11) => None,
            heard => Some(heard),
        })
    }
}
