//! Certificates and proxies.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use varve_distribution::{
    client::{Access, Client},
    hosts::HostsConfig,
};
use varve_types::Repository;

use crate::{
    server::{Reply, Server},
    support::*,
};

/// An authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses, with its key.
    fn issue(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.iter().map(|name| subject(name)).collect();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn server(&self, names: &[&str], wants_client: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.issue(names);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

fn subject(name: &str) -> SanType {
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}

const HERE: &[&str] = &["127.0.0.1", "localhost"];

fn get(client: &Client, domain: &str) -> Result<(), String> {
    let repository = Repository::parse(&format!("{domain}/app")).unwrap();
    let remote = client.repository(&repository, Access::Pull);
    remote.manifest("1").map(drop).map_err(|error| error.to_string())
}

fn with_folder(folder: &Path) -> Client {
    let hosts =
        HostsConfig { certificate_folders: vec![folder.to_owned()], ..HostsConfig::default() };
    client_with(hosts, Default::default(), &[])
}

#[test]
fn an_unknown_authority_is_refused_in_gos_words() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(HERE, false), |_| Reply::ok(manifest()));
    let url = server.url("/v2/");
    assert_eq!(
        get(&client(), &server.domain()).unwrap_err(),
        format!(
            "Get \"{url}\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let server =
        Server::start_tls(authority.server(&["other.example"], false), |_| Reply::ok(manifest()));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(server.domain());
    fs::create_dir(&own).unwrap();
    fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    let error = get(&with_folder(folder.path()), &server.domain()).unwrap_err();
    assert!(
        error.contains("x509: certificate is valid for other.example, not 127.0.0.1"),
        "{error}"
    );
}

#[test]
fn the_authority_of_one_registry_is_trusted_for_that_one_only() {
    let authority = Authority::new();
    let config = authority.server(HERE, false);
    let server = Server::start_tls(config.clone(), |_| Reply::ok(manifest()));
    let other = Server::start_tls(config, |_| Reply::ok(manifest()));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(server.domain());
    fs::create_dir(&own).unwrap();
    fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    let client = with_folder(folder.path());
    get(&client, &server.domain()).unwrap();
    assert!(get(&client, &other.domain()).unwrap_err().contains("unknown authority"));
}

/// What `openssl req -x509` makes, as Docker's manual has it for a registry of one's own.
#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_when_it_is_among_the_trusted() {
    let own_server = |names: &[&str], years: std::ops::Range<i32>| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.subject_alt_names = names.iter().map(|name| subject(name)).collect();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        (Server::start_tls(Arc::new(config), |_| Reply::ok(manifest())), certificate.pem())
    };
    let trusting = |server: &Server, pem: &str| {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(server.domain());
        fs::create_dir(&own).unwrap();
        fs::write(own.join("ca.crt"), pem).unwrap();
        get(&with_folder(folder.path()), &server.domain())
    };
    let always = 2000..4000;
    let (server, pem) = own_server(HERE, always.clone());
    trusting(&server, &pem).unwrap();
    let refused = |result: Result<(), String>, reason: &str| {
        let error = result.unwrap_err();
        assert!(error.ends_with(reason), "{error}");
    };
    let (_, of_another) = own_server(HERE, always.clone());
    refused(trusting(&server, &of_another), "x509: certificate signed by unknown authority");
    let (elsewhere, pem) = own_server(&["other.example"], always);
    refused(trusting(&elsewhere, &pem), "certificate is valid for other.example, not 127.0.0.1");
    let (old, pem) = own_server(HERE, 2000..2001);
    refused(trusting(&old, &pem), "x509: certificate has expired or is not yet valid");
}

#[test]
fn a_client_certificate_is_shown_where_one_is_kept() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(HERE, true), |_| Reply::ok(manifest()));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(server.domain());
    fs::create_dir(&own).unwrap();
    fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    get(&with_folder(folder.path()), &server.domain()).unwrap_err();

    let (certificate, key) = authority.issue(&["client"]);
    fs::write(own.join("client.cert"), certificate.pem()).unwrap();
    let error = get(&with_folder(folder.path()), &server.domain()).unwrap_err();
    assert!(error.contains("missing key"), "{error}");
    fs::write(own.join("client.key"), key.serialize_pem()).unwrap();
    get(&with_folder(folder.path()), &server.domain()).unwrap();
}

#[test]
fn ssl_cert_file_and_ssl_cert_dir_are_trusted() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(HERE, false), |_| Reply::ok(manifest()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.pem");
    fs::write(&path, authority.pem()).unwrap();
    for (name, value) in [("SSL_CERT_FILE", path.as_path()), ("SSL_CERT_DIR", folder.path())] {
        let variables = [(name, value.to_str().unwrap())];
        let client = client_with(Default::default(), Default::default(), &variables);
        get(&client, &server.domain()).unwrap();
    }
}

#[test]
fn a_bundle_that_is_not_there_trusts_nobody_and_does_not_panic() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(HERE, false), |_| Reply::ok(manifest()));
    let variables = [("SSL_CERT_FILE", "/nowhere.pem")];
    let client = client_with(Default::default(), Default::default(), &variables);
    assert!(get(&client, &server.domain()).unwrap_err().contains("unknown authority"));
}

#[test]
fn insecure_registries_are_not_verified() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server(HERE, false), |_| Reply::ok(manifest()));
    let config = format!(r#"{{"insecure-registries": ["{}"]}}"#, server.domain());
    get(&client_with(hosts(&config), Default::default(), &[]), &server.domain()).unwrap();
}

#[test]
fn a_redirect_from_https_to_http_is_refused() {
    let authority = Authority::new();
    let plain = Server::start(|_| Reply::ok(manifest()));
    let target = plain.url("/x");
    let server = Server::start_tls(authority.server(HERE, false), move |request| {
        match request.target.as_str() {
            "/v2/" => Reply::ok(""),
            _ => Reply::redirect(target.clone()),
        }
    });
    let config = format!(r#"{{"insecure-registries": ["{}"]}}"#, server.domain());
    let client = client_with(hosts(&config), Default::default(), &[]);
    let error = get(&client, &server.domain()).unwrap_err();
    assert!(error.contains("redirect from https to http://"), "{error}");
    assert_eq!(plain.requests().len(), 0);
}

/// A proxy that writes down what it is asked for, and passes every `CONNECT` to `target`.
fn proxy(target: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            kept.lock().unwrap().push(String::from_utf8(head).unwrap());
            let mut server = TcpStream::connect(&target).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    (address, seen)
}

#[test]
fn https_goes_through_a_tunnel() {
    let authority = Authority::new();
    let config = authority.server(&["registry.example"], false);
    let server = Server::start_tls(config, |_| Reply::ok(manifest()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, authority.pem()).unwrap();
    let (address, seen) = proxy(server.domain());
    let address = format!("http://me:pw@{address}");
    let variables = [("https_proxy", &*address), ("SSL_CERT_FILE", path.to_str().unwrap())];
    let client = client_with(Default::default(), Default::default(), &variables);
    get(&client, "registry.example").unwrap();
    let head = seen.lock().unwrap()[0].clone();
    assert!(head.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{head}");
    assert_eq!(server.requests()[0].header("proxy-authorization"), None);
}

#[test]
fn plain_http_asks_the_proxy_for_the_whole_url() {
    let server = Server::start(|_| Reply::ok(manifest()));
    let address = format!("http://me:pw@{}", server.domain());
    let variables = [("HTTP_PROXY", &*address)];
    let config = r#"{"registries": {"registry.example": {"endpoint": "http://registry.example"}}}"#;
    let client = client_with(hosts(config), Default::default(), &variables);
    get(&client, "registry.example").unwrap();
    let requests = server.requests();
    let lines: Vec<String> = requests.iter().map(crate::server::Request::line).collect();
    assert_eq!(
        lines,
        ["GET http://registry.example/v2/", "GET http://registry.example/v2/app/manifests/1"]
    );
    for request in &requests {
        assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6cHc="));
        assert_eq!(request.header("host"), Some("registry.example"));
    }
}
