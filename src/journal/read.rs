//! Reading segments back: the longest prefix whose chain holds.

use super::chain::{self, Link};
use crate::cycle::Record;
use crate::time::Timestamp;
use chrono::DateTime;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One record and when it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Timestamp,
    pub record: Record,
}

/// What a segment holds.
#[derive(Debug)]
pub struct Segment {
    pub entries: Vec<Entry>,
    /// Link of the last good record.
    pub(super) link: Link,
    /// Bytes up to its end.
    pub good_bytes: u64,
    /// Why reading stopped before the end of the file; `None` where all of it is good.
    pub torn: Option<String>,
}

/// A line longer than this is not ours.
const LINE_MAX: u64 = 64 * 1024 * 1024;

/// Segments of a journal folder, oldest first.
pub fn segments(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
        if let (Some(number), Some("journal")) = (number, path.extension().and_then(|e| e.to_str())) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one segment. The first link is taken as it stands: what came before may have been retired.
pub fn read_segment(path: &Path) -> io::Result<Segment> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut segment = Segment {
        entries: Vec::new(),
        link: [0; 32],
        good_bytes: 0,
        torn: None,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(segment);
        }
        match parse(&line, (segment.good_bytes > 0).then_some(&segment.link)) {
            Ok((link, entry)) => {
                segment.link = link;
                segment.good_bytes += n as u64;
                segment.entries.push(entry);
            }
            Err(why) => {
                segment.torn = Some(format!("byte {}: {why}", segment.good_bytes));
                return Ok(segment);
            }
        }
    }
}

fn parse(line: &[u8], before: Option<&Link>) -> Result<(Link, Entry), String> {
    let line = line.strip_suffix(b"\n").ok_or("the record is not complete")?;
    let text = std::str::from_utf8(line).map_err(|_| "the record is not text")?;
    let mut parts = text.splitn(3, ' ');
    let (link, at, json) = match (parts.next(), parts.next(), parts.next()) {
        (Some(link), Some(at), Some(json)) => (link, at, json),
        _ => return Err("the record has no hash, time and content".into()),
    };
    let link = chain::unhex(link).ok_or("the hash is not one")?;
    let at = DateTime::parse_from_rfc3339(at)
        .map_err(|e| format!("its time: {e}"))?
        .to_utc();
    if before.is_some_and(|b| chain::next(b, at, json.as_bytes()) != link) {
        return Err("its hash does not follow from the record before it".into());
    }
    let record = serde_json::from_str(json).map_err(|e| format!("its content: {e}"))?;
    Ok((link, Entry { at, record }))
}
