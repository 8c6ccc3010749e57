//! Fast loop and slow loop; the only room that strings the pure ones together. Talks to I/O rooms through `ports`.

mod ports;
pub use ports::*;
