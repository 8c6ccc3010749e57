//! Parses arguments and calls one function per subcommand.

use clap::{Parser, Subcommand};
use madang::cli;
use std::process::ExitCode;

/// Madang: smart grid and microgrid energy manager.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Solve(cli::solve::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Solve(args) => cli::solve::run(args),
    }
}
