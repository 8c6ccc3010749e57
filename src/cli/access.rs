//! Who may reach a running controller: its folder is its user's alone, and `api.json` in it holds address and token.

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How others on this machine reach the controller (`madang set`, a browser); readable only by its user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Files that this process makes from now on are its user's alone.
pub fn for_us_only() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// The folder may have been made by an earlier version. Somebody else's folder stays as it is, and is still written to.
pub fn close(folder: &Path) {
    if let Err(why) = std::fs::set_permissions(folder, Permissions::from_mode(0o700)) {
        tracing::debug!("{} stays readable for others: {why}", folder.display());
    }
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

    /// Address of the page as it is printed: with the token only on a terminal, because a log keeps what it is told.
    pub fn greeting(&self) -> String {
        if std::io::stdout().is_terminal() {
            self.page.clone()
        } else {
            format!("{}/", self.url)
        }
    }
}
