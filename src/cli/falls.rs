//! Falls of the control loop: what panics once because of a state, a plan or a price would do so after every restart. So falls are
//! counted beside the state, and a process that starts after some of them leaves out what may have caused them.

use crate::cycle::Trouble;
use crate::model::{ControllerState, Policy};
use crate::site::file::read_text;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE: &str = "falls";
/// A controller that ran this long has got over it.
const OVER: Duration = Duration::from_secs(600);
/// From this many falls in a row: no plan, no prices, and nothing of the former state but what people said, the books and what
/// the wire remembers.
const BY_RULE: u32 = 2;
/// From this many the loop begins [`PAUSE`] late: devices are in their own hands meanwhile, and people can read the page.
const SLOWLY: u32 = 4;
/// Below the minute in which a service manager wants to hear of the first cycle (packaging/madang.service).
const PAUSE: Duration = Duration::from_secs(45);

/// Falls in a row before this start.
#[derive(Debug, Clone)]
pub struct Falls {
    path: PathBuf,
    count: u32,
    begun: Instant,
    over: bool,
}

/// What may be used after so many falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    Usual,
    ByRule,
    Slowly,
}

impl Falls {
    /// A folder that cannot be read has seen none.
    pub fn of(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let known = read_text(&path).ok();
        let count = known.and_then(|text| text.lines().next()?.trim().parse().ok());
        Self {
            path,
            count: count.unwrap_or(0),
            begun: Instant::now(),
            over: false,
        }
    }

    pub fn care(&self) -> Care {
        match self.count {
            0..BY_RULE => Care::Usual,
            BY_RULE..SLOWLY => Care::ByRule,
            SLOWLY.. => Care::Slowly,
        }
    }

    pub fn trouble(&self) -> Option<Trouble> {
        (self.care() != Care::Usual).then(|| Trouble {
            code: "control_fell",
            part: None,
            en: format!(
                "control stopped in the middle of a cycle {} times in a row; it runs by rule, without prices and plan",
                self.count
            ),
            ko: format!(
                "제어가 {}회 연속 비정상 종료됨: 요금과 계획 없이 규칙으로 운전 중",
                self.count
            ),
        })
    }

    /// The loop panicked.
    pub fn fell(&self) {
        let text = format!("{}\n", self.count.saturating_add(1));
        if let Err(why) = std::fs::write(&self.path, text) {
            tracing::error!("cannot write {}: {why}", self.path.display());
        }
    }

    /// True once, when the controller has run long enough after falls to forget them.
    pub fn is_over(&mut self) -> bool {
        let over = self.count > 0 && !self.over && self.begun.elapsed() >= OVER;
        self.over |= over;
        over
    }

    /// The file of a controller that ended well or got over its falls is removed.
    pub fn forget(&self) {
        match std::fs::remove_file(&self.path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {why}", self.path.display());
            }
            _ => {}
        }
    }
}

impl Care {
    pub fn policy(self) -> Policy {
        match self {
            Self::Usual => Policy::Plan,
            Self::ByRule | Self::Slowly => Policy::Rule,
        }
    }

    /// How long the loop waits before its first cycle.
    pub fn pause(self) -> Duration {
        match self {
            Self::Usual | Self::ByRule => Duration::ZERO,
            Self::Slowly => PAUSE,
        }
    }

    /// What of a former state is gone on from.
    pub fn state(self, mut state: ControllerState) -> ControllerState {
        if self == Self::Usual {
            return state;
        }
        state.schedule = None;
        state.day_plan = None;
        state.sessions.clear();
        state.forecast.open.clear();
        state.forecast.scores.clear();
        state.accepted.clear();
        state.suspicions.clear();
        state.still.clear();
        state.marks.clear();
        state.last.clear();
        state.generators.clear();
        state.shiftables.clear();
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fall_leaves_out_more_and_a_good_end_forgets_them() {
        let folder = tempfile::tempdir().unwrap();
        let cares: Vec<Care> = (0..6)
            .map(|_| {
                let falls = Falls::of(folder.path());
                falls.fell();
                falls.care()
            })
            .collect();
        use Care::{ByRule, Slowly, Usual};
        assert_eq!(cares, [Usual, Usual, ByRule, ByRule, Slowly, Slowly]);
        Falls::of(folder.path()).forget();
        assert_eq!(Falls::of(folder.path()).care(), Usual);
        std::fs::write(folder.path().join(FILE), "what").unwrap();
        assert_eq!(Falls::of(folder.path()).care(), Usual);
    }
}
