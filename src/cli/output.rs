//! Standard output and error. A live controller hands what it says to threads of its own: a terminal that is stopped, a pipe that
//! nobody reads or a log that is stuck holds up these threads and nothing else. What finds no room is dropped and counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Texts that wait for one stream; about a minute of a terminal's frames.
const QUEUE: usize = 256;
/// Longer texts are cut: together with [`QUEUE`] this bounds the memory at 4 MB a stream.
const LONGEST: usize = 16 << 10;
/// A stream that somebody has set to not waiting is tried again after this.
const AGAIN: Duration = Duration::from_millis(50);

static OUT: Stream = Stream::new("standard output");
static ERR: Stream = Stream::new("standard error");

struct Stream {
    name: &'static str,
    queue: OnceLock<SyncSender<String>>,
    dropped: AtomicU64,
    waiting: AtomicUsize,
}

impl Stream {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            queue: OnceLock::new(),
            dropped: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// `None`: not detached, the caller writes by itself. Else whether there was room.
    fn offer(&self, text: &str) -> Option<bool> {
        let queue = self.queue.get()?;
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let taken = queue.try_send(cut(text)).is_ok();
        if !taken {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::AcqRel);
        }
        Some(taken)
    }

    fn detach(&'static self, to: OwnedFd) -> io::Result<()> {
        let (queue, texts) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name(self.name.into());
        thread.spawn(move || self.serve(File::from(to), &texts))?;
        // Detached before: that thread goes on, this one ends with its queue.
        let _twice = self.queue.set(queue);
        Ok(())
    }

    fn serve(&self, mut to: File, texts: &Receiver<String>) {
        while let Ok(text) = texts.recv() {
            put(&mut to, text.as_bytes());
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            let lost = self.dropped.swap(0, Ordering::AcqRel);
            if lost > 0 {
                let note = format!("{} took nothing for a while: {lost} texts were dropped\n", self.name);
                err(&note);
            }
        }
    }
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{} … (cut)\n", &text[..end])
}

/// Writes as far as somebody takes it; a stream that is closed takes nothing, and nobody misses it.
fn put(to: &mut File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return,
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(_) => return,
        }
    }
}

/// From now on nobody in this process waits for standard output or error; panics are told there and in [`super::panics`].
pub fn detach() -> Result<(), String> {
    let said = |e: io::Error| format!("cannot detach standard output: {e}");
    OUT.detach(io::stdout().as_fd().try_clone_to_owned().map_err(said)?)
        .map_err(said)?;
    ERR.detach(io::stderr().as_fd().try_clone_to_owned().map_err(said)?)
        .map_err(said)?;
    super::panics::listen();
    Ok(())
}

/// To standard output; whether anybody still reads it does not matter. False if there was no room.
pub fn out(text: &str) -> bool {
    OUT.offer(text)
        .unwrap_or_else(|| io::stdout().write_all(text.as_bytes()).is_ok())
}

/// To standard error.
pub fn err(text: &str) -> bool {
    ERR.offer(text)
        .unwrap_or_else(|| io::stderr().write_all(text.as_bytes()).is_ok())
}

/// Waits until what was said is written, but no longer than `patience`.
pub fn finish(patience: Duration) {
    let end = Instant::now() + patience;
    let waits = |s: &Stream| s.waiting.load(Ordering::Acquire) > 0;
    while (waits(&OUT) || waits(&ERR)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where log lines go: an event a call.
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        err(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_pipe_that_nobody_reads_drops_and_says_how_many_when_it_flows_again() {
        static STREAM: Stream = Stream::new("a pipe");
        let (mut reader, writer) = io::pipe().unwrap();
        STREAM.detach(OwnedFd::from(writer)).unwrap();
        let begun = Instant::now();
        let long = "x".repeat(LONGEST * 2);
        let taken = (0..2 * QUEUE).filter(|_| STREAM.offer(&long) == Some(true)).count();
        assert!(begun.elapsed() < Duration::from_secs(2), "nobody waits");
        assert!((QUEUE..QUEUE + 10).contains(&taken), "{taken} had room");
        assert!(STREAM.dropped.load(Ordering::Acquire) > 0);
        let mut first = vec![0; LONGEST];
        reader.read_exact(&mut first).unwrap();
        assert!(first.iter().all(|b| *b == b'x'));
        // A reader of its own: the last text may be read before the writer has counted it.
        std::thread::spawn(move || {
            let mut rest = vec![0; 1 << 16];
            while reader.read(&mut rest).is_ok_and(|n| n > 0) {}
        });
        let end = Instant::now() + Duration::from_secs(5);
        while STREAM.waiting.load(Ordering::Acquire) > 0 {
            assert!(Instant::now() < end, "it flows again");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(STREAM.dropped.load(Ordering::Acquire), 0, "told");
    }
}
