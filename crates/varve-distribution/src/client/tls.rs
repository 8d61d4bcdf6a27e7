//! Which certificates are trusted and shown, for each host. Nothing here is made before the
//! first https connection: building a TLS configuration costs milliseconds.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{Error as PemError, PemObject},
};

use super::{
    error::Reason,
    self_signed::{SelfSignedToo, is_authority},
};

/// Bytes of one file of certificates.
const CERTIFICATES_SIZE_BYTES_MAX: u64 = 16 << 20;

/// Where certificates come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// `SSL_CERT_FILE`: used instead of the system's bundle.
    pub(crate) file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: folders used instead of the system's bundle.
    pub(crate) directories: Vec<PathBuf>,
    /// Docker's `certs.d` folders, in order of precedence.
    pub(crate) hosts: Vec<PathBuf>,
}

/// TLS configurations, made when first needed and kept.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    places: Places,
    roots: OnceLock<Arc<RootCertStore>>,
    configs: Mutex<HashMap<(String, bool), Arc<ClientConfig>>>,
}

impl Tls {
    pub(crate) fn new(places: Places) -> Self {
        Self { places, ..Self::default() }
    }

    /// The configuration for a host, named `host` or `host:port` as a folder of `certs.d` is.
    pub(crate) fn config(
        &self,
        authority: &str,
        verified: bool,
    ) -> Result<Arc<ClientConfig>, Reason> {
        let key = (authority.to_owned(), verified);
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build(authority, verified)?);
        configs.insert(key, config.clone());
        Ok(config)
    }

    fn build(&self, authority: &str, verified: bool) -> Result<ClientConfig, Reason> {
        let own = HostCertificates::read(&self.places.hosts, authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Reason::Tls(error.to_string()))?;
        let builder = if verified {
            let mut roots = self.roots().clone();
            if !own.authorities.is_empty() {
                let mut joined = RootCertStore::clone(&roots);
                joined.add_parsable_certificates(own.authorities);
                roots = Arc::new(joined);
            }
            match WebPkiServerVerifier::builder_with_provider(roots.clone(), provider).build() {
                Ok(usual) => {
                    let verifier = Arc::new(SelfSignedToo::new(usual, roots));
                    builder.dangerous().with_custom_certificate_verifier(verifier)
                }
                // Where nothing is trusted, every certificate is refused in the usual words.
                Err(_) => builder.with_root_certificates(roots),
            }
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        };
        match own.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                Reason::Certificates(format!("client certificate for {authority}: {error}"))
            }),
        }
    }

    /// What is trusted everywhere: `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's bundle,
    /// else the one we bring along.
    fn roots(&self) -> &Arc<RootCertStore> {
        self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            if self.places.file.is_some() || !self.places.directories.is_empty() {
                let files = self.places.file.iter().cloned();
                let inside = self.places.directories.iter().flat_map(|d| files_in(d));
                for path in files.chain(inside) {
                    roots.add_parsable_certificates(read_certificates(&path).unwrap_or_default());
                }
            } else {
                for path in SYSTEM_BUNDLES {
                    let found = read_certificates(Path::new(path)).unwrap_or_default();
                    if roots.add_parsable_certificates(found).0 > 0 {
                        break;
                    }
                }
                if roots.is_empty() {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
            }
            Arc::new(roots)
        })
    }
}

/// Where distributions keep their bundle of authorities.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What docker's `certs.d/<host:port>/` holds: authorities (`*.crt`) and a client certificate
/// (`*.cert` with a `*.key` of the same name).
#[derive(Default)]
struct HostCertificates {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<ClientCertificate>,
}

impl HostCertificates {
    fn read(folders: &[PathBuf], authority: &str) -> Result<Self, Reason> {
        let mut own = Self::default();
        // The authority comes from a reference or URL that was parsed; it has no slash.
        if authority.contains('/') || authority.starts_with('.') {
            return Ok(own);
        }
        for folder in folders {
            for path in names(authority).flat_map(|name| files_in(&folder.join(name))) {
                let refused = |error: PemError| {
                    Reason::Certificates(format!("cannot read {}: {error}", path.display()))
                };
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => {
                        own.authorities.extend(read_certificates(&path).map_err(refused)?);
                    }
                    Some("cert") if own.client.is_none() => {
                        let key_path = path.with_extension("key");
                        let chain = read_certificates(&path).map_err(refused)?;
                        let key = read_limited(&key_path)
                            .map_err(PemError::Io)
                            .and_then(|pem| PrivateKeyDer::from_pem_slice(&pem))
                            .map_err(|error| {
                                Reason::Certificates(format!(
                                    "missing key {} for client certificate {}: {error}",
                                    key_path.display(),
                                    path.display(),
                                ))
                            })?;
                        own.client = Some((chain, key));
                    }
                    _ => {}
                }
            }
        }
        Ok(own)
    }
}

/// The names a host's folder may have: docker takes that of the reference, which may name the
/// default port or not.
fn names(authority: &str) -> impl Iterator<Item = String> + use<> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let with_port = (!has_port).then(|| format!("{authority}:443"));
    std::iter::once(authority.to_owned()).chain(with_port)
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let pem = read_limited(path).map_err(PemError::Io)?;
    CertificateDer::pem_slice_iter(&pem).collect()
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(CERTIFICATES_SIZE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a TLS failure means, in Go's words.
pub(crate) fn reason(error: rustls::Error) -> Reason {
    match error {
        rustls::Error::InvalidCertificate(error) => Reason::Certificate(match error {
            CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                "certificate has expired or is not yet valid".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => {
                let names: Vec<String> = presented.iter().map(|name| plain_name(name)).collect();
                let expected = expected.to_str().into_owned();
                format!("certificate is valid for {}, not {expected}", names.join(", "))
            }
            other if is_authority(&other) => "certificate signed by unknown authority".to_owned(),
            other => other.to_string(),
        }),
        rustls::Error::InvalidMessage(_) => Reason::NotTls,
        other => Reason::Tls(other.to_string()),
    }
}

/// `DnsName("a.example")` as the certificate's reader writes it, without its wrapping.
fn plain_name(presented: &str) -> String {
    presented.split('"').nth(1).unwrap_or(presented).to_owned()
}

/// Accepts every certificate, for hosts that the configuration names as insecure.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
