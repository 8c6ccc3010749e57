//! How a link gets its stream: a socket, a TLS session, a serial port, or a pipe to an in-memory device.

use crate::site::{Address, Id, Parity, SerialLine};
use serial2_tokio::{CharSize, SerialPort, StopBits};
use socket2::{SockRef, TcpKeepalive};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Anything Modbus can run over.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + Debug> Wire for T {}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

type PipeMaker = dyn Fn(&Id) -> Result<Box<dyn Wire>, String> + Send + Sync;

#[derive(Clone)]
pub enum Dial {
    Sockets,
    /// In-memory streams by device, for virtual time.
    Pipes(Arc<PipeMaker>),
}

impl Dial {
    /// A fresh stream to `device` at `address`.
    pub async fn open(&self, device: &Id, address: &Address) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Pipes(make) => make(device).map_err(io::Error::other),
            Self::Sockets => socket(address).await,
        }
    }
}

async fn socket(address: &Address) -> io::Result<Box<dyn Wire>> {
    match address {
        Address::Tcp { host, port } | Address::RtuOverTcp { host, port } => Ok(Box::new(tcp(host, *port).await?)),
        Address::Tls { host, port, files } => {
            let session = super::tls::session(files, host)?;
            let stream = tcp(host, *port).await?;
            let secured = tokio::time::timeout(CONNECT_TIMEOUT, session.secure(stream)).await;
            Ok(Box::new(secured.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within 3 s")
            })??))
        }
        Address::Rtu { path, line } => Ok(Box::new(serial(path, *line)?)),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let connect = TcpStream::connect((host, port));
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 3 s"))??;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// A serial port in raw mode; nobody else may use it while it is open.
fn serial(path: &str, line: SerialLine) -> io::Result<SerialPort> {
    let port = SerialPort::open(path, |mut s: serial2_tokio::Settings| {
        s.set_raw();
        s.set_baud_rate(line.baud)?;
        s.set_char_size(CharSize::Bits8);
        s.set_parity(match line.parity {
            Parity::None => serial2_tokio::Parity::None,
            Parity::Even => serial2_tokio::Parity::Even,
            Parity::Odd => serial2_tokio::Parity::Odd,
        });
        s.set_stop_bits(if line.stop_bits == 2 {
            StopBits::Two
        } else {
            StopBits::One
        });
        Ok(s)
    });
    let port = port.map_err(|e| io::Error::new(e.kind(), format!("cannot open {path}: {e}")))?;
    // A pseudo terminal has nothing to discard.
    let _none = port.discard_buffers();
    Ok(port)
}
