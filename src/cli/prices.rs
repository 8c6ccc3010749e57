//! Dynamic prices from a file that is watched.

use crate::cycle::PricePort;
use crate::site::Site;
use crate::tariff::{ImportPrice, PriceSeries};
use crate::time::Timestamp;
use chrono::TimeDelta;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// The file is looked at this often (site time).
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(5);

/// Reads the file again whenever it changes; a broken file is told once and the last good prices stay.
pub struct WatchedPrices {
    path: PathBuf,
    /// ISO 4217, of the site's tariff.
    currency: String,
    seen: Option<SystemTime>,
    looked: Option<Timestamp>,
    prices: Option<Arc<PriceSeries>>,
    version: u64,
}

impl WatchedPrices {
    /// `None` where the site's tariff has no price file or the site is inside the binary.
    pub fn of(site: &Site) -> Option<Self> {
        let ImportPrice::Dynamic { file } = &site.plant.tariff.import else {
            return None;
        };
        Some(Self {
            path: site.folder.as_ref()?.join(file),
            currency: site.plant.tariff.currency.clone(),
            seen: None,
            looked: None,
            prices: None,
            version: 0,
        })
    }

    fn look(&mut self) {
        let changed = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if changed.is_none() && self.version == 0 {
            tracing::warn!(
                "{}: no such file; prices are unknown until it is there",
                self.path.display()
            );
            self.version = 1;
        }
        if changed.is_none() || changed == self.seen {
            return;
        }
        self.seen = changed;
        let read = std::fs::read_to_string(&self.path).map_err(|e| e.to_string());
        match read.and_then(|text| PriceSeries::parse(&text, &self.currency)) {
            Ok(prices) => {
                self.prices = Some(Arc::new(prices));
                self.version += 1;
            }
            Err(why) => tracing::error!("{}: {why}; the prices known before stay in force", self.path.display()),
        }
    }
}

impl PricePort for WatchedPrices {
    fn current(&mut self, now: Timestamp) -> Option<Arc<PriceSeries>> {
        if self.looked.is_none_or(|t| now - t >= LOOK_EVERY || now < t) {
            self.looked = Some(now);
            self.look();
        }
        self.prices.clone()
    }
    fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn new_prices_are_seen_and_broken_ones_leave_the_old_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let mut site = crate::site::builtin("home-amsterdam").unwrap();
        site.folder = Some(folder.path().to_owned());
        let mut watched = WatchedPrices::of(&site).unwrap();
        let path = watched.path.clone();
        let t0 = chrono::Utc.with_ymd_and_hms(2026, 5, 12, 0, 0, 0).unwrap();
        let at = |s: i64| t0 + TimeDelta::seconds(s);
        let put = |text: &str, age: u64| {
            std::fs::write(&path, text).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + age);
            std::fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        };
        let price = |w: &mut WatchedPrices, s| w.current(at(s)).and_then(|p| p.at(t0)).map(|p| p.as_per_kwh());
        assert_eq!(price(&mut watched, 0), None);
        put("ts_utc,price\n2026-05-12T00:00:00Z,0.10\n2026-05-12T01:00:00Z,0.2\n", 1);
        assert_eq!(price(&mut watched, 2), None, "not looked at yet");
        assert_eq!(price(&mut watched, 6), Some(0.10));
        let version = watched.version();
        put("ts_utc,price\n2026-05-12T00:00:00Z,what\n", 2);
        assert_eq!((price(&mut watched, 12), watched.version()), (Some(0.10), version));
        put("ts_utc,price\n2026-05-12T00:00:00Z,0.30\n2026-05-12T01:00:00Z,0.2\n", 3);
        assert_eq!((price(&mut watched, 18), watched.version()), (Some(0.30), version + 1));
    }
}
