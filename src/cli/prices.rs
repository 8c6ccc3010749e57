//! Dynamic prices from files, each watched by a thread of its own: whatever lies under its name, the loop never waits for it.

use crate::cycle::{PricePort, Trouble};
use crate::site::Site;
use crate::site::file::{open_regular, read_text};
use crate::tariff::{PriceFiles, PriceSeries};
use crate::time::Timestamp;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

/// The file is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A look that lasts longer (a dead share) is told.
const SLOW: Duration = Duration::from_secs(10);
/// The first plan waits this long for the first prices.
const FIRST: Duration = Duration::from_secs(1);

/// Prices of every file that the site's tariff follows.
pub struct WatchedPrices {
    files: Vec<WatchedFile>,
    known: Option<Arc<PriceFiles>>,
}

/// Prices of one file as last read; a file that cannot be read is told, and the last good prices stay.
struct WatchedFile {
    /// As the site file names it.
    name: String,
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
    /// As last taken from the reader, for when it is busy.
    prices: Option<Arc<PriceSeries>>,
    version: u64,
    trouble: Option<String>,
}

/// What the reader leaves for the loop.
#[derive(Default)]
struct Shared {
    prices: Option<Arc<PriceSeries>>,
    version: u64,
    trouble: Option<String>,
    /// A look is under way.
    looks_since: Option<Instant>,
    looked: bool,
}

impl WatchedPrices {
    /// Starts the readers. `None` where the site's tariff has no price file or the site is inside the binary.
    pub fn of(site: &Site) -> Result<Option<Self>, String> {
        let tariff = &site.plant.tariff;
        let (names, Some(folder)) = (tariff.price_files(), &site.folder) else {
            return Ok(None);
        };
        let watch = |(_, name): (_, &str)| WatchedFile::of(name, folder.join(name), &tariff.currency);
        let files: Vec<WatchedFile> = names.into_iter().map(watch).collect::<Result<_, _>>()?;
        Ok((!files.is_empty()).then_some(Self { files, known: None }))
    }
}

impl WatchedFile {
    fn of(name: &str, path: PathBuf, currency: &str) -> Result<Self, String> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (of_thread, reader) = (Arc::downgrade(&shared), Reader::new(path.clone(), currency));
        let thread = std::thread::Builder::new().name("prices".into());
        thread
            .spawn(move || serve(reader, &of_thread))
            .map_err(|e| format!("cannot start a thread for the prices: {e}"))?;
        await_first(&shared);
        Ok(Self {
            name: name.to_owned(),
            path,
            shared,
            prices: None,
            version: 0,
            trouble: None,
        })
    }

    fn take(&mut self) {
        // The reader holds it for a moment only; what it leaves is taken in the next cycle.
        let Ok(shared) = self.shared.try_lock() else { return };
        (self.version, self.prices) = (shared.version, shared.prices.clone());
        let slow = shared.looks_since.is_some_and(|t| t.elapsed() > SLOW);
        self.trouble = match slow {
            true => Some("it does not answer".into()),
            false => shared.trouble.clone(),
        };
    }
}

fn await_first(shared: &Mutex<Shared>) {
    let end = Instant::now() + FIRST;
    let looked = || shared.lock().unwrap_or_else(PoisonError::into_inner).looked;
    while !looked() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Until nobody wants the prices any more.
fn serve(mut reader: Reader, shared: &Weak<Mutex<Shared>>) {
    let with = |change: &mut dyn FnMut(&mut Shared)| {
        let shared = shared.upgrade()?;
        change(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
        Some(())
    };
    while with(&mut |s| s.looks_since = Some(Instant::now())).is_some() {
        let came = catch_unwind(AssertUnwindSafe(|| reader.look()));
        let mut came = came.unwrap_or_else(|_| Some(Err("reading it failed in the middle".into())));
        with(&mut |s| s.keep(came.take()));
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Shared {
    /// `None`: nothing is new.
    fn keep(&mut self, came: Option<Result<PriceSeries, String>>) {
        (self.looks_since, self.looked) = (None, true);
        match came {
            None => {}
            Some(Ok(prices)) => {
                self.prices = Some(Arc::new(prices));
                self.version += 1;
                self.trouble = None;
            }
            Some(Err(why)) => self.trouble = Some(why),
        }
    }
}

/// What shows that a file was written again.
type Stamp = (SystemTime, u64, u64);

/// Reads the file whenever it changes.
struct Reader {
    path: PathBuf,
    /// ISO 4217, of the site's tariff.
    currency: String,
    seen: Option<Stamp>,
    /// Told last, so that it is told once.
    told: Option<String>,
}

impl Reader {
    fn new(path: PathBuf, currency: &str) -> Self {
        Self {
            path,
            currency: currency.to_owned(),
            seen: None,
            told: None,
        }
    }

    /// `None` where nothing changed.
    fn look(&mut self) -> Option<Result<PriceSeries, String>> {
        let came = match stamp(&self.path) {
            Ok(stamp) if self.seen == Some(stamp) => return None,
            Ok(stamp) => self.read(stamp),
            Err(why) => {
                self.seen = None;
                Err(why)
            }
        };
        match &came {
            Ok(_) => self.told = None,
            Err(why) if self.told.as_ref() != Some(why) => {
                tracing::error!("{}: {why}; the prices known before stay in force", self.path.display());
                self.told = Some(why.clone());
            }
            Err(_) => {}
        }
        Some(came)
    }

    fn read(&mut self, before: Stamp) -> Result<PriceSeries, String> {
        // Whatever becomes of it: the same content is not read again.
        self.seen = Some(before);
        let text = read_text(&self.path).map_err(|e| e.to_string())?;
        if stamp(&self.path)? != before {
            self.seen = None;
            return Err("it was changed while it was read".into());
        }
        PriceSeries::parse(&text, &self.currency)
    }
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    let (_, about) = open_regular(path).map_err(|e| e.to_string())?;
    let modified = about.modified().map_err(|e| e.to_string())?;
    Ok((modified, about.len(), about.ino()))
}

impl PricePort for WatchedPrices {
    fn current(&mut self, _now: Timestamp) -> Option<Arc<PriceFiles>> {
        let before = self.version();
        self.files.iter_mut().for_each(WatchedFile::take);
        if self.version() != before {
            let known = self
                .files
                .iter()
                .filter_map(|f| Some((f.name.clone(), f.prices.clone()?)));
            self.known = Some(Arc::new(known.collect()));
        }
        self.known.clone()
    }

    fn version(&self) -> u64 {
        self.files.iter().map(|f| f.version).sum()
    }

    fn trouble(&self) -> Option<Trouble> {
        let (file, why) = self.files.iter().find_map(|f| Some((&f.path, f.trouble.as_ref()?)))?;
        Some(Trouble {
            code: "prices_unreadable",
            part: None,
            en: format!("the price file {} cannot be read: {why}", file.display()),
            ko: format!("요금 파일 {}을(를) 읽을 수 없음", file.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use std::fs::File;

    fn put(path: &Path, text: &str, age: u64) {
        std::fs::write(path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + age);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn file(price: &str) -> String {
        format!("ts_utc,price\n2026-05-12T00:00:00Z,{price}\n2026-05-12T01:00:00Z,0.2\n")
    }

    #[test]
    fn new_prices_are_seen_and_what_cannot_be_read_leaves_the_old_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.csv");
        let (mut reader, mut shared) = (Reader::new(path.clone(), "EUR"), Shared::default());
        let t0 = chrono::Utc.with_ymd_and_hms(2026, 5, 12, 0, 0, 0).unwrap();
        let mut check = |price: Option<f64>, version: u64, why: Option<&str>| {
            let came = reader.look();
            shared.keep(came);
            let known = shared.prices.as_ref().and_then(|p| p.at(t0)).map(|p| p.as_per_kwh());
            assert_eq!((known, shared.version), (price, version), "{why:?}");
            let told = shared.trouble.as_deref();
            let fits = why.map_or(told.is_none(), |why| told.is_some_and(|t| t.contains(why)));
            assert!(fits, "{told:?} where {why:?} was expected");
        };
        check(None, 0, Some("No such file"));
        put(&path, &file("0.10"), 1);
        check(Some(0.10), 1, None);
        check(Some(0.10), 1, None);
        put(&path, &file("what"), 2);
        check(Some(0.10), 1, Some("line 2"));
        check(Some(0.10), 1, Some("line 2"));
        put(&path, &file("0.30"), 3);
        check(Some(0.30), 2, None);
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        check(Some(0.30), 2, Some("larger than 16 MiB"));
        std::fs::remove_file(&path).unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        check(Some(0.30), 2, Some("not a regular file"));
        std::fs::remove_file(&path).unwrap();
        put(&path, &file("0.40"), 4);
        check(Some(0.40), 3, None);
    }

    #[test]
    fn a_look_that_does_not_end_is_told_and_the_loop_does_not_wait_for_it() {
        let long_ago = Instant::now().checked_sub(SLOW * 2).unwrap();
        let shared = Shared {
            looks_since: Some(long_ago),
            ..Shared::default()
        };
        let file = WatchedFile {
            name: "prices.csv".into(),
            path: "prices.csv".into(),
            shared: Arc::new(Mutex::new(shared)),
            prices: None,
            version: 0,
            trouble: None,
        };
        let mut prices = WatchedPrices {
            files: vec![file],
            known: None,
        };
        assert_eq!(prices.current(chrono::DateTime::UNIX_EPOCH), None);
        assert!(prices.trouble().unwrap().en.contains("does not answer"));
        let shared = prices.files[0].shared.clone();
        let _held = shared.lock().unwrap();
        assert_eq!(
            prices.current(chrono::DateTime::UNIX_EPOCH),
            None,
            "nor while the reader holds it"
        );
    }
}
