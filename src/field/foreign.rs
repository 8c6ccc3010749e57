//! Another controller at the same device: noticed by reading back, answered three times at most, then left alone.

use crate::model::ForeignWrite;
use crate::time::Timestamp;
use chrono::TimeDelta;

/// Pauses before our value is asserted again: no write war.
const PAUSES: [TimeDelta; 3] = [TimeDelta::seconds(10), TimeDelta::seconds(60), TimeDelta::minutes(5)];
/// Once our value has held this long the other has gone.
pub const GONE: TimeDelta = TimeDelta::minutes(10);
/// Hands off for this long, unless the owner says otherwise.
pub const HANDS_OFF: TimeDelta = TimeDelta::days(1);

/// What is known of the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    pub found: String,
    pub since: Timestamp,
    pub reasserted: u32,
    /// Our next attempt; `None` while our value stands.
    next: Option<Timestamp>,
    last_seen: Timestamp,
}

/// What follows from a foreign value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Ours is asserted again after a pause.
    Wait,
    /// Hands off.
    Yield,
}

impl Other {
    pub fn new(found: String, now: Timestamp) -> Self {
        Self {
            found,
            since: now,
            reasserted: 0,
            next: Some(now + PAUSES[0]),
            last_seen: now,
        }
    }

    /// Ours was asserted so often before the other was known for one.
    pub fn answered(mut self, times: u32) -> Self {
        self.reasserted = times;
        if let (Some(pause), Some(next)) = (PAUSES.get(times as usize), &mut self.next) {
            *next = self.since + *pause;
        }
        self
    }

    /// It wrote again.
    pub fn again(&mut self, found: String, now: Timestamp) -> Answer {
        (self.found, self.last_seen) = (found, now);
        match PAUSES.get(self.reasserted as usize) {
            None => Answer::Yield,
            Some(pause) => {
                self.next = self.next.or(Some(now + *pause));
                Answer::Wait
            }
        }
    }

    /// Why nothing may be written now; otherwise this counts as an attempt.
    pub fn held_back(&mut self, now: Timestamp) -> Option<String> {
        let next = self.next?;
        if now < next {
            let left = (next - now).num_seconds().max(1);
            return Some(format!(
                "another controller wrote {}; ours is asserted again in {left} s",
                self.found
            ));
        }
        self.reasserted += 1;
        (self.next, self.last_seen) = (None, now);
        None
    }

    /// Its value stands at the device, not ours.
    pub fn is_waiting(&self) -> bool {
        self.next.is_some()
    }

    /// Ours has held for long enough.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.next.is_none() && now - self.last_seen >= GONE
    }

    pub fn shown(&self) -> ForeignWrite {
        ForeignWrite {
            found: self.found.clone(),
            since: self.since,
            reasserted: self.reasserted,
            yielded_until: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_asserted_three_times_with_pauses_and_then_no_more() {
        let t = |s: i64| chrono::DateTime::UNIX_EPOCH + TimeDelta::seconds(s);
        let mut other = Other::new("10 = 9".into(), t(0));
        let mut attempts = Vec::new();
        let mut yielded = None;
        for s in 0..2_000 {
            if other.held_back(t(s)).is_none() {
                attempts.push(s);
                // and a second later it has overwritten us
                if other.again("10 = 9".into(), t(s + 1)) == Answer::Yield {
                    yielded = Some(s + 1);
                    break;
                }
            }
        }
        assert_eq!(attempts, [10, 71, 372]);
        assert_eq!(yielded, Some(373));
    }

    #[test]
    fn a_value_that_holds_means_that_the_other_has_gone() {
        let t = |s: i64| chrono::DateTime::UNIX_EPOCH + TimeDelta::seconds(s);
        let mut other = Other::new("10 = 9".into(), t(0));
        assert!(!other.is_gone(t(900)), "it was never answered");
        assert_eq!(other.held_back(t(900)), None);
        assert!(!other.is_gone(t(1_000)) && other.is_gone(t(1_500)) && other.reasserted == 1);
    }
}
