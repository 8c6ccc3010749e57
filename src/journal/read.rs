//! Reading segments back: every record whose chain holds, also behind a damaged one.

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
    pub chain: Chain,
}

/// How far a segment can be trusted.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Link of the last good record; zeros where there is none.
    pub(super) link: Link,
    /// Bytes up to its end.
    pub good_bytes: u64,
    /// The first thing that is wrong with the file; `None` where all of it is good.
    pub torn: Option<String>,
    /// Something before the last good record is wrong: the file must not be written to again.
    pub damaged: bool,
    /// Whose it says it is; segments of version 0.1 do not say.
    pub site: Option<String>,
}

/// A line longer than this is not ours.
const LINE_MAX: u64 = 64 * 1024 * 1024;

/// Segments of a journal folder, oldest first. What only looks like one (a folder, a pipe) is left out.
pub fn segments(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let (Some(number), Some("journal")) = (number(&path), path.extension().and_then(|e| e.to_str()))
            && number < u32::MAX
            && std::fs::metadata(&path).is_ok_and(|m| m.is_file())
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one segment whole.
pub fn read_segment(path: &Path) -> io::Result<Segment> {
    let mut entries = Vec::new();
    let chain = scan(path, |e| entries.push(e))?;
    Ok(Segment { entries, chain })
}

/// Hands out every good record of a segment. Its first record must follow from the link it names, or from the end of the
/// segment before it, or from nothing; where the segment before is gone and it names none, it is taken as it stands.
pub fn scan(path: &Path, mut take: impl FnMut(Entry)) -> io::Result<Chain> {
    let mut lines = Lines::of(path)?;
    let mut chain = Chain {
        link: [0; 32],
        good_bytes: 0,
        torn: None,
        damaged: false,
        site: None,
    };
    let mut before = Before::First;
    while let Some((end, line)) = lines.next()? {
        let (follows, outcome) = match parse(line) {
            Ok(parts) => (Before::Link(parts.link), judge(&before, &parts, path)),
            Err(why) => (link_of(line).map_or(Before::Lost, Before::Link), Err(why)),
        };
        before = follows;
        match outcome {
            Ok((link, entry)) => {
                chain.damaged |= chain.torn.is_some();
                (chain.link, chain.good_bytes) = (link, end);
                match entry {
                    Ok(entry) => {
                        if let Record::Opened { site, .. } = &entry.record {
                            chain.site = Some(site.clone());
                        }
                        take(entry);
                    }
                    // Its place in the chain is right, so that the file may go on behind it.
                    Err(why) => tracing::warn!("{}: a record is left out: {why}", path.display()),
                }
            }
            Err(why) => {
                let start = end.saturating_sub(lines.length());
                chain.torn.get_or_insert(format!("byte {start}: {why}"));
            }
        }
    }
    Ok(chain)
}

/// When a segment was begun; `None` where that cannot be read.
pub(super) fn first_at(path: &Path) -> Option<Timestamp> {
    let mut lines = Lines::of(path).ok()?;
    let (_, line) = lines.next().ok()??;
    parse(line).ok().map(|parts| parts.at)
}

/// What a record must follow from.
enum Before {
    First,
    Link(Link),
    /// The line before was no record; this one only tells where the chain goes on.
    Lost,
}

/// The link and the record; the inner error is a good link whose content is not understood.
type Judged = Result<(Link, Result<Entry, String>), String>;

fn judge(before: &Before, parts: &Parts, path: &Path) -> Judged {
    let follows = |b: &Link| chain::next(b, parts.at, parts.json.as_bytes()) == parts.link;
    let record = serde_json::from_str::<Record>(parts.json).map_err(|e| format!("its content: {e}"));
    let good = match before {
        Before::Link(link) => follows(link),
        Before::Lost => return Err("it stands behind something that is no record".into()),
        Before::First => match &record {
            Ok(Record::Opened { before, .. }) => chain::unhex(before).is_some_and(|b| follows(&b)),
            // Before version 0.2 no segment named the link before it, and that one may have been retired.
            _ => follows(&[0; 32]) || last_link_before(path).map_or(record.is_ok() && !is_first(path), |b| follows(&b)),
        },
    };
    if !good {
        return Err("its hash does not follow from the record before it".into());
    }
    Ok((parts.link, record.map(|record| Entry { at: parts.at, record })))
}

fn number(path: &Path) -> Option<u32> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn is_first(path: &Path) -> bool {
    number(path) == Some(1)
}

/// Link of the last whole line of the segment before, if it is there.
fn last_link_before(path: &Path) -> Option<Link> {
    let number = number(path)?;
    let before = path.with_file_name(super::disk::segment_name(number.checked_sub(1)?));
    let mut lines = Lines::of(&before).ok()?;
    let mut last = None;
    while let Some((_, line)) = lines.next().ok()? {
        last = parse(line).ok().map(|p| p.link).or(last);
    }
    last
}

/// Lines of a file with the position of their end.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    end: u64,
}

impl Lines {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            reader: BufReader::new(File::open(path)?),
            line: Vec::new(),
            end: 0,
        })
    }

    fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        self.line.clear();
        let n = (&mut self.reader).take(LINE_MAX).read_until(b'\n', &mut self.line)?;
        self.end = self.end.saturating_add(n as u64);
        Ok((n > 0).then_some((self.end, &self.line)))
    }

    /// Bytes of the line given last.
    fn length(&self) -> u64 {
        self.line.len() as u64
    }
}

/// The link as it stands in a line, whatever else is wrong with it.
fn link_of(line: &[u8]) -> Option<Link> {
    chain::unhex(std::str::from_utf8(line.get(..64)?).ok()?)
}

struct Parts<'a> {
    link: Link,
    at: Timestamp,
    json: &'a str,
}

fn parse(line: &[u8]) -> Result<Parts<'_>, String> {
    let line = line.strip_suffix(b"\n").ok_or("the record is not complete")?;
    let text = std::str::from_utf8(line).map_err(|_| "the record is not text")?;
    let mut parts = text.splitn(3, ' ');
    let (Some(link), Some(at), Some(json)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("the record has no hash, time and content".into());
    };
    let link = chain::unhex(link).ok_or("the hash is not one")?;
    let at = DateTime::parse_from_rfc3339(at)
        .map_err(|e| format!("its time: {e}"))?
        .to_utc();
    Ok(Parts { link, at, json })
}
