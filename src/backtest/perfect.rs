//! Perfect foresight of load and PV: the same twin, run once ahead without anybody's control.

use super::runs::RunSpec;
use crate::cycle::Oracle;
use crate::model::Policy;
use crate::site::Id;
use crate::time::{Interval, Timestamp};
use crate::twin::World;
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Spacing of the samples.
const SAMPLE: TimeDelta = TimeDelta::minutes(1);
/// Plans at the end of the run still look this far.
const BEYOND: TimeDelta = TimeDelta::hours(49);

/// The truth for the policy `perfect`; `None` for all others.
pub fn foresight(spec: &RunSpec) -> Result<Option<Oracle>, String> {
    if spec.policy != Policy::Perfect {
        return Ok(None);
    }
    let end = spec.start + TimeDelta::days(i64::from(spec.days)) + BEYOND;
    let mut world = World::new(&spec.site, spec.seed, spec.start, spec.cycle)?;
    let mut series: BTreeMap<Id, Vec<f64>> = BTreeMap::new();
    let mut at = spec.start;
    while at < end {
        world.advance_to(at);
        for (id, kw) in world.outside() {
            series.entry(id).or_default().push(kw);
        }
        at += SAMPLE;
    }
    let start = spec.start;
    Ok(Some(Arc::new(move |id, interval| {
        mean(series.get(id)?, start, interval)
    })))
}

/// Mean of the samples inside an interval.
fn mean(samples: &[f64], start: Timestamp, interval: Interval) -> Option<f64> {
    let index = |t: Timestamp| ((t - start).num_seconds().max(0) / SAMPLE.num_seconds()) as usize;
    let inside = samples.get(index(interval.start)..index(interval.end).max(index(interval.start) + 1))?;
    Some(inside.iter().sum::<f64>() / inside.len() as f64)
}
