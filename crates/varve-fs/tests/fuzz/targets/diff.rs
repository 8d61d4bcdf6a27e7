//! Any bytes as a stack of small layers: what is different between two of them, and what the stack
//! looks like from above, compared with plain models; and what is made of a stack.

mod layers;

use std::{convert::Infallible, fs::File};

use varve_fs::{
    diff::{Aspect, Change, ChangeKind, diff},
    erofs::{Index, ReadAt, write_whole},
    layer::LayerParser,
    stack::Stack,
    tree::{Content, InodeId, Tree},
};
use varve_types::Digest;

use super::facts::{self, Fact, Facts, What};
use layers::Layer;

/// The target.
pub(crate) fn run(data: &[u8]) {
    let layers = layers::made_of(data);
    for pair in layers.windows(2) {
        let [old, new] = pair else { unreachable!("windows of two") };
        let (in_old, in_new) =
            (|id| content(&old.tree, id, &old.tar), |id| content(&new.tree, id, &new.tar));
        check_diff((&old.tree, &in_old), (&new.tree, &in_new));
    }
    let trees: Vec<&Tree> = layers.iter().map(|layer| &layer.tree).collect();
    let Ok(stack) = Stack::merge(&trees) else { return };
    check_merge(&stack, &layers);
    check_export(&stack, &layers);
    check_mend(&stack, &layers);
    if let Ok(lower) = Stack::merge(&trees[..trees.len() - 1]) {
        let in_old = |id| in_stack(&lower, id, &layers);
        let in_new = |id| in_stack(&stack, id, &layers);
        check_diff((lower.tree(), &in_old), (stack.tree(), &in_new));
    }
}

fn in_stack(stack: &Stack, id: InodeId, layers: &[Layer]) -> Vec<u8> {
    for found in stack.extents(id) {
        assert_eq!(found.layer, stack.layer(id));
    }
    content(stack.tree(), id, &layers[stack.layer(id)].tar)
}

fn content(tree: &Tree, id: InodeId, tar: &[u8]) -> Vec<u8> {
    let Content::File(file) = &tree.inode(id).content else { panic!("no file") };
    let start = file.data_offset as usize;
    tar[start..start + file.size as usize].to_vec()
}

type ContentOf<'a> = &'a dyn Fn(InodeId) -> Vec<u8>;

/// The facts of a tree, with the bytes of its files.
fn shown(tree: &Tree, content_of: ContentOf) -> Facts {
    let mut facts = facts::of_tree(tree);
    for (path, fact) in &mut facts {
        if matches!(fact.what, What::File(_)) {
            let id = tree.lookup(path).expect("it was just there");
            fact.what = What::Content(content_of(id));
        }
    }
    facts
}

/// The changes, made to the old tree, give the new one, and each is one.
fn check_diff(old: (&Tree, ContentOf), new: (&Tree, ContentOf)) {
    let is_same = |a, b| Ok::<_, Infallible>((old.1)(a) == (new.1)(b));
    let Ok(changes) = diff(old.0, new.0, is_same);
    let (mut facts, mut expected) = (shown(old.0, old.1), shown(new.0, new.1));
    for facts in [&mut facts, &mut expected] {
        facts.values_mut().for_each(forget_implied);
    }
    let mut before: Option<&Change> = None;
    for change in &changes {
        let parts = |change: &Change| -> Vec<Vec<u8>> {
            change.path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect()
        };
        assert!(
            before.is_none_or(|before| before.path.is_empty() || parts(before) < parts(change))
        );
        before = Some(change);
        let (was, is) = (facts.get(&change.path), expected.get(&change.path));
        assert_eq!((was.is_some(), is.is_some()), (change.old.is_some(), change.new.is_some()));
        assert_eq!(change.aspects.is_empty(), change.kind() != ChangeKind::Changed);
        if let (Some(was), Some(is)) = (was, is) {
            assert_ne!(was, is);
            assert_eq!(change.aspects.contains(&Aspect::Mode), was.mode != is.mode);
            assert_eq!(change.aspects.contains(&Aspect::Owner), was.owner != is.owner);
            assert_eq!(change.aspects.contains(&Aspect::Xattrs), was.xattrs != is.xattrs);
        }
        match is.cloned() {
            Some(is) => drop(facts.insert(change.path.clone(), is)),
            None => drop(facts.remove(&change.path)),
        }
    }
    // When a directory last changed says nothing of its own.
    for facts in [&mut facts, &mut expected] {
        for fact in facts.values_mut() {
            if matches!(fact.what, What::Directory { .. }) {
                fact.mtime = varve_fs::tar::Time::default();
            }
        }
    }
    assert_eq!(facts, expected);
}

fn forget_implied(fact: &mut Fact) {
    if let What::Directory { is_implied, .. } = &mut fact.what {
        *is_implied = false;
    }
}

/// The merged tree is what laying the paths of the layers over one another gives.
fn check_merge(stack: &Stack, layers: &[Layer]) {
    let merged = shown(stack.tree(), &|id| in_stack(stack, id, layers));
    for (path, fact) in &merged {
        let is_wrong = matches!(
            fact.what,
            What::Whiteout | What::ForeignHardLink(_) | What::Directory { is_opaque: true, .. }
        );
        assert!(!is_wrong, "{path:?}: {fact:?}");
    }
    facts::names(stack.tree());
    let mut model = Facts::new();
    for layer in layers {
        let facts = shown(&layer.tree, &|id| content(&layer.tree, id, &layer.tar));
        // What they lead to depends on symbolic links below; the tests of the merge have that.
        if facts.values().any(|fact| matches!(fact.what, What::ForeignHardLink(_))) {
            return;
        }
        lay_over(&mut model, facts);
    }
    assert_eq!(merged, model);
}

fn lay_over(model: &mut Facts, layer: Facts) {
    let remove_below = |model: &mut Facts, path: &[u8]| {
        let start = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        model.retain(|other, _| other == path || !other.starts_with(&start));
    };
    // A directory comes before what is in it.
    for (path, mut fact) in layer {
        let known = model.get(&path).map(|known| known.what.clone());
        let What::Directory { is_opaque, is_implied } = fact.what else {
            remove_below(model, &path);
            model.remove(&path);
            if fact.what != What::Whiteout {
                model.insert(path, fact);
            }
            continue;
        };
        let is_there = matches!(known, Some(What::Directory { .. }));
        if is_opaque || !is_there {
            remove_below(model, &path);
        }
        fact.what = What::Directory { is_opaque: false, is_implied };
        if !is_there || !is_implied || is_opaque {
            model.insert(path, fact);
        }
    }
}

/// The merged tree as one tar is the same tree.
fn check_export(stack: &Stack, layers: &[Layer]) {
    let tars: Vec<File> = layers.iter().map(Layer::file).collect();
    let tar = stack.write_tar(&tars, Vec::new()).expect("a merged tree can be written");
    let mut parser = LayerParser::new();
    parser.update(&tar).expect("what was written can be read");
    let (_, tree) = parser.finish().expect("what was written can be read");
    let mut facts = shown(stack.tree(), &|id| in_stack(stack, id, layers));
    let mut again = shown(&tree, &|id| content(&tree, id, &tar));
    for facts in [&mut facts, &mut again] {
        facts.values_mut().for_each(forget_implied);
    }
    assert_eq!(facts, again);
    assert_eq!(facts::names(stack.tree()), facts::names(&tree));
}

/// What mends a stack changes nothing of what it looks like, and can be mounted.
fn check_mend(stack: &Stack, layers: &[Layer]) {
    let Some(mend) = stack.mend() else { return };
    let tar_of = |id| &layers[mend.layer(id)].tar as &dyn ReadAt;
    let mut bytes = Vec::new();
    write_whole(mend.tree(), Digest::of(b"mend"), &tar_of, &mut bytes).expect("it can be written");
    Index::open(&bytes[..]).expect("it can be opened");
    let mut trees: Vec<&Tree> = layers.iter().map(|layer| &layer.tree).collect();
    trees.push(mend.tree());
    let mended = Stack::merge(&trees).expect("it lies on top");
    let plain = |tree| {
        let mut facts = shown(tree, &|_| Vec::new());
        facts.values_mut().for_each(forget_implied);
        facts
    };
    assert_eq!(plain(mended.tree()), plain(stack.tree()));
}
