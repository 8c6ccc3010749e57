//! A site as validated data: `plant` (what there is and what it may do) and `wiring` (which device shows and moves it).
//!
//! Input: `sites/<name>/site.toml`. Output: [`Site`], or every fault at once with line, key, value and what is allowed.

mod alike;
mod feeds;
pub mod file;
mod load;
pub mod marks;
mod parse;
mod parse_components;
mod parse_heat;
mod parse_loads;
mod parse_periods;
mod parse_power;
mod parse_ratings;
mod parse_sources;
mod parse_storage;
mod parse_tariff;
mod parse_wiring;
pub mod plant;
mod prices;
mod reader;
mod roles;
mod schema;
mod sense;
mod shape;
mod sun;
pub mod twin;
mod validate;
mod values;
mod wear;
pub mod wiring;

pub use feeds::{Feed, charge_point_state, command_of, quantity_of, takes};
pub use load::{LoadError, Source, builtin, builtin_names, find, load, source};
pub use parse::{Fault, Severity, parse};
pub use plant::*;
pub use roles::{command_needed, options_of, unfed};
pub use schema::{reference, schema};
pub use sun::Sun;
pub use twin::TwinConfig;
pub use values::nearest;
pub use wiring::*;

/// A whole site: what the controller needs to know before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    pub plant: Plant,
    pub wiring: Wiring,
    /// Behaviour of the digital twin; `None` where the file has no `[twin]` (then defaults are used).
    pub twin: Option<TwinConfig>,
    /// Folder of site.toml, for files it names (prices, series); `None` for the embedded sites.
    pub folder: Option<std::path::PathBuf>,
    /// Files that came with an embedded site (name → text), e.g. prices.csv.
    pub files: std::collections::BTreeMap<String, String>,
}
