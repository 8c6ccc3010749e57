//! The state folder: one controller at a time, of one site, and how others on this machine reach it. A folder that cannot
//! be used stops nobody: it is said, and tried again by a thread of its own.

use super::access::{self, ApiAccess};
use crate::cycle::{Claim, Notice, aside};
use crate::journal::site_of;
use crate::model::Identity;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

/// Whether the folder is still there and as it should be is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A disk that has not answered by then is left to itself at the start.
const PATIENCE: Duration = Duration::from_secs(5);
/// Files of the folder's own are smaller.
const MOST_BYTES: u64 = 1 << 20;
/// What belongs to a site, and is set aside together.
const BELONGINGS: [&str; 6] = [
    "site.json",
    "people.json",
    "journal",
    "history.db",
    "history.db-wal",
    "history.db-shm",
];

pub struct StateFolder {
    path: PathBuf,
    identity: Identity,
    inner: Mutex<Inner>,
    /// By what they are about: shown until that is right again. Apart from `inner`, which is held while the disk is waited
    /// for: a notice does not go while the folder is being looked at.
    notices: Mutex<BTreeMap<&'static str, Notice>>,
}

#[derive(Default)]
struct Inner {
    locks: Vec<(PathBuf, File)>,
    #[cfg(target_os = "linux")]
    name: Option<std::os::unix::net::UnixListener>,
    token: Option<String>,
    access: Option<ApiAccess>,
}

impl StateFolder {
    /// Takes the folder for this controller. The error is another controller that has it.
    pub fn open(path: &Path, identity: Identity) -> Result<Arc<Self>, String> {
        let folder = Arc::new(Self {
            path: path.to_owned(),
            identity,
            inner: Mutex::default(),
            notices: Mutex::default(),
        });
        let (tell, told) = mpsc::sync_channel(1);
        // It ends with the process: the other side holds the folder as long.
        let weak = Arc::downgrade(&folder);
        std::thread::Builder::new()
            .name("state-folder".into())
            .spawn(move || {
                while let Some(folder) = weak.upgrade() {
                    // Only the first answer is waited for.
                    let _known = tell.try_send(folder.look());
                    drop(folder);
                    std::thread::sleep(LOOK_EVERY);
                }
            })
            .map_err(|e| format!("cannot start a thread for the state folder: {e}"))?;
        match told.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome?,
            Err(_) => tracing::error!("state folder {}: the disk does not answer", path.display()),
        }
        Ok(folder)
    }

    /// What the threads that open something in the folder ask first.
    pub fn claim(self: &Arc<Self>) -> Claim {
        let folder = self.clone();
        Arc::new(move || folder.claimed())
    }

    /// The token of this folder, made once: 128 bits from the system.
    pub fn token(&self) -> Result<String, String> {
        if let Some(token) = self.inner.try_lock().ok().and_then(|i| i.token.clone()) {
            return Ok(token);
        }
        let mut bytes = [0u8; 16];
        File::open("/dev/urandom")
            .and_then(|mut f| f.read_exact(&mut bytes))
            .map_err(|e| format!("cannot make an access token: {e}"))?;
        Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Writes how this controller is reached, and again whenever that is gone. Does not wait for a disk that hangs.
    pub fn publish(self: &Arc<Self>, access: &ApiAccess) {
        let (folder, access) = (self.clone(), access.clone());
        let (tell, told) = mpsc::sync_channel(1);
        let write = move || {
            let mut inner = folder.lock();
            inner.access = Some(access);
            folder.keep_access(&mut inner);
            let _nobody_waits = tell.try_send(());
        };
        match std::thread::Builder::new().name("access".into()).spawn(write) {
            Ok(_) => {
                let _slow = told.recv_timeout(PATIENCE);
            }
            Err(why) => tracing::error!("cannot start a thread for api.json: {why}"),
        }
    }

    pub fn notices(&self) -> Vec<Notice> {
        self.shown().values().cloned().collect()
    }

    /// Held for a moment only.
    fn shown(&self) -> MutexGuard<'_, BTreeMap<&'static str, Notice>> {
        self.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One look: the lock, whose folder it is, how it is reached.
    fn look(&self) -> Result<(), String> {
        let mut inner = self.lock();
        let made = std::fs::create_dir_all(&self.path);
        if let Err(why) = hold(&self.path, &mut inner) {
            self.say("lock", &format!("is not locked: {why}"), "다른 제어기가 사용 중입니다");
            return Err(why);
        }
        self.shown().remove("lock");
        match made {
            Ok(()) => {
                access::close(&self.path);
                self.shown().remove("folder");
            }
            Err(e) => self.say("folder", &format!("cannot be made: {e}"), &format!("만들 수 없음: {e}")),
        }
        if inner.token.is_none() {
            inner.token = read::<ApiAccess>(&self.path.join("api.json")).map(|a| a.token);
        }
        self.keep_access(&mut inner);
        Ok(())
    }

    fn claimed(&self) -> Result<(), String> {
        let _looking = self.lock();
        let said = |e: io::Error| format!("state folder {}: {e}", self.path.display());
        std::fs::create_dir_all(&self.path).map_err(said)?;
        let file = self.path.join("site.json");
        let known = read::<Identity>(&file);
        let other = match &known {
            Some(known) if *known == self.identity => return Ok(()),
            Some(known) => (!known.is_same_site(&self.identity)).then(|| known.name.clone()),
            None => site_of(&self.path.join("journal")).filter(|name| *name != self.identity.name),
        };
        if let Some(name) = other {
            self.set_aside(&name)?;
        }
        let text = serde_json::to_string_pretty(&self.identity).map_err(|e| e.to_string())?;
        if let Err(why) = replace(&file, &text) {
            // A folder that takes nothing is told by those who keep something in it.
            tracing::warn!("{why}");
        }
        Ok(())
    }

    /// Nothing of another site is loaded, and nothing of it is thrown away.
    fn set_aside(&self, name: &str) -> Result<(), String> {
        let folder = aside(&self.path.join("other-site"), "kept");
        let begun = std::fs::create_dir_all(&folder);
        let moved = begun.and_then(|()| {
            let mut there = BELONGINGS.iter().filter(|what| self.path.join(what).exists());
            there.try_for_each(|what| std::fs::rename(self.path.join(what), folder.join(what)))
        });
        if let Err(why) = moved {
            let en = format!(
                "belongs to the site {name}; nothing of it is used, and nothing is kept: it cannot be set aside ({why})"
            );
            let ko = format!("다른 사이트({name})의 폴더입니다. 사용하지 않으며 저장도 하지 않습니다({why})");
            self.say("other", &en, &ko);
            return Err(format!("the state folder belongs to the site {name}"));
        }
        let kept = folder.display();
        let en = format!(
            "belonged to the site {name}; all of it is set aside in {kept}, and this site begins anew. If it is the same site \
             under a new name: stop, move it back, and write the new name into its site.json"
        );
        let ko = format!(
            "다른 사이트({name})의 폴더였습니다. {kept}에 보관하고 새로 시작합니다. 같은 사이트의 이름만 바뀐 것이라면 중지 후 되돌리고 site.json의 이름을 고치십시오"
        );
        self.say("other", &en, &ko);
        Ok(())
    }

    fn keep_access(&self, inner: &mut Inner) {
        let Some(access) = inner.access.clone() else { return };
        let path = self.path.join("api.json");
        if read::<ApiAccess>(&path).as_ref() == Some(&access) {
            self.shown().remove("access");
            return;
        }
        let text = serde_json::to_string_pretty(&access).map_err(|e| e.to_string());
        match text.and_then(|text| replace(&path, &text)) {
            Ok(()) => drop(self.shown().remove("access")),
            Err(why) => self.say(
                "access",
                &format!("does not take api.json, so that `madang set` does not find this controller: {why}"),
                &format!("api.json을 쓸 수 없어 `madang set`이 이 제어기를 찾지 못합니다: {why}"),
            ),
        }
    }

    fn say(&self, about: &'static str, en: &str, ko: &str) {
        let folder = self.path.display();
        let notice = Notice {
            code: "state_folder",
            en: format!("the state folder {folder} {en}"),
            ko: format!("상태 폴더 {folder}: {ko}"),
        };
        if self.shown().get(about) != Some(&notice) {
            tracing::error!("{}", notice.en);
            self.shown().insert(about, notice);
        }
    }
}

/// Reads a small file of ours; whatever else has its name (a folder, a pipe) is as good as absent.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    let about = std::fs::metadata(path).ok()?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Written beside and moved, so that nobody reads half of it; readable only by its user.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let draft = path.with_extension("json.new");
    let _absent = std::fs::remove_file(&draft);
    let options = File::options().create_new(true).write(true).mode(0o600).open(&draft);
    options
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// One controller per state folder: locks the folder itself, which a read-only disk allows too, and its file `lock`, as
/// older versions do. Where there is no folder, a name of this machine stands in.
fn hold(folder: &Path, inner: &mut Inner) -> Result<(), String> {
    let still = |(path, held): &(PathBuf, File)| -> bool {
        let (there, mine) = (std::fs::metadata(path), held.metadata());
        matches!((there, mine), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    if !inner.locks.is_empty() && inner.locks.iter().all(still) {
        return Ok(());
    }
    // They hold what is no longer there.
    inner.locks.clear();
    let file = folder.join("lock");
    let create = || File::options().create(true).truncate(false).write(true).open(&file);
    let opened = [
        (folder.to_owned(), File::open(folder)),
        (file.clone(), create().or_else(|_| only_file(&file))),
    ];
    let mut locks = Vec::new();
    for (path, handle) in opened {
        let Ok(handle) = handle else { continue };
        match handle.try_lock() {
            Ok(()) => locks.push((path, handle)),
            Err(std::fs::TryLockError::WouldBlock) => return Err(taken(folder)),
            // A disk that knows no locks; the other one may.
            Err(std::fs::TryLockError::Error(_)) => {}
        }
    }
    if locks.is_empty() {
        return hold_name(folder, inner);
    }
    inner.locks = locks;
    Ok(())
}

fn only_file(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(ErrorKind::InvalidInput.into())
    }
}

fn taken(folder: &Path) -> String {
    format!(
        "another controller uses the state folder {}; stop it, or give this one its own with --state",
        folder.display()
    )
}

#[cfg(target_os = "linux")]
fn hold_name(folder: &Path, inner: &mut Inner) -> Result<(), String> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    if inner.name.is_some() {
        return Ok(());
    }
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // A socket's name is short, so that the path goes in as its hash.
    let hash = whole
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
        });
    let address = SocketAddr::from_abstract_name(format!("madang-state-{hash:016x}")).map_err(|e| e.to_string())?;
    match UnixListener::bind_addr(&address) {
        Ok(held) => inner.name = Some(held),
        Err(e) if e.kind() == ErrorKind::AddrInUse => return Err(taken(folder)),
        Err(e) => tracing::error!("state folder {}: no lock can be held: {e}", folder.display()),
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn hold_name(folder: &Path, _inner: &mut Inner) -> Result<(), String> {
    tracing::error!("state folder {}: no lock can be held", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::builtin;

    fn of(name: &str) -> Identity {
        Identity::of(&builtin(name).unwrap().plant)
    }

    fn home() -> Identity {
        of("home-amsterdam")
    }

    #[test]
    fn one_controller_at_a_time_whatever_the_folder_is_like() {
        let dir = tempfile::tempdir().unwrap();
        let no_folder = dir.path().join("file/state");
        std::fs::write(dir.path().join("file"), "").unwrap();
        let odd_lock = dir.path().join("odd");
        std::fs::create_dir_all(odd_lock.join("lock")).unwrap();
        for path in [dir.path().join("good"), odd_lock, no_folder] {
            let first = StateFolder::open(&path, home()).unwrap();
            let why = StateFolder::open(&path, home()).err().unwrap_or_default();
            assert!(why.contains("another controller"), "{}: {why}", path.display());
            drop(first);
            // The thread that looks after it lets go within one look.
            let end = std::time::Instant::now() + LOOK_EVERY + PATIENCE;
            while StateFolder::open(&path, home()).is_err() {
                assert!(std::time::Instant::now() < end, "{} stays locked", path.display());
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    #[test]
    fn a_folder_of_another_site_is_set_aside_whole_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(dir.path().join(name), name).unwrap();
        let flat = StateFolder::open(dir.path(), of("apartment-seoul")).unwrap();
        flat.claimed().unwrap();
        assert!(flat.notices().is_empty());
        put("history.db");
        put("people.json");
        drop(flat);
        let mine = home();
        let again = StateFolder {
            path: dir.path().to_owned(),
            identity: mine,
            inner: Mutex::default(),
            notices: Mutex::default(),
        };
        again.claimed().unwrap();
        assert!(
            again.notices().iter().any(|n| n.en.contains("apartment-seoul")),
            "{:?}",
            again.notices()
        );
        let kept = |name: &str| dir.path().join("other-site.kept").join(name).exists();
        assert!(kept("history.db") && kept("people.json") && kept("site.json"));
        assert!(!dir.path().join("people.json").exists());
        let before = again.notices().len();
        again.claimed().unwrap();
        assert_eq!(again.notices().len(), before, "it is this site's now");
    }

    #[test]
    fn what_cannot_be_written_is_said_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("api.json")).unwrap();
        let folder = StateFolder::open(dir.path(), home()).unwrap();
        let token = folder.token().unwrap();
        let access = ApiAccess::of(1, token);
        folder.publish(&access);
        assert!(
            folder.notices().iter().any(|n| n.en.contains("api.json")),
            "{:?}",
            folder.notices()
        );
        std::fs::remove_dir(dir.path().join("api.json")).unwrap();
        folder.look().unwrap();
        assert!(folder.notices().is_empty());
        assert_eq!(read::<ApiAccess>(&dir.path().join("api.json")), Some(access.clone()));
        // Removed while it runs: made again.
        std::fs::remove_dir_all(dir.path()).unwrap();
        folder.look().unwrap();
        assert_eq!(read::<ApiAccess>(&dir.path().join("api.json")), Some(access));
    }
}
