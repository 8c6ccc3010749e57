//! `madang schema site`: JSON Schema of site.toml, for editors and validators.

use crate::site;
use std::process::ExitCode;

/// Prints the JSON Schema of a file format.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  madang schema site > site.schema.json")]
pub struct Args {
    /// Which format.
    #[arg(value_enum)]
    format: Format,
    /// The same keys as Markdown tables for people (the reference part of docs/site-file.md).
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// sites/<name>/site.toml
    Site,
}

pub fn run(args: Args) -> ExitCode {
    let Format::Site = args.format;
    if args.markdown {
        print!("{}", site::reference());
    } else {
        println!("{:#}", site::schema());
    }
    ExitCode::SUCCESS
}
