//! The one function that turns metered energy into money.

use super::{MonthUse, PriceSeries, Tariff};
use crate::time::Interval;
use crate::units::{Energy, Money};
use serde::{Deserialize, Serialize};

/// Energy through the connection point in one metering interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeterInterval {
    pub interval: Interval,
    pub import: Energy,
    pub export: Energy,
}

/// What the metered energy costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Import minus export, with fees and tax.
    pub energy: Money,
    /// Demand charge added by these intervals beyond the peak already paid.
    pub demand: Money,
    /// Intervals whose price was not known; they are not in `energy`.
    pub unpriced: usize,
    /// Month use afterwards.
    pub month: MonthUse,
}

/// Bills consecutive metering intervals, starting from the month's use so far.
pub fn bill(_tariff: &Tariff, _prices: Option<&PriceSeries>, _month: MonthUse, _metered: &[MeterInterval]) -> Bill {
    todo!()
}
