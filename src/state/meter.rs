//! Is the grid meter right? It is believed only while the parts add up to it: the load that they leave is neither negative
//! nor far above its most. Which factor, sign or offset makes it wrong does not matter.
//!
//! From the second poll in which it does not add up, limits are kept under both views ([`Astray`]); after ten seconds the
//! meter is not believed, unless one part explains it better ([`Balance::blames_a_part`]: that is waited for). Half as long is
//! enough where the contradiction went with the power of the parts and came back with it. The meter is believed again when it
//! has added up for a while, and each time for twice as long: a wrong meter adds up whenever little flows.

use super::Image;
use super::balance::Balance;
use super::{counters, steps};
use crate::model::{Astray, DoubtKind, MeterMemory, Off, Quantity, Verdict};
use crate::site::Id;
use crate::time::Timestamp;
use chrono::TimeDelta;

/// It must not add up for so long, and in so many polls.
const PROOF: TimeDelta = TimeDelta::seconds(10);
const POLLS: u32 = 3;
/// The same where the meter repeats one value: slow ones show another only every ten seconds or so.
const PROOF_STILL: TimeDelta = TimeDelta::seconds(20);
/// The same where a part explains it: as long as it takes to find that part out (sign 20 s, standing still 30 s).
const PROOF_PART: TimeDelta = TimeDelta::seconds(40);
/// Devices are read moments apart: one poll is no reason to hold anything back.
const WARY: TimeDelta = TimeDelta::seconds(2);
/// Sums that fit speak for the meter where the parts draw this share of what they drew when the sums did not fit; a
/// contradiction that did not come back within this time is dropped.
const AS_MUCH: f64 = 0.8;
const REMEMBERED: TimeDelta = TimeDelta::minutes(2);
/// The highest load seen within this time is what is counted with while meter and parts contradict each other.
const LOAD_KEPT: TimeDelta = TimeDelta::minutes(5);
/// A verdict ends when it has added up for so long; a new one within a day doubles the time, up to the longest.
const HOLD_S: i64 = 600;
const HOLD_MOST_S: i64 = 7_200;
const AGAIN: TimeDelta = TimeDelta::hours(24);
/// A part found wrong so soon after a verdict was the cause of it.
const SOON: TimeDelta = TimeDelta::minutes(2);
/// A load above what the site file expects is told after this time, where the meter has proved right in other ways.
const TOLD: TimeDelta = TimeDelta::seconds(60);

pub fn check(image: &mut Image<'_>) -> Option<Astray> {
    let id = image.plant.connection.as_ref()?.meter.clone();
    if image.is_fresh(&id) && image.usable(&id, Quantity::ActivePower).is_some() {
        weigh(image, &id);
    }
    acquit(image, &id);
    if let Some(v) = image.state.meter.verdict.clone() {
        image.refuse_in_both(&id, v.kind, v.why, v.why_ko);
        return None;
    }
    astray(image)
}

/// Takes this poll into account.
fn weigh(image: &mut Image<'_>, id: &Id) {
    let at = image.at(id);
    let balance = Balance::of(image);
    let memory = &mut image.state.meter;
    match &balance {
        Some(b) if b.fits(b.load) => {
            pause_or_end(memory, b, at);
            keep_load(memory, b.load, at);
            memory.shown = Some(b.grid);
            lift_if_due(memory, at);
        }
        Some(b) if b.is_off() => {
            count(memory, b, at);
            if let Some(v) = memory.verdict.as_mut() {
                v.fits_since = None;
            }
        }
        Some(_) => {}
        None => memory.off = None,
    }
    let off = balance.filter(|b| b.is_off() && image.state.meter.verdict.is_none());
    let found = match off {
        Some(b) => judge(image, &b).or_else(|| steps::check(image, at)),
        None => steps::check(image, at),
    };
    let found = found.or_else(|| counted(image, id, at));
    if let Some((kind, why, why_ko)) = found.filter(|_| image.state.meter.verdict.is_none()) {
        convict(&mut image.state.meter, kind, why, why_ko, at);
    }
}

fn count(memory: &mut MeterMemory, b: &Balance, at: Timestamp) {
    // A slow meter repeats what it showed before the parts moved; one that moves with the parts has no such excuse.
    let first = memory.shown.unwrap_or(b.grid);
    let off = memory.off.get_or_insert(Off {
        since: at,
        last: at,
        polls: 0,
        before_s: None,
        paused: false,
        parts: b.parts,
        first,
        changed: false,
    });
    if off.paused {
        off.before_s = Some(off.lasted_s());
        (off.since, off.first, off.paused) = (at, first, false);
    }
    if off.polls == 0 || at > off.last {
        off.last = at;
        off.polls += 1;
        off.changed |= b.grid != off.first;
        off.parts = b.parts;
    }
}

/// The sums fit. That speaks for the meter only while the parts draw (or feed in) as much as when the sums did not, or where
/// the meter shows late what they drew: a meter that is wrong by a factor adds up as soon as little flows, and our own reaction
/// to the contradiction is to let little flow.
fn pause_or_end(memory: &mut MeterMemory, b: &Balance, at: Timestamp) {
    let load = memory.load.map_or(b.load, |(_, kw)| kw);
    let Some(off) = memory.off.as_mut() else { return };
    let as_much = b.parts * off.parts.signum() >= AS_MUCH * off.parts.abs();
    let late = off.parts > 0.0 && b.load - load >= AS_MUCH * off.parts;
    if as_much || late || at - off.last > REMEMBERED {
        memory.off = None;
    } else {
        off.paused = true;
    }
}

/// Remembers the load: the highest of the last minutes.
fn keep_load(memory: &mut MeterMemory, load: f64, at: Timestamp) {
    let higher = memory.load.is_none_or(|(then, kw)| load >= kw || at - then > LOAD_KEPT);
    if higher {
        memory.load = Some((at, load));
    }
}

fn lift_if_due(memory: &mut MeterMemory, at: Timestamp) {
    let Some(v) = memory.verdict.as_mut() else { return };
    let since = *v.fits_since.get_or_insert(at);
    if at - since >= TimeDelta::seconds(v.hold_s) {
        memory.lifted = Some((at, v.hold_s));
        memory.verdict = None;
    }
}

fn convict(memory: &mut MeterMemory, kind: DoubtKind, why: String, why_ko: String, at: Timestamp) {
    let before = memory.lifted.filter(|(then, _)| at - *then < AGAIN);
    memory.verdict = Some(Verdict {
        kind,
        since: at,
        why,
        why_ko,
        fits_since: None,
        hold_s: before.map_or(HOLD_S, |(_, s)| (2 * s).min(HOLD_MOST_S)),
    });
}

/// A part that is found wrong right after the meter was not believed is what did not add up.
fn acquit(image: &mut Image<'_>, id: &Id) {
    let is_cause = |k: DoubtKind| matches!(k, DoubtKind::Sign | DoubtKind::Unit | DoubtKind::Frozen);
    let mut found = image
        .doubts
        .iter()
        .filter(|d| d.component != *id && d.quantity == Quantity::ActivePower);
    if !found.any(|d| is_cause(d.kind)) {
        return;
    }
    let soon = |v: &Verdict| v.kind != DoubtKind::Scale && image.now - v.since < SOON;
    if image.state.meter.verdict.as_ref().is_some_and(soon) {
        image.state.meter.verdict = None;
    }
}

/// Power and counters of the meter differ: one of them is wrong. Where our own steps show that the power moves as it should,
/// that is told and the power stands.
fn counted(image: &mut Image<'_>, id: &Id, at: Timestamp) -> Option<Found> {
    let (kind, en, ko) = counters::check(image, id, at)?;
    if steps::vouch(&image.state.meter, image.now) {
        image.note(id, kind, en, ko);
        return None;
    }
    Some((kind, en, ko))
}

type Found = (DoubtKind, String, String);

/// What does not add up long enough to be sure.
fn judge(image: &mut Image<'_>, b: &Balance) -> Option<Found> {
    let off = image.state.meter.off?;
    let needed = if b.blames_a_part(image) {
        PROOF_PART
    } else if off.changed && came_again(&off) {
        PROOF / 2
    } else if off.changed {
        PROOF
    } else {
        PROOF_STILL
    };
    let lasted = seconds(off.lasted_s());
    if lasted < needed || off.polls < POLLS {
        return None;
    }
    if b.load > 0.0 && steps::vouch(&image.state.meter, image.now) {
        // the meter shows our own steps as they are: it is the load that is larger than the site file says
        if lasted >= TOLD {
            too_large(image, b);
        }
        return None;
    }
    let load = image.unmetered_load()?;
    Some(words(b, image.plant.titles(&load)))
}

/// The contradiction came back with the power of the parts, and this spell is more than a reading or two that were late.
fn came_again(off: &Off) -> bool {
    off.before_s.is_some_and(|s| seconds(s) >= WARY) && off.last - off.since >= WARY
}

fn seconds(s: f64) -> TimeDelta {
    TimeDelta::milliseconds((s * 1e3) as i64)
}

/// Says that a load is larger than expected; its value stands.
fn too_large(image: &mut Image<'_>, b: &Balance) {
    let Some(load) = image.unmetered_load() else { return };
    let (kw, most) = (b.load, b.expected);
    let (name, name_ko) = image.plant.titles(&load);
    let en = format!(
        "{kw:.1} kW is left for {name} where the site file expects {most:.1} kW at most, and the meter has proved right by \
         our own steps: raise its `max`, or name what draws this"
    );
    let ko = format!(
        "{name_ko}에 {kw:.1} kW가 남음(현장 파일의 최대 {most:.1} kW). 계량기는 설정값 변화와 일치함: `max`를 올리거나 빠진 부하를 적으십시오"
    );
    image.note(&load, DoubtKind::Balance, en, ko);
}

/// What does not add up, by how much, and what to look at.
fn words(b: &Balance, (load, load_ko): (String, String)) -> Found {
    let (grid, parts, rest) = (b.grid, b.parts, b.load);
    let turned = grid.abs() > b.slack && b.fits(-grid - parts);
    let kind = if turned {
        DoubtKind::Sign
    } else if grid != 0.0 && b.fits(1e3 * grid - parts) {
        DoubtKind::Unit
    } else {
        DoubtKind::Balance
    };
    let (would, would_ko) = if rest < 0.0 {
        (
            format!("{load} would have to feed in {:.2} kW", -rest),
            format!("{load_ko}이(가) {:.2} kW를 내보내는 셈임", -rest),
        )
    } else {
        (
            format!(
                "{load} would draw {rest:.2} kW, at most {:.2} kW are expected",
                b.expected
            ),
            format!(
                "{load_ko}이(가) {rest:.2} kW를 쓰는 셈임(최대 {:.2} kW 예상)",
                b.expected
            ),
        )
    };
    let (look, look_ko) = match (kind, rest < 0.0) {
        (DoubtKind::Sign, _) => (
            "with its sign turned it would fit: look at the direction of the current transformers (`ct_reversed`)",
            "부호를 바꾸면 맞음: 변류기(CT) 방향(`ct_reversed`)을 확인하십시오",
        ),
        (DoubtKind::Unit, _) => (
            "times a thousand it would fit: look at the unit of the meter's profile and the ratio of the transformers",
            "1000배이면 맞음: 계량기 프로필의 단위와 변류기(CT) 비율을 확인하십시오",
        ),
        (_, true) => (
            "look at the meter's current transformers (ratio, phase, direction) and wiring, at sign and unit of the parts, and \
             for something that feeds in unmeasured",
            "변류기(CT)의 비율·상·방향, 결선, 각 설비의 부호와 단위, 계측되지 않는 발전 설비를 확인하십시오",
        ),
        (_, false) => (
            "look at the ratio of the current transformers and the unit of the profile, and at the load's `max` in the site file",
            "변류기(CT) 비율과 프로필의 단위, 현장 파일의 부하 `max`를 확인하십시오",
        ),
    };
    let en = format!("it shows {grid:.2} kW, the measured parts together {parts:.2} kW: {would}; {look}");
    let ko = format!("계량기 {grid:.2} kW, 측정된 설비의 합 {parts:.2} kW: {would_ko}. {look_ko}");
    (kind, en, ko)
}

/// Before anything is proven: what may flow beyond what the meter shows, if the parts are right.
fn astray(image: &mut Image<'_>) -> Option<Astray> {
    let off = image.state.meter.off?;
    if off.paused || off.polls < 2 || off.last - off.since < WARY {
        return None;
    }
    let b = Balance::of(image)?;
    image.state.meter.wary = Some(off.last);
    let load = image.state.meter.load.map_or(b.expected, |(_, kw)| kw);
    let flow = b.parts + load;
    Some(Astray {
        import: (flow - b.grid).max(0.0),
        export: (b.grid - flow).max(0.0),
    })
}
