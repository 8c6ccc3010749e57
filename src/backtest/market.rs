//! The market of a simulated site: prices appear when a real one would publish them.

use crate::cycle::PricePort;
use crate::site::Site;
use crate::tariff::{PriceFiles, PriceSeries, published_until};
use crate::time::Timestamp;
use chrono_tz::Tz;
use std::sync::Arc;

/// Plays a year of prices from the site folder.
pub struct Market {
    all: Arc<PriceFiles>,
    tz: Tz,
    shown: Option<(Timestamp, Arc<PriceFiles>)>,
    version: u64,
}

impl Market {
    /// The site's dynamic prices, repeated to cover `until`; `None` where the tariff has none.
    pub fn of(site: &Site, until: Timestamp) -> Result<Option<Self>, String> {
        let files = site.plant.tariff.price_files();
        if files.is_empty() {
            return Ok(None);
        }
        let all: PriceFiles = files
            .into_iter()
            .map(|(_, file)| Ok((file.to_owned(), Arc::new(played(site, file, until)?))))
            .collect::<Result<_, String>>()?;
        Ok(Some(Self {
            all: Arc::new(all),
            tz: site.plant.tariff.time_zone,
            shown: None,
            version: 0,
        }))
    }

    /// Everything, published or not: for billing.
    pub fn all(&self) -> Arc<PriceFiles> {
        self.all.clone()
    }
}

/// The prices of one file of the site folder, repeated to cover `until`.
fn played(site: &Site, file: &str, until: Timestamp) -> Result<PriceSeries, String> {
    let series = PriceSeries::parse(&site.read_file(file)?, &site.plant.tariff.currency);
    Ok(series.map_err(|why| format!("{file}: {why}"))?.repeated_to(until))
}

impl PricePort for Market {
    fn current(&mut self, now: Timestamp) -> Option<Arc<PriceFiles>> {
        let until = published_until(now, self.tz);
        match &self.shown {
            Some((t, series)) if *t == until => Some(series.clone()),
            _ => {
                let series = Arc::new(self.all.until(until));
                self.shown = Some((until, series.clone()));
                self.version += 1;
                Some(series)
            }
        }
    }
    fn version(&self) -> u64 {
        self.version
    }
}

/// A site without dynamic prices.
pub struct NoMarket;

impl PricePort for NoMarket {
    fn current(&mut self, _now: Timestamp) -> Option<Arc<PriceFiles>> {
        None
    }
    fn version(&self) -> u64 {
        0
    }
}
