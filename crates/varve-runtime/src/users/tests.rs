//! Users of images, good and bad.

use std::{fs, os::unix::fs::symlink};

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    # comment:x:7:7::/:\n\
    broken line\n\
    daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
    app:x:1000:1000::/home/app:\n\
    7000:x:42:42::/number:\n\
    homeless:x:50:50\n";
const GROUP: &str =
    "root:x:0:\ndaemon:x:1:\nusers:x:100:app,other\nwheel:x:10:root,app\napp:x:1000:\n";

#[track_caller]
fn check(user: &str, group_add: &[&str], expected: &str) {
    let group_add: Vec<String> = group_add.iter().map(|&name| name.to_owned()).collect();
    let shown = match resolve_in(PASSWD, GROUP, user, &group_add) {
        Ok(it) => format!("{}:{} {:?} {}", it.uid, it.gid, it.additional_gids, it.home),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{user}");
}

#[test]
fn names_and_numbers_are_found_as_docker_finds_them() {
    check("", &[], "0:0 [0, 10] /root");
    check("app", &[], "1000:1000 [1000, 100, 10] /home/app");
    check("1000", &[], "1000:1000 [1000, 100, 10] /home/app");
    check("70000", &[], "70000:0 [0] /");
    check("daemon:users", &[], "1:100 [100] /usr/sbin");
    check("1:1", &["100"], "1:1 [1, 100] /usr/sbin");
    check("app:", &["wheel"], "1000:1000 [1000, 100, 10, 10] /home/app");
    check(":users", &[], "0:100 [100] /root");
    check("homeless", &[], "50:50 [50] /");
    check("1:4000", &[], "1:4000 [4000] /usr/sbin");
}

#[test]
fn a_number_is_a_number_even_where_a_user_is_named_so() {
    check("7000", &[], "7000:0 [0] /");
}

#[test]
fn who_is_not_there_is_refused_in_dockers_words() {
    check("nosuch", &[], "unable to find user nosuch: no matching entries in passwd file");
    check("1:nosuch", &[], "unable to find group nosuch: no matching entries in group file");
    check("1", &["nosuch"], "Unable to find group nosuch");
    for user in ["-1", "2147483648", "99999999999999999999", "1:-5"] {
        check(user, &[], "uids and gids must be in range 0-2147483647");
    }
    check("a\u{1b}b", &[], "unable to find user a\\x1bb: no matching entries in passwd file");
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("root/etc")).unwrap();
    directory
}

#[track_caller]
fn in_root(directory: &tempfile::TempDir, user: &str) -> Result<ResolvedUser, UserError> {
    resolve(&Root::open(&directory.path().join("root")).unwrap(), user, &[])
}

#[test]
fn an_image_without_these_files_has_root_and_numbers() {
    let directory = directory();
    assert_eq!(in_root(&directory, "").unwrap().uid, 0);
    assert_eq!(in_root(&directory, "12:34").unwrap().gid, 34);
    assert!(matches!(in_root(&directory, "app"), Err(UserError::User(_))));
}

#[test]
fn a_link_that_leaves_the_root_reads_nothing_of_the_host() {
    let directory = directory();
    fs::write(directory.path().join("passwd"), "host:x:99:99::/host:\n").unwrap();
    symlink("../../passwd", directory.path().join("root/etc/passwd")).unwrap();
    assert!(matches!(in_root(&directory, "host"), Err(UserError::User(_))));
    fs::write(directory.path().join("root/passwd"), "inside:x:98:98::/in:\n").unwrap();
    assert_eq!(in_root(&directory, "inside").unwrap().uid, 98);
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let directory = directory();
    let path = directory.path().join("root/etc/passwd");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = in_root(&directory, "app").unwrap_err();
    assert_eq!(error.to_string(), "cannot read /etc/passwd of the container");
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn a_huge_file_is_refused_after_the_limit() {
    let directory = directory();
    let file = fs::File::create(directory.path().join("root/etc/group")).unwrap();
    // Sparse: it takes no room, and reading it whole would take a gigabyte of memory.
    file.set_len(1 << 30).unwrap();
    assert!(matches!(in_root(&directory, ""), Err(UserError::TooLarge("/etc/group"))));
}

#[test]
fn who_is_not_in_the_user_namespace_is_refused_by_name() {
    let whole = "         0          0 4294967295\n";
    check_mapped(whole, "user", ID_MAX).unwrap();
    let single = "         0       1000          1\n";
    check_mapped(single, "user", 0).unwrap();
    let error = check_mapped(single, "user", 33).unwrap_err();
    let text = "user 33 is not in this user namespace, which has 1: ";
    assert!(error.to_string().starts_with(text), "{error}");
    let ranges = "0 1000 1\n1 100000 65536\n";
    check_mapped(ranges, "group", 65_536).unwrap();
    let error = check_mapped(ranges, "group", 65_537).unwrap_err();
    assert!(error.to_string().contains("group 65537 is not"), "{error}");
    assert!(error.to_string().contains("which has 65537"), "{error}");
}
