//! Finds a site: a folder, a path to site.toml, or one of the sites inside the binary.

use super::file::read_text;
use super::reader::{Reader, Section, line_of};
use super::values::nearest;
use super::{Fault, Severity, Site, parse, prices};
use crate::profile;
use crate::tariff::PriceSeries;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// Folders of `sites/`, inside the binary.
#[derive(rust_embed::Embed)]
#[folder = "sites/"]
struct Shipped;

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
        let (read, mut faults) = match parse(&self.file, &self.text) {
            Ok((site, warnings)) => (Some(site), warnings),
            Err(faults) => (None, faults),
        };
        faults.extend(self.wiring_faults());
        faults.sort_by(|a, b| (a.line, &a.key, &a.message).cmp(&(b.line, &b.key, &b.message)));
        faults.dedup();
        match read {
            Some(mut site) if faults.iter().all(|f| f.severity == Severity::Warning) => {
                site.folder = self.folder.clone();
                site.files = self.files.clone();
                super::marks::temper(&site, &mut faults);
                super::wear::warn(&site, &mut faults);
                super::alike::merge(&site, &mut faults);
                Ok((site, faults))
            }
            _ => Err(faults),
        }
    }

    /// What is wrong with the profiles that devices name, and what these devices are said to do that their profiles cannot.
    fn wiring_faults(&self) -> Vec<Fault> {
        let reader = Reader::new(&self.file, &self.text);
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let root = Section::root(&reader, document.get_ref());
        for (_, device) in root.named("devices", "") {
            if let Some(why) = device.peek("profile").and_then(|name| self.profile_fault(name)) {
                device.fault("profile", why);
            }
        }
        super::roles::check(&root, |name| self.profile(name));
        // A table that is none is the parser's to name, in the same words.
        reader.into_faults()
    }

    fn profile(&self, name: &str) -> Option<profile::Profile> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let own = self.own_profile(name).filter(|_| plain);
        match own.filter(|path| path.exists()) {
            Some(path) => profile::parse(&read_text(&path).ok()?).ok(),
            None => profile::builtin(name),
        }
    }

    fn own_profile(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("profiles").join(format!("{name}.toml")))
    }

    fn profile_fault(&self, name: &str) -> Option<String> {
        let shipped = profile::builtin_names();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let own = self.own_profile(name).filter(|_| plain);
        if let Some(text) = own.and_then(|path| read_text(&path).ok()) {
            let faults = profile::parse(&text).err()?;
            let first = faults.first()?;
            let more = match faults.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            return Some(format!(
                "profiles/{name}.toml:{}: {}: {}{more}",
                first.line, first.key, first.message
            ));
        }
        if shipped.contains(&name) {
            return None;
        }
        let hint = match nearest(name, shipped.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("built in are {}", shipped.join(", ")),
        };
        Some(format!(
            "there is no profile `{name}`, nor a file profiles/{name}.toml beside the site file; {hint}"
        ))
    }

    /// Every fault and warning at `now`, also of the files it names.
    pub fn check(&self, now: Timestamp) -> Vec<Fault> {
        match self.site() {
            Ok((site, mut faults)) => {
                for (table, file) in site.plant.tariff.price_files() {
                    faults.extend(self.price_file(&site, (table, file), now));
                }
                faults
            }
            Err(faults) => faults,
        }
    }

    /// A price file may appear later (it is watched); one that is there must be readable, in the tariff's unit, and should
    /// know what holds now. The shipped sites' files are those of a simulated market.
    fn price_file(&self, site: &Site, (table, file): (&str, &str), now: Timestamp) -> Vec<Fault> {
        let currency = &site.plant.tariff.currency;
        let found = match site.read_file(file).map(|text| PriceSeries::parse(&text, currency)) {
            Err(why) => vec![(
                Severity::Warning,
                format!("{why}; prices are unknown until it is there"),
            )],
            Ok(Err(why)) => vec![(Severity::Error, format!("{file}: {why}"))],
            Ok(Ok(series)) => {
                let unit = prices::wrong_unit(&series, currency);
                let now = self.folder.as_ref().and_then(|_| prices::nothing_now(&series, now));
                let errors = unit.map(|why| (Severity::Error, format!("{file}: {why}")));
                errors
                    .into_iter()
                    .chain(now.map(|why| (Severity::Warning, format!("{file}: {why}"))))
                    .collect()
            }
        };
        let fault = |(severity, message)| Fault {
            file: self.file.clone(),
            line: line_of(&self.text, &["tariff", table, "file"]),
            key: format!("tariff.{table}.file"),
            message,
            severity,
        };
        found.into_iter().map(fault).collect()
    }
}

impl Site {
    /// The profile a device names: the site's own, else a shipped one; `None` where it cannot be read.
    pub fn profile(&self, name: &str) -> Option<profile::Profile> {
        self.find_profile(name).ok()
    }

    /// The profile a device names: a file `profiles/<name>.toml` of the site, else a shipped one; or why there is none.
    pub fn find_profile(&self, name: &str) -> Result<profile::Profile, String> {
        let file = format!("profiles/{name}.toml");
        let own = self.folder.as_ref().map(|f| f.join(&file)).filter(|path| path.exists());
        let (shown, text) = match (self.files.get(&file), own) {
            (Some(text), _) => (file, text.clone()),
            (None, Some(path)) => {
                let shown = path.display().to_string();
                let text = read_text(&path).map_err(|e| format!("cannot read {shown}: {e}"))?;
                (shown, text)
            }
            (None, None) => {
                let known = || profile::builtin_names().join(", ");
                let shipped = profile::builtin(name);
                return shipped.ok_or_else(|| format!("there is no profile `{name}`; built in are {}", known()));
            }
        };
        profile::parse(&text).map_err(|faults| {
            let line = |f: &profile::ProfileFault| format!("line {}: {}", f.line, f.message);
            format!("{shown}: {}", faults.iter().map(line).collect::<Vec<_>>().join("; "))
        })
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
    let text = read_text(&file).map_err(|source| LoadError::Io {
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
        read_text(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))
    }
}
