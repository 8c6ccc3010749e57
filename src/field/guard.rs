//! Guard transport under the Modbus TCP client: only complete frames that answer the last request pass.
//!
//! The client alone hands out stale and short answers after a timeout; here a late, foreign or doubled answer is dropped,
//! and a header that cannot be one is an error at once instead of a wait.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEADER: usize = 7;
/// Unit id and PDU: a PDU has 2 to 253 bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=254;

#[derive(Debug)]
pub struct Guard<S> {
    inner: S,
    /// Start of the request that is being written, until its header is whole.
    sent: Vec<u8>,
    expected: Option<([u8; 2], u8)>,
    arrived: Vec<u8>,
    ready: Vec<u8>,
    /// Units that may answer besides the one asked.
    accept: Vec<u8>,
    /// The peer echoes transaction ids (all but a few gateways do).
    echo_tid: bool,
}

impl<S> Guard<S> {
    pub fn new(inner: S, accept: Vec<u8>, echo_tid: bool) -> Self {
        Self {
            inner,
            sent: Vec::new(),
            expected: None,
            arrived: Vec::new(),
            ready: Vec::new(),
            accept,
            echo_tid,
        }
    }

    /// Follows what the client writes: each request starts a new expectation.
    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.sent.push(*byte);
            if self.sent.len() >= 6 {
                let whole = 6 + usize::from(u16::from_be_bytes([self.sent[4], self.sent[5]]));
                if self.sent.len() >= HEADER {
                    self.expected = Some(([self.sent[0], self.sent[1]], self.sent[6]));
                }
                if self.sent.len() == whole {
                    self.sent.clear();
                    self.ready.clear();
                }
            }
        }
    }

    /// Moves whole frames from `arrived` to `ready`, dropping those nobody waits for.
    fn sift(&mut self) -> io::Result<()> {
        while self.arrived.len() >= HEADER {
            let length = usize::from(u16::from_be_bytes([self.arrived[4], self.arrived[5]]));
            if self.arrived[2..4] != [0, 0] || !LENGTHS.contains(&length) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the answer is not a Modbus frame",
                ));
            }
            if self.arrived.len() < 6 + length {
                break;
            }
            let mut frame: Vec<u8> = self.arrived.drain(..6 + length).collect();
            if self.awaited(&mut frame) {
                self.expected = None;
                self.ready = frame;
            }
        }
        Ok(())
    }

    /// Whether the frame answers the last request; tolerated ids are rewritten to what the client expects.
    fn awaited(&self, frame: &mut [u8]) -> bool {
        let Some((tid, unit)) = self.expected else { return false };
        if self.echo_tid && frame[0..2] != tid {
            return false;
        }
        if frame[6] != unit && !self.accept.contains(&frame[6]) {
            return false;
        }
        frame[0..2].copy_from_slice(&tid);
        frame[6] = unit;
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.ready.is_empty() {
                let n = self.ready.len().min(out.remaining());
                let part: Vec<u8> = self.ready.drain(..n).collect();
                out.put_slice(&part);
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0u8; 512];
            let mut chunk = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the device closed the connection",
                )));
            }
            let bytes = chunk.filled().to_vec();
            self.arrived.extend_from_slice(&bytes);
            self.sift()?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.note(&bytes[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
