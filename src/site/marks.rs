//! Conformance marks of a site: which command was tried on which very device, when, and what was seen.
//!
//! They stand in `marks.toml` in the site folder, readable and deletable by people. `madang commission` earns them;
//! `madang check` says what is missing. A mark is about a model and firmware: another firmware has to earn its own.

use super::parse::{Fault, Severity};
use super::plant::Id;
use super::wiring::Device;
use super::{Site, command_of};
use crate::profile::Mark;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the file in the site folder.
pub const FILE: &str = "marks.toml";
const SCHEMA: &str = "marks/1";
const HEAD: &str = "# Conformance marks: what was tried on these very devices, and what was seen (madang commission).\n\
                    # Delete a mark you do not trust; another firmware has to earn its own.\n";

/// What must be seen before a command counts as verified, as profiles name it: [`Mark::ALL`] by name.
pub const TESTS: [&str; Mark::ALL.len()] = {
    let (mut names, mut i) = ([""; Mark::ALL.len()], 0);
    while i < names.len() {
        names[i] = Mark::ALL[i].name();
        i += 1;
    }
    names
};

/// The device a mark was earned on, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub address: String,
    pub unit: u8,
    pub profile: String,
    #[serde(default)]
    pub manufacturer: String,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub firmware: String,
    #[serde(default)]
    pub serial: String,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earned {
    pub command: String,
    /// One of [`TESTS`].
    pub test: String,
    pub passed: bool,
    /// RFC 3339
    pub date: String,
    /// What was asked and what was seen, in words.
    pub evidence: String,
    pub on: Subject,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    pub schema: String,
    #[serde(default)]
    pub marks: Vec<Earned>,
}

/// How a command of a device stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// Model and firmware of the latest mark.
    pub on: Option<Subject>,
    pub passed: Vec<String>,
    /// With what was seen.
    pub failed: Vec<(String, String)>,
    pub missing: Vec<&'static str>,
}

impl Marks {
    /// Marks of a site folder; none where there is no file.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        match super::file::read_text(&path) {
            Ok(text) => Self::parse(&text).map_err(|why| format!("{}: {why}", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(format!("cannot read {}: {e}", path.display())),
        }
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let marks: Self = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        if marks.schema != SCHEMA {
            return Err(format!("schema `{}` is not {SCHEMA}", marks.schema));
        }
        let unknown = marks.marks.iter().find(|m| !TESTS.contains(&m.test.as_str()));
        match unknown {
            Some(m) => Err(format!("there is no test `{}`; there are {}", m.test, TESTS.join(", "))),
            None => Ok(marks),
        }
    }

    /// The newer result of the same test on the same device replaces the older; marks of an older firmware go.
    fn add(&mut self, earned: &Earned) {
        let about = |m: &Earned| {
            let place = (&m.on.address, m.on.unit, &m.on.profile, &m.command);
            place == (&earned.on.address, earned.on.unit, &earned.on.profile, &earned.command)
        };
        self.marks
            .retain(|m| !about(m) || (m.on == earned.on && m.test != earned.test));
        self.marks.push(earned.clone());
    }

    /// How `command` of a device stands by its address, unit and profile.
    pub fn standing(&self, device: &Device, command: &str) -> Standing {
        let address = device.address.to_string();
        let about = |m: &&Earned| {
            m.on.address == address
                && m.on.unit == device.unit
                && m.on.profile == device.profile
                && m.command == command
        };
        let mut standing = Standing::default();
        for m in self.marks.iter().filter(about) {
            standing.on = Some(m.on.clone());
            if m.passed {
                standing.passed.push(m.test.clone());
            } else {
                standing.failed.push((m.test.clone(), m.evidence.clone()));
            }
        }
        let tried = |t: &&str| {
            standing
                .passed
                .iter()
                .chain(standing.failed.iter().map(|(t, _)| t))
                .any(|x| x == t)
        };
        standing.missing = TESTS.into_iter().filter(|t| !tried(t)).collect();
        standing
    }
}

impl Standing {
    pub fn is_verified(&self) -> bool {
        self.failed.is_empty() && self.missing.is_empty()
    }

    /// One sentence for people.
    pub fn sentence(&self, command: &str) -> String {
        let Some(on) = &self.on else {
            return format!(
                "{command} was never tried on it (madang commission): {} unverified",
                self.missing.join(", ")
            );
        };
        let firmware = if on.firmware.is_empty() {
            String::new()
        } else {
            format!(" firmware {}", on.firmware)
        };
        let model = if on.model.is_empty() { &on.profile } else { &on.model };
        let mut parts = vec![format!(
            "{command} on {model}{firmware}: {} of {} marks",
            self.passed.len(),
            TESTS.len()
        )];
        if !self.failed.is_empty() {
            let list: Vec<String> = self.failed.iter().map(|(t, e)| format!("{t} ({e})")).collect();
            parts.push(format!("failed {}", list.join("; ")));
        }
        if !self.missing.is_empty() {
            parts.push(format!("not tried {}", self.missing.join(", ")));
        }
        parts.join(", ")
    }
}

/// Adds results to the marks of a site folder; whole or not at all. Returns the file.
pub fn record(folder: &Path, earned: &[Earned]) -> Result<PathBuf, String> {
    let mut marks = Marks::load(folder)?;
    SCHEMA.clone_into(&mut marks.schema);
    earned.iter().for_each(|e| marks.add(e));
    let body = toml::to_string(&marks).map_err(|e| format!("the marks cannot be written as TOML: {e}"))?;
    let (path, draft) = (folder.join(FILE), folder.join("marks.toml.new"));
    let said = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    std::fs::write(&draft, format!("{HEAD}{body}")).map_err(said)?;
    std::fs::rename(&draft, &path).map_err(said)?;
    Ok(path)
}

/// How every command stands that `run` may use: by device, for the devices whose owner says `control = true`.
pub fn standings(site: &Site, marks: &Marks) -> Vec<(Id, String, Standing)> {
    let mut all = Vec::new();
    for (id, device) in site.wiring.devices.iter().filter(|(_, d)| d.control) {
        let profile = site.profile(&device.profile);
        for command in commands(site, device) {
            let mut standing = marks.standing(device, command);
            // A profile of one's own may say what was seen on that model before.
            let known = profile.iter().filter_map(|p| p.commands.get(command));
            let seen: Vec<&str> = known.flat_map(|c| &c.verified).map(|m| m.name()).collect();
            standing.missing.retain(|t| !seen.contains(t));
            all.push((id.clone(), command.to_owned(), standing));
        }
    }
    all
}

/// The commands that move what a device feeds.
pub(super) fn commands<'s>(site: &'s Site, device: &'s Device) -> impl Iterator<Item = &'static str> + 's {
    let kinds = device.components.iter().filter_map(|c| site.plant.components.get(c));
    kinds.filter_map(|c| command_of(&c.kind))
}

/// Puts what the marks say in the place of "not verified": the warning goes where everything was seen.
pub(super) fn temper(site: &Site, faults: &mut Vec<Fault>) {
    let marks = match site.folder.as_deref().map_or(Ok(Marks::default()), Marks::load) {
        Ok(marks) => marks,
        Err(why) => {
            faults.push(Fault {
                file: FILE.into(),
                line: 1,
                key: "marks".into(),
                message: format!("{why}; its marks count for nothing"),
                severity: Severity::Warning,
            });
            Marks::default()
        }
    };
    let all = standings(site, &marks);
    faults.retain_mut(|f| {
        let about = |(id, ..): &&(Id, String, Standing)| f.key == format!("devices.{}.control", id.as_str());
        let own: Vec<_> = all.iter().filter(about).collect();
        if f.severity != Severity::Warning || own.is_empty() {
            return true;
        }
        if own.iter().all(|(_, _, s)| s.is_verified()) {
            return false;
        }
        let open = own.iter().filter(|(_, _, s)| !s.is_verified());
        let list: Vec<String> = open.map(|(_, command, s)| s.sentence(command)).collect();
        f.message = format!(
            "its commands are not verified on this very model: {}; with mode = \"control\" it is controlled because its owner says so",
            list.join("; ")
        );
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn earned(test: &str, passed: bool, firmware: &str) -> Earned {
        Earned {
            command: "battery_power".into(),
            test: test.into(),
            passed,
            date: "2026-11-25T12:00:00Z".into(),
            evidence: "asked 1 kW: 0.99 kW".into(),
            on: Subject {
                address: "tcp://127.0.0.1:1502".into(),
                unit: 1,
                profile: "sunspec".into(),
                model: "X".into(),
                firmware: firmware.into(),
                ..Subject::default()
            },
        }
    }

    const SITE: &str = "schema = \"site/1\"\nname = \"x\"\n[location]\nlatitude = \"52 deg\"\nlongitude = \"5 deg\"\n\
        time_zone = \"Europe/Amsterdam\"\ncountry = \"NL\"\n[connection_point]\nimport_max = \"8 kW\"\nexport_max = \"8 kW\"\n\
        phases = 3\nvoltage = \"230 V\"\nfuse = \"25 A\"\nmeter = \"grid\"\n[components.grid]\nkind = \"meter\"\n[components.battery]\n\
        kind = \"battery\"\ncapacity = \"10 kWh\"\ncharge_max = \"5 kW\"\ndischarge_max = \"5 kW\"\n[devices.meter]\n\
        address = \"tcp://127.0.0.1:1503\"\nprofile = \"sunspec\"\ncomponents = [\"grid\"]\n[devices.inverter]\n\
        address = \"tcp://127.0.0.1:1502\"\nprofile = \"sunspec\"\ncomponents = [\"battery\"]\ncontrol = true\n\
        [tariff]\ncurrency = \"EUR\"\n[tariff.import]\nkind = \"flat\"\nprice = \"0.3 EUR/kWh\"\n[tariff.export]\n\
        kind = \"flat\"\nprice = \"0.1 EUR/kWh\"\n";

    fn control_warning(folder: &Path) -> Option<String> {
        let (_, faults) = crate::site::load(folder).unwrap();
        faults
            .into_iter()
            .find(|f| f.key == "devices.inverter.control")
            .map(|f| f.message)
    }

    #[test]
    fn marks_take_the_place_of_the_warning_for_that_very_firmware() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.toml"), SITE).unwrap();
        let said = control_warning(folder.path()).unwrap();
        let all = TESTS.join(", ");
        assert!(said.contains(&format!(
            "battery_power was never tried on it (madang commission): {all} unverified"
        )));
        record(
            folder.path(),
            &[earned("sign", true, "1.0"), earned("scale", false, "1.0")],
        )
        .unwrap();
        let said = control_warning(folder.path()).unwrap();
        assert!(
            said.contains("1 of 10 marks") && said.contains("failed scale") && said.contains("reversion"),
            "{said}"
        );
        let all: Vec<Earned> = TESTS.iter().map(|t| earned(t, true, "1.0")).collect();
        record(folder.path(), &all).unwrap();
        assert_eq!(control_warning(folder.path()), None);
        // A new firmware earns its own.
        record(folder.path(), &[earned("sign", true, "1.1")]).unwrap();
        assert!(control_warning(folder.path()).unwrap().contains("1 of 10 marks"));
    }

    #[test]
    fn a_marks_file_that_cannot_be_read_counts_for_nothing_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("site.toml"), SITE).unwrap();
        std::fs::write(folder.path().join(FILE), "schema = \"marks/1\"\n[[marks]]\nx = 1\n").unwrap();
        let (_, faults) = crate::site::load(folder.path()).unwrap();
        assert!(faults.iter().any(|f| f.key == "marks"), "{faults:?}");
        assert!(control_warning(folder.path()).is_some());
        assert!(
            record(folder.path(), &[]).is_err(),
            "what is not understood is not overwritten"
        );
    }
}
