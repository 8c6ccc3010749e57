//! Prometheus and InfluxDB: side exits that may be slow, broken or absent without moving a setpoint.
//!
//! In: the samples of each cycle, or the historian's stored instants. Out: the text of `/metrics`, and line protocol to an
//! InfluxDB v2 write endpoint. Both use the one naming of [`crate::cycle::samples`]. Absent: a queue of its own; what was
//! not sent is read again from the historian.

mod influx;
mod lines;
mod prometheus;

pub use influx::{Sink, Status};
pub use prometheus::Metrics;
