//! How a link gets its stream: a socket, or a pipe to an in-memory device.

use crate::site::{Address, Id};
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
    let (host, port) = match address {
        Address::Tcp { host, port } | Address::RtuOverTcp { host, port } => (host.as_str(), *port),
        Address::Tls { .. } => return Err(io::Error::other("Modbus/TCP Security is not built in yet; use tcp://")),
        Address::Rtu { .. } => {
            return Err(io::Error::other(
                "serial ports are not built in yet; use rtu+tcp:// with a gateway",
            ));
        }
    };
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
    Ok(Box::new(stream))
}
