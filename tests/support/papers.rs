//! Certificates for Modbus/TCP Security: an authority, what it signed for a server and for us, and papers that are no good.
#![allow(dead_code)] // each test binary uses a part of it

use madang::site::TlsFiles;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls;

pub struct Papers {
    folder: tempfile::TempDir,
    authority: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Papers {
    /// `ca.pem`, and for `me` and `server` (localhost) a certificate and a key; an expired one of ours, and a stranger's.
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = params.self_signed(&key).unwrap();
        let papers = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
            issuer: Issuer::new(params, key),
        };
        papers.put("ca.pem", &papers.authority.pem());
        for (who, name, expired) in [
            ("me", "madang", false),
            ("expired", "madang", true),
            ("server", "localhost", false),
        ] {
            let (certificate, key) = papers.signed(name, expired);
            papers.put(&format!("{who}.pem"), &certificate.pem());
            papers.put(&format!("{who}.key"), &key.serialize_pem());
        }
        let stranger = rcgen::generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap();
        papers.put("stranger.pem", &stranger.cert.pem());
        papers.put("stranger.key", &stranger.signing_key.serialize_pem());
        papers
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    fn signed(&self, name: &str, expired: bool) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // A certificate whose subject is its issuer's would look self-signed.
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server for localhost that wants its clients' papers signed by the same authority.
    pub fn server(&self, expired: bool) -> rustls::ServerConfig {
        let (certificate, key) = self.signed("localhost", expired);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }

    /// What `who` shows to a server called `name`.
    pub fn files(&self, who: &str, name: &str) -> TlsFiles {
        TlsFiles {
            ca: Some(self.folder().join("ca.pem")),
            cert: Some(self.folder().join(format!("{who}.pem"))),
            key: Some(self.folder().join(format!("{who}.key"))),
            name: Some(name.into()),
        }
    }
}
