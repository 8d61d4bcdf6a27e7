//! The registry client against Debian's `docker-registry`, where that is installed.

use std::{
    cell::Cell,
    fs,
    io::{Cursor, Read},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use varve_distribution::{
    client::{Access, Client},
    credentials::{Credential, Credentials},
    hosts::HostsConfig,
};
use varve_types::{Ctx, Descriptor, Digest, Environment, Repository, media_type};

/// A running `docker-registry` on loopback with a folder of its own.
struct Registry {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts one; `settings` writes what it needs into the folder and returns more lines for
    /// the configuration, those of `http` and others.
    fn start(settings: impl FnOnce(&Path) -> (String, String)) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (http, others) = settings(folder.path());
        let data = folder.path().join("data");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: '127.0.0.1:{port}'\n{http}{others}",
            data.display(),
        );
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            eprintln!("skipped: docker-registry is not installed");
            return None;
        };
        let registry = Self { process, port, folder };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
    }

    fn plain() -> Option<Self> {
        Self::start(|_| (String::new(), String::new()))
    }

    fn domain(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn repository(&self, path: &str) -> Repository {
        Repository::parse(&format!("127.0.0.1:{}/{path}", self.port)).unwrap()
    }
}

fn client() -> Client {
    Client::new(&Ctx::for_test(), HostsConfig::default(), Credentials::none())
}

#[test]
fn what_is_pushed_can_be_listed_mounted_read_in_part_and_deleted() {
    let Some(registry) = Registry::plain() else { return };
    let client = client();
    let name = registry.repository("team/app");
    let remote = client.repository(&name, Access::PushPull);

    let content: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
    let blob = Descriptor::of(media_type::OCI_LAYER, &content);
    assert!(!remote.blob_exists(&blob.digest).unwrap());
    let sent = Cell::new(0);
    let open = |offset: u64| -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(content[offset as usize..].to_vec())))
    };
    remote.put_blob(&blob, &open, &|bytes| sent.set(bytes)).unwrap();
    assert_eq!(sent.get(), blob.size);
    assert!(remote.blob_exists(&blob.digest).unwrap());

    let config = b"{}";
    let config_descriptor = Descriptor::of(media_type::OCI_CONFIG, config);
    let open = |offset: u64| -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(&config[offset as usize..])))
    };
    remote.put_blob(&config_descriptor, &open, &|_| {}).unwrap();

    let other = client.repository(&registry.repository("other/app"), Access::PushPull);
    assert!(other.mount_blob(&blob.digest, &name).unwrap());
    assert!(other.blob_exists(&blob.digest).unwrap());
    assert!(!other.mount_blob(&Digest::of(b"nowhere"), &name).unwrap());

    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config_descriptor,
        "layers": [blob],
    }))
    .unwrap();
    let digest = remote.put_manifest("1", media_type::OCI_MANIFEST, &manifest).unwrap();
    assert_eq!(digest, Digest::of(&manifest));
    remote.put_manifest("2", media_type::OCI_MANIFEST, &manifest).unwrap();
    let mut tags = remote.tags().unwrap();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    assert_eq!(client.catalogue(name.domain()).unwrap(), ["other/app", "team/app"]);

    let (kind, descriptor) = remote.manifest("1").unwrap();
    assert_eq!(kind.bytes(), manifest);
    assert_eq!(remote.head_manifest("2").unwrap(), Some(descriptor));
    assert_eq!(remote.manifest(&digest.to_string()).unwrap().0.bytes(), manifest);
    assert_eq!(remote.head_manifest("3").unwrap(), None);
    let missing = remote.manifest("3").unwrap_err();
    assert_eq!(missing.to_string(), "manifest unknown: manifest unknown");
    assert!(missing.is_not_found());

    for offset in [0, 1, 999_999, 1_000_000] {
        let mut read = Vec::new();
        remote.blob(&blob, offset).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, content[offset as usize..]);
    }

    let remote = client.repository(&name, Access::Everything);
    remote.delete_manifest(&digest.to_string()).unwrap();
    assert!(remote.manifest("1").unwrap_err().is_not_found());
}

/// Sends `content` and reads it back.
fn round_trip(client: &Client, name: &Repository, content: &'static [u8]) {
    let remote = client.repository(name, Access::PushPull);
    let blob = Descriptor::of(media_type::OCI_LAYER, content);
    let open = |offset: u64| -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(&content[offset as usize..])))
    };
    remote.put_blob(&blob, &open, &|_| {}).unwrap();
    let mut read = Vec::new();
    let remote = client.repository(name, Access::Pull);
    remote.blob(&blob, 0).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, content);
}

#[test]
fn a_registry_with_passwords_is_logged_in_to_and_used() {
    let Some(registry) = Registry::start(|folder| {
        let line = format!("alice:{}\n", bcrypt::hash("secret", 4).unwrap());
        let path = folder.join("htpasswd");
        fs::write(&path, line).unwrap();
        let path = path.display();
        let auth = format!("auth:\n  htpasswd: {{realm: here, path: '{path}'}}\n");
        (String::new(), auth)
    }) else {
        return;
    };
    let domain = registry.domain();
    let refused = client().repository(&registry.repository("app"), Access::Pull).manifest("1");
    assert!(refused.unwrap_err().wants_credentials());

    let password = |password: &str| Credential::Password {
        username: "alice".into(),
        password: password.into(),
    };
    let error = client().login(&domain, &password("wrong")).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("login attempt to http://{domain}/v2/ failed with status: 401 Unauthorized")
    );
    let kept = client().login(&domain, &password("secret")).unwrap();
    let (mut credentials, _) =
        Credentials::load(&Environment::default(), Some(registry.folder.path()));
    credentials.store(&domain, &kept).unwrap();
    let client = Client::new(&Ctx::for_test(), HostsConfig::default(), credentials);
    round_trip(&client, &registry.repository("app"), b"content");
}

#[test]
fn a_registry_with_a_certificate_of_its_own_is_trusted_by_certs_d() {
    let certified =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
            .unwrap();
    let (pem, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let Some(registry) = Registry::start(|folder| {
        let (certificate, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, &pem).unwrap();
        fs::write(&key_path, &key).unwrap();
        let (certificate, key) = (certificate.display(), key_path.display());
        (format!("  tls: {{certificate: '{certificate}', key: '{key}'}}\n"), String::new())
    }) else {
        return;
    };
    let domain = registry.domain();
    let error = client().ping(&domain).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "Get \"https://{domain}/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    );
    let folders = registry.folder.path().join("certs.d");
    fs::create_dir_all(folders.join(&domain)).unwrap();
    fs::write(folders.join(&domain).join("ca.crt"), &pem).unwrap();
    let hosts = HostsConfig { certificate_folders: vec![folders], ..HostsConfig::default() };
    let client = Client::new(&Ctx::for_test(), hosts, Credentials::none());
    round_trip(&client, &registry.repository("app"), b"content");
}
