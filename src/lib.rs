//! Madang, a site controller in one binary.
//!
//! ```text
//! wire → field → state → dispatch → field → wire        each cycle (1 s)
//!                  ↓         ↑ schedule
//!               history → forecast → plan → check       each interval, or on a trigger
//! ```
//! Data flows one way. `state`, `forecast`, `plan`, `check` and `dispatch` are pure functions on plain data;
//! `cycle` strings them together and talks to I/O rooms through small ports; the order of rooms is held by
//! `tests/library/layers.rs`. See ARCHITECTURE.md.

// ground: what everybody may use, in this order
pub mod model;
pub mod profile;
pub mod reading;
pub mod site;
pub mod tariff;
pub mod time;
pub mod units;
// pure rooms: ground in, model out
pub mod check;
pub mod cycle;
pub mod dispatch;
pub mod forecast;
pub mod plan;
pub mod state;
// I/O rooms: implement the cycle's ports
pub mod field;
pub mod history;
pub mod journal;
pub mod telemetry;
pub mod twin;
pub mod web;
// outermost: assemble the rest
pub mod backtest;
pub mod cli;
