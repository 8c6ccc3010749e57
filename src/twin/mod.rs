//! The digital twin: plant physics in simulated time, presented as devices; faults on request.
//!
//! In: a site, a seed, time. Out: what the devices would show, and exact books. What comes from outside (weather, load,
//! cars) is a pure function of seed and time, so that it is the same whatever the controller does.

mod blank;
mod books;
mod charger;
mod device;
mod direct;
mod fault;
mod framing;
mod generator;
mod glitch;
mod heat;
mod lease;
mod limits;
mod load;
mod lone;
mod mapped;
mod noise;
mod order;
mod outside;
mod played;
mod pv;
mod registers;
mod replay;
mod serve;
mod server;
mod shown;
mod storage;
mod sunspec;
mod weather;
mod world;

pub use books::{Books, ComponentBook, StoredBook};
pub use charger::Stay;
pub use direct::Direct;
pub use fault::{FAULTS, Fault, FaultKind};
pub use limits::LimitBook;
pub use lone::lone;
pub use replay::serve_trace;
pub use serve::{Listening, Pipes, Served, serve_tcp};
pub use world::World;
