//! The market of a simulated site: prices appear when a real one would publish them.

use crate::cycle::PricePort;
use crate::site::Site;
use crate::tariff::{ImportPrice, PriceSeries, published_until};
use crate::time::Timestamp;
use chrono_tz::Tz;
use std::sync::Arc;

/// Plays a year of prices from the site folder.
pub struct Market {
    all: Arc<PriceSeries>,
    tz: Tz,
    shown: Option<(Timestamp, Arc<PriceSeries>)>,
    version: u64,
}

impl Market {
    /// The site's dynamic prices, repeated to cover `until`; `None` where the tariff has none.
    pub fn of(site: &Site, until: Timestamp) -> Result<Option<Self>, String> {
        let ImportPrice::Dynamic { file } = &site.plant.tariff.import else {
            return Ok(None);
        };
        let text = site.read_file(file)?;
        let all = PriceSeries::parse(&text, &site.plant.tariff.currency)
            .map_err(|why| format!("{file}: {why}"))?
            .repeated_to(until);
        Ok(Some(Self {
            all: Arc::new(all),
            tz: site.plant.tariff.time_zone,
            shown: None,
            version: 0,
        }))
    }

    /// Everything, published or not: for billing.
    pub fn all(&self) -> Arc<PriceSeries> {
        self.all.clone()
    }
}

impl PricePort for Market {
    fn current(&mut self, now: Timestamp) -> Option<Arc<PriceSeries>> {
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
    fn current(&mut self, _now: Timestamp) -> Option<Arc<PriceSeries>> {
        None
    }
    fn version(&self) -> u64 {
        0
    }
}
