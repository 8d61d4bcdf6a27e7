//! What three layers look like from above.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use expect_test::{Expect, expect};
use varve_fs::{
    extract::{Marks, Source},
    stack::{Stack, StackError},
    tree::{LastLink, Tree},
};

use crate::{
    kernel,
    made::{self, Layer},
};

/// Compares the merged tree with what is expected, and where overlays can be mounted with what
/// the kernel shows of the layers and the mend.
#[track_caller]
fn check(layers: &[&str], expected: Expect) {
    let layers: Vec<Layer> = layers.iter().map(|lines| Layer::made(lines)).collect();
    let trees: Vec<&Tree> = layers.iter().map(|layer| &layer.tree).collect();
    let stack = match Stack::merge(&trees) {
        Ok(stack) => stack,
        Err(error) => return expected.assert_eq(&format!("error: {error}\n")),
    };
    let tars: Vec<&File> = layers.iter().map(|layer| &layer.tar).collect();
    let facts = made::facts_of_stack(&stack, &tars);
    expected.assert_eq(&made::show(&facts));
    check_export(&stack, &tars, &facts);
    if !kernel::is_root() || !kernel::may_mount_overlays() {
        return;
    }
    let tars: Vec<File> = tars.iter().map(|tar| tar.try_clone().unwrap()).collect();
    let facts = made::show(&facts);
    let dir = tempfile::tempdir().unwrap();
    let lowers = extracted(&layers, &stack, &tars, dir.path());
    assert_eq!(made::show(&kernel::facts_of_overlay(&lowers, "", "")), facts, "extracted");
    if let Some(mounted) = mounted(&layers, &stack, &tars, dir.path()) {
        let lowers: Vec<PathBuf> = mounted.iter().map(|mounted| mounted.0.clone()).collect();
        assert_eq!(made::show(&kernel::facts_of_overlay(&lowers, "", "")), facts, "mounted");
    }
}

/// The merged tree as a tar is the same tree.
#[track_caller]
pub(crate) fn check_export(stack: &Stack, tars: &[&File], facts: &made::Facts) {
    let tars: Vec<File> = tars.iter().map(|tar| tar.try_clone().unwrap()).collect();
    let exported = Layer::of(&stack.write_tar(&tars, Vec::new()).unwrap());
    assert_eq!(made::show(&made::facts_of_layer(&exported)), made::show(facts), "exported");
    let links = |tree: &Tree| {
        let (mut links, mut walk) = (Vec::new(), tree.walk());
        while let Some((_, id)) = walk.next() {
            links.push(tree.inode(id).links);
        }
        links
    };
    assert_eq!(links(&exported.tree), links(stack.tree()));
}

/// The layers that are to be mounted, with their numbers.
fn seen<'a>(layers: &'a [Layer], stack: &Stack) -> impl Iterator<Item = (usize, &'a Layer)> {
    let is_seen = |layer: &Layer| layer.tree.children(Tree::ROOT).next().is_some();
    layers.iter().enumerate().skip(stack.bottom()).filter(move |(_, layer)| is_seen(layer))
}

/// The `directory` backend.
pub(crate) fn extracted(
    layers: &[Layer],
    stack: &Stack,
    tars: &[File],
    dir: &Path,
) -> Vec<PathBuf> {
    let mut lowers = Vec::new();
    for (number, layer) in seen(layers, stack) {
        let path = dir.join(number.to_string());
        kernel::extract_to(Source::Layer(&layer.tree, &layer.tar), &path, Marks::Trusted);
        lowers.push(path);
    }
    if let Some(mend) = stack.mend() {
        let path = dir.join("mend");
        kernel::extract_to(Source::Stack(&mend, tars), &path, Marks::Trusted);
        lowers.push(path);
    }
    lowers
}

/// The `erofs` backend.
pub(crate) fn mounted(
    layers: &[Layer],
    stack: &Stack,
    tars: &[File],
    dir: &Path,
) -> Option<Vec<kernel::Mounted>> {
    let mut lowers = Vec::new();
    for (number, layer) in seen(layers, stack) {
        lowers.push(kernel::Mounted::of(layer, &dir.join(format!("{number}.erofs")))?);
    }
    if let Some(mend) = stack.mend() {
        let mend = Layer::of(&mend.write_tar(tars, Vec::new()).unwrap());
        lowers.push(kernel::Mounted::of(&mend, &dir.join("mend.erofs"))?);
    }
    Some(lowers)
}

#[test]
fn highest_file_of_a_name_is_seen() {
    check(
        &[
            "./ +1\na = one\nb = one\nc = one",
            "./ +2\na = two\nb = two",
            "./ =700 +3\na =600 @1:2 = three",
        ],
        expect![[r#"
            . dir 700 0:0 3
            a = "three" 600 1:2 1000
            b = "two" 644 0:0 1000
            c = "one" 644 0:0 1000
        "#]],
    );
}

#[test]
fn whiteout_hides_a_file_and_a_directory() {
    check(
        &["a = one\nd/\nd/x = x\nkept = k", ".wh.a\n.wh.d\nb = two", "c = three"],
        expect![[r#"
        . dir 755 0:0 0
        b = "two" 644 0:0 1000
        c = "three" 644 0:0 1000
        kept = "k" 644 0:0 1000
    "#]],
    );
}

#[test]
fn what_was_hidden_comes_back_new() {
    check(
        &["a = one\nd/ =700\nd/x = x\nd/e/", ".wh.a\n.wh.d", "a = three\nd/\nd/y = y"],
        expect![[r#"
            . dir 755 0:0 0
            a = "three" 644 0:0 1000
            d dir 755 0:0 1000
            d/y = "y" 644 0:0 1000
        "#]],
    );
}

#[test]
fn opaque_directory_hides_what_is_below_it() {
    check(
        &[
            "d/ =700\nd/a = a\nd/s/\nd/s/x = x",
            "d/ =711\nd/.wh..wh..opq\nd/b = b",
            "d/ =755\nd/c = c",
        ],
        expect![[r#"
            . dir 755 0:0 0
            d dir 755 0:0 1000
            d/b = "b" 644 0:0 1000
            d/c = "c" 644 0:0 1000
        "#]],
    );
}

#[test]
fn opaque_directory_of_the_middle_hides_nothing_above() {
    check(
        &["d/\nd/low = 1", "d/.wh..wh..opq\nd/mid = 2", "d/low = 3"],
        expect![[r#"
        . dir 755 0:0 0
        d dir 755 0:0 0
        d/low = "3" 644 0:0 1000
        d/mid = "2" 644 0:0 1000
    "#]],
    );
}

#[test]
fn opaque_root_hides_everything() {
    check(
        &["a = a\nd/\nd/x = x", "b = b", "./ =711\n.wh..wh..opq\nc = c"],
        expect![[r#"
        . dir 711 0:0 1000
        c = "c" 644 0:0 1000
    "#]],
    );
}

#[test]
fn whiteout_beside_the_same_name_makes_a_directory_opaque() {
    check(
        &["d/\nd/old = 1\nf = f", ".wh.d\nd/\nd/new = 2\n.wh.f\nf = g", "e = e"],
        expect![[r#"
        . dir 755 0:0 0
        d dir 755 0:0 1000
        d/new = "2" 644 0:0 1000
        e = "e" 644 0:0 1000
        f = "g" 644 0:0 1000
    "#]],
    );
}

#[test]
fn implied_parents_keep_what_they_are_below() {
    check(
        &[
            "./ =711 @5:6 +77\nd/ =750 @1:2 +11 user.a:=v\nd/e/ =700 +12\nd/e/x = x",
            "d/e/y = y",
            "d/e/z = z\nd/n/new = n",
        ],
        expect![[r#"
            . dir 711 5:6 77
            d dir 750 1:2 11 user.a=v
            d/e dir 700 0:0 12
            d/e/x = "x" 644 0:0 1000
            d/e/y = "y" 644 0:0 1000
            d/e/z = "z" 644 0:0 1000
            d/n dir 755 0:0 0
            d/n/new = "n" 644 0:0 1000
        "#]],
    );
}

#[test]
fn implied_parent_in_the_middle_counts_nothing() {
    check(
        &["d/ =750 +11\nd/a = a", "d/b = b", "d/ =700 @3:4 +13\nd/c = c"],
        expect![[r#"
        . dir 755 0:0 0
        d dir 700 3:4 13
        d/a = "a" 644 0:0 1000
        d/b = "b" 644 0:0 1000
        d/c = "c" 644 0:0 1000
    "#]],
    );
}

#[test]
fn implied_parent_over_a_hidden_directory_is_a_new_one() {
    check(
        &["d/ =700 @1:1 +5\nd/a = a", ".wh.d\ne = e", "d/b = b"],
        expect![[r#"
        . dir 755 0:0 0
        d dir 755 0:0 0
        d/b = "b" 644 0:0 1000
        e = "e" 644 0:0 1000
    "#]],
    );
}

#[test]
fn file_replaces_a_directory_and_a_directory_a_file() {
    check(
        &["d/\nd/a = a\nf = f\ng = g", "d = file\nf/ =711\nf/x = x", "g/in = implied\nf = again"],
        expect![[r#"
            . dir 755 0:0 0
            d = "file" 644 0:0 1000
            f = "again" 644 0:0 1000
            g dir 755 0:0 0
            g/in = "implied" 644 0:0 1000
        "#]],
    );
}

#[test]
fn directory_over_a_file_over_a_directory_is_empty() {
    check(
        &["d/\nd/old = 1", "d = file", "d/\nd/new = 3"],
        expect![[r#"
        . dir 755 0:0 0
        d dir 755 0:0 1000
        d/new = "3" 644 0:0 1000
    "#]],
    );
}

#[test]
fn directory_replaces_a_symbolic_link_and_the_reverse() {
    check(
        &["usr/lib/\nusr/lib/a = a\nlib -> usr/lib\nl/\nl/x = x", "lib/b = b", "l -> usr"],
        expect![[r#"
            . dir 755 0:0 0
            l -> usr 777 0:0 1000
            lib dir 755 0:0 0
            lib/b = "b" 644 0:0 1000
            usr dir 755 0:0 0
            usr/lib dir 755 0:0 1000
            usr/lib/a = "a" 644 0:0 1000
        "#]],
    );
}

#[test]
fn hard_links_of_a_layer_stay_one_file() {
    check(
        &["a = one\nb => a\nc => a", "b = two", "d/\nd/x = x\nd/y => d/x"],
        expect![[r#"
        . dir 755 0:0 0
        a = "one" 644 0:0 1000
        b = "two" 644 0:0 1000
        c = "one" 644 0:0 1000
        d dir 755 0:0 1000
        d/x = "x" 644 0:0 1000
        d/y = "x" 644 0:0 1000
    "#]],
    );
}

#[test]
fn hard_link_to_a_lower_layer_is_that_file() {
    check(
        &["d/ =700 +9\nd/a =640 @1:2 +5 user.k:=v = low", "e/b => d/a", "d/c => e/b\nlast = l"],
        expect![[r#"
            . dir 755 0:0 0
            d dir 700 0:0 9
            d/a = "low" 640 1:2 5 user.k=v
            d/c = "low" 640 1:2 5 user.k=v
            e dir 755 0:0 0
            e/b = "low" 640 1:2 5 user.k=v
            last = "l" 644 0:0 1000
        "#]],
    );
}

#[test]
fn hard_link_to_what_its_own_layer_hides_is_still_that_file() {
    check(
        &["a = old", "b = b", ".wh.a\nc => a"],
        expect![[r#"
        . dir 755 0:0 0
        b = "b" 644 0:0 1000
        c = "old" 644 0:0 1000
    "#]],
    );
}

#[test]
fn hard_link_through_a_symbolic_link_of_its_own_layer_is_found() {
    check(
        &["usr/\nusr/a = a", "lib -> usr", "way -> usr\nb => way/a\nc => lib/a"],
        expect![[r#"
        . dir 755 0:0 0
        b = "a" 644 0:0 1000
        c = "a" 644 0:0 1000
        lib -> usr 777 0:0 1000
        usr dir 755 0:0 1000
        usr/a = "a" 644 0:0 1000
        way -> usr 777 0:0 1000
    "#]],
    );
}

#[test]
fn hard_link_that_a_later_layer_replaces_is_not_mended() {
    check(
        &["a = a", "d/\nd/b => a\nd/c => a", "d/b = new\nd/.wh.c"],
        expect![[r#"
        . dir 755 0:0 0
        a = "a" 644 0:0 1000
        d dir 755 0:0 1000
        d/b = "new" 644 0:0 1000
    "#]],
    );
}

#[test]
fn hard_links_to_nothing_and_to_directories_are_refused_by_name() {
    check(
        &["a = a", "b => gone/file"],
        expect![[r"
        error: hard link `b` of layer 1 points at `gone/file`, which no layer up to there has
    "]],
    );
    check(
        &["d/\nd/a = a", "x = x", "b => d"],
        expect![[r"
        error: hard link `b` of layer 2 points at the directory `d`
    "]],
    );
    check(
        &["a = a", ".wh.a", "b => a"],
        expect![[r"
        error: hard link `b` of layer 2 points at `a`, which no layer up to there has
    "]],
    );
}

#[test]
fn whiteouts_of_nothing_are_not_seen() {
    check(
        &[
            "a = a\n.wh.b\nnew/\nnew/.wh.c\nnew/x = x",
            "e/\ne/.wh.d\n.wh.z",
            "f/ \nf/.wh..wh..opq\nf/.wh.q",
        ],
        expect![[r#"
            . dir 755 0:0 0
            a = "a" 644 0:0 1000
            e dir 755 0:0 1000
            f dir 755 0:0 1000
            new dir 755 0:0 1000
            new/x = "x" 644 0:0 1000
        "#]],
    );
}

#[test]
fn links_pipes_and_devices_are_kept_and_replaced() {
    check(
        &["p =600 |\nc =640 @0:5 char 1,3\ns @7:8 -> a b", "p = file\nt -> x", ".wh.c\nt |"],
        expect![[r#"
            . dir 755 0:0 0
            p = "file" 644 0:0 1000
            s -> a b 777 7:8 1000
            t fifo 644 0:0 1000
        "#]],
    );
}

#[test]
fn attributes_come_from_the_highest_layer_alone() {
    check(
        &[
            "d/ user.a:=1 user.b:=1\nf user.a:=1 = f",
            "d/ user.b:=2\nf = g",
            "h trusted.overlay.opaque:=y trusted.overlay.redirect:=/f = h\nd/e/ trusted.overlay.opaque:=y",
        ],
        expect![[r#"
            . dir 755 0:0 0
            d dir 755 0:0 1000 user.b=2
            d/e dir 755 0:0 1000 trusted.overlay.opaque=y
            f = "g" 644 0:0 1000
            h = "h" 644 0:0 1000 trusted.overlay.opaque=y trusted.overlay.redirect=/f
        "#]],
    );
}

#[test]
fn empty_layers_change_nothing() {
    check(
        &["./ =711 +3\na = a", "", "d/b = b"],
        expect![[r#"
        . dir 711 0:0 3
        a = "a" 644 0:0 1000
        d dir 755 0:0 0
        d/b = "b" 644 0:0 1000
    "#]],
    );
}

#[test]
fn names_are_any_bytes_that_a_file_system_takes() {
    check(
        &["weird:,\\name/\nweird:,\\name/a = a", "weird:,\\name/.wh.a\n.wh.\u{fc}", "\u{fc} = u"],
        expect![[r#"
            . dir 755 0:0 0
            weird:,\\name dir 755 0:0 1000
            ü = "u" 644 0:0 1000
        "#]],
    );
}

#[test]
fn paths_lead_through_links_and_never_out() {
    let layers = [
        Layer::made("usr/lib/\nusr/lib/a = a\nlib -> usr/lib\nup -> ../../../usr"),
        Layer::made("abs -> /lib\nround -> round\nlast -> abs/a"),
    ];
    let stack = Stack::merge(&[&layers[0].tree, &layers[1].tree]).unwrap();
    let file = stack.tree().lookup(b"usr/lib/a").unwrap();
    for path in ["lib/a", "/abs/a", "up/lib/a", "last", "../lib/./../lib/a", "abs/../../lib/a"] {
        let found = stack.find(path.as_bytes(), LastLink::Followed).unwrap();
        assert_eq!(found, Some(file), "{path}");
    }
    let last = stack.tree().lookup(b"last").unwrap();
    assert_eq!(stack.find(b"/last", LastLink::Found).unwrap(), Some(last));
    assert_eq!(stack.find(b"last/b", LastLink::Followed).unwrap(), None);
    assert_eq!(stack.find(b"gone", LastLink::Followed).unwrap(), None);
    assert!(matches!(stack.find(b"round", LastLink::Followed), Err(StackError::Path(_))));
    let extents: Vec<_> = stack.extents(file).collect();
    assert_eq!(extents.len(), 1);
    assert_eq!((extents[0].layer, extents[0].extent.length), (0, 1));
    assert_eq!(extents[0].extent.tar_offset, 1024);
}

#[test]
fn layers_without_number_are_refused() {
    let layer = Layer::made("");
    let error = Stack::merge(&vec![&layer.tree; 501]).unwrap_err();
    assert_eq!(error.to_string(), "layers: more than 500");
}
