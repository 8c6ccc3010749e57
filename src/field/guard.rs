//! Guard transport: sends one request and lets in nothing but the complete frame that answers it.
//!
//! In: a unit and a request PDU. Out: the PDU of the answer. A client that only reads frames hands out stale, short and
//! foreign answers after a timeout. Here a late, foreign or doubled answer is dropped and counted, what lies on the wire
//! before a request is thrown away, and a header that cannot be one is an error at once instead of a wait.

use super::dial::Wire;
use super::frame::{self, Expected, Found, Framing, LONGEST, find_mbap, find_rtu};
use super::line::LineStats;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

/// Two frames: a late answer and ours.
const ROOM: usize = 2 * LONGEST;
/// Stale bytes taken off the wire before a request, at most; a peer that talks without end is no Modbus device.
const STALE: usize = 16 * 1024;

pub struct Guard {
    wire: Box<dyn Wire>,
    framing: Framing,
    /// The peer echoes transaction ids (all but a few gateways do).
    echo_tid: bool,
    stats: Arc<LineStats>,
    transaction: u16,
    /// The request as it goes out.
    sent: Vec<u8>,
    /// Whoever asked went away while the request went out: what follows would be taken for its rest.
    cut: bool,
    came: Box<[u8; ROOM]>,
    filled: usize,
    /// Bytes at the start of `came` that were handed on.
    taken: usize,
}

impl Guard {
    /// Nothing else may ever use `wire`. `stats` counts what nobody waited for.
    pub fn new(wire: Box<dyn Wire>, framing: Framing, echo_tid: bool, stats: Arc<LineStats>) -> Self {
        Self {
            wire,
            framing,
            echo_tid,
            stats,
            transaction: 0,
            sent: Vec::new(),
            cut: false,
            came: Box::new([0; ROOM]),
            filled: 0,
            taken: 0,
        }
    }

    /// Sends a request and waits for its answer, both as PDUs; `others` may answer besides `unit`. Dropping the future gives
    /// the answer up: it is thrown away when it comes.
    ///
    /// # Errors
    /// `NotConnected`: the peer had closed before anything was sent. Anything else: the wire cannot be trusted any more.
    pub async fn call(&mut self, unit: u8, others: &[u8], request: &[u8]) -> io::Result<&[u8]> {
        poll_fn(|cx| Poll::Ready(self.clear(cx))).await?;
        let expected = self.send(unit, request).await?;
        loop {
            let n = self.wire.read(&mut self.came[self.filled..]).await?;
            if n == 0 {
                let why = "the device closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            self.filled += n;
            if let Some(answer) = self.sift(&expected, others)? {
                self.taken = answer.end;
                return Ok(&self.came[frame::pdu_of(self.framing, answer)]);
            }
        }
    }

    async fn send(&mut self, unit: u8, request: &[u8]) -> io::Result<Expected> {
        if self.cut {
            return Err(io::Error::other("a request was cut off in the middle"));
        }
        self.transaction = self.transaction.wrapping_add(1);
        frame::put(self.framing, self.transaction, unit, request, &mut self.sent);
        self.cut = true;
        self.wire.write_all(&self.sent).await?;
        self.wire.flush().await?;
        self.cut = false;
        let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "an empty request");
        Expected::of(&self.sent, self.framing).ok_or_else(unfit)
    }

    fn drop_frames(&self, n: u64) {
        self.stats.dropped.fetch_add(n, Ordering::Relaxed);
    }

    fn forget(&mut self, to: usize) {
        self.came.copy_within(to..self.filled, 0);
        self.filled -= to;
    }

    /// Looks through what came: the awaited frame, or nothing when more bytes are needed.
    fn sift(&mut self, expected: &Expected, others: &[u8]) -> io::Result<Option<Range<usize>>> {
        while self.filled > 0 {
            let bytes = &self.came[..self.filled];
            let found = match self.framing {
                Framing::Mbap => find_mbap(bytes, Some(expected), self.echo_tid, others),
                Framing::Rtu => find_rtu(bytes, expected, others),
            };
            match found {
                Found::Answer { from, to } => {
                    self.drop_frames(u64::from(from > 0));
                    return Ok(Some(from..to));
                }
                Found::Foreign { to } => {
                    self.drop_frames(1);
                    self.forget(to);
                }
                Found::Nonsense => {
                    let why = "the answer is not a Modbus frame";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                // A full buffer without an answer: its older half is noise.
                Found::More if self.filled == ROOM => {
                    self.drop_frames(1);
                    self.forget(LONGEST);
                }
                Found::More => break,
            }
        }
        Ok(None)
    }

    /// Before a request: what came without being asked for goes; a peer that has left is noticed before anything is sent.
    fn clear(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut stale = self.filled - self.taken;
        (self.filled, self.taken) = (0, 0);
        loop {
            let mut chunk = ReadBuf::new(&mut self.came[..]);
            match Pin::new(&mut self.wire).poll_read(cx, &mut chunk) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => return Err(gone()),
                Poll::Ready(Ok(())) => stale += chunk.filled().len(),
            }
            if stale > STALE {
                let why = "it talks without being asked";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        self.drop_frames(u64::from(stale > 0));
        Ok(())
    }
}

/// The peer closed while nothing was asked: not a fault, the next request opens anew.
fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the device had closed the idle connection")
}
