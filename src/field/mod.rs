//! The wire: one task per physical link, a guard under the Modbus client, register codec, SunSpec, verified writes.
//!
//! In: devices of the site's wiring, setpoints. Out: measurements by component (engineering units, passive sign), health by
//! device, a report for each write. Only this room writes registers. What it keeps it can rebuild: sockets, maps, leases.

mod client;
mod codec;
mod control;
mod device;
mod dial;
mod foreign;
mod guard;
mod link;
mod map;
mod owned;
mod port;
mod program;
mod read;
mod sunspec;

pub use dial::{Dial, Wire};
pub use port::{Field, Options};
pub use read::{ReadError, ReadPoint, ReadReport, ReadValue, read_once};
