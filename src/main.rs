//! Parses arguments and calls one function per subcommand.

use clap::{Parser, Subcommand};
use madang::cli;
use std::process::ExitCode;
use std::time::Duration;

/// Standard output and error may take the last words for this long; they are not waited for longer.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Madang: a site controller that plans, acts, and says why.
#[derive(Debug, Parser)]
#[command(name = "madang", version, arg_required_else_help = true)]
#[command(
    after_help = "Start with:\n  madang demo                 a simulated home, live, on http://127.0.0.1:8420\n  madang demo --once          a whole day in a few seconds"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(cli::demo::Args),
    Run(cli::run::Args),
    Twin(cli::twin::Args),
    Set(cli::set::Args),
    Scan(cli::scan::Args),
    Record(cli::record::Args),
    Commission(cli::commission::Args),
    Proxy(cli::proxy::Args),
    Read(cli::read::Args),
    Write(cli::write::Args),
    Devices(cli::devices::Args),
    Check(cli::check::Args),
    Plan(cli::plan::Args),
    Solve(cli::solve::Args),
    Bench(cli::bench::Args),
    Schema(cli::schema::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli::start_log();
    let code = run(cli.command);
    cli::output::finish(LAST_WORDS);
    code
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Demo(args) => cli::demo::run(args),
        Command::Run(args) => cli::run::run(args),
        Command::Twin(args) => cli::twin::run(args),
        Command::Set(args) => cli::set::run(args),
        Command::Scan(args) => cli::scan::run(args),
        Command::Commission(args) => cli::commission::run(args),
        Command::Record(args) => cli::record::run(args),
        Command::Proxy(args) => cli::proxy::run(args),
        Command::Read(args) => cli::read::run(args),
        Command::Write(args) => cli::write::run(args),
        Command::Devices(args) => cli::devices::run(args),
        Command::Check(args) => cli::check::run(args),
        Command::Plan(args) => cli::plan::run(args),
        Command::Solve(args) => cli::solve::run(args),
        Command::Bench(args) => cli::bench::run(args),
        Command::Schema(args) => cli::schema::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_of_every_command_fit_together() {
        super::Cli::command().debug_assert();
    }
}
