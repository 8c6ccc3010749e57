//! What the rooms that keep things on a disk share: who says when the folder may be used, and what people are told when
//! something is not kept.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether the state folder is there and belongs to this site; asked by the threads that open something in it, each time
/// before they do, so that nothing of another site is loaded. May block; the error is a sentence.
pub type Claim = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Hears once whether something is on the disk; the error says why not.
pub type Told = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Something people should know that no cycle decided: it becomes an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Stable code, e.g. `journal`.
    pub code: &'static str,
    pub en: String,
    pub ko: String,
}

/// What a folder on a disk keeps, for sentences in both languages.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub code: &'static str,
    pub en: &'static str,
    pub ko: &'static str,
}

impl Kept {
    /// Says that it is not kept at present, why, and what to do.
    pub fn not_now(&self, folder: &Path, why: &str, kind: ErrorKind) -> Notice {
        let (todo_en, todo_ko) = advice(kind);
        let folder = folder.display();
        Notice {
            code: self.code,
            en: format!("{} not kept: {why}. Control goes on. {todo_en} ({folder})", self.en),
            ko: format!(
                "{} 저장되지 않음: {why}. 제어는 계속됩니다. {todo_ko} ({folder})",
                self.ko
            ),
        }
    }
}

fn advice(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            "The disk is full: free some space on it",
            "디스크가 가득 찼습니다. 공간을 비우십시오",
        ),
        ErrorKind::ReadOnlyFilesystem => (
            "The disk is read-only: mount it writable; a card that does this by itself is worn out, replace it",
            "디스크가 읽기 전용입니다. 쓰기 가능으로 마운트하십시오. 저절로 그렇게 되었다면 카드 수명이 다한 것이니 교체하십시오",
        ),
        ErrorKind::PermissionDenied => (
            "Let the user of this service write to the state folder",
            "이 서비스의 사용자가 상태 폴더에 쓸 수 있게 하십시오",
        ),
        ErrorKind::TimedOut => (
            "The disk does not answer: check it and its cable or network",
            "디스크가 응답하지 않습니다. 디스크와 연결을 확인하십시오",
        ),
        _ => (
            "Check the disk and the state folder",
            "디스크와 상태 폴더를 확인하십시오",
        ),
    }
}

/// A free name beside `path` for what is set aside: `x.torn`, `x.2.torn`, … The last of 99 is used again.
pub fn aside(path: &Path, ending: &str) -> PathBuf {
    let name = |n: u32| match n {
        1 => path.with_extension(ending),
        n => path.with_extension(format!("{n}.{ending}")),
    };
    (1..99).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(99))
}
