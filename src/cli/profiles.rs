//! Where commands find a profile: built in, in a site's `profiles` folder, or a file; and the options people give with it.

use super::{BAD, USAGE};
use crate::profile::{Profile, builtin, builtin_names, parse};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A profile by name (the site's own before the built-in ones) or by path of a `.toml`.
pub fn find(name: &str, site: Option<&Path>) -> Result<Profile, (u8, String)> {
    if name.ends_with(".toml") {
        return read(Path::new(name));
    }
    if let Some(file) = site
        .map(|s| folder(s).join(format!("{name}.toml")))
        .filter(|f| f.exists())
    {
        return read(&file);
    }
    builtin(name).ok_or_else(|| {
        let own = site.map(own_names).unwrap_or_default();
        let known = builtin_names().into_iter().map(str::to_owned);
        let list: Vec<String> = own.into_iter().chain(known).collect();
        (
            USAGE,
            format!("there is no profile `{name}`; there are {}", list.join(", ")),
        )
    })
}

/// Names of the profiles in a site's `profiles` folder, sorted.
pub fn own_names(site: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder(site)).into_iter().flatten().flatten();
    let stem = |f: std::fs::DirEntry| {
        let path = f.path();
        let is_toml = path.extension().is_some_and(|e| e == "toml");
        path.file_stem().filter(|_| is_toml)?.to_str().map(str::to_owned)
    };
    let mut names: Vec<String> = files.filter_map(stem).collect();
    names.sort();
    names
}

/// `profiles` in the folder of a site, given as folder or as its site.toml.
fn folder(site: &Path) -> PathBuf {
    let folder = if site.is_file() {
        site.parent().unwrap_or(site)
    } else {
        site
    };
    folder.join("profiles")
}

fn read(path: &Path) -> Result<Profile, (u8, String)> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| (USAGE, format!("cannot read {shown}: {e}")))?;
    parse(&text).map_err(|faults| {
        let line = |f: &crate::profile::ProfileFault| format!("{shown}:{}: {}: {}", f.line, f.key, f.message);
        (BAD, faults.iter().map(line).collect::<Vec<_>>().join("\n"))
    })
}

/// `NAME=VALUE` pairs as the profile's options; what it does not know or allow is said.
pub fn options(profile: &Profile, given: &[String]) -> Result<BTreeMap<String, f64>, (u8, String)> {
    let mut all = BTreeMap::new();
    for pair in given {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(known) = profile.options.get(name) else {
            let list: Vec<&str> = profile.options.keys().map(String::as_str).collect();
            let list = if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            };
            return Err((
                USAGE,
                format!("profile {} has no option `{name}`; it has {list}", profile.id),
            ));
        };
        let number = value.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        let allowed = number.filter(|n| (known.min..=known.max).contains(n));
        let range = || {
            format!(
                "option {name} is a number from {} to {}, not `{value}`",
                known.min, known.max
            )
        };
        all.insert(name.to_owned(), allowed.ok_or_else(|| (USAGE, range()))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_s_own_profile_comes_before_the_built_in_one_and_its_faults_are_told_with_lines() {
        let site = tempfile::tempdir().unwrap();
        let folder = site.path().join("profiles");
        std::fs::create_dir(&folder).unwrap();
        let text = crate::profile::text("eastron-sdm120").unwrap();
        std::fs::write(
            folder.join("eastron-sdm120.toml"),
            text.replace("kind = \"meter\"", "kind = \"load\""),
        )
        .unwrap();
        std::fs::write(folder.join("bad.toml"), text.replace("every", "evry")).unwrap();
        assert_eq!(find("eastron-sdm120", Some(site.path())).unwrap().kind, "load");
        assert_eq!(find("eastron-sdm120", None).unwrap().kind, "meter");
        assert_eq!(own_names(site.path()), ["bad", "eastron-sdm120"]);
        let (code, why) = find("bad", Some(site.path())).unwrap_err();
        assert!(
            code == BAD && why.contains("bad.toml:") && why.contains("evry"),
            "{why}"
        );
        let (code, why) = find("nothing", Some(site.path())).unwrap_err();
        assert!(code == USAGE && why.contains("bad, eastron-sdm120, abb"), "{why}");
    }

    #[test]
    fn options_are_checked_against_the_profile() {
        let victron = builtin("victron-gx-ess").unwrap();
        let given = |text: &str| options(&victron, &[text.to_owned()]);
        assert_eq!(given("phases=1").unwrap()["phases"], 1.0);
        for (bad, part) in [
            ("phases=4", "from 1 to 3"),
            ("phases", "from 1 to 3"),
            ("phase=1", "phases, vebus"),
        ] {
            let (code, why) = given(bad).unwrap_err();
            assert!(code == USAGE && why.contains(part), "{why}");
        }
    }
}
