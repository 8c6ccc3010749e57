//! The meter's power against its own energy counters: what it showed, summed over time, must be what they counted. It takes
//! an hour or two, and finds what nothing else does: a constant amount too much.

use super::Image;
use crate::model::{DoubtKind, EnergyWatch, Quantity};
use crate::site::Id;
use crate::time::Timestamp;
use crate::units::hours;
use chrono::TimeDelta;

/// Compared whenever so much has flowed, either way, kWh.
const WINDOW_KWH: f64 = 2.0;
/// Believed difference: share of what flowed (power is a sample a cycle), and steps of the counters.
const SHARE: f64 = 0.15;
const STEPS: f64 = 1.1;
/// Step of a counter that shows parts of a kWh, and of one that does not.
const FINE_KWH: f64 = 0.1;
const COARSE_KWH: f64 = 1.0;
/// Longest cycle whose samples add up to the energy: over a minute's cycle loads of minutes come and go unseen.
const SAMPLED: TimeDelta = TimeDelta::seconds(15);
/// So many windows in a row must differ.
const WINDOWS: u32 = 2;

/// Follows power and counters; what they say once they differ.
pub fn check(image: &mut Image<'_>, id: &Id, at: Timestamp) -> Option<(DoubtKind, String, String)> {
    let power = image.usable(id, Quantity::ActivePower)?;
    let counted = [Quantity::EnergyImport, Quantity::EnergyExport].map(|q| image.usable(id, q));
    let [Some(import), Some(export)] = counted else {
        image.state.meter.energy = None;
        return None;
    };
    let cycle = image.plant.timing.cycle.max(TimeDelta::seconds(1));
    if cycle > SAMPLED {
        return None;
    }
    let now = EnergyWatch {
        at,
        power,
        counter: import - export,
        fine: import.fract() != 0.0 || export.fract() != 0.0,
        net: 0.0,
        flow: 0.0,
        off: 0,
        last: None,
    };
    let watch = image.state.meter.energy.get_or_insert(now);
    if at - watch.at > cycle * 3 {
        // over a gap nobody knows what flowed
        *watch = EnergyWatch {
            off: watch.off,
            last: watch.last,
            ..now
        };
    }
    let h = hours((at - watch.at).max(TimeDelta::zero()));
    watch.net += 0.5 * (watch.power + power) * h;
    watch.flow += 0.5 * (watch.power.abs() + power.abs()) * h;
    (watch.at, watch.power, watch.fine) = (at, power, watch.fine || now.fine);
    if watch.flow >= WINDOW_KWH {
        let step = if watch.fine { FINE_KWH } else { COARSE_KWH };
        let (net, counter) = (watch.net, now.counter - watch.counter);
        let differs = (net - counter).abs() > SHARE * watch.flow + STEPS * step;
        let off = if differs { watch.off + 1 } else { 0 };
        *watch = EnergyWatch {
            off,
            last: Some((net, counter)),
            ..now
        };
    }
    let (net, counter) = watch.last.filter(|_| watch.off >= WINDOWS)?;
    let en = format!(
        "its power adds up to {net:.2} kWh while its own counters moved by {counter:.2} kWh, and so before: look at unit, scale and \
         sign of its profile, and whether this is the value of another device"
    );
    let ko = format!(
        "전력의 합은 {net:.2} kWh인데 자체 적산값은 {counter:.2} kWh 변함(되풀이됨). 프로필의 단위·배율·부호와 다른 장치의 값인지 확인하십시오"
    );
    Some((DoubtKind::Balance, en, ko))
}
