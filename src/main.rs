//! Parses arguments and calls one function per subcommand.
fn main() {}
