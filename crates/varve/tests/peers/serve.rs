//! `varve registry serve` as the registry of other tools, and of varve.

use varve_testkit::{Image, image::Built};

use crate::{
    docker_registry::log_in,
    home::Home,
    peer::Peer,
    server::{Locks, Server},
};

/// Every combination of what a registry may ask.
const LOCKS: &[Locks] = &[
    Locks { tls: false, password: false },
    Locks { tls: false, password: true },
    Locks { tls: true, password: false },
    Locks { tls: true, password: true },
];

fn index() -> Built {
    let platform = |seed, platform| Image::seeded(seed).layers(2).platform(platform);
    Image::index(&[
        platform(21, "linux/amd64"),
        platform(22, "linux/arm64"),
        platform(23, "linux/s390x"),
    ])
}

/// The options with which `skopeo copy` meets a registry's locks.
fn skopeo_options(home: &Home, server: &Server, locks: Locks, side: &str) -> Vec<String> {
    let mut options = Vec::new();
    if locks.tls {
        home.write("trusted/ca.crt", server.authority().as_bytes());
        options.push(format!("--{side}-cert-dir={}", home.text("trusted")));
    } else {
        options.push(format!("--{side}-tls-verify=false"));
    }
    if locks.password {
        options.push(format!("--{side}-creds={}", Server::CREDENTIALS));
    }
    options
}

/// A home whose `varve` gets past the locks of a server.
fn admitted(server: &Server, locks: Locks) -> Home {
    let mut home = Home::new();
    if locks.tls {
        let bundle = home.write("bundle.pem", server.authority().as_bytes());
        home = home.with_environment("SSL_CERT_FILE", &bundle);
    }
    if locks.password {
        log_in(&home, server);
    }
    home
}

#[test]
fn skopeo_copies_all_platforms_in_and_out_whatever_the_locks() {
    let Some(skopeo) = Peer::skopeo() else { return };
    for &locks in LOCKS {
        let (home, server, index) = (Home::new(), Server::varve(locks), index());
        index.write_layout(&home.path("layout"), Some("app:1"));
        let (inside, name) =
            (format!("oci:{}:app:1", home.text("layout")), server.name("team/app:1"));
        let there = format!("docker://{name}");
        let copy = |options: &[String], from: &str, to: &str| {
            let mut line = vec!["copy", "--all", "--preserve-digests"];
            line.extend(options.iter().map(String::as_str));
            line.extend([from, to]);
            skopeo.ok(&home, &line);
        };
        copy(&skopeo_options(&home, &server, locks, "dest"), &inside, &there);
        let back = format!("dir:{}", home.text("back"));
        copy(&skopeo_options(&home, &server, locks, "src"), &there, &back);
        let manifest = std::fs::read(home.path("back/manifest.json")).unwrap();
        assert_eq!(manifest, index.manifests.last().unwrap().1, "{locks:?}");
        for (descriptor, bytes) in &index.blobs {
            let file = home.path("back").join(descriptor.digest.hex());
            assert_eq!(&std::fs::read(file).unwrap(), bytes, "{locks:?}");
        }

        let user = admitted(&server, locks);
        user.ok(&["pull", "--platform", "linux/arm64", &name]);
        assert_eq!(user.id(&name), index.images[1].id.to_string(), "{locks:?}");
        let again = server.name("team/app:again");
        user.ok(&["tag", &name, &again]);
        user.ok(&["push", &again]);
        let stranger = Home::new();
        if locks != Locks::default() {
            stranger.fails(&["pull", &name]);
            stranger.check();
        }
        user.check();
    }
}

/// The same pushes give the same data, whoever serves.
#[test]
fn two_registries_have_the_same_digests_after_the_same_pushes() {
    let Some(theirs) = Server::docker(Locks::default()) else { return };
    let Some(skopeo) = Peer::skopeo() else { return };
    let (home, ours) = (Home::new(), Server::varve(Locks::default()));
    let tar = home.write("root.tar", &Image::seeded(31).files(9).build().images[0].tars[0]);
    home.ok(&["import", &tar.display().to_string(), "app:1"]);
    index().write_layout(&home.path("layout"), Some("app:1"));
    let mut seen = Vec::new();
    for server in [&ours, &theirs] {
        let (made, many) = (server.name("team/made:1"), server.name("team/many:1"));
        home.ok(&["tag", "app:1", &made]);
        home.ok(&["push", &made]);
        let from = format!("oci:{}:app:1", home.text("layout"));
        let to = format!("docker://{many}");
        let options = ["--all", "--preserve-digests", "--dest-tls-verify=false"];
        skopeo.ok(&home, &[&["copy"], options.as_slice(), &[&from, &to]].concat());
        let raw = |name: &str| {
            let from = format!("docker://{name}");
            skopeo.ok(&home, &["inspect", "--raw", "--tls-verify=false", &from])
        };
        let tags = format!("docker://{}", server.name("team/many"));
        let tags = skopeo.json(&home, &["list-tags", "--tls-verify=false", &tags]);
        seen.push((raw(&made), raw(&many), tags["Tags"].clone()));

        let other = Home::new();
        other.ok(&["pull", &made]);
        other.ok(&["pull", "--platform", "all", &many]);
        let (mut blobs, ids) = (other.blobs(), (other.id(&made), other.id(&many)));
        blobs.sort();
        seen.push((format!("{blobs:?}"), format!("{ids:?}"), serde_json::Value::Null));
        other.check();
    }
    assert_eq!(seen[..2], seen[2..]);
}

/// One registry is filled from the other by `skopeo sync`-like copies of single images.
#[test]
fn images_wander_between_varve_and_docker_registry_through_skopeo() {
    let Some(theirs) = Server::docker(Locks { password: true, ..Locks::default() }) else { return };
    let Some(skopeo) = Peer::skopeo() else { return };
    let (home, ours) = (Home::new(), Server::varve(Locks::default()));
    let tar = home.write("root.tar", &Image::seeded(41).build().images[0].tars[0]);
    let id = home.ok(&["import", &tar.display().to_string(), "app:1"]);
    let name = ours.name("app:1");
    home.ok(&["tag", "app:1", &name]);
    home.ok(&["push", &name]);
    let there = theirs.name("app:1");
    let options =
        ["--src-tls-verify=false", "--dest-tls-verify=false", "--dest-creds", Server::CREDENTIALS];
    let ends = [format!("docker://{name}"), format!("docker://{there}")];
    skopeo.ok(&home, &[&["copy"], options.as_slice(), &[&ends[0], &ends[1]]].concat());
    let other = Home::new();
    log_in(&other, &theirs);
    other.ok(&["pull", &there]);
    assert_eq!(other.id(&there), id);
    let digest =
        |home: &Home, name: &str| home.repo_digests(name)[0].rsplit_once('@').unwrap().1.to_owned();
    assert_eq!(digest(&other, &there), digest(&home, &name));
    other.check();
}
