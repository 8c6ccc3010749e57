//! The field and the web server over real sockets, against devices of ours and of others.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod control;
mod field_faults;
mod links;
mod manners;
mod peers;
mod profiles;
mod rtu;
mod sunspec;
mod traces;
mod vanished;
mod web;
