//! Certificates from PEM files.

use std::{path::Path, sync::Arc};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::Error;

/// Makes a TLS configuration from a certificate chain and its key.
pub(crate) fn configure(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Pem { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem("certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem("key", key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
