//! A device that restarted between two polls: nothing was lost on the wire, and all it was told is gone.
//!
//! In: the seconds since its start that it shows (a point with `role = "uptime"`), poll by poll. Out: whether they began anew. A
//! wrong value is no restart: what does not go on from the last must go on from itself in the next poll.

use crate::time::Timestamp;

/// Clocks of devices run this much too fast, and answers come this late.
const FAST: f64 = 1.1;
const LATE_S: f64 = 60.0;

type Look = (Timestamp, f64);

#[derive(Debug, Default)]
pub struct Uptime {
    last: Option<Look>,
    /// A value that does not follow from the last.
    odd: Option<Look>,
}

impl Uptime {
    /// One look; true where the device has started anew since it was last seen.
    pub fn look(&mut self, now: Timestamp, seconds: f64) -> bool {
        let look = (now, seconds);
        let Some(last) = self.last else {
            self.last = Some(look);
            return false;
        };
        if follows(last, look) {
            (self.last, self.odd) = (Some(look), None);
            return false;
        }
        match self.odd.replace(look) {
            Some(odd) if follows(odd, look) => {
                (self.last, self.odd) = (Some(look), None);
                odd.1 < last.1
            }
            _ => false,
        }
    }
}

fn follows(before: Look, after: Look) -> bool {
    let elapsed = (after.0 - before.0).as_seconds_f64();
    (before.1..=before.1 + FAST * elapsed + LATE_S).contains(&after.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    /// The polls, of one each second, that found a restart.
    fn found(shown: &[f64]) -> Vec<usize> {
        let mut uptime = Uptime::default();
        let at = |i: usize| Timestamp::UNIX_EPOCH + TimeDelta::seconds(i as i64);
        let restarted = |(i, s): (usize, &f64)| uptime.look(at(i), *s).then_some(i);
        shown.iter().enumerate().filter_map(restarted).collect()
    }

    #[test]
    fn an_uptime_that_begins_anew_is_a_restart_and_a_wrong_value_is_none() {
        for (what, shown, restarts) in [
            ("it runs", &[500.0, 501.0, 502.0, 503.0][..], &[][..]),
            ("it restarts", &[500.0, 501.0, 3.0, 4.0, 5.0], &[3]),
            ("twice", &[500.0, 2.0, 3.0, 4.0, 1.0, 2.0], &[2, 5]),
            ("one zero", &[500.0, 0.0, 502.0, 503.0], &[]),
            ("one absurd value", &[500.0, 9e9, 502.0, 503.0, 504.0], &[]),
            ("it stands still", &[500.0, 500.0, 500.0], &[]),
            ("it counts in minutes", &[540.0, 540.0, 600.0, 600.0], &[]),
        ] {
            assert_eq!(found(shown), restarts, "{what}");
        }
    }
}
