//! What is different between two trees.

use std::{convert::Infallible, io::Read as _};

use expect_test::{Expect, expect};
use varve_fs::{
    diff::{ChangeKind, diff},
    layer::text_of_path,
    stack::FileReader,
    tree::{Content, InodeId},
};

use crate::made::Layer;

fn content(layer: &Layer, id: InodeId) -> Vec<u8> {
    let Content::File(bytes) = &layer.tree.inode(id).content else { panic!("no file") };
    let mut content = Vec::new();
    FileReader::new(bytes, &layer.tar).read_to_end(&mut content).unwrap();
    content
}

#[track_caller]
fn check(old: &str, new: &str, expected: Expect) {
    let (old, new) = (Layer::made(old), Layer::made(new));
    let is_same = |a, b| Ok::<_, Infallible>(content(&old, a) == content(&new, b));
    let changes = diff(&old.tree, &new.tree, is_same).unwrap();
    let mut shown = String::new();
    for change in changes {
        let kind = match change.kind() {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        let size = |side: Option<varve_fs::diff::Side>| {
            side.map_or("-".into(), |side| side.size_bytes.to_string())
        };
        let (path, sizes) = (text_of_path(&change.path), (size(change.old), size(change.new)));
        shown += &format!("{kind} /{path} {} {} {:?}\n", sizes.0, sizes.1, change.aspects);
    }
    expected.assert_eq(&shown);
}

#[test]
fn trees_that_are_the_same_have_no_differences() {
    let tree = "d/ user.a:=b\nd/a = a\nl -> a\np |\nc char 1,2";
    check(tree, tree, expect![[""]]);
    // Where in the tar a file lies, and when a directory changed, is nothing of theirs.
    check("d/ +1\nd/a = a\nb = b", "b = b\nd/ +2\nd/a = a", expect![[""]]);
}

#[test]
fn added_and_deleted_directories_are_listed_with_all_in_them() {
    check(
        "gone/\ngone/a = four\ngone/b/\ngone/b/c = c\nkept = k",
        "kept = k\nnew/x/y = yy\nnew.b = n\nnew/z -> x",
        expect![[r"
            D /gone 0 - []
            D /gone/a 4 - []
            D /gone/b 0 - []
            D /gone/b/c 1 - []
            A /new - 0 []
            A /new/x - 0 []
            A /new/x/y - 2 []
            A /new/z - 0 []
            A /new.b - 1 []
        "]],
    );
}

#[test]
fn every_aspect_is_named() {
    check(
        "a = one\nb = one\nc = one\nd =600 = d\ne @1:2 = e\nf user.a:=b = f\ng +5 = g\nl -> x\nm char 1,2\nn =700 @1:1 +3 = nn",
        "a = two\nb = longer\nc/\nc/in = i\nd =644 = d\ne @1:3 = e\nf user.a:=c = f\ng +6 = g\nl -> y\nm char 1,3\nn = n",
        expect![[r"
            C /a 3 3 [Content]
            C /b 3 6 [Content]
            C /c 3 0 [Type, Mode]
            A /c/in - 1 []
            C /d 1 1 [Mode]
            C /e 1 1 [Owner]
            C /f 1 1 [Xattrs]
            C /g 1 1 [Time]
            C /l 0 0 [Content]
            C /m 0 0 [Content]
            C /n 2 1 [Content, Mode, Owner, Time]
        "]],
    );
}

#[test]
fn directory_that_becomes_a_file_loses_what_it_held() {
    check(
        "d/\nd/a = aa\nd/b/\nd/b/c = c",
        "d = file\ne = e",
        expect![[r"
        C /d 0 4 [Type, Mode]
        D /d/a 2 - []
        D /d/b 0 - []
        D /d/b/c 1 - []
        A /e - 1 []
    "]],
    );
    check(
        "./ =700\na = a",
        "./ =755\na = a",
        expect![[r"
        C / 0 0 [Mode]
    "]],
    );
}
