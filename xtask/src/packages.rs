//! The programs that tests talk to, and how they get onto a Debian machine.

use std::process::Command;

use crate::run::{is_installed, is_root, succeeds};

/// A program, the Debian package that brings it, and what is not tested without it.
pub(crate) struct Peer {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    pub(crate) serves: &'static str,
}

/// Everything that some test uses when it is there.
pub(crate) const PEERS: &[Peer] = &[
    Peer { program: "skopeo", package: "skopeo", serves: "other tools read and fill the store" },
    Peer { program: "umoci", package: "umoci", serves: "other tools read and fill the store" },
    Peer { program: "buildah", package: "buildah", serves: "images that others make" },
    Peer { program: "docker-registry", package: "docker-registry", serves: "a foreign registry" },
    Peer { program: "busybox", package: "busybox-static", serves: "a static program" },
    Peer { program: "mmdebstrap", package: "mmdebstrap", serves: "a root file system" },
    Peer { program: "mkfs.erofs", package: "erofs-utils", serves: "layer indexes" },
    Peer { program: "htpasswd", package: "apache2-utils", serves: "passwords of a registry" },
    Peer { program: "openssl", package: "openssl", serves: "certificates of a registry" },
    Peer { program: "curl", package: "curl", serves: "a plain HTTP client" },
    Peer { program: "gzip", package: "gzip", serves: "archives in gzip" },
    Peer { program: "bzip2", package: "bzip2", serves: "archives in bzip2" },
    Peer { program: "xz", package: "xz-utils", serves: "archives in xz" },
    Peer { program: "zstd", package: "zstd", serves: "archives in zstd" },
    Peer { program: "tar", package: "tar", serves: "archives" },
    Peer { program: "runc", package: "runc", serves: "containers by an installed runtime" },
    Peer { program: "crun", package: "crun", serves: "containers by an installed runtime" },
    Peer { program: "newuidmap", package: "uidmap", serves: "users with sub-ids" },
    Peer { program: "pasta", package: "passt", serves: "the network of users without privileges" },
    Peer {
        program: "slirp4netns",
        package: "slirp4netns",
        serves: "the same, where there is no pasta",
    },
    Peer { program: "cc", package: "gcc", serves: "C sources of dependencies" },
];

/// Installs what is missing where that is allowed. Returns what is skipped, one line each.
pub(crate) fn install(may_install: bool) -> Vec<String> {
    let missing = missing();
    if missing.is_empty() {
        println!("packages: all there");
        return Vec::new();
    }
    let wanted: Vec<&str> = missing.iter().map(|peer| peer.package).collect();
    if let Some(obstacle) = obstacle(may_install) {
        println!("packages: not installing {}: {obstacle}", wanted.join(" "));
    } else {
        println!("packages: installing {}", wanted.join(" "));
        apt(&["update", "-qq"]);
        // One package that a release does not have must not cost the others.
        if !apt(&[&["install", "-y", "-qq", "--no-install-recommends"], wanted.as_slice()].concat())
        {
            for package in &wanted {
                apt(&["install", "-y", "-qq", "--no-install-recommends", package]);
            }
        }
    }
    self::missing()
        .iter()
        .map(|peer| {
            format!("{}: package {} is missing ({})", peer.program, peer.package, peer.serves)
        })
        .collect()
}

fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| !is_installed(peer.program)).collect()
}

/// Why packages cannot be installed here; `None` when they can.
fn obstacle(may_install: bool) -> Option<&'static str> {
    if !may_install {
        Some("--no-install")
    } else if !is_installed("apt-get") {
        Some("there is no apt-get")
    } else if !is_root() && !has_sudo() {
        Some("neither root nor sudo without a password")
    } else {
        None
    }
}

fn apt(arguments: &[&str]) -> bool {
    let mut command = if is_root() { Command::new("apt-get") } else { Command::new("sudo") };
    if !is_root() {
        command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    // Offline, apt waits a long time for each mirror unless told not to.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"])
        .args(arguments);
    let done = command.status().is_ok_and(|status| status.success());
    if !done {
        println!("packages: apt-get {} failed", arguments.join(" "));
    }
    done
}

fn has_sudo() -> bool {
    succeeds(Command::new("sudo").args(["-n", "true"]))
}
