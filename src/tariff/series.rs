//! Dynamic prices from a CSV or JSON file.

use super::PriceTable;
use crate::time::Timestamp;
use crate::units::Price;
use chrono::TimeDelta;

/// Day-ahead prices as published: steps of one length, gaps stay gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceSeries {
    pub step: TimeDelta,
    pub prices: PriceTable,
}

impl PriceSeries {
    /// Reads CSV (`ts_utc,<price column>`) or JSON (`[{"ts_utc":…,"price":…}]`); the error names line and fault.
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }
    /// Published price at `t`, without fees and tax.
    pub fn at(&self, _t: Timestamp) -> Option<Price> {
        todo!()
    }
}
