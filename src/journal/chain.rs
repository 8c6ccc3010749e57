//! The hash chain and the line format, for writing and reading alike.

use super::finite;
use crate::cycle::Record;
use crate::time::Timestamp;
use chrono::SecondsFormat;
use sha2::{Digest, Sha256};

pub type Link = [u8; 32];

/// Link of a record: SHA-256 over the link before it, its time in microseconds, and its bytes.
pub fn next(before: &Link, at: Timestamp, json: &[u8]) -> Link {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(at.timestamp_micros().to_le_bytes());
    hasher.update(json);
    hasher.finalize().into()
}

pub fn hex(link: &Link) -> String {
    use std::fmt::Write;
    link.iter().fold(String::with_capacity(64), |mut text, b| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{b:02x}");
        text
    })
}

pub fn unhex(text: &str) -> Option<Link> {
    let mut link = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in link.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(link)
}

/// What a record is on disk, before it has a place in the chain. A record that could not be read back is refused: the error
/// says where.
pub fn json(record: &Record) -> Result<Vec<u8>, String> {
    finite::check(record)?;
    serde_json::to_vec(record).map_err(|e| format!("a record cannot be written as JSON: {e}"))
}

/// One line with its end, and the link it makes.
pub fn line(before: &Link, at: Timestamp, json: &[u8]) -> (Link, Vec<u8>) {
    let link = next(before, at, json);
    let mut line = format!("{} {} ", hex(&link), at.to_rfc3339_opts(SecondsFormat::Micros, true)).into_bytes();
    line.extend_from_slice(json);
    line.push(b'\n');
    (link, line)
}
