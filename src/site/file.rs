//! Reads files that people name. Whatever lies under the name: the reader neither waits for a writer nor takes more than it says.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Largest file read: site, profile and price files are a few kB to a few MB.
pub const MOST_BYTES: u64 = 16 << 20;

/// Opens a regular file; a FIFO, a device or a socket is refused without waiting for its other end.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok((file, about))
}

/// Content of a regular file of at most [`MOST_BYTES`].
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let (file, about) = open_regular(path)?;
    let too_large = || io::Error::other("larger than 16 MiB");
    if about.len() > MOST_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Text of such a file; what is not UTF-8 is refused with its line.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|e| {
        let good = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
        let line = good.filter(|b| **b == b'\n').count() + 1;
        io::Error::other(format!("line {line} is not UTF-8; save the file as UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("good"), "a \u{e9}").unwrap();
        assert_eq!(read_text(&at("good")).unwrap(), "a \u{e9}");
        let large = File::create(at("large")).unwrap();
        large.set_len(MOST_BYTES + 1).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        let rows = [
            (at("large"), "larger than 16 MiB"),
            (at("fifo"), "not a regular file"),
            (folder.path().to_owned(), "not a regular file"),
            ("/dev/zero".into(), "not a regular file"),
            (at("loop"), "symbolic links"),
            (at("absent"), "No such file"),
        ];
        for (path, why) in rows {
            let said = read_bytes(&path).unwrap_err().to_string();
            assert!(said.contains(why), "{}: {said}", path.display());
        }
    }
}
