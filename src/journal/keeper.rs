//! The thread that keeps the journal: the only one that touches its files once the controller runs.

use super::disk::{self, Disk};
use super::queue::{Next, Order, Queue};
use super::{Limits, Place, chain, words};
use crate::cycle::{Kept, Notice, Record, aside};
use crate::model::ControllerState;
use crate::time::Timestamp;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Attempts to open a folder that could not be used, and looks whether the file is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What was damaged or lost is shown this long.
const SHOWN_FOR: Duration = Duration::from_secs(3600);

const RECORDS: Kept = Kept {
    code: "journal",
    en: "the record of operation and what is learned are",
    ko: "운전 기록과 학습 내용이",
};
const WORDS: Kept = Kept {
    code: "people_words",
    en: "what people said last (mode, release, limits, overrides, cars) is",
    ko: "사람의 마지막 지시(모드, 반환, 한도, 수동 설정, 차량)가",
};

pub struct Keeper {
    place: Place,
    limits: Limits,
    queue: Arc<Queue>,
    folder: PathBuf,
    disk: Option<Disk>,
    /// The chain goes on from here when a file must be begun.
    link: chain::Link,
    /// Records lost since the disk took none.
    lost: u64,
    looked: Instant,
    dirty_since: Option<Instant>,
    /// Words that the disk has not taken yet.
    unsaved: Option<Vec<u8>>,
    now: Timestamp,
}

/// Serves until the queue is closed; first hands over what a controller goes on from.
pub fn serve(place: Place, limits: Limits, now: Timestamp, queue: &Arc<Queue>, found: &mpsc::SyncSender<Start>) {
    /// Tells the other side also when this thread panics.
    struct End<'a>(&'a Queue);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.ended();
        }
    }
    let _end = End(queue);
    let mut keeper = Keeper {
        folder: place.state.join("journal"),
        place,
        limits,
        queue: queue.clone(),
        disk: None,
        link: [0; 32],
        lost: 0,
        looked: Instant::now(),
        dirty_since: None,
        unsaved: None,
        now,
    };
    let restored = keeper.begin();
    // Nobody waits any more where the disk took too long: control began without it.
    let _late = found.send(restored);
    keeper.run();
}

/// What the controller goes on from.
pub type Start = Option<ControllerState>;

impl Keeper {
    /// Reads what is there, then opens the newest file. Reading comes first: a folder that takes nothing still tells.
    fn begin(&mut self) -> Start {
        if let Err(why) = (self.place.claim)() {
            self.say_not_kept(&why, io::ErrorKind::Other);
            return None;
        }
        let site = self.place.site().to_owned();
        let words = words::load(&self.place.state, &site).unwrap_or_else(|why| {
            self.say_damaged(&why);
            None
        });
        let mut found = disk::find(&self.folder).unwrap_or_else(|e| {
            self.trouble(&e);
            disk::Found::default()
        });
        if let Some(kept) = self.foreign(&found) {
            self.say_damaged(&format!("{} is another site's; {kept}", self.folder.display()));
            found = disk::Found::default();
        }
        if !found.damage.is_empty() {
            self.say_damaged(&found.damage.join("; "));
        }
        match Disk::open(&self.folder, found.newest.as_ref(), &site, self.now) {
            Ok(disk) => self.adopt(disk),
            Err(e) => {
                self.link = found.newest.map_or([0; 32], |(_, _, chain)| chain.link);
                self.trouble(&e);
            }
        }
        found.recovery.with_words(words, &self.place.plant, self.now)
    }

    /// Journals of version 0.1 do not say whose they are. One that decided for components of which this site has no more
    /// than half is not read: it is moved aside.
    fn foreign(&self, found: &disk::Found) -> Option<String> {
        let decided = found.recovery.decided_for();
        let known = decided
            .iter()
            .filter(|id| self.place.plant.components.contains_key(**id));
        let says = found.newest.as_ref().is_some_and(|(_, _, chain)| chain.site.is_some());
        if says || decided.is_empty() || 2 * known.count() > decided.len() {
            return None;
        }
        let kept = aside(&self.folder, "other-site");
        let moved = std::fs::rename(&self.folder, &kept);
        Some(moved.map_or_else(
            |e| format!("it cannot be moved: {e}"),
            |()| format!("kept as {}", kept.display()),
        ))
    }

    fn adopt(&mut self, disk: Disk) {
        self.link = disk.link();
        self.queue.set_hash(chain::hex(&self.link));
        // A folder that comes and goes leaves many small segments.
        if let Err(e) = disk.retire(self.limits) {
            tracing::warn!("journal {}: {e}", self.folder.display());
        }
        self.disk = Some(disk);
        self.queue.want_keyframe();
        self.takes_again();
    }

    fn takes_again(&self) {
        if self.queue.clear(RECORDS.code) {
            tracing::info!("journal {}: it takes records again", self.folder.display());
        }
    }

    fn run(mut self) {
        loop {
            match self.queue.next(Duration::from_secs(1)) {
                Next::Order(order) => {
                    self.take(*order);
                    self.queue.done();
                }
                Next::Nothing { flush } => {
                    if flush {
                        self.sync();
                        self.queue.flushed();
                    }
                }
                Next::Close => return self.sync(),
            }
            self.tend();
        }
    }

    fn take(&mut self, order: Order) {
        self.now = order.at;
        let Order {
            at,
            json,
            keyframe,
            words,
        } = order;
        self.lost = self.lost.saturating_add(self.queue.take_dropped());
        let written = self.write(at, &json, keyframe);
        let Some((text, told)) = words else { return };
        let recorded = written.and_then(|()| self.sync_now());
        let saved = words::save(&self.place.state, &text);
        match &saved {
            Ok(()) => self.words_saved(),
            Err(e) => {
                self.unsaved = Some(text);
                self.queue
                    .show(WORDS.not_now(&self.place.state, &e.to_string(), e.kind()), None);
            }
        }
        // Either of them gives the words back after a restart.
        told(
            saved
                .or(recorded)
                .map_err(|e| format!("{}: {e}", self.place.state.display())),
        );
    }

    fn write(&mut self, at: Timestamp, json: &[u8], keyframe: bool) -> io::Result<()> {
        let written = self.try_write(at, json, keyframe);
        match &written {
            Ok(()) => {
                self.dirty_since.get_or_insert_with(Instant::now);
                self.takes_again();
            }
            Err(e) => {
                self.lost = self.lost.saturating_add(1);
                self.trouble(e);
            }
        }
        written
    }

    fn try_write(&mut self, at: Timestamp, json: &[u8], keyframe: bool) -> io::Result<()> {
        let disk = self.disk.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if keyframe {
            disk.rotate(self.limits, at)?;
        }
        if self.lost > 0 {
            let text = format!("{} records were lost while the disk took none", self.lost);
            let note = chain::json(&Record::Note { text }).map_err(io::Error::other)?;
            disk.append(at, &note)?;
            self.lost = 0;
            self.queue.want_keyframe();
        }
        disk.append(at, json)?;
        self.link = disk.link();
        self.queue.set_hash(chain::hex(&self.link));
        Ok(())
    }

    /// What is due by itself: durability, a folder that may be usable again, words the disk has not taken.
    fn tend(&mut self) {
        if self.dirty_since.is_some_and(|t| t.elapsed() >= self.limits.sync_every) {
            self.sync();
        }
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        if self.disk.as_ref().is_some_and(|d| !d.is_there()) {
            let why = format!(
                "{} was removed while this controller ran; it is begun anew",
                self.folder.display()
            );
            self.say_damaged(&why);
            self.disk = None;
        }
        if self.disk.is_none() {
            self.reopen();
        }
        if let Some(text) = self.unsaved.take()
            && words::save(&self.place.state, &text)
                .map(|()| self.words_saved())
                .is_err()
        {
            self.unsaved = Some(text);
        }
    }

    fn words_saved(&mut self) {
        self.unsaved = None;
        self.queue.clear(WORDS.code);
    }

    /// A file of its own for what comes now: what stands in the folder was not read by this process.
    fn reopen(&mut self) {
        let opened = match (self.place.claim)() {
            Ok(()) => Disk::begin(&self.folder, 1, self.link, self.place.site(), self.now),
            Err(why) => return self.say_not_kept(&why, io::ErrorKind::Other),
        };
        match opened {
            Ok(disk) => self.adopt(disk),
            Err(e) => self.trouble(&e),
        }
    }

    fn sync(&mut self) {
        if let Err(e) = self.sync_now() {
            self.trouble(&e);
        }
    }

    fn sync_now(&mut self) -> io::Result<()> {
        let Some(disk) = &self.disk else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if self.dirty_since.is_some() {
            disk.sync()?;
            self.dirty_since = None;
        }
        Ok(())
    }

    /// A full disk may take the next record; after any other failure the file is opened anew.
    fn trouble(&mut self, e: &io::Error) {
        if e.kind() != io::ErrorKind::StorageFull {
            self.disk = None;
        }
        // Without a file the reason it could not be opened stands already.
        if e.raw_os_error().is_some() || self.queue.notices().iter().all(|n| n.code != RECORDS.code) {
            self.say_not_kept(&e.to_string(), e.kind());
        }
    }

    fn say_not_kept(&self, why: &str, kind: io::ErrorKind) {
        let notice = RECORDS.not_now(&self.folder, why, kind);
        let text = notice.en.clone();
        if self.queue.show(notice, None) {
            tracing::error!("{text}");
        }
    }

    fn say_damaged(&self, why: &str) {
        tracing::error!("journal: {why}; what is damaged is kept beside it");
        let notice = Notice {
            code: "journal_damaged",
            en: format!("the journal was damaged ({why}); control goes on from what is left. Check the disk"),
            ko: format!("운전 기록이 손상되었습니다({why}). 남은 기록으로 제어를 계속합니다. 디스크를 확인하십시오"),
        };
        self.queue.show(notice, Some(SHOWN_FOR));
    }
}
