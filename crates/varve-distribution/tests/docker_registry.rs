//! The registry client against Debian's `docker-registry`, where that is installed.

use std::{
    cell::Cell,
    fs,
    io::{Cursor, Read},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use varve_distribution::{
    client::{Access, Client},
    credentials::Credentials,
    hosts::HostsConfig,
};
use varve_types::{Ctx, Descriptor, Digest, Repository, media_type};

/// A running `docker-registry` on loopback with a folder of its own.
struct Registry {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            folder.path().join("data").display(),
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
        let registry = Self { process, port, _folder: folder };
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
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
    let Some(registry) = Registry::start() else { return };
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
