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
    Check(cli::check::Args),
    Schema(cli::schema::Args),
    Solve(cli::solve::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => cli::check::run(args),
        Command::Schema(args) => cli::schema::run(args),
        Command::Solve(args) => cli::solve::run(args),
    }
}
