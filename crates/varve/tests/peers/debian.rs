//! A real root file system of thousands of files goes the whole way.

use std::path::{Path, PathBuf};
use std::process::Command;

use varve_testkit::guard;

use crate::place::Place;

/// A Debian root that `cargo xtask test` made with mmdebstrap; else the files of some packages of
/// this machine, which are a smaller one. `None` where there is neither.
fn root_tar() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (made, smaller) = (folder.join("debian-root.tar"), folder.join("package-root.tar"));
    if made.is_file() {
        return Some(made);
    }
    if smaller.is_file() {
        return Some(smaller);
    }
    guard::tool("dpkg-query")?;
    // Under a name of its own first: tests run side by side.
    let draft = folder.join(format!("package-root.{}", std::process::id()));
    let script = "dpkg-query -L dpkg coreutils bash libc6 libc-bin perl-base tzdata apt util-linux \
                  | grep '^/.' | sort -u | while read -r f; do [ -e \"$f\" ] && echo \".$f\"; done \
                  | tar -C / --no-recursion --numeric-owner -T - -cf \"$1\"";
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(&draft).status().ok()?;
    assert!(made.success(), "tar failed");
    std::fs::rename(&draft, &smaller).expect("the same directory");
    Some(smaller)
}

/// Config and diff IDs are the same from import on, manifest and layer bytes from the first push
/// on, at each end; a second push sends nothing; RepoDigests are right at each step.
#[test]
fn debian_root_goes_round_without_changing() {
    let Some(tar) = root_tar() else { return };
    let place = Place::new();
    let server = place.serve(&[]);
    let name = format!("{}/debian/root:1", server.address);
    let identity = "{{.Id}} {{json .RootFS.Layers}}";

    let id = place.varve(&["import", tar.to_str().expect("UTF-8"), "debian:made"]);
    let made = place.inspect("debian:made", identity);
    assert!(made.starts_with(&id), "import printed {id}, inspect {made}");
    assert_eq!(place.inspect("debian:made", "{{json .RepoDigests}}"), "[]");

    place.varve(&["tag", "debian:made", &name]);
    assert!(place.varve(&["push", &name]).contains(": Pushed"));
    let digest = place.inspect(&name, "{{index .RepoDigests 0}}");
    let again = place.varve(&["push", &name]);
    assert!(again.contains(": Layer already exists"), "{again}");
    assert!(!again.contains(": Pushed"), "{again}");
    let sent = digest.split_once('@').expect("a digest").1;
    assert!(again.contains(sent), "the second push names another digest: {again}");

    for reference in [&name, &digest] {
        place.varve(&["rmi", "--force", &id]);
        assert_eq!(place.varve(&["images", "--quiet"]), "");
        place.varve(&["pull", reference]);
        assert_eq!(place.inspect(reference, identity), made);
        assert_eq!(place.inspect(reference, "{{index .RepoDigests 0}}"), digest);
    }

    place.varve(&["save", "--output", "saved.tar", &digest]);
    place.varve(&["tag", &digest, "debian:saved"]);
    place.varve(&["save", "--output", "named.tar", "debian:saved"]);
    place.varve(&["--root", "second", "load", "--input", "named.tar"]);
    let format = ["image", "inspect", "--format", identity, "debian:saved"];
    assert_eq!(place.varve(&[&["--root", "second"], &format[..]].concat()), made);
    place.varve(&["--root", "second", "save", "--output", "again.tar", "debian:saved"]);
    let read = |name: &str| std::fs::read(place.path(name)).expect("an archive");
    assert!(read("named.tar") == read("again.tar"), "an archive changed on its way");

    // And the layer that went to the registry is, byte for byte, the one in both stores.
    let second = format!("{}/debian/again:1", server.address);
    place.varve(&["--root", "second", "tag", "debian:saved", &second]);
    let pushed = place.varve(&["--root", "second", "push", &second]);
    assert!(pushed.contains(sent), "the second store pushed another manifest: {pushed}");
    for store in ["store", "second"] {
        place.varve(&["--root", store, "system", "check"]);
    }
}
