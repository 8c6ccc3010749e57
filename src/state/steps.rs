//! What the grid meter shows of our own steps: when a battery is told another power and obeys, the meter must move by as
//! much. A factor shows here even while the sums stay within what the load can be.
//!
//! Only steps that we told count: a battery under its own control moves with the load, and the meter then stands still. The
//! meter's value before a step is the last one before the parts moved, so that what made us tell the step is in it already;
//! the one after is a mean over the time in which everything stands still, the lag of slow meters left out.

use super::Image;
use super::plausible::power_range;
use crate::model::{Calm, DoubtKind, MeterMemory, Moving, Quantity, Step, StepWatch};
use crate::site::{Id, Kind};
use crate::time::Timestamp;
use chrono::TimeDelta;

/// Slow meters, which repeat a value now and then, show a step this late; then the mean is taken until the step is settled.
const LAG: TimeDelta = TimeDelta::seconds(10);
const SETTLED: TimeDelta = TimeDelta::seconds(15);
/// The same for a meter that shows another value in each poll.
const LAG_FAST: TimeDelta = TimeDelta::seconds(5);
const SETTLED_FAST: TimeDelta = TimeDelta::seconds(8);
/// Batteries follow an order within this time.
const OBEYED: TimeDelta = TimeDelta::seconds(30);
/// A step that has not come to rest after this time is none.
const PATIENCE: TimeDelta = TimeDelta::seconds(90);
/// Smallest step that says something, kW, and as a share of what flows beside the parts: a load of 25 kW that rises in the
/// morning moves by some 0.2 kW while a step comes to rest. And how far the parts may wander while they stand still, kW and share of the
/// batteries' rating.
const LEAST_KW: f64 = 1.0;
const LEAST_SHARE: f64 = 0.08;
const WANDER_KW: f64 = 0.15;
const WANDER_SHARE: f64 = 0.01;
/// A battery that does not obey moves with the load by itself, sometimes just as it was told, and the meter stands still: a ratio
/// this near to zero proves nothing. A meter that stands still is found out by the sums and by standing still.
const BY_ITSELF: f64 = 0.1;
/// Steps remembered, and of them those that are looked at.
const KEPT: usize = 12;
const LATEST: usize = 6;
/// So many of the latest must show the same ratio to convict, fewer where it is far from one.
const SAME: usize = 4;
const SAME_IF_GROSS: usize = 3;
const GROSS: f64 = 0.3;
/// One is enough where it is far from one and the sums did not fit so shortly before: the second witness.
const WARY: TimeDelta = TimeDelta::minutes(2);
/// A ratio nearer to one is within what meters and batteries may be off.
const TRUE: f64 = 0.1;
/// So many steps that agree prove the meter's ratio, for this long.
const VOUCHING: usize = 2;
const VOUCHED: TimeDelta = TimeDelta::days(7);

/// Follows the parts; what our steps say of the meter, once they say it.
pub fn check(image: &mut Image<'_>, at: Timestamp) -> Option<(DoubtKind, String, String)> {
    let Some(now) = poll(image, at) else {
        image.state.meter.watch = StepWatch::default();
        return None;
    };
    let wander = WANDER_KW.max(WANDER_SHARE * rating(image));
    let cycle = image.plant.timing.cycle;
    let step = follow(&mut image.state.meter.watch, now, wander, cycle)?;
    let steps = &mut image.state.meter.steps;
    steps.push(step);
    let surplus = steps.len().saturating_sub(KEPT);
    steps.drain(..surplus);
    let (ratio, count) = shown(&image.state.meter, at)?;
    let latest = image.state.meter.steps.last()?;
    Some(words(ratio, count, latest))
}

/// Our steps show that the meter's ratio and sign are right. One step that does not may have met a load that came or went.
pub fn vouch(memory: &MeterMemory, now: Timestamp) -> bool {
    let lately = || {
        memory
            .steps
            .iter()
            .rev()
            .take(LATEST)
            .filter(move |s| now - s.at < VOUCHED)
    };
    let agreeing = |count: usize| lately().take(count).filter(|s| s.agrees_with(1.0)).count();
    agreeing(LATEST) >= VOUCHING && agreeing(2) >= 1
}

/// The ratio that the latest steps show alike, where it is not one; and how many show it.
fn shown(memory: &MeterMemory, now: Timestamp) -> Option<(f64, usize)> {
    let wary = memory.wary.is_some_and(|then| now - then < WARY);
    if let Some(last) = memory.steps.last().filter(|_| wary)
        && !last.agrees_with(1.0)
        && (last.ratio() - 1.0).abs() > GROSS
    {
        return Some((last.ratio(), 1));
    }
    let latest: Vec<&Step> = memory.steps.iter().rev().take(LATEST).collect();
    let mut ratios: Vec<f64> = latest.iter().map(|s| s.ratio()).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = *ratios.get(ratios.len() / 2)?;
    let alike: Vec<&&Step> = latest.iter().filter(|s| s.agrees_with(middle)).collect();
    let ratio = alike.iter().map(|s| s.ratio()).sum::<f64>() / alike.len().max(1) as f64;
    let needed = if (ratio - 1.0).abs() > GROSS {
        SAME_IF_GROSS
    } else {
        SAME
    };
    let right = latest
        .iter()
        .filter(|s| s.agrees_with(1.0) && !s.agrees_with(ratio))
        .count();
    let wrong = (ratio - 1.0).abs() > TRUE && alike.len() >= needed && right <= 1;
    // the newest must be among them
    let still = latest.first().is_some_and(|s| s.agrees_with(ratio));
    (wrong && still).then_some((ratio, alike.len()))
}

fn words(ratio: f64, count: usize, last: &Step) -> (DoubtKind, String, String) {
    let (told, seen) = (last.parts, last.grid);
    let en = format!(
        "in {count} of our own steps it moved by {ratio:.2} of what the batteries did (last: {told:+.2} kW, the meter \
         {seen:+.2} kW): look at the ratio of the current transformers, at a phase without one, and at the unit of its profile"
    );
    let ko = format!(
        "배터리 설정값 변화 {count}회에서 계량기가 {ratio:.2}배만 움직임(마지막 {told:+.2} kW, 계량기 {seen:+.2} kW). 변류기(CT) 비율, 빠진 \
         상, 프로필의 단위를 확인하십시오"
    );
    (DoubtKind::Scale, en, ko)
}

/// Parts, meter and orders of this cycle; `None` where one of them is not of this cycle or nothing can be told.
fn poll(image: &Image<'_>, at: Timestamp) -> Option<Calm> {
    let meter = &image.plant.connection.as_ref()?.meter;
    let grid = image.usable(meter, Quantity::ActivePower)?;
    let mut parts = 0.0;
    for id in image.parts() {
        parts += image.usable(id, Quantity::ActivePower).filter(|_| image.is_fresh(id))?;
    }
    let told: Option<f64> = batteries(image).map(|id| image.target_kw(id)).sum();
    Some(Calm {
        at,
        parts,
        grid,
        told: told.filter(|_| batteries(image).next().is_some())?,
    })
}

fn batteries<'a>(image: &'a Image<'_>) -> impl Iterator<Item = &'a Id> {
    let all = image.plant.components.iter();
    all.filter(|(_, c)| matches!(&c.kind, Kind::Battery(b) if !b.grid_forming))
        .map(|(id, _)| id)
}

fn rating(image: &Image<'_>) -> f64 {
    let of = |id: &Id| power_range(image.plant, id).map_or(0.0, |(low, high)| low.abs().max(high));
    batteries(image).map(of).sum()
}

/// One poll further; a step that has come to rest and was ours.
fn follow(watch: &mut StepWatch, now: Calm, wander: f64, cycle: TimeDelta) -> Option<Step> {
    let Some(calm) = watch.calm else {
        watch.calm = Some(now);
        return None;
    };
    if now.at <= calm.at {
        return None;
    }
    let lately = watch.order.filter(|(then, _)| now.at - *then <= OBEYED.max(cycle * 3));
    watch.order = match lately {
        None if (now.told - calm.told).abs() > wander => Some((now.at, calm.told)),
        known => known,
    };
    let Some(moving) = watch.moving.as_mut() else {
        if (now.parts - calm.parts).abs() > wander {
            let told = watch.order.map_or(calm.told, |(_, before)| before);
            watch.moving = Some(Moving {
                before: Calm { told, ..calm },
                steady: now,
                sum: 0.0,
                polls: 0,
                repeated: 0,
            });
        }
        watch.calm = Some(now);
        return None;
    };
    watch.calm = Some(now);
    moving.repeated += u32::from(now.grid == calm.grid);
    if (now.parts - moving.steady.parts).abs() > wander {
        (moving.steady, moving.sum, moving.polls) = (now, 0.0, 0);
        if now.at - moving.before.at > PATIENCE.max(cycle * 9) {
            watch.moving = None;
        }
        return None;
    }
    let rested = now.at - moving.steady.at;
    let (lag, settled) = if moving.repeated == 0 {
        (LAG_FAST, SETTLED_FAST)
    } else {
        (LAG, SETTLED)
    };
    if rested >= lag.max(cycle) {
        moving.sum += now.grid;
        moving.polls += 1;
    }
    if rested < settled.max(cycle * 2) || moving.polls == 0 {
        return None;
    }
    let (before, grid) = (moving.before, moving.sum / f64::from(moving.polls));
    watch.moving = None;
    let step = Step {
        at: now.at,
        parts: now.parts - before.parts,
        grid: grid - before.grid,
    };
    // told before it moved, and obeyed
    let told = now.told - before.told;
    let obeyed = (step.parts - told).abs() <= 0.2 * told.abs() + wander;
    let least = LEAST_KW.max(LEAST_SHARE * (before.grid - before.parts).abs());
    let says_something = step.parts.abs() >= least && step.ratio().abs() > BY_ITSELF;
    (says_something && told.abs() >= least && obeyed).then_some(step)
}
