//! Another client against our registry.

use std::{fs, path::Path, process::Command, thread};

use varve_testkit::{Image, guard, registry::Certificate};

use crate::client::Served;

struct Skopeo(std::path::PathBuf);

impl Skopeo {
    fn find() -> Option<Self> {
        guard::tool("skopeo").map(Self)
    }

    #[track_caller]
    fn run(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new(&self.0)
            .arg("--insecure-policy")
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "skopeo {arguments:?}: {text}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn skopeo_pushes_pulls_lists_and_deletes() {
    let Some(skopeo) = Skopeo::find() else { return };
    let served = Served::start();
    let here = served.directory.path();
    let image =
        Image::index(&[Image::seeded(1).layers(3), Image::seeded(2).platform("linux/arm64")]);
    image.write_layout(&here.join("made"), Some("1"));
    let remote = format!("docker://{}/team/app:1", served.host());
    skopeo.run(here, &["copy", "--all", "--dest-tls-verify=false", "oci:made:1", &remote]);
    skopeo.run(here, &["copy", "--all", "--src-tls-verify=false", &remote, "oci:back:1"]);
    let index = fs::read_to_string(here.join("back/index.json")).unwrap();
    assert!(index.contains(&image.digest().to_string()), "{index}");
    let tags =
        skopeo.run(here, &["list-tags", "--tls-verify=false", remote.trim_end_matches(":1")]);
    assert!(tags.contains("\"1\""), "{tags}");

    // The repository is an OCI layout that is read in place.
    let in_place = format!("oci:{}/team/app:1", served.root().display());
    let manifest = skopeo.run(here, &["inspect", "--raw", &in_place]);
    assert_eq!(manifest.as_bytes(), image.manifests.last().unwrap().1);
    skopeo.run(here, &["copy", "--all", &in_place, "oci:copy:1"]);

    // A second push sends no blob.
    let before = served.log().lines().count();
    skopeo.run(here, &["copy", "--all", "--dest-tls-verify=false", "oci:made:1", &remote]);
    let sent = served.log();
    let sent = sent.lines().skip(before).filter(|line| line.starts_with("PATCH")).count();
    assert_eq!(sent, 0);

    skopeo.run(here, &["delete", "--tls-verify=false", &remote]);
    let index = fs::read_to_string(served.root().join("team/app/index.json")).unwrap();
    assert!(!index.contains(&image.digest().to_string()), "{index}");
}

#[test]
fn skopeo_mounts_what_another_repository_has() {
    let Some(skopeo) = Skopeo::find() else { return };
    let served = Served::start();
    let here = served.directory.path();
    Image::seeded(1).build().write_layout(&here.join("made"), Some("1"));
    let one = format!("docker://{}/one:1", served.host());
    let two = format!("docker://{}/two:1", served.host());
    skopeo.run(here, &["copy", "--dest-tls-verify=false", "oci:made:1", &one]);
    let both = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &one, &two];
    skopeo.run(here, &both);
    // Configs are always sent, layers are not when they can be mounted.
    let log = served.log();
    let mounted = |line: &&str| line.contains("/v2/two/") && line.contains("mount=");
    let mounted: Vec<&str> = log.lines().filter(mounted).collect();
    assert!(!mounted.is_empty() && mounted.iter().all(|line| line.contains(" 201 ")), "{log}");
}

#[test]
fn skopeo_speaks_tls_and_passwords() {
    let Some(skopeo) = Skopeo::find() else { return };
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::for_loopback();
    let put = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let cert = put("cert.pem", &certificate.cert_pem);
    let key = put("key.pem", &certificate.key_pem);
    put("trusted/ca.crt", &certificate.ca_pem);
    let users = put("htpasswd", &format!("alice:{}\n", bcrypt::hash("secret", 4).unwrap()));
    let served = Served::with(|options| {
        options.tls_cert = Some(cert);
        options.tls_key = Some(key);
        options.htpasswd = Some(users);
    });
    let here = served.directory.path();
    Image::seeded(1).zstd().build().write_layout(&here.join("made"), Some("1"));
    let remote = format!("docker://{}/app:1", served.host());
    let trusted = directory.path().join("trusted");
    let trusted = trusted.to_str().unwrap();
    let credentials = ["--dest-creds", "alice:secret", "--dest-cert-dir", trusted];
    skopeo.run(here, &[&["copy"], &credentials[..], &["oci:made:1", &remote]].concat());
    let credentials = ["--src-creds", "alice:secret", "--src-cert-dir", trusted];
    skopeo.run(here, &[&["copy"], &credentials[..], &[&remote, "oci:back:1"]].concat());
}

#[test]
fn twenty_pushes_at_once_all_arrive() {
    let Some(skopeo) = Skopeo::find() else { return };
    let served = Served::start();
    let here = served.directory.path();
    for seed in 0..5 {
        let image = Image::seeded(seed).layers(2).build();
        image.write_layout(&here.join(format!("made{seed}")), Some("1"));
    }
    thread::scope(|scope| {
        for number in 0..20 {
            let (skopeo, served) = (&skopeo, &served);
            scope.spawn(move || {
                let remote = format!("docker://{}/app{}:v{number}", served.host(), number % 4);
                let source = format!("oci:made{}:1", number % 5);
                skopeo.run(here, &["copy", "--dest-tls-verify=false", &source, &remote]);
            });
        }
    });
    for number in 0..20 {
        let in_place = format!("oci:{}/app{}:v{number}", served.root().display(), number % 4);
        skopeo.run(here, &["copy", &in_place, &format!("oci:check{number}:1")]);
    }
    let pool = fs::read_dir(served.root().join("_varve/blobs/sha256")).unwrap().count();
    assert_eq!(pool, 5 * 4, "five images of a manifest, a config and two layers, each stored once");
    assert_eq!(fs::read_dir(served.root().join("_varve/uploads")).unwrap().count(), 0);
}
