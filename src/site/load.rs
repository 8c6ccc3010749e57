//! Finds a site: a folder, a path to site.toml, or one of the sites inside the binary.

use super::{Fault, Site, parse};
use std::path::Path;

/// Folders of `sites/`, inside the binary.
#[derive(rust_embed::Embed)]
#[folder = "sites/"]
struct Shipped;

/// No site file or data file is larger than this.
const MOST_BYTES: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}; give a folder that holds site.toml, or a path to one")]
    Io { path: String, source: std::io::Error },
    #[error("{} fault(s) in the site file", .0.len())]
    Faults(Vec<Fault>),
}

/// Loads a site from disk (folder or file).
pub fn load(path: &Path) -> Result<(Site, Vec<Fault>), LoadError> {
    let file = if path.is_dir() {
        path.join("site.toml")
    } else {
        path.to_owned()
    };
    let text = read_text(&file).map_err(|source| LoadError::Io {
        path: file.display().to_string(),
        source,
    })?;
    let (mut site, warnings) = parse(&file.display().to_string(), &text).map_err(LoadError::Faults)?;
    site.folder = file.parent().map(Path::to_owned);
    Ok((site, warnings))
}

/// Text of a file of bounded size; bytes that are not UTF-8 become a mark the parser will refuse in place.
fn read_text(file: &Path) -> std::io::Result<String> {
    if std::fs::metadata(file)?.len() > MOST_BYTES {
        return Err(std::io::Error::other("larger than 16 MiB"));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned())
}

/// Names of the sites inside the binary.
pub fn builtin_names() -> Vec<String> {
    let mut names: Vec<String> = Shipped::iter()
        .filter_map(|f| f.strip_suffix("/site.toml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// A site inside the binary (folders of `sites/`).
pub fn builtin(name: &str) -> Option<Site> {
    let file = format!("{name}/site.toml");
    let text = text_of(&file)?;
    let (mut site, _) = parse(&format!("sites/{file}"), &text).ok()?;
    for other in Shipped::iter().filter(|f| f.ends_with(".csv")) {
        if let Some(short) = other.strip_prefix(&format!("{name}/")) {
            site.files.insert(short.to_owned(), text_of(&other)?);
        }
    }
    Some(site)
}

fn text_of(file: &str) -> Option<String> {
    let found = Shipped::get(file)?;
    String::from_utf8(found.data.into_owned()).ok()
}

impl Site {
    /// Text of a file the site names (prices, recorded series): from its folder, or from inside the binary.
    pub fn read_file(&self, name: &str) -> Result<String, String> {
        if let Some(text) = self.files.get(name) {
            return Ok(text.clone());
        }
        let Some(folder) = &self.folder else {
            return Err(format!("the site has no file `{name}`"));
        };
        let path = folder.join(name);
        read_text(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))
    }
}
