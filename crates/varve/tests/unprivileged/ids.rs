//! What can be built and run with 65,536 more IDs, and with one.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::user::{Ids, User};

/// Files of several owners, a whiteout, a link, and a program with set-user-ID.
const DOCKERFILE: &str = "FROM base
COPY files /files
COPY --chown=5:6 --chmod=640 files/one /owned
RUN mkdir -p /made/closed && echo made > /made/file && chown 33:44 /made/file && chmod 4755 /made/file \\
    && ln /made/file /made/link && chmod 700 /made/closed && chown 33:44 /made/closed
RUN rm -r /files && chown -R 1000:1000 /made/closed
USER 1000:1000
RUN id > /made/closed/id
";
const COPIES: &str = "FROM base\nCOPY files /files\nWORKDIR /work\nADD files/two /work/\n";
const BUILD: [&str; 6] =
    ["build", "-q", "--network", "none", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"];

fn write_context(user: &User, dockerfile: &str) {
    let home = user.path("home");
    fs::create_dir_all(home.join("files")).expect("a directory");
    fs::write(home.join("files/one"), "one\n").expect("a file");
    fs::write(home.join("files/two"), "two\n").expect("a file");
    fs::write(home.join("Dockerfile"), dockerfile).expect("a file");
}

/// The image that root makes of the context, and the base as an archive for the user.
fn built_by_root(user: &User) -> String {
    user.varve_of_root(&["import", &user.path("base.tar").display().to_string(), "base"]);
    let archive = user.path("base.image").display().to_string();
    user.varve_of_root(&["save", "-o", &archive, "base"]);
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o644)).expect("a mode");
    user.varve_of_root(&[&BUILD[..], &["-t", "built", "."]].concat())
}

#[test]
fn with_ranges_of_ids_an_image_is_the_one_that_root_builds() {
    let Some(user) = User::new(Ids::Ranges) else { return };
    write_context(&user, DOCKERFILE);
    let expected = built_by_root(&user);
    let load = format!("varve load -qi {}", user.path("base.image").display());
    let build = BUILD.join(" ");
    let said = user.ok(&format!("{load} > loaded; varve {build} -t built ."));
    assert_eq!(said, expected);
    let said = user
        .ok("varve run --rm --network none -u 0 built ls -ln /made /made/closed/id 2> warnings");
    for expected in ["33", "44", "-rwsr-xr-x", "1000"] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(user.ok("varve system check"), "The store is sound.");
    // What its users own goes with the image, and without anybody's help.
    user.ok("varve rmi -f built base > removed; varve builder prune -af > pruned");
    let left = user.ok(
        "cd .local/share/varve; find . ! -user $(id -u); find varve/layers varve/trash -mindepth 1",
    );
    assert_eq!(left, "");
}

#[test]
fn with_one_id_copies_make_the_image_that_root_builds() {
    let Some(user) = User::new(Ids::One) else { return };
    write_context(&user, COPIES);
    let expected = built_by_root(&user);
    let load = format!("varve load -qi {}", user.path("base.image").display());
    let build = BUILD.join(" ");
    let said = user.ok(&format!("{load} > loaded; varve {build} -t built ."));
    assert_eq!(said, expected);
    assert_eq!(
        user.ok("varve unshare cat /proc/self/uid_map").split_whitespace().nth(2),
        Some("1")
    );
    assert_eq!(user.ok("varve run --rm --network none built cat /files/one 2> warnings"), "one");
}

#[test]
fn a_user_of_an_image_that_has_no_id_is_refused_by_name() {
    let Some(user) = User::new(Ids::One) else { return };
    let base = user.path("base.tar").display().to_string();
    user.ok(&format!("varve import {base} base > imported"));
    let (said, is_well) = user.run("varve run --rm --network none -u 33 base id");
    assert!(!is_well);
    assert!(said.contains("user 33 is not in this user namespace, which has 1"), "{said}");
    write_context(&user, "FROM base\nUSER 33\nRUN id\n");
    let (said, is_well) = user.run(&format!("varve {} .", BUILD.join(" ")));
    assert!(!is_well);
    assert!(said.contains("user 33 is not in this user namespace, which has 1"), "{said}");
}
