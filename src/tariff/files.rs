//! Day-ahead prices by the file that they come from: a tariff may follow one file for import and another for export.

use super::{ImportPrice, PriceSeries, Tariff};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Prices of every file that is known, by its name as in the site file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceFiles {
    by_name: BTreeMap<String, Arc<PriceSeries>>,
}

impl FromIterator<(String, Arc<PriceSeries>)> for PriceFiles {
    fn from_iter<I: IntoIterator<Item = (String, Arc<PriceSeries>)>>(files: I) -> Self {
        Self {
            by_name: files.into_iter().collect(),
        }
    }
}

impl PriceFiles {
    pub fn of(&self, file: &str) -> Option<&PriceSeries> {
        self.by_name.get(file).map(AsRef::as_ref)
    }

    /// Of each file only what starts before `end`: what is published at some moment.
    pub fn until(&self, end: Timestamp) -> Self {
        let cut = |(name, series): (&String, &Arc<PriceSeries>)| (name.clone(), Arc::new(series.until(end)));
        self.by_name.iter().map(cut).collect()
    }
}

impl Tariff {
    /// Files of day-ahead prices that the tariff follows, each once, with the table of the site file that names it.
    pub fn price_files(&self) -> Vec<(&'static str, &str)> {
        let import = match &self.import {
            ImportPrice::Dynamic { file, .. } => Some(file.as_str()),
            _ => None,
        };
        let export = self.export.file.as_deref().filter(|f| Some(*f) != import);
        let import = import.map(|f| ("import", f));
        import.into_iter().chain(export.map(|f| ("export", f))).collect()
    }
}
