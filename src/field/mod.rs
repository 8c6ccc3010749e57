//! The wire: one task per physical link, guard transport, register codec, SunSpec, verified writes.
