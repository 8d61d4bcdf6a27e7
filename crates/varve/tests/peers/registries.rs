//! Foreign registries and foreign clients.

use varve_testkit::{Image, Registry, guard};

use crate::place::{HTPASSWD, Place};

/// Pulls an image into the place's store; its name and ID.
fn some_image(place: &Place) -> (String, String) {
    let registry = Registry::start();
    registry.push("app:1", Image::seeded(3).layers(3).layer_size_bytes(200_000).gzip());
    let name = format!("{}/app:1", registry.host());
    place.varve(&["pull", &name]);
    let id = place.inspect(&name, "{{.Id}}");
    (name, id)
}

/// Pushes, forgets, and pulls by tag and digest.
fn round_trip(place: &Place, address: &str) {
    let (image, id) = some_image(place);
    let name = format!("{address}/team/app:1");
    place.varve(&["tag", &image, &name]);
    place.varve(&["push", &name]);
    let digest = place.inspect(&name, "{{range .RepoDigests}}{{println .}}{{end}}");
    let digest =
        digest.lines().find(|line| line.starts_with(address)).expect("a digest").to_owned();
    for reference in [&name, &digest] {
        place.varve(&["rmi", "--force", &id]);
        place.varve(&["pull", reference]);
        assert_eq!(place.inspect(reference, "{{.Id}}"), id);
    }
    place.varve(&["system", "check"]);
}

#[test]
fn debians_registry_is_pushed_to_and_pulled_from() {
    if guard::tool("docker-registry").is_none() {
        return;
    }
    let place = Place::new();
    let server = place.docker_registry("", "");
    round_trip(&place, &server.address);
}

#[test]
fn debians_registry_with_passwords_wants_a_login() {
    if guard::tool("docker-registry").is_none() {
        return;
    }
    let place = Place::new();
    place.write("htpasswd", HTPASSWD);
    let auth = "auth:\n  htpasswd:\n    realm: test\n    path: htpasswd\n";
    let server = place.docker_registry("", auth);
    let refused = place.try_varve(&["pull", &format!("{}/team/app:1", server.address)]);
    assert!(!refused.status.success());
    place.varve(&["login", "--username", "alice", "--password", "secret", &server.address]);
    round_trip(&place, &server.address);
}

#[test]
fn debians_registry_over_tls_needs_a_known_authority() {
    if guard::tool("docker-registry").is_none() {
        return;
    }
    let place = Place::new();
    let (certificate, key) = place.certificate();
    let tls =
        format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
    let server = place.docker_registry(&tls, "");
    let name = format!("{}/team/app:1", server.address);
    let unknown = place.try_varve(&["pull", &name]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("certificate"), "{said}");
    // docker's folder for the authority of one registry.
    let folder = format!(".config/docker/certs.d/{}", server.address);
    std::fs::create_dir_all(place.path(&folder)).expect("a folder");
    std::fs::copy(&certificate, place.path(&folder).join("ca.crt")).expect("a copy");
    round_trip(&place, &server.address);
}

#[test]
fn skopeo_pushes_to_and_pulls_from_our_registry() {
    if guard::tool("skopeo").is_none() {
        return;
    }
    let place = Place::new();
    place.write("htpasswd", HTPASSWD);
    let (certificate, key) = place.certificate();
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path(&certificate), path(&key));
    let options = ["--htpasswd", "htpasswd", "--tls-cert", &certificate, "--tls-key", &key];
    let server = place.serve(&options);
    let (image, _) = some_image(&place);
    let target = format!("docker://{}/team/app:1", server.address);
    let source = format!("oci:store:{image}");
    let trust = ["--dest-tls-verify=false", "--dest-creds", "alice:secret"];
    place.tool(&[&["skopeo", "copy"], &trust[..], &[&source, &target]].concat());
    let trust = ["--src-tls-verify=false", "--src-creds", "alice:secret"];
    place.tool(&[&["skopeo", "copy"], &trust[..], &[&target, "oci:back:1"]].concat());
    let digest =
        |layout: &str| place.tool(&["skopeo", "inspect", "--format", "{{.Digest}}", layout]);
    assert_eq!(digest(&source), digest("oci:back:1"));
}
