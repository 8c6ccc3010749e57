//! Modbus/TCP Security: TLS 1.2 or 1.3, both sides show a certificate (Modbus/TCP Security Protocol Specification V3.6).
//!
//! In: names of PEM files. Out: a session to put on a socket. No content of a key is ever part of a message.

use crate::site::TlsFiles;
use crate::site::file::read_bytes;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub struct Session {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Reads the files anew for each connection, so that renewed certificates are taken without a restart.
pub fn session(files: &TlsFiles, host: &str) -> io::Result<Session> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(needed(files.ca.as_deref(), "ca")?)? {
        roots
            .add(certificate)
            .map_err(|e| wrong("the authority's certificate", &e))?;
    }
    let own = certificates(needed(files.cert.as_deref(), "cert")?)?;
    let key = key(needed(files.key.as_deref(), "key")?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|c| c.with_root_certificates(roots).with_client_auth_cert(own, key))
        .map_err(|e| wrong("our certificate and key", &e))?;
    let name = files.name.as_deref().unwrap_or(host).to_owned();
    Ok(Session {
        connector: TlsConnector::from(Arc::new(config)),
        name: ServerName::try_from(name.clone()).map_err(|e| wrong(&format!("the name `{name}`"), &e))?,
    })
}

impl Session {
    pub async fn secure(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let secured = self.connector.connect(self.name, stream).await;
        secured.map_err(|e| io::Error::new(e.kind(), format!("TLS: {e}")))
    }
}

fn needed<'f>(file: Option<&'f Path>, what: &str) -> io::Result<&'f Path> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a tls:// address needs the file `{what}`"),
        )
    };
    file.ok_or_else(missing)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let name = file.display().to_string();
    let text = read_bytes(file).map_err(|e| wrong(&name, &e))?;
    let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let all = read.map_err(|e| wrong(&name, &e))?;
    if all.is_empty() {
        return Err(wrong(&name, &"it holds no certificate"));
    }
    Ok(all)
}

fn key(file: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let name = file.display().to_string();
    let text = read_bytes(file).map_err(|e| wrong(&name, &e))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| wrong(&name, &e))
}

fn wrong(what: &str, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what} cannot be used: {why}"))
}
