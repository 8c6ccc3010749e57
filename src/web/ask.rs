//! What may be asked of reads with a query: every number and instant within bounds before anything is computed of it.

use super::says::failure;
use crate::time::Timestamp;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{Datelike, TimeDelta};
use serde::Deserialize;

/// Series of one answer.
pub const SERIES_MAX: usize = 64;
/// Longest step, s: a year.
pub const STEP_MAX_S: i64 = 366 * 24 * 3600;
const STEP_DEFAULT_S: i64 = 300;
/// What lies outside is a slip of the pen, and its arithmetic may overflow.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2199;

#[derive(Debug, Deserialize)]
pub struct Why {
    pub component: String,
    pub at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Decided {
    pub at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Past {
    series: String,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    step_s: Option<i64>,
}

/// What the historian is asked for.
#[derive(Debug)]
pub struct Asked {
    pub series: Vec<String>,
    pub from: Timestamp,
    pub to: Timestamp,
    pub step: TimeDelta,
}

/// A query that is one; 400 for what cannot be read.
pub fn read<T>(asked: Result<Query<T>, QueryRejection>) -> Result<T, Response> {
    match asked {
        Ok(Query(asked)) => Ok(asked),
        Err(why) => Err(failure(StatusCode::BAD_REQUEST, &why.body_text())),
    }
}

fn bad(why: &str) -> Response {
    failure(StatusCode::UNPROCESSABLE_ENTITY, why)
}

impl Past {
    /// Bounds of everything, with what is meant by default.
    pub fn within(self, midnight: Timestamp, now: Timestamp) -> Result<Asked, Response> {
        let (from, to) = (self.from.unwrap_or(midnight), self.to.unwrap_or(now));
        for t in [from, to] {
            if !YEARS.contains(&t.year()) {
                let (first, last) = (YEARS.start(), YEARS.end());
                return Err(bad(&format!("{t} is not between the years {first} and {last}")));
            }
        }
        let step = self.step_s.unwrap_or(STEP_DEFAULT_S);
        if !(1..=STEP_MAX_S).contains(&step) {
            return Err(bad(&format!("step_s {step} is not between 1 and {STEP_MAX_S}")));
        }
        let series: Vec<String> = self.series.split(',').map(str::to_owned).collect();
        if series.len() > SERIES_MAX {
            return Err(bad(&format!(
                "{} series are asked for; ask for at most {SERIES_MAX}",
                series.len()
            )));
        }
        Ok(Asked {
            series,
            from,
            to,
            step: TimeDelta::seconds(step),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_refused_before_it_is_computed_with() {
        let now: Timestamp = "2026-05-12T00:00:00Z".parse().unwrap();
        let past = |step_s, from: Option<&str>| Past {
            series: "a".into(),
            from: from.map(|t| t.parse().unwrap()),
            to: None,
            step_s,
        };
        let check =
            |step_s, from, ok: bool| assert_eq!(past(step_s, from).within(now, now).is_ok(), ok, "{step_s:?} {from:?}");
        check(None, None, true);
        check(Some(1), None, true);
        check(Some(0), None, false);
        check(Some(-5), None, false);
        check(Some(i64::MAX), None, false);
        check(Some(i64::MIN), None, false);
        check(Some(9_223_372_036_854_775), None, false);
        check(None, Some("+262142-01-01T00:00:00Z"), false);
        check(None, Some("-262143-01-01T00:00:00Z"), false);
    }
}
