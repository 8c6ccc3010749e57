//! Guard transport under the Modbus client: only a complete frame that answers the last request passes.
//!
//! The client alone hands out stale, short and foreign answers after a timeout. Here a late, foreign or doubled answer is
//! dropped and counted, what lies on the wire before a request is thrown away, and a header that cannot be one is an error at
//! once instead of a wait.

use super::frame::{Expected, Found, Framing, LONGEST, find_mbap, find_rtu};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Two frames: a late answer and ours.
const ROOM: usize = 2 * LONGEST;
/// Stale bytes taken off the wire before a request, at most; a peer that talks without end is no Modbus device.
const STALE: usize = 16 * 1024;

/// What the guard tells the link, and the link the guard.
#[derive(Debug, Default)]
pub struct Watch {
    /// Frames (TCP) or runs of bytes (RTU) that nobody waited for.
    pub dropped: AtomicU64,
    /// Units that may answer besides the one asked, and how often they were changed.
    units: Mutex<Vec<u8>>,
    changes: AtomicU64,
}

impl Watch {
    pub fn accept(&self, units: &[u8]) {
        *self.units.lock().unwrap_or_else(PoisonError::into_inner) = units.to_vec();
        self.changes.fetch_add(1, Ordering::Release);
    }
}

#[derive(Debug)]
pub struct Guard<S> {
    inner: S,
    framing: Framing,
    /// The peer echoes transaction ids (all but a few gateways do).
    echo_tid: bool,
    watch: Arc<Watch>,
    /// The request that is being written.
    sent: Vec<u8>,
    whole: bool,
    expected: Option<Expected>,
    units: Vec<u8>,
    /// Changes of `units` seen so far.
    changes: u64,
    came: Box<[u8; ROOM]>,
    filled: usize,
    /// The answer inside `came`, as far as it was not handed on.
    answer: Range<usize>,
}

impl<S> Guard<S> {
    pub fn new(inner: S, framing: Framing, echo_tid: bool, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            framing,
            echo_tid,
            watch,
            sent: Vec::with_capacity(16),
            whole: true,
            expected: None,
            units: Vec::new(),
            changes: 0,
            came: Box::new([0; ROOM]),
            filled: 0,
            answer: 0..0,
        }
    }

    fn drop_frames(&self, n: u64) {
        self.watch.dropped.fetch_add(n, Ordering::Relaxed);
    }

    /// The request is out: from now on its answer may pass.
    fn await_answer(&mut self) {
        if self.whole {
            return;
        }
        self.whole = true;
        self.expected = Expected::of(&self.sent, self.framing);
        let changes = self.watch.changes.load(Ordering::Acquire);
        if changes != self.changes {
            self.changes = changes;
            let told = self.watch.units.lock().unwrap_or_else(PoisonError::into_inner);
            self.units.clone_from(&told);
        }
    }

    fn forget(&mut self, to: usize) {
        self.came.copy_within(to..self.filled, 0);
        self.filled -= to;
    }

    /// Looks through what came; afterwards `answer` holds the awaited frame or more bytes are needed.
    fn sift(&mut self) -> io::Result<()> {
        while self.answer.is_empty() && self.filled > 0 {
            let bytes = &self.came[..self.filled];
            let found = match (self.framing, &self.expected) {
                (Framing::Mbap, e) => find_mbap(bytes, e.as_ref(), self.echo_tid, &self.units),
                (Framing::Rtu, Some(e)) => find_rtu(bytes, e, &self.units),
                (Framing::Rtu, None) => Found::Foreign { to: self.filled },
            };
            match found {
                Found::Answer { from, to } => self.accept(from, to),
                Found::Foreign { to } => {
                    self.drop_frames(1);
                    self.forget(to);
                }
                Found::Nonsense => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the answer is not a Modbus frame",
                    ));
                }
                // A full buffer without an answer: its older half is noise.
                Found::More if self.filled == ROOM => {
                    self.drop_frames(1);
                    self.forget(LONGEST);
                }
                Found::More => break,
            }
        }
        Ok(())
    }

    /// Ids that were tolerated become what the client expects.
    fn accept(&mut self, from: usize, to: usize) {
        let Some(e) = self.expected.take() else { return };
        if from > 0 {
            self.drop_frames(1);
        }
        match self.framing {
            Framing::Mbap => {
                self.came[..2].copy_from_slice(&e.transaction);
                self.came[6] = e.unit;
            }
            // The checksum follows the unit.
            Framing::Rtu if self.came[from] != e.unit => {
                self.came[from] = e.unit;
                let sum = super::frame::crc(&self.came[from..to - 2]).to_le_bytes();
                self.came[to - 2..to].copy_from_slice(&sum);
            }
            Framing::Rtu => {}
        }
        self.answer = from..to;
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Before a request: what came without being asked for goes; a peer that has left is noticed before anything is sent.
    fn clear(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut stale = self.filled - self.answer.end.min(self.filled);
        (self.filled, self.answer, self.expected) = (0, 0..0, None);
        loop {
            let mut chunk = ReadBuf::new(&mut self.came[..]);
            match Pin::new(&mut self.inner).poll_read(cx, &mut chunk) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => return Err(gone()),
                Poll::Ready(Ok(())) => stale += chunk.filled().len(),
            }
            if stale > STALE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it talks without being asked",
                ));
            }
        }
        if stale > 0 {
            self.drop_frames(1);
        }
        Ok(())
    }
}

/// The peer closed while nothing was asked: not a fault, the next request opens anew.
fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the device had closed the idle connection")
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            if !me.answer.is_empty() {
                let n = me.answer.len().min(out.remaining());
                out.put_slice(&me.came[me.answer.start..me.answer.start + n]);
                me.answer.start += n;
                if me.answer.is_empty() {
                    let end = me.answer.end;
                    me.answer = 0..0;
                    me.forget(end);
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunk = ReadBuf::new(&mut me.came[me.filled..]);
            ready!(Pin::new(&mut me.inner).poll_read(cx, &mut chunk))?;
            let n = chunk.filled().len();
            if n == 0 {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the device closed the connection",
                )));
            }
            me.filled += n;
            me.sift()?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.whole {
            me.clear(cx)?;
            me.sent.clear();
            me.whole = false;
        }
        let n = ready!(Pin::new(&mut me.inner).poll_write(cx, bytes))?;
        me.sent.extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        me.await_answer();
        Pin::new(&mut me.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
