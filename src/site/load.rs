//! Finds a site: a folder, a path to site.toml, or one of the sites inside the binary.

use super::reader::{Reader, Section, line_of};
use super::values::nearest;
use super::{Fault, Severity, Site, parse};
use crate::profile;
use crate::tariff::{ImportPrice, PriceSeries};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Folders of `sites/`, inside the binary.
#[derive(rust_embed::Embed)]
#[folder = "sites/"]
struct Shipped;

/// No data file is larger than this.
const MOST_BYTES: u64 = 16 << 20;
/// A site file with hundreds of devices has a tenth of this, a profile a hundredth.
const MOST_SITE_BYTES: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}; give a folder that holds site.toml, or a path to one")]
    Io { path: String, source: std::io::Error },
    #[error("{} fault(s) in the site file", .0.len())]
    Faults(Vec<Fault>),
}

/// A site file as text, before it is parsed.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name of the file in faults.
    pub file: String,
    pub text: String,
    /// `None` for a site inside the binary.
    folder: Option<PathBuf>,
    files: BTreeMap<String, String>,
}

impl Source {
    /// Parses and validates, with the profiles that devices name.
    pub fn site(&self) -> Result<(Site, Vec<Fault>), Vec<Fault>> {
        let profiles = self.profile_faults();
        let (mut site, mut warnings) = match parse(&self.file, &self.text) {
            Ok(read) if profiles.is_empty() => read,
            Ok((_, mut faults)) | Err(mut faults) => {
                faults.extend(profiles);
                faults.sort_by_key(|f| f.line);
                return Err(faults);
            }
        };
        site.folder = self.folder.clone();
        site.files = self.files.clone();
        super::marks::temper(&site, &mut warnings);
        super::wear::warn(&site, &mut warnings);
        Ok((site, warnings))
    }

    /// Devices whose profile is neither built in nor a good file in the site's `profiles` folder.
    fn profile_faults(&self) -> Vec<Fault> {
        let reader = Reader::new(&self.file, &self.text);
        let (document, _) = DeTable::parse_recoverable(&self.text);
        for (_, device) in Section::root(&reader, document.get_ref()).named("devices", "") {
            if let Some(why) = device.peek("profile").and_then(|name| self.profile_fault(name)) {
                device.fault("profile", why);
            }
        }
        let mut faults = reader.into_faults();
        // What else is wrong with a device is the parser's to say.
        faults.retain(|f| f.key.ends_with(".profile"));
        faults
    }

    fn profile_fault(&self, name: &str) -> Option<String> {
        let shipped = profile::builtin_names();
        if shipped.contains(&name) {
            return None;
        }
        let own = self
            .folder
            .as_ref()
            .map(|f| f.join("profiles").join(format!("{name}.toml")));
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(text) = own
            .filter(|_| plain)
            .and_then(|path| read_text(&path, MOST_SITE_BYTES).ok())
        {
            let faults = profile::parse(&text).err()?;
            let first = faults.first()?;
            let more = faults.len() - 1;
            return Some(format!(
                "profiles/{name}.toml:{}: {}: {} (and {more} more)",
                first.line, first.key, first.message
            ));
        }
        let hint = match nearest(name, shipped.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("built in are {}", shipped.join(", ")),
        };
        Some(format!(
            "there is no profile `{name}`, nor a file profiles/{name}.toml beside the site file; {hint}"
        ))
    }

    /// Every fault and warning, also of the files it names.
    pub fn check(&self) -> Vec<Fault> {
        match self.site() {
            Ok((site, mut faults)) => {
                faults.extend(self.price_file(&site));
                faults
            }
            Err(faults) => faults,
        }
    }

    /// A price file may appear later (it is watched); one that is there must be readable.
    fn price_file(&self, site: &Site) -> Option<Fault> {
        let ImportPrice::Dynamic { file } = &site.plant.tariff.import else {
            return None;
        };
        let (severity, message) = match site.read_file(file) {
            Err(why) => (
                Severity::Warning,
                format!("{why}; prices are unknown until it is there"),
            ),
            Ok(text) => (
                Severity::Error,
                format!(
                    "{file}: {}",
                    PriceSeries::parse(&text, &site.plant.tariff.currency).err()?
                ),
            ),
        };
        Some(Fault {
            file: self.file.clone(),
            line: line_of(&self.text, &["tariff", "import", "file"]),
            key: "tariff.import.file".into(),
            message,
            severity,
        })
    }
}

impl Site {
    /// The profile a device names: the site's own, else a shipped one; `None` where it cannot be read.
    pub fn profile(&self, name: &str) -> Option<profile::Profile> {
        let own = self
            .folder
            .as_ref()
            .map(|f| f.join("profiles").join(format!("{name}.toml")));
        match own.filter(|path| path.exists()) {
            Some(path) => profile::parse(&read_text(&path, MOST_SITE_BYTES).ok()?).ok(),
            None => profile::builtin(name),
        }
    }
}

/// Finds a site file: a folder that holds site.toml, a path to one, or the name of a site inside the binary. What exists on
/// disk comes first.
pub fn source(site: &str) -> Result<Source, LoadError> {
    let path = Path::new(site);
    if !path.exists()
        && let Some(shipped) = shipped(site)
    {
        return Ok(shipped);
    }
    from_disk(path)
}

fn from_disk(path: &Path) -> Result<Source, LoadError> {
    let file = if path.is_dir() {
        path.join("site.toml")
    } else {
        path.to_owned()
    };
    let text = read_text(&file, MOST_SITE_BYTES).map_err(|source| LoadError::Io {
        path: file.display().to_string(),
        source,
    })?;
    Ok(Source {
        file: file.display().to_string(),
        text,
        folder: file.parent().map(Path::to_owned),
        files: BTreeMap::new(),
    })
}

/// Loads a site from disk (folder or file).
pub fn load(path: &Path) -> Result<(Site, Vec<Fault>), LoadError> {
    from_disk(path)?.site().map_err(LoadError::Faults)
}

/// Loads a site by folder, file or the name of one inside the binary.
pub fn find(site: &str) -> Result<(Site, Vec<Fault>), LoadError> {
    source(site)?.site().map_err(LoadError::Faults)
}

/// Text of a file of bounded size. What is no file (a pipe, a device) is refused: reading it might never end.
fn read_text(file: &Path, most: u64) -> std::io::Result<String> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("larger than {} MiB", most >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
        let line = good.filter(|b| **b == b'\n').count() + 1;
        std::io::Error::other(format!("line {line} is not UTF-8; save the file as UTF-8"))
    })
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
    shipped(name)?.site().ok().map(|(site, _)| site)
}

fn shipped(name: &str) -> Option<Source> {
    let file = format!("{name}/site.toml");
    let text = text_of(&file)?;
    let mut files = BTreeMap::new();
    for other in Shipped::iter().filter(|f| f.ends_with(".csv")) {
        if let Some(short) = other.strip_prefix(&format!("{name}/")) {
            files.insert(short.to_owned(), text_of(&other)?);
        }
    }
    Some(Source {
        file: format!("sites/{file}"),
        text,
        folder: None,
        files,
    })
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
        read_text(&path, MOST_BYTES).map_err(|why| format!("cannot read {}: {why}", path.display()))
    }
}
