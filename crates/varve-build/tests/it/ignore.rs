//! `.dockerignore`, and which files a copy takes.

use expect_test::{Expect, expect};
use varve_build::{
    Ignore,
    plan::CopySource,
    select::{EntryKind, Listing, Target},
};

/// Paths of a small project; a slash at the end is a directory, `->` a link.
const TREE: &[&str] = &[
    "README.md",
    "a.txt",
    "b.md",
    "dir/",
    "dir/a.txt",
    "dir/b.md",
    "dir/sub/",
    "dir/sub/c.txt",
    "dir-x",
    "empty/",
    "link -> dir/sub",
    "loop -> loop",
    "node_modules/",
    "node_modules/x/",
    "node_modules/x/index.js",
    "out -> ../../../a.txt",
];

fn tree() -> Listing {
    let entry = |line: &&str| match (line.split_once(" -> "), line.strip_suffix('/')) {
        (Some((path, target)), _) => (path.to_owned(), EntryKind::Symlink(target.to_owned())),
        (None, Some(path)) => (path.to_owned(), EntryKind::Directory),
        (None, None) => ((*line).to_owned(), EntryKind::File),
    };
    TREE.iter().map(entry).collect()
}

/// What stays of the tree.
#[track_caller]
fn check_ignore(patterns: &str, expected: Expect) {
    expected.assert_eq(&match Ignore::parse(patterns.as_bytes()) {
        Ok(ignore) => {
            let left = tree().without(&ignore);
            left.iter().map(|(path, _)| path).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn patterns_are_anchored_at_the_root() {
    check_ignore(
        "a.txt\nnode_modules\n",
        expect![
            "README.md b.md dir dir-x dir/a.txt dir/b.md dir/sub dir/sub/c.txt empty link loop out"
        ],
    );
    check_ignore(
        "/dir/\n./node_modules/*\n",
        expect!["README.md a.txt b.md dir-x empty link loop node_modules out"],
    );
}

#[test]
fn two_stars_are_any_directories() {
    check_ignore(
        "**/*.txt\n**/node_modules\nlink\nloop\nout",
        expect!["README.md b.md dir dir-x dir/b.md dir/sub empty"],
    );
    check_ignore(
        "dir/**\nnode_modules/**/index.js\nlink\nloop\nout",
        expect!["README.md a.txt b.md dir dir-x empty node_modules node_modules/x"],
    );
    check_ignore("**", expect![""]);
}

#[test]
fn later_patterns_take_back_and_parents_come_with_them() {
    check_ignore("*\n!dir/sub/c.txt\n", expect!["dir dir/sub dir/sub/c.txt"]);
    check_ignore("*.md\n!README.md\n*\n! b.md\n", expect!["b.md"]);
    check_ignore("*\n!dir\ndir/sub\n", expect!["dir dir/a.txt dir/b.md"]);
}

#[test]
fn comments_blanks_and_marks_do_not_count() {
    check_ignore(
        "\u{feff}# text\n\n   \n  dir  \r\nnode_modules\n#dir-x\n",
        expect!["README.md a.txt b.md dir-x empty link loop out"],
    );
}

#[test]
fn a_file_beside_the_dockerfile_counts_before_the_common_one() {
    let names = varve_build::ignore::file_names("docker/D3");
    assert_eq!(names, ["docker/D3.dockerignore", ".dockerignore"]);
}

#[test]
fn patterns_that_are_none_are_refused() {
    check_ignore("[a", expect!["error: syntax error in pattern: [a"]);
    check_ignore("!", expect![[r#"error: illegal exclusion pattern: "!""#]]);
    check_ignore("a\\", expect!["error: syntax error in pattern: a\\"]);
}

#[test]
fn classes_questions_and_escapes_fit_one_character() {
    let ignore = Ignore::parse(b"[ab].tx?\n\\*x\n**/t[^a-c]st\n").unwrap();
    for (path, ignored) in [
        ("a.txt", true),
        ("c.txt", false),
        ("a.tx/", false),
        ("*x", true),
        ("ax", false),
        ("d/e/test", true),
        ("d/tbst", false),
    ] {
        assert_eq!(ignore.matches(path), ignored, "{path}");
    }
}

#[test]
fn directories_that_hold_nothing_wanted_need_no_walk() {
    let ignore = Ignore::parse(b"*\n!src/lib\n!docs/*.md\n!**/keep\n").unwrap();
    assert!(ignore.may_hold("src") && ignore.may_hold("docs"));
    let ignore = Ignore::parse(b"*\n!src/lib\n!docs/*.md\n").unwrap();
    assert!(!ignore.may_hold("target") && !ignore.may_hold("srcs"));
    assert!(ignore.may_hold("src") && ignore.may_hold("docs"));
}

#[track_caller]
fn check_select(source: CopySource, exclude: &[&str], expected: Expect) {
    let exclude: Vec<String> = exclude.iter().map(|text| (*text).to_owned()).collect();
    expected.assert_eq(&match tree().select(&source, &exclude) {
        Ok(taken) => {
            let lines = taken.iter().map(|taken| match &taken.target {
                Target::Directory => format!("{}/ -> .", taken.source),
                Target::Below(path) => format!("{} -> ./{path}", taken.source),
                Target::As(name) => format!("{} -> {name}", taken.source),
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("error: {error}"),
    });
}

fn path(path: &str) -> CopySource {
    CopySource::Path(path.to_owned())
}

fn parents(directory: &str, pattern: &str) -> CopySource {
    let required = !varve_build::glob::has_wildcards(pattern);
    CopySource::Parents { directory: directory.to_owned(), pattern: pattern.to_owned(), required }
}

#[test]
fn a_file_is_copied_by_name_and_of_a_directory_what_is_in_it() {
    check_select(path("/a.txt"), &[], expect!["a.txt -> a.txt"]);
    check_select(
        path("/dir"),
        &[],
        expect![[r#"
            dir/ -> .
            dir/a.txt -> ./a.txt
            dir/b.md -> ./b.md
            dir/sub -> ./sub
            dir/sub/c.txt -> ./sub/c.txt"#]],
    );
    check_select(path("/nosuch"), &[], expect![[r#"error: "/nosuch": not found"#]]);
    check_select(path("/a.txt/x"), &[], expect![[r#"error: "/a.txt/x": not found"#]]);
}

#[test]
fn links_are_followed_and_never_leave_the_tree() {
    check_select(
        path("/link"),
        &[],
        expect![[r#"
            dir/sub/ -> .
            dir/sub/c.txt -> ./c.txt"#]],
    );
    check_select(path("/link/c.txt"), &[], expect!["dir/sub/c.txt -> c.txt"]);
    check_select(path("/out"), &[], expect!["a.txt -> out"]);
    check_select(
        path("/loop"),
        &[],
        expect![[r#"error: "/loop": too many levels of symbolic links"#]],
    );
}

#[test]
fn wildcards_stay_in_their_directory_and_may_fit_nothing() {
    check_select(
        path("/*.md"),
        &[],
        expect![[r#"
            README.md -> README.md
            b.md -> b.md"#]],
    );
    check_select(path("/*.zip"), &[], expect![""]);
    check_select(path("/nosuch/*"), &[], expect![""]);
    check_select(
        path("/dir/*"),
        &[],
        expect![[r#"
            dir/a.txt -> a.txt
            dir/b.md -> b.md
            dir/sub/ -> .
            dir/sub/c.txt -> ./c.txt"#]],
    );
    check_select(
        path("/[ab].*"),
        &[],
        expect![[r#"
        a.txt -> a.txt
        b.md -> b.md"#]],
    );
    check_select(path("/[a"), &[], expect!["error: syntax error in pattern"]);
}

#[test]
fn excluded_files_are_left_out_of_files_and_directories() {
    check_select(path("/*.md"), &["b*"], expect!["README.md -> README.md"]);
    check_select(
        path("/dir"),
        &["*.md", "sub"],
        expect![[r#"
            dir/ -> .
            dir/a.txt -> ./a.txt"#]],
    );
    check_select(
        path("/dir"),
        &["*", "!sub/c.txt"],
        expect![[r#"
            dir/ -> .
            dir/sub -> ./sub
            dir/sub/c.txt -> ./sub/c.txt"#]],
    );
}

#[test]
fn parents_are_kept_from_the_pivot_on() {
    check_select(
        parents("/", "dir/sub/c.txt"),
        &[],
        expect![[r#"
            dir -> ./dir
            dir/sub -> ./dir/sub
            dir/sub/c.txt -> ./dir/sub/c.txt"#]],
    );
    check_select(
        parents("/dir", "**/*.txt"),
        &["a.txt"],
        expect![[r#"
            dir/sub -> ./sub
            dir/sub/c.txt -> ./sub/c.txt"#]],
    );
    check_select(parents("/", "no*"), &["node_modules"], expect![""]);
    check_select(parents("/dir", "nosuch"), &[], expect![[r#"error: "/dir/nosuch": not found"#]]);
}

#[test]
fn a_big_tree_is_selected_in_one_pass() {
    let file = |n: usize| (format!("d{}/e{}/f{n}.rs", n % 100, n % 10), EntryKind::File);
    let listing: Listing = (0..50_000).map(file).collect();
    let ignore = Ignore::parse(b"**/*.o\ntarget\n**/.git\n!keep\nd7\n").unwrap();
    let left = listing.without(&ignore);
    assert_eq!(left.iter().count(), 49_500);
    assert_eq!(left.select(&path("/"), &[]).unwrap().len(), 49_501);
}
