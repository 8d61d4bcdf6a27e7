//! The rules of `COPY`, one by one, with files of another image.

use expect_test::expect;
use varve_build::solve::Timestamps;
use varve_fs::tar::Time;

use crate::{Case, EPOCH};

const FILES: &str = "
    d src
    f 640 5:6 @7 src/a = one
    f @2000000 src/b.txt = two
    d 700 9:9 @8 src/deep
    f src/deep/c = three
    l src/link -> a
    f top = top
";

/// A base with directories, files and links.
const BASE: &str = "
    d 711 3:3 @5 app
    d 750 4:4 @6 app/deep
    f app/old = old
    f file = file
    l link -> app
    l away -> ../../app/new
    l loop -> loop
    l dangling -> /made/here
    d etc
    f etc/passwd = root:x:0:0::/:
";

fn case(text: &str) -> Case<'_> {
    Case::new(text).other(FILES)
}

#[test]
fn a_file_gets_the_name_of_a_destination_that_is_not_there() {
    case("COPY --from=other /top /new").gives(expect![[r#"
        f @0 new = top
    "#]]);
}

#[test]
fn a_file_goes_into_a_destination_with_a_slash() {
    case("COPY --from=other /top /new/").gives(expect![[r#"
        d new
        f @0 new/top = top
    "#]]);
}

#[test]
fn a_file_goes_into_a_directory_that_is_there() {
    case("COPY --from=other /top /app").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        f @0 app/top = top
    "#]]);
}

#[test]
fn a_file_goes_into_the_working_directory() {
    case("WORKDIR /w\nCOPY --from=other /top .").gives(expect![[r#"
        d w
        f @0 w/top = top
    "#]]);
}

#[test]
fn a_file_replaces_a_file() {
    case("COPY --from=other /top /file").base(BASE).gives(expect![[r#"
        f @0 file = top
    "#]]);
}

#[test]
fn of_a_directory_what_is_in_it_is_copied() {
    case("COPY --from=other /src /to").gives(expect![[r#"
        d to
        f 640 5:6 @7 to/a = one
        f to/b.txt = two
        d 700 9:9 @8 to/deep
        f @0 to/deep/c = three
        l @0 to/link -> a
    "#]]);
}

#[test]
fn a_directory_is_merged_into_one_that_is_there_and_gives_its_attributes_to_those_below() {
    case("COPY --from=other /src/ /app/").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        f 640 5:6 @7 app/a = one
        f app/b.txt = two
        d 700 9:9 @8 app/deep
        f @0 app/deep/c = three
        l @0 app/link -> a
    "#]]);
}

#[test]
fn of_several_sources_without_a_directory_the_last_one_is_left() {
    case("COPY --from=other /src/a /top /x").gives(expect![[r#"
        f @0 x = top
    "#]]);
}

#[test]
fn several_sources_go_into_a_directory() {
    case("COPY --from=other /src/a /src/deep /top /x/").gives(expect![[r#"
        d x
        f 640 5:6 @7 x/a = one
        f @0 x/c = three
        f @0 x/top = top
    "#]]);
}

#[test]
fn a_link_on_the_way_to_the_destination_is_followed_inside_the_root() {
    case("COPY --from=other /top /link/in/").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        d app/in
        f @0 app/in/top = top
    "#]]);
    case("COPY --from=other /top /away/").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        d app/new
        f @0 app/new/top = top
    "#]]);
}

#[test]
fn a_link_at_the_destination_is_followed_too() {
    case("COPY --from=other /top /dangling").base(BASE).gives(expect![[r#"
        d made
        f @0 made/here = top
    "#]]);
    case("COPY --from=other /src /link").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        f 640 5:6 @7 app/a = one
        f app/b.txt = two
        d 700 9:9 @8 app/deep
        f @0 app/deep/c = three
        l @0 app/link -> a
    "#]]);
}

#[test]
fn links_of_the_base_that_lead_to_each_other_are_refused() {
    case("COPY --from=other /top /loop/x").base(BASE).gives(expect![[r#"
        error: /loop: too many levels of symbolic links
    "#]]);
}

#[test]
fn a_link_in_a_directory_of_the_destination_is_replaced() {
    case("COPY --from=other /src /to").base("d to\nl to/a -> /etc/passwd\n").gives(expect![[r#"
        d @0 to
        f 640 5:6 @7 to/a = one
        f to/b.txt = two
        d 700 9:9 @8 to/deep
        f @0 to/deep/c = three
        l @0 to/link -> a
    "#]]);
}

#[test]
fn a_directory_does_not_replace_what_is_none() {
    case("COPY --from=other /src /file").base(BASE).gives(expect![[r#"
        error: cannot copy to non-directory: /file
    "#]]);
    case("COPY --from=other /src /to").base("d to\nf to/deep = x").gives(expect![[r#"
        error: cannot copy to non-directory: /to/deep
    "#]]);
    case("COPY --from=other /src /to").base("d to\nl to/deep -> /etc").gives(expect![[r#"
        error: cannot copy to non-directory: /to/deep
    "#]]);
}

#[test]
fn a_file_does_not_replace_a_directory() {
    case("COPY --from=other /src /to").base("d to\nd to/a").gives(expect![[r#"
        error: cannot replace to directory /to/a with file
    "#]]);
    case("COPY --from=other /top /to/").base("d to\nd to/top").gives(expect![[r#"
        error: cannot replace to directory /to/top with file
    "#]]);
}

#[test]
fn nothing_is_made_below_a_file() {
    case("COPY --from=other /top /file/x").base(BASE).gives(expect![[r#"
        error: mkdir /file: not a directory
    "#]]);
    case("COPY --from=other /src /file/x/y").base(BASE).gives(expect![[r#"
        error: mkdir /file: not a directory
    "#]]);
}

#[test]
fn what_is_not_there_is_named() {
    case("COPY --from=other /nosuch /x").gives(expect![[r#"
        error: "/nosuch": not found
    "#]]);
    case("COPY --from=other ../top/../nosuch /x").gives(expect![[r#"
        error: "/nosuch": not found
    "#]]);
    case("COPY --from=scratch /nosuch /x").gives(expect![[r#"
        error: "/nosuch": not found
    "#]]);
}

#[test]
fn a_wildcard_may_take_nothing() {
    case("COPY --from=other /*.zip /x/").gives(expect![[""]]);
}

#[test]
fn a_wildcard_takes_files_and_what_is_in_directories() {
    case("COPY --from=other /src/* /x/").gives(expect![[r#"
        d x
        f 640 5:6 @7 x/a = one
        f x/b.txt = two
        f @0 x/c = three
        f 640 5:6 @7 x/link = one
    "#]]);
}

#[test]
fn a_link_that_is_named_is_followed_and_one_in_a_directory_stays() {
    case("COPY --from=other /src/link /x/").gives(expect![[r#"
        d x
        f 640 5:6 @7 x/link = one
    "#]]);
    case("COPY --from=other /src/link /y").gives(expect![[r#"
        f 640 5:6 @7 y = one
    "#]]);
}

#[test]
fn owners_are_kept_from_layers_unless_others_are_asked_for() {
    case("COPY --from=other /src/a /x").gives(expect![[r#"
        f 640 5:6 @7 x = one
    "#]]);
    case("COPY --from=other --chown=7:8 /src /new/x").gives(expect![[r#"
        d 7:8 new
        d 7:8 new/x
        f 640 7:8 @7 new/x/a = one
        f 7:8 new/x/b.txt = two
        d 700 7:8 @8 new/x/deep
        f 7:8 @0 new/x/deep/c = three
        l 7:8 @0 new/x/link -> a
    "#]]);
}

#[test]
fn attributes_of_directories_on_the_way_are_the_bases() {
    case("COPY --from=other --chown=7:8 /top /app/deep/x/").base(BASE).gives(expect![[r#"
        d 711 3:3 @5 app
        d 750 4:4 @6 app/deep
        d 7:8 app/deep/x
        f 7:8 @0 app/deep/x/top = top
    "#]]);
}

#[test]
fn chmod_changes_files_and_directories_and_no_links() {
    case("COPY --from=other --chmod=4751 /src /x").gives(expect![[r#"
        d x
        f 4751 5:6 @7 x/a = one
        f 4751 x/b.txt = two
        d 4751 9:9 @8 x/deep
        f 4751 @0 x/deep/c = three
        l @0 x/link -> a
    "#]]);
    case("COPY --from=other --chmod=u+s,go-r,a+X /src /x").gives(expect![[r#"
        d x
        f 4600 5:6 @7 x/a = one
        f 4600 x/b.txt = two
        d 4711 9:9 @8 x/deep
        f 4600 @0 x/deep/c = three
        l @0 x/link -> a
    "#]]);
}

#[test]
fn link_makes_a_layer_that_knows_no_base() {
    case("COPY --from=other --link /top /app/deep/").base(BASE).gives(expect![[r#"
        d app
        d app/deep
        f @0 app/deep/top = top
    "#]]);
    case("COPY --from=other --link /top /link/").base(BASE).gives(expect![[r#"
        d link
        f @0 link/top = top
    "#]]);
}

#[test]
fn parents_keep_their_names_and_modes() {
    case("COPY --from=other --parents /src/deep/c /x/").gives(expect![[r#"
        d x
        d @0 x/src
        d 700 9:9 @8 x/src/deep
        f @0 x/src/deep/c = three
    "#]]);
    case("COPY --from=other --parents /src/./deep/c /x/").gives(expect![[r#"
        d x
        d 700 9:9 @8 x/deep
        f @0 x/deep/c = three
    "#]]);
    case("COPY --from=other --parents /src/*/ /x/").gives(expect![[r#"
        d x
        d @0 x/src
        f 640 5:6 @7 x/src/a = one
        f x/src/b.txt = two
        d 700 9:9 @8 x/src/deep
        f @0 x/src/deep/c = three
        l @0 x/src/link -> a
    "#]]);
}

#[test]
fn parents_that_are_there_get_the_mode_and_keep_the_owner() {
    case("COPY --from=other --parents /src/deep/c /x/")
        .base("d x\nd 777 1:1 x/src\nd 777 1:1 x/src/deep")
        .gives(expect![[r#"
            d @0 x
            d 1:1 @0 x/src
            d 700 1:1 @0 x/src/deep
            f @0 x/src/deep/c = three
        "#]]);
}

#[test]
fn what_is_excluded_is_left_out() {
    case("COPY --from=other --exclude=*.txt --exclude=deep /src /x").gives(expect![[r#"
        d x
        f 640 5:6 @7 x/a = one
        l @0 x/link -> a
    "#]]);
}

#[test]
fn times_of_layers_are_kept_up_to_the_builds() {
    let made = case("COPY --from=other /src/a /src/b.txt /x/").make().unwrap();
    let late = Time { seconds: 2_000_000, nanoseconds: 0 };
    let real: Vec<_> = made.real_times.into_iter().collect();
    assert_eq!(real, [(b"x/b.txt".to_vec(), late)]);
    let kept = Case { how: Timestamps::Keep, ..case("COPY --from=other /src/b.txt /x") };
    let made = kept.make().unwrap();
    assert_eq!(made.real_times.len(), 0);
    assert_eq!(crate::case::shown(&made.tar), "f @2000000 x = two\n");
    assert!(EPOCH < late);
}
