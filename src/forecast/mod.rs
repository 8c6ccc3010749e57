//! Series → [`Forecast`] with quantiles: load, PV, price, EV sessions; scores itself. Pure; never sees the twin.

use crate::model::{ControllerState, Forecast, Snapshot};
use crate::site::Plant;
use crate::tariff::PriceSeries;
use crate::time::{TimeGrid, Timestamp};
use chrono::TimeDelta;

/// Takes one cycle's measurements into the forecaster's memory (15-minute means, sessions, scores).
pub fn observe(_plant: &Plant, _snapshot: &Snapshot, _state: &mut ControllerState, _dt: TimeDelta) {
    todo!()
}

/// One forecast on `grid`, from memory and prices only.
pub fn forecast(
    _plant: &Plant,
    _state: &ControllerState,
    _snapshot: Option<&Snapshot>,
    _prices: Option<&PriceSeries>,
    _grid: TimeGrid,
    _now: Timestamp,
) -> Forecast {
    todo!()
}
