//! Control laws as rows of cycles: inputs → setpoints.

mod bench;
mod storage;
