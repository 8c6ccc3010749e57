//! `people.json`: people's last words in a small file of their own, so that no damage to the journal forgets a limit or a release.

use crate::cycle::aside;
use crate::model::Words;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

pub const FILE: &str = "people.json";
/// A file of words larger than this is not ours.
const MOST_BYTES: u64 = 1 << 20;

/// The words as text, so that the check covers exactly what was written.
#[derive(Serialize, Deserialize)]
struct Checked {
    site: String,
    words: String,
    sha256: String,
}

pub fn text(site: &str, words: &Words) -> Result<Vec<u8>, String> {
    super::finite::check(words)?;
    let words = serde_json::to_string(words).map_err(|e| e.to_string())?;
    let checked = Checked {
        sha256: check(site, &words),
        site: site.to_owned(),
        words,
    };
    serde_json::to_vec_pretty(&checked).map_err(|e| e.to_string())
}

fn check(site: &str, words: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(site);
    hasher.update([0]);
    hasher.update(words);
    super::chain::hex(&hasher.finalize().into())
}

/// Writes beside the file and moves it over, durable when this returns: the old words stay until the new ones are whole.
pub fn save(folder: &Path, text: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let draft = folder.join("people.json.new");
    // Of an attempt that was cut off, or none of ours.
    let _absent = std::fs::remove_file(&draft);
    let mut file = File::create_new(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&draft, folder.join(FILE))?;
    sync_folder(folder)
}

/// Makes names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The words of this site; `None` where there are none. A file that is damaged is set aside, and said.
pub fn load(folder: &Path, site: &str) -> Result<Option<Words>, String> {
    let path = folder.join(FILE);
    let Ok(about) = std::fs::metadata(&path) else {
        return Ok(None);
    };
    let why = match read(&path, &about, site) {
        Ok(words) => return Ok(Some(words)),
        Err(why) => why,
    };
    let kept = aside(&path, "broken");
    let moved =
        std::fs::rename(&path, &kept).map_or_else(|e| e.to_string(), |()| format!("kept as {}", kept.display()));
    Err(format!("{}: {why} ({moved})", path.display()))
}

fn read(path: &Path, about: &std::fs::Metadata, site: &str) -> Result<Words, String> {
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err("it is not a file of ours".into());
    }
    let text = std::fs::read(path).map_err(|e| e.to_string())?;
    let checked: Checked = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    if check(&checked.site, &checked.words) != checked.sha256 {
        return Err("it was changed or damaged".into());
    }
    if checked.site != site {
        return Err(format!("it belongs to the site {}", checked.site));
    }
    serde_json::from_str(&checked.words).map_err(|e| e.to_string())
}
