//! Reads site.toml and reports every fault at once.

use super::Site;
use serde::Serialize;

/// A fault of a site file, with its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    pub file: String,
    /// 1-based.
    pub line: usize,
    pub key: String,
    pub message: String,
    pub severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    /// Works, but people should know (control of unverified commands, estimated values).
    Warning,
}

/// Parses and validates; `Err` holds all faults, `Ok` may carry warnings.
pub fn parse(_file: &str, _text: &str) -> Result<(Site, Vec<Fault>), Vec<Fault>> {
    todo!()
}
