//! The journal on disk.

use super::chain::{self, Link};
use super::read::{read_segment, segments};
use crate::cycle::{JournalPort, Record, recover};
use crate::model::ControllerState;
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

/// How much the journal may keep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A keyframe starts a new segment once the current one is larger than this.
    pub segment_bytes: u64,
    /// Oldest segments are removed while all of them are larger than this; the newest two always stay.
    pub total_bytes: u64,
    /// What was appended is durable after this long at the latest.
    pub sync_every: TimeDelta,
}

impl Limits {
    /// About a week of a large site.
    pub const DEFAULT: Self = Self {
        segment_bytes: 16 << 20,
        total_bytes: 512 << 20,
        sync_every: TimeDelta::seconds(5),
    };
}

/// Appends to the newest segment of a folder.
#[derive(Debug)]
pub struct FileJournal {
    folder: PathBuf,
    limits: Limits,
    number: u32,
    file: File,
    /// Bytes of whole records in `file`; whatever lies behind is a failed write and is cut off before the next one.
    length: u64,
    link: Link,
    /// Records lost since the disk stopped taking them.
    lost: u64,
    dirty: bool,
    written_at: Option<Timestamp>,
    synced_at: Option<Timestamp>,
    syncer: mpsc::SyncSender<File>,
    sync_trouble: Arc<Mutex<Option<String>>>,
}

impl FileJournal {
    /// Opens or creates the journal in `folder` and gives back what a controller goes on from, if anything is there.
    /// A torn tail is moved to `NNNNNN.torn` beside its segment.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Self, Option<ControllerState>), String> {
        let said = |e: std::io::Error| format!("journal {}: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(said)?;
        let known = segments(folder).map_err(said)?;
        let number = known.last().map_or(1, |(n, _)| *n);
        let path = segment_path(folder, number);
        let file = OpenOptions::new()
            .create(true)
            .append(false)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path);
        let mut file = file.map_err(said)?;
        let newest = read_segment(&path).map_err(said)?;
        if let Some(why) = &newest.torn {
            tracing::warn!(
                "journal {}: the end is torn ({why}); it is kept beside it",
                path.display()
            );
            set_aside(&mut file, newest.good_bytes, &path).map_err(said)?;
        }
        let (syncer, sync_trouble) = start_syncer()?;
        let state = restore(&known, newest.entries.into_iter().map(|e| e.record).collect());
        let journal = Self {
            folder: folder.to_owned(),
            limits,
            number,
            file,
            length: newest.good_bytes,
            link: newest.link,
            lost: 0,
            dirty: false,
            written_at: None,
            synced_at: None,
            syncer,
            sync_trouble,
        };
        Ok((journal, state))
    }

    /// Hex of the chain so far.
    pub fn hash(&self) -> String {
        chain::hex(&self.link)
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        // The old segment is made durable by whoever syncs next: its handle is handed over.
        if let Ok(old) = self.file.try_clone() {
            let _busy = self.syncer.try_send(old);
        }
        let path = segment_path(&self.folder, self.number + 1);
        self.file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        self.number += 1;
        self.length = 0;
        self.retire()
    }

    fn retire(&self) -> std::io::Result<()> {
        let mut all = Vec::new();
        for (_, path) in segments(&self.folder)? {
            all.push((std::fs::metadata(&path)?.len(), path));
        }
        let mut total: u64 = all.iter().map(|(n, _)| n).sum();
        let removable = all.len().saturating_sub(2);
        for (bytes, path) in all.iter().take(removable) {
            if total <= self.limits.total_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }

    fn write(&mut self, now: Timestamp, record: &Record) -> Result<(), String> {
        let (link, line) = chain::line(&self.link, now, record)?;
        let written = self.put(&line);
        written.map_err(|e| format!("{}: {e}", segment_path(&self.folder, self.number).display()))?;
        self.link = link;
        self.length += line.len() as u64;
        self.dirty = true;
        self.written_at = Some(now);
        Ok(())
    }

    /// Writes at the end of the last whole record, so that a failed write leaves no half record in between.
    fn put(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.lost > 0 {
            self.file.set_len(self.length)?;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)
    }
}

impl JournalPort for FileJournal {
    fn append(&mut self, now: Timestamp, record: &Record) -> Result<(), String> {
        if matches!(record, Record::Keyframe { .. }) && self.length > self.limits.segment_bytes {
            self.rotate().map_err(|e| format!("{}: {e}", self.folder.display()))?;
        }
        if self.lost > 0 {
            let text = format!("{} records were lost while the disk took none", self.lost);
            if let Err(why) = self.write(now, &Record::Note { text }) {
                self.lost += 1;
                return Err(why);
            }
            self.lost = 0;
        }
        self.write(now, record).inspect_err(|_| self.lost += 1)
    }

    fn commit(&mut self) -> Result<(), String> {
        let due = self
            .synced_at
            .is_none_or(|t| self.written_at.is_none_or(|w| w - t >= self.limits.sync_every));
        if self.dirty && due {
            let copy = self.file.try_clone().map_err(|e| e.to_string())?;
            // A syncer that is still busy takes the next one; nothing is lost but time.
            if self.syncer.try_send(copy).is_ok() {
                self.dirty = false;
                self.synced_at = self.written_at;
            }
        }
        match self.sync_trouble.lock() {
            Ok(trouble) => trouble.clone().map_or(Ok(()), Err),
            Err(_) => Err("the thread that makes the journal durable has ended".into()),
        }
    }
}

fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:06}.journal"))
}

/// Moves what lies behind the last good record beside the segment.
fn set_aside(file: &mut File, good: u64, path: &Path) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(good))?;
    let mut torn = File::create(path.with_extension("torn"))?;
    std::io::copy(file, &mut torn)?;
    torn.sync_all()?;
    file.set_len(good)
}

/// The newest state: from the newest segment, or the one before it where that holds no keyframe yet.
fn restore(known: &[(u32, PathBuf)], newest: Vec<Record>) -> Option<ControllerState> {
    if newest.iter().any(|r| matches!(r, Record::Keyframe { .. })) {
        return recover(newest.into_iter());
    }
    let older = known.iter().rev().skip(1).find_map(|(_, path)| {
        let records: Vec<Record> = read_segment(path).ok()?.entries.into_iter().map(|e| e.record).collect();
        records
            .iter()
            .any(|r| matches!(r, Record::Keyframe { .. }))
            .then_some(records)
    });
    recover(older.into_iter().flatten().chain(newest))
}

type Trouble = Arc<Mutex<Option<String>>>;

/// Makes segments durable one after the other, beside the control loop.
fn start_syncer() -> Result<(mpsc::SyncSender<File>, Trouble), String> {
    let (send, files) = mpsc::sync_channel::<File>(1);
    let trouble = Trouble::default();
    let shown = trouble.clone();
    std::thread::Builder::new()
        .name("journal-sync".into())
        .spawn(move || {
            for file in files {
                let outcome = file
                    .sync_data()
                    .err()
                    .map(|e| format!("cannot make the journal durable: {e}"));
                if let Ok(mut shown) = shown.lock() {
                    *shown = outcome;
                }
            }
        })
        .map_err(|e| format!("cannot start a thread for the journal: {e}"))?;
    Ok((send, trouble))
}
