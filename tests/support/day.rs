//! A day of a site in virtual time, as tests run it.

use chrono::TimeDelta;
use madang::backtest::RunSpec;
use madang::model::Policy;
use madang::site::Site;
use madang::time::local_midnight;
use madang::twin::Fault;
use std::sync::Arc;

/// One local day (`2026-05-12`) under the plan with seed 1 and a cycle of 10 s, without the wire and without faults; a test
/// names what it wants otherwise.
pub fn day_of(site: &Arc<Site>, date: &str) -> RunSpec {
    RunSpec {
        site: site.clone(),
        policy: Policy::Plan,
        seed: 1,
        start: local_midnight(site.plant.location.time_zone, date.parse().unwrap()),
        days: 1,
        cycle: TimeDelta::seconds(10),
        wire: false,
        faults: Vec::new(),
    }
}

/// Faults as `--fault` takes them.
pub fn faults(site: &Site, said: &[&str]) -> Vec<Fault> {
    said.iter().flat_map(|f| Fault::parse_all(f, site).unwrap()).collect()
}
