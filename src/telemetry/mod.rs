//! Prometheus, InfluxDB: bounded side exits.
