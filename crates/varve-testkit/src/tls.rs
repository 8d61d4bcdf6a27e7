//! A certificate authority of our own, and a certificate for loopback.

use std::{net::IpAddr, ops::Range, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate and what is needed to trust and use it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The authority's certificate, PEM.
    pub ca_pem: String,
    /// The server's certificate, PEM.
    pub cert_pem: String,
    /// The server's key, PEM.
    pub key_pem: String,
    pub(crate) chain: Vec<rustls_pki_types::CertificateDer<'static>>,
    pub(crate) key: Vec<u8>,
}

impl Certificate {
    /// Makes an authority and a certificate for `localhost`, `127.0.0.1` and `127.0.0.2`.
    pub fn for_loopback() -> Self {
        Self::issued(&["localhost", "127.0.0.1", "127.0.0.2"], 1975..4096)
    }

    /// Makes an authority and a certificate for names and addresses, good from the beginning of one
    /// year to that of another.
    pub fn issued(names: &[&str], years: Range<i32>) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().expect("a key");
        let authority_cert = authority.self_signed(&authority_key).expect("a certificate");
        let issuer = Issuer::new(authority, authority_key);

        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().expect("a valid name")),
            })
            .collect();
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &issuer).expect("a certificate");
        Self {
            ca_pem: authority_cert.pem(),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            chain: vec![cert.der().clone()],
            key: key.serialize_der(),
        }
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("the key fits the certificate");
        Arc::new(config)
    }
}
