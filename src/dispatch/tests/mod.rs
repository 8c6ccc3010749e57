//! Control laws as rows of cycles: inputs → setpoints.

mod bench;
mod cars;
mod island;
mod may;
mod safety;
mod storage;
mod wishes;
