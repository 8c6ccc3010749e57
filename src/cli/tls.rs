//! Files of Modbus/TCP Security on the command line, for commands that take an address.

use crate::site::{Address, TlsFiles};
use std::path::PathBuf;

/// For tls:// addresses: both sides show a certificate.
#[derive(Debug, Clone, clap::Args)]
pub struct Files {
    /// PEM file of the authority that signed the device's certificate (tls://)
    #[arg(long)]
    ca: Option<PathBuf>,
    /// PEM file of our certificate (tls://)
    #[arg(long)]
    cert: Option<PathBuf>,
    /// PEM file of its private key (tls://)
    #[arg(long)]
    key: Option<PathBuf>,
    /// Name in the device's certificate; default: the host (tls://)
    #[arg(long)]
    server_name: Option<String>,
}

impl Files {
    /// The address with its files; says which are missing, and where they have no place.
    pub fn address(&self, text: &str) -> Result<Address, String> {
        let address = Address::parse(text)?;
        let files = TlsFiles {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            name: self.server_name.clone(),
        };
        let whole = files.ca.is_some() && files.cert.is_some() && files.key.is_some();
        match &address {
            Address::Tls { .. } if !whole => Err(format!("{address} needs --ca, --cert and --key")),
            Address::Tls { .. } => Ok(address.with_tls(files)),
            _ if files != TlsFiles::default() => Err(format!("{address} takes no certificates; use tls://")),
            _ => Ok(address),
        }
    }
}
