//! How long to wait: for an answer, before asking a silent unit again, before opening a lost connection again.
//!
//! In: observed answer times and failures, a seed. Out: durations. Same seed and history, same durations.

use std::time::Duration;

/// No answer is given up sooner than this: networks hiccup.
const SHORTEST: Duration = Duration::from_millis(200);
/// Answers seen before their times are trusted.
const ENOUGH: u32 = 8;
/// Most recent answer times kept for quantiles.
const KEPT: usize = 64;

/// Answer times of one device: smoothed mean and deviation (RFC 6298, 2.3), and the latest for quantiles.
#[derive(Debug, Clone)]
pub struct AnswerTimes {
    mean_ms: f64,
    deviation_ms: f64,
    seen: u32,
    /// Doublings of the patience after answers that did not come in time.
    doubt: u32,
    latest: Vec<f32>,
    next: usize,
}

impl AnswerTimes {
    pub fn new() -> Self {
        Self {
            mean_ms: 0.0,
            deviation_ms: 0.0,
            seen: 0,
            doubt: 0,
            latest: Vec::new(),
            next: 0,
        }
    }

    pub fn answered(&mut self, ms: f64) {
        if self.seen == 0 {
            (self.mean_ms, self.deviation_ms) = (ms, ms / 2.0);
        } else {
            self.deviation_ms += ((ms - self.mean_ms).abs() - self.deviation_ms) / 4.0;
            self.mean_ms += (ms - self.mean_ms) / 8.0;
        }
        self.seen = self.seen.saturating_add(1);
        self.doubt = 0;
        if self.latest.len() < KEPT {
            self.latest.push(ms as f32);
        } else {
            self.latest[self.next] = ms as f32;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// The device may have become slower: wait longer next time.
    pub fn gave_up(&mut self) {
        self.doubt = (self.doubt + 1).min(8);
    }

    /// Twice the bound that nearly all answers keep, at most `longest` (what the profile says).
    pub fn patience(&self, longest: Duration) -> Duration {
        if self.seen < ENOUGH {
            return longest;
        }
        let bound_ms = 2.0 * (self.mean_ms + 4.0 * self.deviation_ms) * f64::from(1u32 << self.doubt);
        let shortest = (SHORTEST * (1 << self.doubt)).min(longest);
        Duration::from_secs_f64(bound_ms.min(6e5) / 1e3).clamp(shortest, longest)
    }

    /// Median and 99th percentile of the latest answers, ms.
    pub fn quantiles(&self) -> Option<(f64, f64)> {
        let mut sorted = self.latest.clone();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f64| {
            sorted
                .get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1))
                .copied()
        };
        Some((f64::from(at(0.5)?), f64::from(at(0.99)?)))
    }
}

/// Longest wait before chance, s: with it, and what a connection takes, a peer that is back is read within 60 s.
const LONGEST_S: f64 = 40.0;

/// A wait that doubles from 1 s to 40 s, off by up to a quarter so that many do not come back at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    dice: fastrand::Rng,
}

impl Backoff {
    pub fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            dice: fastrand::Rng::with_seed(seed),
        }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn next(&mut self) -> Duration {
        let seconds = f64::from(1u32 << self.failures.min(6)).min(LONGEST_S);
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs_f64(seconds * (0.75 + 0.5 * self.dice.f64()))
    }
}

/// A seed from a name (FNV-1a), so that two links differ and each is the same in every run.
pub fn seed_of(name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(3000);

    #[test]
    fn patience_follows_a_device_between_its_bounds() {
        let mut t = AnswerTimes::new();
        assert_eq!(t.patience(LONGEST), LONGEST);
        (0..200).for_each(|_| t.answered(2.0));
        assert_eq!(t.patience(LONGEST), SHORTEST);
        t.gave_up();
        assert_eq!(t.patience(LONGEST), SHORTEST * 2);
        (0..8).for_each(|_| t.gave_up());
        assert_eq!(t.patience(LONGEST), LONGEST);
        (0..200).for_each(|i| t.answered(400.0 + 50.0 * f64::from(i % 2)));
        let patience = t.patience(LONGEST).as_millis();
        assert!((850..1300).contains(&patience), "{patience} ms");
        let (p50, p99) = t.quantiles().unwrap();
        assert!((400.0..=450.0).contains(&p50) && p99 == 450.0);
    }

    #[test]
    fn a_lost_peer_is_tried_after_one_to_fifty_seconds_and_never_in_step_with_another() {
        let waits = |seed| {
            let mut b = Backoff::new(seed);
            (0..9).map(|_| b.next().as_secs_f64()).collect::<Vec<_>>()
        };
        let first = waits(seed_of("tcp://10.0.0.1:502"));
        assert_eq!(first, waits(seed_of("tcp://10.0.0.1:502")));
        assert_ne!(first, waits(seed_of("tcp://10.0.0.2:502")));
        for (i, wait) in first.iter().enumerate() {
            let nominal = f64::from(1 << i.min(6)).min(40.0);
            assert!(*wait <= 50.0, "{i}: {wait}");
            assert!((0.75 * nominal..=1.25 * nominal).contains(wait), "{i}: {wait}");
        }
    }
}
