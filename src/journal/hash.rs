//! The chain without a file: for virtual time, where only "was it the same run" matters.

use crate::cycle::{JournalPort, Record};
use crate::model::Solution;
use crate::time::Timestamp;
use sha2::{Digest, Sha256};

/// Running hash over every record.
#[derive(Debug, Clone)]
pub struct HashJournal {
    chain: [u8; 32],
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
        self.chain.iter().map(|b| format!("{b:02x}")).collect()
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
        if matches!(record, Record::Keyframe { .. } | Record::Light { .. }) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&without_timing(record)).map_err(|e| e.to_string())?;
        let mut hasher = Sha256::new();
        hasher.update(self.chain);
        hasher.update(now.timestamp_micros().to_le_bytes());
        hasher.update(&bytes);
        self.chain = hasher.finalize().into();
        self.records += 1;
        Ok(())
    }
    fn commit(&mut self) -> Result<(), String> {
        Ok(())
    }
}
