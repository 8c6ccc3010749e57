//! Dispatch cases as data, random problems, and what must hold of every one of them.

pub mod generate;
pub mod properties;
pub mod variants;
