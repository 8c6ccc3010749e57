//! The built program as its users start it: with its twin, clocks, disks, browsers and servers.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod commissioning;
mod floods;
mod grafana;
mod held_up;
mod live_plant;
mod packaging;
mod page;
mod service;
mod telemetry;
