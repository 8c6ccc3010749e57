//! The embedded historian.
