//! The chain without a file: for virtual time, where only "was it the same run" matters.

use super::chain::{self, Link};
use crate::cycle::{JournalPort, Record};
use crate::model::Solution;
use crate::time::Timestamp;

/// Running hash over every record.
#[derive(Debug, Clone)]
pub struct HashJournal {
    chain: Link,
    pub records: u64,
}

impl HashJournal {
    pub fn new() -> Self {
        Self {
            chain: [0; 32],
            records: 0,
        }
    }
    /// Hex of the chain so far.
    pub fn hash(&self) -> String {
        chain::hex(&self.chain)
    }
}

impl Default for HashJournal {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a solver took is not a decision: it stays out of the chain.
pub fn without_timing(record: &Record) -> Record {
    let quiet = |s: &Solution| Solution {
        build_ms: 0.0,
        solve_ms: 0.0,
        ..s.clone()
    };
    match record {
        Record::Plan { schedule } => {
            let mut schedule = schedule.clone();
            schedule.solution = quiet(&schedule.solution);
            Record::Plan { schedule }
        }
        other => other.clone(),
    }
}

impl JournalPort for HashJournal {
    fn append(&mut self, now: Timestamp, record: &Record) -> Result<(), String> {
        // States repeat what the other records say, and hold the plan with its timing.
        if matches!(
            record,
            Record::Keyframe { .. } | Record::Light { .. } | Record::Change { .. }
        ) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&without_timing(record)).map_err(|e| e.to_string())?;
        self.chain = chain::next(&self.chain, now, &bytes);
        self.records += 1;
        Ok(())
    }
    fn commit(&mut self) -> Result<(), String> {
        Ok(())
    }
}
