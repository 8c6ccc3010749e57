//! Inverters that sleep: one that feeds nothing but PV and falls silent with the sun is not broken. Its power is zero, and
//! nobody is called.

use super::plausible::key;
use crate::model::{DeviceHealth, Quantity};
use crate::reading::Reading;
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Inverters stop while the sun is still a little above the horizon, and start later than it rises, degrees.
const LOW_SUN: f64 = 7.0;
/// What gave more than this share of its rating when it was last heard was not going to sleep.
const FADING: f64 = 0.05;
/// The longest night of most places; what was silent before the last sunset is broken.
const NIGHT: TimeDelta = TimeDelta::hours(20);

type Components = BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>>;

/// The devices with those marked that sleep; the power of what they feed is zero. An inverter that answers at night without
/// a power (a pattern for "not available") rests too.
pub fn rest(
    plant: &Plant,
    devices: &[DeviceHealth],
    components: &mut Components,
    accepted: &BTreeMap<String, (Timestamp, f64)>,
    now: Timestamp,
) -> Vec<DeviceHealth> {
    let low = plant.location.sun(now).is_some_and(|s| s.elevation() < LOW_SUN);
    let sleeps = |d: &DeviceHealth| {
        let known = |id: &Id| accepted.get(&key(id, Quantity::ActivePower)?).copied();
        let faded = d.components.iter().all(|id| fades(plant, id, known(id), now));
        low && faded && !d.components.is_empty()
    };
    let mut marked = devices.to_vec();
    for d in marked.iter_mut().filter(|d| sleeps(d)) {
        d.asleep = !d.online;
        for id in &d.components {
            let own = components.entry(id.clone()).or_default();
            let power = own.entry(Quantity::ActivePower).or_insert(Reading::missing(now));
            if power.usable().is_none() {
                *power = Reading::derived(0.0, now);
            }
        }
    }
    marked
}

/// PV that gave next to nothing when it was last heard, or was not heard yet.
fn fades(plant: &Plant, id: &Id, known: Option<(Timestamp, f64)>, now: Timestamp) -> bool {
    let Some(Kind::Pv(pv)) = plant.components.get(id).map(|c| &c.kind) else {
        return false;
    };
    known.is_none_or(|(at, kw)| kw.abs() <= FADING * pv.inverter_max.as_kw() && now - at < NIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Quality;

    /// Last power heard, hours ago and kW; what a scan at that local time then shows.
    struct Row {
        at: &'static str,
        heard: Option<(i64, f64)>,
        online: bool,
        asleep: bool,
        power: Option<f64>,
    }

    fn check(row: &Row) {
        let plant = crate::site::builtin("apartment-seoul").unwrap().plant;
        let now: Timestamp = format!("2026-05-12T{}:00+09:00", row.at).parse().unwrap();
        let pv = Id::new("pv");
        let kept = row.heard.map(|(h, kw)| (now - TimeDelta::hours(h), kw));
        let accepted = kept
            .and_then(|k| Some((key(&pv, Quantity::ActivePower)?, k)))
            .into_iter()
            .collect();
        let device = DeviceHealth {
            online: row.online,
            ..DeviceHealth::unheard(Id::new("pv-inverter"), vec![pv.clone()])
        };
        let mut shown = Components::new();
        let marked = rest(&plant, &[device], &mut shown, &accepted, now);
        let power = shown.get(&pv).and_then(|own| own.get(&Quantity::ActivePower));
        let what = format!("{} {:?} online {}", row.at, row.heard, row.online);
        assert_eq!(marked[0].asleep, row.asleep, "{what}");
        assert_eq!(power.and_then(Reading::usable), row.power, "{what}");
        assert!(power.is_none_or(|p| p.quality() == Quality::Derived), "{what}");
    }

    #[test]
    fn an_inverter_sleeps_when_the_sun_is_down_and_it_had_faded() {
        let row = |at, heard, online, asleep, power| Row {
            at,
            heard,
            online,
            asleep,
            power,
        };
        [
            // sunset in Seoul is at 19:33, sunrise at 5:23
            row("23:00", Some((3, 0.2)), false, true, Some(0.0)),
            row("05:30", Some((10, 0.1)), false, true, Some(0.0)),
            // after a restart nothing is known
            row("23:00", None, false, true, Some(0.0)),
            // answers without a power
            row("23:00", Some((3, 0.2)), true, false, Some(0.0)),
            // gone while it gave power
            row("23:00", Some((8, 21.0)), false, false, None),
            // gone for a whole day
            row("23:00", Some((22, 0.2)), false, false, None),
            // the sun is up
            row("12:00", Some((6, 0.1)), false, false, None),
        ]
        .iter()
        .for_each(check);
    }

    #[test]
    fn what_feeds_more_than_pv_does_not_sleep() {
        let plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        let now: Timestamp = "2026-05-12T01:00:00+02:00".parse().unwrap();
        let hybrid = DeviceHealth::unheard(Id::new("inverter"), vec![Id::new("pv"), Id::new("battery")]);
        let marked = rest(&plant, &[hybrid], &mut Components::new(), &BTreeMap::new(), now);
        assert!(!marked[0].asleep);
    }
}
