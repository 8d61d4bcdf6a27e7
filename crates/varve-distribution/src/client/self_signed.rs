//! Certificates that are their own authority.
//!
//! `openssl req -x509` makes them, and Docker's manual tells people to put them into `certs.d`.
//! They say of themselves that they are authorities, which no server's certificate may be for
//! webpki. Go accepts a certificate that is itself among the trusted ones, and so do we.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Verifies as rustls does, and accepts a trusted authority's own certificate besides.
#[derive(Debug)]
pub(crate) struct SelfSignedToo {
    usual: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

impl SelfSignedToo {
    pub(crate) fn new(usual: Arc<WebPkiServerVerifier>, roots: Arc<RootCertStore>) -> Self {
        Self { usual, roots }
    }

    /// Whether the key and the subject are those of a trusted authority. That the server has the
    /// key is what the handshake proves.
    fn is_trusted(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut alone = RootCertStore::empty();
        alone.add(certificate.clone().into_owned()).is_ok()
            && alone.roots.iter().any(|one| {
                self.roots.roots.iter().any(|root| {
                    root.subject == one.subject
                        && root.subject_public_key_info == one.subject_public_key_info
                })
            })
    }
}

/// Whether a certificate was refused for being an authority's. By then webpki has found it to be
/// within its time, and has not looked at its name. Its error is not a type of rustls, so that
/// only the text is left to tell it by; a test would notice if that changed.
pub(crate) fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(OtherError(cause)) if cause.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for SelfSignedToo {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.usual.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(error))
                if is_authority(&error) && self.is_trusted(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
