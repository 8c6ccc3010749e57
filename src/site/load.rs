//! Finds a site: a folder, a path to site.toml, or one of the sites inside the binary.

use super::{Fault, Site};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}; give a folder that holds site.toml, or a path to one")]
    Io { path: String, source: std::io::Error },
    #[error("{} fault(s) in the site file", .0.len())]
    Faults(Vec<Fault>),
}

/// Loads a site from disk (folder or file).
pub fn load(_path: &Path) -> Result<(Site, Vec<Fault>), LoadError> {
    todo!()
}

/// Names of the sites inside the binary.
pub fn builtin_names() -> Vec<&'static str> {
    todo!()
}

/// A site inside the binary (folders of `sites/`).
pub fn builtin(_name: &str) -> Option<Site> {
    todo!()
}
