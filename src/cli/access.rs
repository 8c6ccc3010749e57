//! Who may reach a running controller: its folder is its user's alone, and `api.json` in it holds address and token.

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How others on this machine reach the controller (`madang set`, a browser); readable only by its user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiAccess {
    pub url: String,
    pub token: String,
    /// Address that opens the page with the right to change things.
    #[serde(default)]
    pub page: String,
}

/// Where it stands in a state folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("api.json")
}

/// Makes the folder, for its user only; so is every file that this process makes from now on.
pub fn private(folder: &Path) -> io::Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    std::fs::create_dir_all(folder)?;
    // It may have been made by an earlier version. Somebody else's folder stays as it is, and is still written to.
    if let Err(why) = std::fs::set_permissions(folder, Permissions::from_mode(0o700)) {
        tracing::warn!("{} stays readable for others: {why}", folder.display());
    }
    Ok(())
}

/// The token of this folder, made once: 128 bits from the system.
pub fn token(folder: &Path) -> Result<String, String> {
    let known = std::fs::read_to_string(path(folder)).ok();
    if let Some(access) = known.and_then(|text| serde_json::from_str::<ApiAccess>(&text).ok()) {
        return Ok(access.token);
    }
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| format!("cannot make an access token: {e}"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

impl ApiAccess {
    pub fn of(port: u16, token: String) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        Self {
            page: format!("{url}/#token={token}"),
            url,
            token,
        }
    }

    pub fn keep(&self, folder: &Path) -> Result<(), String> {
        let path = path(folder);
        let said = |e: io::Error| format!("cannot write {}: {e}", path.display());
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        // Written beside and moved, so that nobody reads half of it.
        let draft = folder.join("api.json.new");
        let _absent = std::fs::remove_file(&draft);
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&draft)
            .map_err(said)?;
        file.write_all(text.as_bytes()).map_err(said)?;
        std::fs::rename(&draft, &path).map_err(said)
    }
}
