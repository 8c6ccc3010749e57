//! The journal's files: finding what is there, and appending to the newest. Blocking; for the keeper's thread only.

use super::chain::{self, Link};
use super::read::{Chain, scan, segments};
use super::{Limits, words};
use crate::cycle::{Record, Recovery, aside};
use crate::time::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a folder holds, read without writing anything.
#[derive(Debug, Default)]
pub struct Found {
    pub recovery: Recovery,
    /// The newest segment and how far it can be trusted.
    pub newest: Option<(u32, PathBuf, Chain)>,
    /// What was damaged, for people.
    pub damage: Vec<String>,
}

/// Name of the site that the newest good segment says it belongs to.
pub fn site_of(folder: &Path) -> Option<String> {
    let known = segments(folder).ok()?;
    known.iter().rev().find_map(|(_, path)| scan(path, drop).ok()?.site)
}

/// Reads back what a controller goes on from: the newest segment with a good whole state and all behind it; without any,
/// what people said in all of them.
pub fn find(folder: &Path) -> io::Result<Found> {
    let known = match segments(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        known => known?,
    };
    // Nearly always the newest one has a whole state.
    let newest = load(known.get(known.len().saturating_sub(1)..).unwrap_or_default());
    if newest.recovery.has_state() {
        return Ok(newest);
    }
    let has_state = |path: &Path| {
        let mut has = false;
        scan(path, |e| has |= matches!(e.record, Record::Keyframe { .. })).is_ok_and(|_| has)
    };
    let from = known.iter().rposition(|(_, path)| has_state(path)).unwrap_or(0);
    Ok(load(known.get(from..).unwrap_or_default()))
}

fn load(known: &[(u32, PathBuf)]) -> Found {
    let mut found = Found::default();
    for (number, path) in known {
        let recovery = &mut found.recovery;
        match scan(path, |e| recovery.take(e.at, e.record)) {
            Ok(chain) => {
                let torn = chain.torn.iter().map(|why| format!("{}: {why}", path.display()));
                found.damage.extend(torn);
                found.newest = Some((*number, path.clone(), chain));
            }
            Err(e) => found.damage.push(format!("{}: {e}", path.display())),
        }
    }
    found
}

/// The segment that is appended to.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    number: u32,
    path: PathBuf,
    file: File,
    /// Bytes of whole records in `file`; whatever lies behind is a failed write and is cut off before the next one.
    length: u64,
    failed: bool,
    link: Link,
    site: String,
}

impl Disk {
    /// Goes on in the newest segment, or begins one where there is none, or it is damaged or does not say whose it is. A torn
    /// tail is set aside first.
    pub fn open(folder: &Path, newest: Option<&(u32, PathBuf, Chain)>, site: &str, now: Timestamp) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let Some((number, path, chain)) = newest else {
            return Self::begin(folder, 1, [0; 32], site, now);
        };
        if chain.damaged || chain.site.as_deref() != Some(site) {
            return Self::begin(folder, number.saturating_add(1), chain.link, site, now);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() > chain.good_bytes {
            set_aside(&mut file, chain.good_bytes, path)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            number: *number,
            path: path.clone(),
            file,
            length: chain.good_bytes,
            failed: false,
            link: chain.link,
            site: site.to_owned(),
        })
    }

    /// Begins the first free segment from `number` on, going on from a link.
    pub fn begin(folder: &Path, number: u32, before: Link, site: &str, now: Timestamp) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let newest = segments(folder)?.last().map_or(0, |(n, _)| *n);
        let (number, path, file) = create(folder, number.max(newest.saturating_add(1)))?;
        let mut disk = Self {
            folder: folder.to_owned(),
            number,
            path,
            file,
            length: 0,
            failed: false,
            link: before,
            site: site.to_owned(),
        };
        let opened = Record::Opened {
            site: site.to_owned(),
            before: chain::hex(&before),
        };
        let json = chain::json(&opened).map_err(io::Error::other)?;
        let begun = disk.append(now, &json).and_then(|()| words::sync_folder(folder));
        if let Err(why) = begun {
            // An empty file would only be in the way of the next attempt.
            let _stays = std::fs::remove_file(&disk.path);
            return Err(why);
        }
        Ok(disk)
    }

    /// Writes at the end of the last whole record, so that a failed write leaves no half record in between.
    pub fn append(&mut self, at: Timestamp, json: &[u8]) -> io::Result<()> {
        let (link, line) = chain::line(&self.link, at, json);
        if self.failed {
            self.file.set_len(self.length)?;
            self.failed = false;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&line).inspect_err(|_| self.failed = true)?;
        self.link = link;
        self.length = self.length.saturating_add(line.len() as u64);
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins the next segment once this one is large, and removes the oldest.
    pub fn rotate(&mut self, limits: Limits, now: Timestamp) -> io::Result<()> {
        if self.length <= limits.segment_bytes {
            return Ok(());
        }
        self.sync()?;
        *self = Self::begin(&self.folder, self.number.saturating_add(1), self.link, &self.site, now)?;
        self.retire(limits)
    }

    /// Removes the oldest segments while all are larger than they may be.
    pub fn retire(&self, limits: Limits) -> io::Result<()> {
        let mut all = Vec::new();
        for (_, path) in segments(&self.folder)? {
            all.push((std::fs::metadata(&path)?.len(), path));
        }
        let mut total = all.iter().fold(0u64, |sum, (n, _)| sum.saturating_add(*n));
        for (bytes, path) in all.iter().take(all.len().saturating_sub(2)) {
            if total <= limits.total_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            total = total.saturating_sub(*bytes);
        }
        Ok(())
    }

    /// The file is still the one that its name leads to.
    pub fn is_there(&self) -> bool {
        let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (std::fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(open)) => same(named, open),
            (Err(e), _) => e.kind() != io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }

    pub fn link(&self) -> Link {
        self.link
    }
}

/// Creates the first segment from `number` on whose name nothing else has.
fn create(folder: &Path, number: u32) -> io::Result<(u32, PathBuf, File)> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for number in number..number.saturating_add(100) {
        let path = folder.join(segment_name(number));
        match OpenOptions::new().create_new(true).read(true).write(true).open(&path) {
            Ok(file) => return Ok((number, path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

pub fn segment_name(number: u32) -> String {
    format!("{number:06}.journal")
}

/// Moves what lies behind the last good record beside the segment.
fn set_aside(file: &mut File, good: u64, path: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(good))?;
    let mut torn = File::create(aside(path, "torn"))?;
    io::copy(file, &mut torn)?;
    torn.sync_all()?;
    file.set_len(good)
}
