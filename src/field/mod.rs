//! The wire: one task per physical link, a guard under the Modbus client, register codec, SunSpec, verified writes.
//!
//! In: devices of the site's wiring, setpoints. Out: measurements by component (engineering units, passive sign), health by
//! device, a report for each write. Only this room writes registers. What it keeps it can rebuild: sockets, maps, leases.

mod ask;
mod client;
mod codec;
mod commission;
mod connection;
mod control;
mod device;
mod dial;
mod foreign;
mod frame;
mod guard;
mod hand;
mod line;
mod link;
mod link_thread;
mod load;
mod map;
mod once;
mod owned;
mod pace;
mod plausible;
mod port;
mod probe;
mod program;
mod propose;
mod proxy;
mod read;
mod recognise;
mod record;
mod refusals;
mod restart;
mod scan;
mod silences;
mod sunspec;
mod tls;

pub use client::{Class, Client, WireError};
pub use codec::{Raw, decode, encode};
pub use commission::{Bench, COMMANDS, Finding, Outcome, Plan as CommissionPlan, bench, try_out};
pub use dial::{Dial, Wire};
pub use hand::Hand;
pub use link_thread::LinkThread;
pub use load::{Paced, ScanCost, paced, scan_cost};
pub use map::{BlockRead, Map, Value};
pub use once::{
    Amount, Planned, PlannedWrite, Told, Wish, WriteOnce, plan_with_device, plan_without_device, write_once,
};
pub use port::{Field, Options};
pub use probe::ProbeError;
pub use propose::fragment;
pub use proxy::{Allowed, Rules as ProxyRules, Upstream, serve as serve_proxy, upstream};
pub use read::{ReadError, ReadPoint, ReadReport, ReadValue, alone, read_once};
pub use record::{Recorded, Recording, record, recorder, transport};
pub use scan::{Confidence, FoundDevice, ScanOptions, ScanReport, Step as ScanStep, scan};
pub use sunspec::INVERTER_STATES;
