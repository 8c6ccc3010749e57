//! Where the controller stands, and since when what shows no value: what is not known is never shown as fine.

use super::now;
use crate::cycle::CycleReport;
use crate::model::{Language, Rung};
use crate::reading::Quantity;
use crate::site::{Id, Kind, Mode, Plant};
use crate::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Components named one by one; more are counted.
const NAMED: usize = 2;

/// Components without a usable value, and since when.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    unknown: BTreeMap<Id, Timestamp>,
}

impl Standing {
    /// As it is after a cycle.
    pub fn next(&self, plant: &Plant, report: &CycleReport) -> Self {
        let now = report.snapshot.at;
        let lacking = plant.components.iter().filter(|(id, c)| lacks(report, id, &c.kind));
        let since = |id: &Id| self.unknown.get(id).copied().unwrap_or(now);
        Self {
            unknown: lacking.map(|(id, _)| (id.clone(), since(id))).collect(),
        }
    }

    pub fn since(&self, id: &Id) -> Option<Timestamp> {
        self.unknown.get(id).copied()
    }

    /// `{tone, en, ko, missing}`: tone is `calm` only where all is known and a plan is in control.
    pub fn view(&self, plant: &Plant, report: &CycleReport) -> Value {
        let (rung, mode) = (report.state.rung, report.state.mode);
        let stands = now::rung(rung, mode);
        let text = |language: Language, key: &str| {
            let stands = stands[key].as_str().unwrap_or_default();
            match self.named(plant, language) {
                Some(missing) => format!("{stands}{missing}"),
                None => stands.to_owned(),
            }
        };
        let missing = |(id, since): (&Id, &Timestamp)| json!({"component": id, "since": since});
        json!({
            "tone": tone(rung, mode, self.unknown.is_empty()), "en": text(Language::En, "en"), "ko": text(Language::Ko, "ko"),
            "missing": self.unknown.iter().map(missing).collect::<Vec<_>>(),
        })
    }

    /// What is missing, as the end of a sentence.
    fn named(&self, plant: &Plant, language: Language) -> Option<String> {
        let title = |id| plant.title(id, language == Language::Ko);
        let names: Vec<String> = self.unknown.keys().map(title).collect();
        let text = match (names.as_slice(), language) {
            ([], _) => return None,
            (few, Language::En) if few.len() <= NAMED => format!("; no value from {}", few.join(" and ")),
            (many, Language::En) => format!("; no value from {} components", many.len()),
            (few, Language::Ko) if few.len() <= NAMED => format!(" · {} 값 없음", few.join(", ")),
            (many, Language::Ko) => format!(" · {}개 항목 값 없음", many.len()),
        };
        Some(text)
    }
}

fn tone(rung: Rung, mode: Mode, all_known: bool) -> &'static str {
    match (rung, mode) {
        (Rung::Rule | Rung::Safe, Mode::Control) => "warn",
        _ if !all_known => "degraded",
        (Rung::Released, _) | (_, Mode::Observe) => "quiet",
        _ => "calm",
    }
}

/// Nothing usable of what a component does. One whose device has no power to show, but shows something else, lacks nothing.
fn lacks(report: &CycleReport, id: &Id, kind: &Kind) -> bool {
    let snapshot = &report.snapshot;
    if snapshot.power(id).is_some() || snapshot.residual_of(id, kind).is_some() {
        return matches!(kind, Kind::Battery(_)) && snapshot.soc(id).is_none();
    }
    let silent = |d: &crate::model::DeviceHealth| d.components.contains(id) && d.asleep;
    if snapshot.devices.iter().any(silent) {
        return false;
    }
    let shown = snapshot.components.get(id);
    shown.is_none_or(|own| {
        own.contains_key(&Quantity::ActivePower) || own.values().all(|reading| reading.usable().is_none())
    })
}
