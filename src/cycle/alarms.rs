//! What people should know about now, in both languages.

use super::ports::Alarm;
use crate::model::{CommandProof, ControllerState, IdentityStatus, Rung, Snapshot, WriteOutcome, WriteReport};
use crate::site::Id;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Keeps since when each alarm stands.
#[derive(Debug, Default)]
pub struct Alarms {
    since: BTreeMap<(String, Option<String>), Timestamp>,
}

impl Alarms {
    /// Alarms of this cycle; those that were there before keep their start.
    pub fn update(
        &mut self,
        snapshot: &Snapshot,
        state: &ControllerState,
        writes: &[WriteReport],
        extra: &[Alarm],
    ) -> Vec<Alarm> {
        let now = snapshot.at;
        let mut found = device_alarms(snapshot);
        found.extend(rung_alarm(state, now));
        found.extend(command_alarms(snapshot));
        found.extend(write_alarms(snapshot, writes, now));
        found.extend(doubt_alarms(snapshot));
        found.extend_from_slice(extra);
        let mut since = BTreeMap::new();
        for alarm in &mut found {
            let key = (alarm.code.clone(), alarm.component.clone());
            alarm.since = self.since.get(&key).copied().unwrap_or(now);
            since.insert(key, alarm.since);
        }
        self.since = since;
        found
    }
}

/// An alarm that starts now.
pub fn alarm(code: &str, component: Option<&str>, en: String, ko: String, now: Timestamp) -> Alarm {
    Alarm {
        code: code.into(),
        component: component.map(Into::into),
        text_en: en,
        text_ko: ko,
        since: now,
    }
}

fn device_alarms(snapshot: &Snapshot) -> Vec<Alarm> {
    let mut found = Vec::new();
    for d in &snapshot.devices {
        let name = d.device.as_str();
        if d.asleep {
            continue;
        }
        if !d.online {
            let why = d.trouble.as_deref().unwrap_or("no answer");
            let why_ko = d.trouble_ko.as_deref().unwrap_or("응답 없음");
            let en = format!("device {name} is silent: {why}");
            let ko = format!("장치 {name} 무응답: {why_ko}");
            found.push(alarm("device_silent", Some(name), en, ko, snapshot.at));
        } else if d.identity == IdentityStatus::Mismatch {
            let en = format!("device {name} is not the one the site file names; it is not controlled");
            found.push(alarm(
                "device_identity",
                Some(name),
                en,
                format!("장치 {name} 식별 불일치"),
                snapshot.at,
            ));
        }
    }
    found
}

fn rung_alarm(state: &ControllerState, now: Timestamp) -> Option<Alarm> {
    let (code, en, ko) = match state.rung {
        Rung::Normal => return None,
        Rung::LastPlan => ("rung_last_plan", "running on an older plan", "이전 계획으로 운전 중"),
        Rung::Rule => (
            "rung_rule",
            "no valid plan: self-consumption by rule",
            "유효한 계획 없음: 규칙 운전",
        ),
        Rung::Safe => ("rung_safe", "safe setpoints are in force", "안전 설정값 적용 중"),
        Rung::Released => (
            "rung_released",
            "control is handed back to the devices",
            "제어권을 장치에 반환함",
        ),
    };
    Some(alarm(code, None, en.into(), ko.into(), now))
}

/// What stands between a device and its commands: failures that last, another master, memory that wears.
fn command_alarms(snapshot: &Snapshot) -> Vec<Alarm> {
    let commands = snapshot
        .devices
        .iter()
        .flat_map(|d| d.commands.iter().map(move |c| (d.device.as_str(), c)));
    let mut found = Vec::new();
    for (device, c) in commands {
        let mut add = |code: &str, en: String, ko: String| {
            found.push(alarm(code, Some(c.component.as_str()), en, ko, snapshot.at));
        };
        if let CommandProof::Failed(why) = &c.proof {
            let en = format!("{} did not take {}: {why}", c.component, c.command);
            add("write_failed", en, format!("{} 명령 {} 실패", c.component, c.command));
        }
        if let Some(f) = &c.foreign {
            let what = match f.yielded_until {
                Some(until) => format!("it is left alone until {}", until.format("%Y-%m-%d %H:%M UTC")),
                None => format!("found {}; asserted again {} of 3 times", f.found, f.reasserted),
            };
            let en = format!(
                "another controller is active at device {device} ({}): {what}",
                c.command
            );
            add(
                "foreign_controller",
                en,
                format!("장치 {device}에 다른 제어기가 동작 중"),
            );
        }
        if let Some(why) = &c.worn {
            let en = format!("device {device}: {why}");
            add("wear_budget", en, format!("장치 {device}의 일일 쓰기 한도 도달"));
        }
    }
    found
}

/// Failures of this cycle that no device remembers.
fn write_alarms(snapshot: &Snapshot, writes: &[WriteReport], now: Timestamp) -> Vec<Alarm> {
    let told = |id: &Id| {
        let mut commands = snapshot.devices.iter().flat_map(|d| &d.commands);
        commands.any(|c| c.component == *id && matches!(c.proof, CommandProof::Failed(_)))
    };
    let failed = writes.iter().filter_map(|w| match &w.outcome {
        WriteOutcome::Failed(why) if !told(&w.component) => Some((w, why)),
        _ => None,
    });
    failed
        .map(|(w, why)| {
            let en = format!("{} did not take {}: {why}", w.component, w.command);
            let ko = format!("{} 명령 {} 실패", w.component, w.command);
            alarm("write_failed", Some(w.component.as_str()), en, ko, now)
        })
        .collect()
}

fn doubt_alarms(snapshot: &Snapshot) -> Vec<Alarm> {
    let mut found: Vec<Alarm> = Vec::new();
    for d in &snapshot.doubts {
        if found
            .iter()
            .any(|a| a.component.as_deref() == Some(d.component.as_str()))
        {
            continue;
        }
        let name = d.component.as_str();
        let en = format!("a value of {name} is not believed: {}", d.why);
        found.push(alarm(
            "doubtful_value",
            Some(name),
            en,
            format!("{name} 측정값 신뢰 불가: {}", d.kind.ko()),
            snapshot.at,
        ));
    }
    found
}
