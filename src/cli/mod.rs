//! One file per subcommand.
pub mod solve;
