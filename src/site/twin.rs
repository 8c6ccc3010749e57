//! Behaviour of the digital twin that the site file may set (`[twin]`); read only by the twin and by `demo`.

use super::plant::Id;
use crate::units::{Energy, Soc};
use chrono::NaiveTime;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TwinConfig {
    /// CSV in the site folder with `ts_utc,load_kw,…` that replaces the twin's own load.
    pub load: Option<String>,
    /// Column of `load`; default `load_kw`.
    pub load_column: Option<String>,
    /// CSV whose column (default `pv_kw`) replaces the twin's own PV.
    pub pv: Option<String>,
    pub pv_column: Option<String>,
    /// Mean daily cloudiness 0..=1 by month (12 values).
    pub cloudiness: Option<Vec<f64>>,
    /// Mean outdoor temperature °C by month (12 values).
    pub temperature: Option<Vec<f64>>,
    /// Visits of cars by charge point.
    pub visits: BTreeMap<Id, Visits>,
    /// State of charge of batteries at the start.
    pub soc_start: BTreeMap<Id, Soc>,
}

/// How cars come and go at a charge point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Visits {
    /// Typical local arrival and departure; real ones scatter, and some days nobody comes.
    pub arrival: NaiveTime,
    pub departure: NaiveTime,
    pub scatter_minutes: f64,
    /// Share of days with a visit.
    pub probability: f64,
    /// Mean energy needed, into the car.
    pub energy: Energy,
}
