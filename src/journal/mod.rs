//! Append-only, hash-chained flight recorder; crash recovery.
