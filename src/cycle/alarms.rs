//! What people should know about now, in both languages.

use super::ports::Alarm;
use crate::model::{
    CommandProof, ControllerState, DeviceHealth, DoubtKind, IdentityStatus, Quantity, RatingFault, Rung, Snapshot,
    WriteOutcome, WriteReport,
};
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};

/// A component without a usable value for so long is an alarm.
const MISSING: TimeDelta = TimeDelta::seconds(60);
/// The same where its device answers and has shown nothing of it since the start; at least three cycles.
const NEVER_SHOWN: TimeDelta = TimeDelta::seconds(5);

/// Keeps since when each alarm stands, and since when values are missing.
#[derive(Debug, Default)]
pub struct Alarms {
    since: BTreeMap<(String, Option<String>), Timestamp>,
    missing: BTreeMap<Id, Timestamp>,
    /// Components that have had a value.
    shown: BTreeSet<Id>,
}

impl Alarms {
    /// The clock jumped; alarms stand as long as before.
    pub fn step(&mut self, step: TimeDelta) {
        self.since.values_mut().for_each(|t| *t += step);
        self.missing.values_mut().for_each(|t| *t += step);
    }

    /// Alarms of this cycle; those that were there before keep their start.
    pub fn update(
        &mut self,
        plant: &Plant,
        snapshot: &Snapshot,
        state: &ControllerState,
        writes: &[WriteReport],
        extra: &[Alarm],
    ) -> Vec<Alarm> {
        let now = snapshot.at;
        let mut found = device_alarms(plant, snapshot);
        found.extend(rating_alarms(plant, snapshot));
        found.extend(rung_alarm(state, now));
        found.extend(command_alarms(plant, snapshot));
        found.extend(write_alarms(plant, snapshot, writes, now));
        found.extend(doubt_alarms(plant, snapshot));
        found.extend(self.missing_alarms(plant, snapshot));
        found.extend(peak_alarm(plant, state, now));
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

    /// Components without a usable value, whatever their devices say of themselves: one that answers may have lost its
    /// points.
    fn missing_alarms(&mut self, plant: &Plant, snapshot: &Snapshot) -> Vec<Alarm> {
        let now = snapshot.at;
        let lacking: BTreeMap<Id, (&str, &str)> = plant
            .components
            .iter()
            .filter_map(|(id, c)| Some((id.clone(), lacks(snapshot, id, &c.kind)?)))
            .collect();
        self.missing.retain(|id, _| lacking.contains_key(id));
        let has = plant.components.keys().filter(|id| !lacking.contains_key(*id));
        self.shown.extend(has.cloned());
        let answers = |id: &Id| snapshot.devices.iter().any(|d| d.online && d.components.contains(id));
        let mut found = Vec::new();
        for (id, (en, ko)) in lacking {
            let since = *self.missing.entry(id.clone()).or_insert(now);
            let never = answers(&id) && !self.shown.contains(&id);
            let (name_en, name_ko) = plant.titles(&id);
            let (en, ko) = if never && now - since >= NEVER_SHOWN.max(plant.timing.cycle * 3) {
                (
                    format!("the device of {name_en} answers but shows no usable {en} of it"),
                    format!("{name_ko}: 장치는 응답하지만 쓸 수 있는 {ko} 값이 없음"),
                )
            } else if now - since >= MISSING {
                (
                    format!("{name_en} has no usable {en} for a minute or more"),
                    format!("{name_ko}: 1분 이상 쓸 수 있는 {ko} 값이 없음"),
                )
            } else {
                continue;
            };
            found.push(alarm("no_value", Some(id.as_str()), en, ko, now));
        }
        found
    }
}

/// What a component must show and does not, in both languages. What never showed a power but shows other values has none
/// to show.
fn lacks(snapshot: &Snapshot, id: &Id, kind: &Kind) -> Option<(&'static str, &'static str)> {
    let fed = snapshot.devices.iter().any(|d| d.components.contains(id));
    let own = snapshot.components.get(id);
    if !fed && own.is_none() && matches!(kind, Kind::Load(_)) {
        // what no device measures is computed
        return snapshot
            .residual
            .is_some_and(|r| r.usable().is_none())
            .then_some(("power", "전력"));
    }
    let Some(own) = own.filter(|own| own.values().any(|r| r.usable().is_some())) else {
        return Some(("value", "측정"));
    };
    let gone = |q: Quantity| own.get(&q).is_some_and(|r| r.usable().is_none());
    if gone(Quantity::ActivePower) {
        return Some(("power", "전력"));
    }
    let charge = matches!(kind, Kind::Battery(_)) && gone(Quantity::StateOfCharge);
    charge.then_some(("state of charge", "충전율"))
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

/// A device has no name of its own: its id, and the names of what it feeds.
fn device(plant: &Plant, d: &DeviceHealth) -> (String, String) {
    let (en, ko): (Vec<String>, Vec<String>) = d.components.iter().map(|id| plant.titles(id)).unzip();
    let id = &d.device;
    (
        format!("{id} ({})", en.join(", ")),
        format!("`{id}`({})", ko.join(", ")),
    )
}

fn device_alarms(plant: &Plant, snapshot: &Snapshot) -> Vec<Alarm> {
    let mut found = Vec::new();
    for d in &snapshot.devices {
        if d.asleep {
            continue;
        }
        let name = d.device.as_str();
        let (name_en, name_ko) = device(plant, d);
        if !d.online {
            let why = d.trouble.as_deref().unwrap_or("no answer");
            let why_ko = d.trouble_ko.as_deref().unwrap_or("응답 없음");
            let en = format!("device {name_en} is silent: {why}");
            let ko = format!("장치 {name_ko} 무응답: {why_ko}");
            found.push(alarm("device_silent", Some(name), en, ko, snapshot.at));
        } else if d.identity == IdentityStatus::Mismatch {
            let en = format!("device {name_en} is not the one the site file names; it is not controlled");
            let ko = format!("장치 {name_ko} 식별 불일치: 제어하지 않음");
            found.push(alarm("device_identity", Some(name), en, ko, snapshot.at));
        }
    }
    found
}

/// What a device says of itself and cannot be true.
fn rating_alarms(plant: &Plant, snapshot: &Snapshot) -> Vec<Alarm> {
    let faults = snapshot.devices.iter().flat_map(|d| &d.ratings);
    let told = |f: &RatingFault| {
        let component = Some(f.component.as_str());
        let (name_en, name_ko) = plant.titles(&f.component);
        alarm(
            "device_rating",
            component,
            f.text_en(&name_en),
            f.text_ko(&name_ko),
            snapshot.at,
        )
    };
    faults.map(told).collect()
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

/// The month's peak rose above what a plan of this day meant to keep.
fn peak_alarm(plant: &Plant, state: &ControllerState, now: Timestamp) -> Option<Alarm> {
    let missed = state.today.missed_peak?;
    let tz = plant.location.time_zone;
    let clock = |t: Timestamp| t.with_timezone(&tz).format("%H:%M").to_string();
    let (reached, kept) = (missed.reached.as_kw(), missed.kept.peak.as_kw());
    let (from, said) = (clock(missed.window), clock(missed.kept.said_at));
    let [planned_en, planned_ko] = match missed.planned.map(Power::as_kw) {
        Some(kw) => [
            format!("; the plan expected {kw:.1} kW of import then"),
            format!(" 그 구간의 계획 수전 전력은 {kw:.1} kW였습니다."),
        ],
        None => [
            "; no plan was in force then".to_owned(),
            " 그때는 유효한 계획이 없었습니다.".to_owned(),
        ],
    };
    let en = format!(
        "the month's peak rose to {reached:.1} kW in the metering window from {from}, above the {kept:.1} kW that the plan of \
         {said} meant to keep{planned_en}"
    );
    let ko = format!(
        "{from}부터의 계량 구간에서 이달 최대 수요가 {reached:.1} kW로 올라 {said} 계획의 목표 {kept:.1} kW를 넘었습니다.{planned_ko}"
    );
    Some(alarm("peak_missed", None, en, ko, now))
}

/// What stands between a device and its commands: failures that last, another master, memory that wears.
fn command_alarms(plant: &Plant, snapshot: &Snapshot) -> Vec<Alarm> {
    let commands = snapshot
        .devices
        .iter()
        .flat_map(|d| d.commands.iter().map(move |c| (d, c)));
    let mut found = Vec::new();
    for (d, c) in commands {
        let (device_en, device_ko) = device(plant, d);
        let mut add = |code: &str, en: String, ko: String| {
            found.push(alarm(code, Some(c.component.as_str()), en, ko, snapshot.at));
        };
        if let CommandProof::Failed(why) = &c.proof {
            let (en, ko) = refused(plant, &c.component, &c.command, why);
            add("write_failed", en, ko);
        }
        if let Some(f) = &c.foreign {
            let what = match f.yielded_until {
                Some(until) => format!("it is left alone until {}", until.format("%Y-%m-%d %H:%M UTC")),
                None => format!("found {}; asserted again {} of 3 times", f.found, f.reasserted),
            };
            let en = format!(
                "another controller is active at device {device_en}, {}: {what}",
                c.command
            );
            let ko = format!("장치 {device_ko}에 다른 제어기가 동작 중");
            add("foreign_controller", en, ko);
        }
        if let Some(why) = &c.worn {
            let en = format!("device {device_en}: {why}");
            add("wear_budget", en, format!("장치 {device_ko}의 일일 쓰기 한도 도달"));
        }
    }
    found
}

/// A command that failed; its name has no translation.
fn refused(plant: &Plant, component: &Id, command: &str, why: &str) -> (String, String) {
    let (name_en, name_ko) = plant.titles(component);
    (
        format!("{name_en} did not take {command}: {why}"),
        format!("{name_ko}: 명령 `{command}` 실패"),
    )
}

/// Failures of this cycle that no device remembers.
fn write_alarms(plant: &Plant, snapshot: &Snapshot, writes: &[WriteReport], now: Timestamp) -> Vec<Alarm> {
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
            let (en, ko) = refused(plant, &w.component, &w.command, why);
            alarm("write_failed", Some(w.component.as_str()), en, ko, now)
        })
        .collect()
}

fn doubt_alarms(plant: &Plant, snapshot: &Snapshot) -> Vec<Alarm> {
    let mut found: Vec<Alarm> = Vec::new();
    for d in &snapshot.doubts {
        if found
            .iter()
            .any(|a| a.component.as_deref() == Some(d.component.as_str()))
        {
            continue;
        }
        let name = d.component.as_str();
        let (name_en, name_ko) = plant.titles(&d.component);
        let en = format!("a value of {name_en} is not believed: {}", d.why);
        let ko = d.why_ko.as_deref().unwrap_or(d.kind.ko());
        let ko = format!("{name_ko} 측정값 신뢰 불가: {ko}");
        // what does not add up is a matter of wiring, of the site file, or of a broken meter: somebody has to go and look
        let code = match d.kind {
            DoubtKind::Balance | DoubtKind::Scale => "wiring",
            _ => "doubtful_value",
        };
        found.push(alarm(code, Some(name), en, ko, snapshot.at));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Doubt, KeptPeak, MissedPeak};
    use crate::reading::Reading;

    /// A home whose devices all answer; `power` of each component in kW, `None` where its device shows none.
    fn snapshot(plant: &Plant, at: Timestamp, power: impl Fn(&str) -> Option<f64>) -> Snapshot {
        let fed: Vec<Id> = plant
            .components
            .keys()
            .filter(|id| id.as_str() != "home")
            .cloned()
            .collect();
        let shown = |id: &Id| match power(id.as_str()) {
            Some(kw) => Reading::good(kw, at),
            None => Reading::missing(at),
        };
        let all = fed.iter().all(|id| power(id.as_str()).is_some());
        let rest = Reading::derived(Power::kw(0.5), at);
        Snapshot {
            at,
            components: fed
                .iter()
                .map(|id| (id.clone(), [(Quantity::ActivePower, shown(id))].into()))
                .collect(),
            grid: Some(shown(&Id::new("grid")).map(Power::kw)),
            residual: Some(if all { rest } else { Reading::missing(at) }),
            rest: Some(rest),
            astray: None,
            devices: vec![DeviceHealth {
                online: true,
                ..DeviceHealth::unheard(Id::new("everything"), fed)
            }],
            doubts: Vec::new(),
        }
    }

    #[test]
    fn a_component_without_a_value_for_a_minute_is_an_alarm_although_its_device_answers() {
        let plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        let start = chrono::DateTime::UNIX_EPOCH;
        let state = ControllerState {
            rung: Rung::Normal,
            ..ControllerState::fresh(&plant, start)
        };
        let mut alarms = Alarms::default();
        let mut said = |t: i64, pv: bool| -> Vec<(String, String)> {
            let shown = |id: &str| (pv || id != "pv").then_some(1.0);
            let s = snapshot(&plant, start + TimeDelta::seconds(t), shown);
            let found = alarms.update(&plant, &s, &state, &[], &[]);
            assert!(
                found.iter().all(|a| a.code == "no_value" && a.text_ko.contains("1분")),
                "{found:?}"
            );
            found.into_iter().map(|a| (a.component.unwrap(), a.text_en)).collect()
        };
        assert_eq!(
            (said(0, true), said(10, false), said(69, false)),
            (vec![], vec![], vec![])
        );
        let found = said(70, false);
        let who: Vec<&str> = found.iter().map(|(c, _)| c.as_str()).collect();
        assert_eq!(who, ["home", "pv"], "{found:?}");
        assert!(found.iter().all(|(_, en)| en.contains("no usable")));
        assert_eq!((said(71, true), said(72, false)), (vec![], vec![]));
    }

    #[test]
    fn what_an_answering_device_never_showed_is_told_soon() {
        let mut plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        plant.timing.cycle = TimeDelta::seconds(1);
        let start = chrono::DateTime::UNIX_EPOCH;
        let state = ControllerState {
            rung: Rung::Normal,
            ..ControllerState::fresh(&plant, start)
        };
        let mut alarms = Alarms::default();
        let mut told = |t: i64| -> Vec<String> {
            let s = snapshot(&plant, start + TimeDelta::seconds(t), |id| (id != "pv").then_some(1.0));
            let found = alarms.update(&plant, &s, &state, &[], &[]);
            found.into_iter().map(|a| a.text_en).collect()
        };
        assert_eq!((told(0), told(4)), (vec![], vec![]));
        assert_eq!(told(5), ["the device of Roof answers but shows no usable value of it"]);
    }

    #[test]
    fn what_does_not_add_up_is_a_wiring_alarm_with_its_numbers_in_both_languages() {
        let plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        let start = chrono::DateTime::UNIX_EPOCH;
        let mut s = snapshot(&plant, start, |_| Some(1.0));
        s.doubts.push(Doubt {
            component: Id::new("grid"),
            quantity: Quantity::ActivePower,
            kind: DoubtKind::Balance,
            why: "it shows 1.00 kW".into(),
            why_ko: Some("계량기 1.00 kW".into()),
        });
        let state = ControllerState {
            rung: Rung::Normal,
            ..ControllerState::fresh(&plant, start)
        };
        let found = Alarms::default().update(&plant, &s, &state, &[], &[]);
        let [a] = &found[..] else { panic!("{found:?}") };
        assert_eq!((a.code.as_str(), a.component.as_deref()), ("wiring", Some("grid")));
        assert!(a.text_en.contains("1.00 kW") && a.text_ko.contains("1.00 kW"), "{a:?}");
    }

    #[test]
    fn a_peak_that_rose_above_what_the_plan_meant_to_keep_is_told_with_both_numbers() {
        let plant = crate::site::builtin("apartment-seoul").unwrap().plant;
        // 07:50 in Seoul
        let at = chrono::DateTime::UNIX_EPOCH + TimeDelta::minutes(20_000 * 1440 - 70);
        let mut state = ControllerState {
            rung: Rung::Normal,
            ..ControllerState::fresh(&plant, at)
        };
        assert_eq!(peak_alarm(&plant, &state, at), None);
        state.today.missed_peak = Some(MissedPeak {
            kept: KeptPeak {
                peak: Power::kw(30.9),
                said_at: at - TimeDelta::hours(7),
            },
            window: at - TimeDelta::minutes(20),
            reached: Power::kw(55.6),
            planned: Some(Power::kw(29.0)),
        });
        let told = peak_alarm(&plant, &state, at).unwrap();
        assert_eq!(
            told.text_en,
            "the month's peak rose to 55.6 kW in the metering window from 07:30, above the 30.9 kW that the plan of 00:50 meant \
             to keep; the plan expected 29.0 kW of import then"
        );
        for part in ["07:30", "55.6 kW", "00:50", "30.9 kW", "29.0 kW"] {
            assert!(told.text_ko.contains(part), "{}", told.text_ko);
        }
    }
}
