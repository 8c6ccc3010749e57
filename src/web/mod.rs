//! HTTP API, live stream, embedded page.
