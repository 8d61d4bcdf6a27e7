//! Kinds of files, owners, modes, names.

use expect_test::expect;

use crate::{Case, Tree, case::shown};

fn case<'a>(text: &'a str, other: &'static str) -> Case<'a> {
    Case::new(text).other(other)
}

#[test]
fn devices_and_pipes_come_along_from_layers() {
    let other = "d a\nc 600 a/null dev 1 3\nb 660 a/disk dev 8 1\np a/pipe";
    case("COPY --from=other /a /a", other).gives(expect![[r#"
        d a
        b 660 @0 a/disk dev 8 1
        c 600 @0 a/null dev 1 3
        p @0 a/pipe
    "#]]);
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let other = "d a\nf a/one = x\nh a/two -> a/one\nh three -> a/one\nd b";
    case("COPY --from=other /a /to", other).gives(expect![[r#"
        d to
        f @0 to/one = x
        h @0 to/two -> to/one
    "#]]);
    // Each source is copied by itself.
    case("COPY --from=other /a/one /three /to/", other).gives(expect![[r#"
        d to
        f @0 to/one = x
        f @0 to/three = x
    "#]]);
}

#[test]
fn a_name_that_is_replaced_leaves_the_others_their_bytes() {
    let other = "d a\nf a/one = x\nh a/two -> a/one\nf one = new";
    case("COPY --from=other /a /one /to/", other).gives(expect![[r#"
        d to
        f @0 to/one = new
        f @0 to/two = x
    "#]]);
}

#[test]
fn attributes_and_capabilities_are_kept() {
    let other =
        "d +user.d=1 a\nf 755 +security.capability=cap +user.x=y a/ping = x\nd +user.e=2 a/sub";
    case("COPY --from=other --chown=5 /a /to/", other).gives(expect![[r#"
        d 5:5 to
        f 755 5:5 @0 +security.capability=cap +user.x=y to/ping = x
        d 5:5 @0 +user.e=2 to/sub
    "#]]);
    case("COPY --from=other /a /to/", other).base("d to\nd +user.f=3 to/sub").gives(expect![[r#"
        d @0 to
        f 755 @0 +security.capability=cap +user.x=y to/ping = x
        d @0 +user.e=2 +user.f=3 to/sub
    "#]]);
}

#[test]
fn set_id_and_sticky_bits_are_kept() {
    let other = "d a\nf 4755 a/su = x\nf 2755 a/sg = x\nd 1777 a/tmp";
    case("COPY --from=other /a /to", other).gives(expect![[r#"
        d to
        f 2755 @0 to/sg = x
        f 4755 @0 to/su = x
        d 1777 @0 to/tmp
    "#]]);
    case("COPY --from=other --chown=1:1 /a /to", other).gives(expect![[r#"
        d 1:1 to
        f 2755 1:1 @0 to/sg = x
        f 4755 1:1 @0 to/su = x
        d 1777 1:1 @0 to/tmp
    "#]]);
}

#[test]
fn names_that_would_hide_others_are_refused() {
    case("COPY --from=other /a /to", "d a\nf a/b").make().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".wh.b"), "x").unwrap();
    Case::new("COPY . /").context(directory.path()).gives(expect![[r#"
        error: /.wh.b cannot be copied: in a layer, its name would hide another file
    "#]]);
    case("COPY --from=other /a/b /.wh.c", "d a\nf a/b").gives(expect![[r#"
        error: /.wh.c cannot be copied: in a layer, its name would hide another file
    "#]]);
}

#[test]
fn names_that_are_not_utf_8_are_copied_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;
    let directory = tempfile::tempdir().unwrap();
    for name in [b"a\xff".as_slice(), b"\xc3(", "käse".as_bytes()] {
        let path = directory.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, name).unwrap();
    }
    let made = Case::new("COPY . /to/").context(directory.path()).make().unwrap();
    let mut reader = varve_fs::tar::Reader::new(made.tar.as_slice());
    let mut names = Vec::new();
    while let Some(member) = reader.next().unwrap() {
        names.push(member.path().to_vec());
    }
    names.sort();
    assert_eq!(
        names,
        [b"to".to_vec(), b"to/a\xff".to_vec(), "to/käse".into(), b"to/\xc3(".to_vec()]
    );
    let made = Case::new("COPY a* /to/").context(directory.path()).make().unwrap();
    assert_eq!(made.tar.windows(5).filter(|window| window == b"to/a\xff").count(), 1);
}

const PASSWD: &str = "
    d etc
    f etc/passwd = root:x:0:0::/root:/bin/sh
    f etc/group = staff:x:50:
";

#[track_caller]
fn owner(owner: &str, base: &'static str) -> String {
    let text = format!("COPY --from=other --chown={owner} /f /to");
    let made = Case::new(&text).other("f 5:6 f").base(base).make();
    made.map_or_else(|error| error.to_string(), |made| shown(&made.tar).trim().to_owned())
}

/// A base whose users are these lines.
fn users(passwd: &str, group: &str) -> Vec<u8> {
    let mut writer = varve_fs::tar::Writer::new(Vec::new());
    for (path, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        let entry = varve_fs::tar::NewEntry::file(path.as_bytes(), text.len() as u64);
        writer.append_bytes(&entry, text.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn numbers_are_owners_and_a_number_alone_is_a_group_too() {
    assert_eq!(owner("7:8", PASSWD), "f 7:8 @0 to");
    assert_eq!(owner("7", PASSWD), "f 7:7 @0 to");
    assert_eq!(owner(":8", PASSWD), "f 0:8 @0 to");
}

#[test]
fn names_are_looked_up_in_the_base() {
    let passwd = "# text\n\nroot:x:0:0::/:\nuser:x:1000:1001::/home:/bin/sh\nuser:x:5:5::/:\n";
    let tar = users(passwd, "root:x:0:\nstaff:x:50:user\n");
    let made = |owner: &str| {
        let text = format!("COPY --from=other --chown={owner} /f /to");
        let case = Case { base_tar: Some(&tar), ..Case::new(&text).other("f 5:6 f").base("") };
        shown(&case.make().unwrap().tar).trim().to_owned()
    };
    assert_eq!(made("user"), "f 1000:1001 @0 to");
    assert_eq!(made("user:staff"), "f 1000:50 @0 to");
    assert_eq!(made("user:7"), "f 1000:7 @0 to");
    assert_eq!(made("9:staff"), "f 9:50 @0 to");
    assert_eq!(made("user:nosuch"), "f 1000:1001 @0 to");
    assert_eq!(made("nosuch"), "f @0 to");
    assert_eq!(made(":staff"), "f 0:50 @0 to");
}

#[test]
fn a_name_without_a_file_to_look_it_up_in_is_root() {
    assert_eq!(owner("user:group", "d etc"), "f @0 to");
    assert_eq!(owner("user:group", "f etc"), "f @0 to");
}

#[test]
fn a_passwd_that_is_no_file_is_refused() {
    let error = owner("user", "d etc\nd etc/passwd");
    assert_eq!(error, "cannot find out who `user` is: /etc/passwd is not a regular file");
    let error = owner("user", "d etc\nc etc/passwd dev 1 5");
    assert_eq!(error, "cannot find out who `user` is: /etc/passwd is not a regular file");
}

#[test]
fn a_passwd_is_found_through_links_inside_the_base() {
    let base = "d etc\nl etc/passwd -> /../usr/passwd\nd usr\nf usr/passwd = user:x:3:4::/:";
    assert_eq!(owner("user", base), "f 3:4 @0 to");
}

#[test]
fn a_passwd_that_is_too_large_is_refused() {
    let tar = users(&"x".repeat(5 << 20), "");
    let case = Case::new("COPY --from=other --chown=user /f /to").other("f f").base("");
    let error = Case { base_tar: Some(&tar), ..case }.make().unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[test]
fn a_name_with_link_is_looked_up_in_the_base_too() {
    let tar = users("user:x:3:4::/:\n", "");
    let case = Case::new("COPY --from=other --link --chown=user /f /to").other("f f").base("");
    let made = Case { base_tar: Some(&tar), ..case }.make().unwrap();
    assert_eq!(shown(&made.tar), "f 3:4 @0 to\n");
}

#[test]
fn a_working_directory_is_made_with_its_parents_for_the_user() {
    case("WORKDIR /a/b", "").base("d 711 3:3 @5 a").gives(expect![[r#"
        d 711 3:3 @5 a
        d a/b
    "#]]);
    case("USER 7:8\nWORKDIR /a/b", "").gives(expect![[r#"
        d 7:8 a
        d 7:8 a/b
    "#]]);
}

#[test]
fn a_working_directory_that_is_there_makes_an_empty_layer() {
    case("WORKDIR /a", "").base("d a").gives(expect![[""]]);
    case("WORKDIR /l", "").base("d a\nl l -> a").gives(expect![[""]]);
}

#[test]
fn a_working_directory_cannot_be_made_below_a_file() {
    case("WORKDIR /a/b/c", "").base("f a = x").gives(expect![[r#"
        error: mkdir /a: not a directory
    "#]]);
}

#[test]
fn a_tree_reads_what_it_shows() {
    let text = "d 700 1:2 @3 a\nf 640 +user.x=y a/b = c d\nl @0 a/l -> b\nc 600 a/n dev 1 3\n";
    assert!(shown(&Tree(text).tar()).contains("f 640 @0 +user.x=y a/b = c d\n"));
}
