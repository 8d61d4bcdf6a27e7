//! Chains of layers, put one upon the other by the kernel.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::XattrFlags;
use varve_fs::{
    layer::text_of_path,
    stack::Stack,
    tree::{Content, Tree},
    upper::write_layer,
};

use crate::{
    kernel,
    made::{self, Layer},
    store::{Bench, Laid, with_each},
};

/// Each is a chain of which no layer alone says what is to be seen.
const CHAINS: &[(&str, &[&str])] = &[
    (
        "whiteouts",
        &["a = one\nd/\nd/x = x\nkept = k", ".wh.a\n.wh.d\nb = two", "c = three\nd/\nd/y = y"],
    ),
    (
        "opaque directories",
        &[
            "d/ =700\nd/a = a\nd/s/\nd/s/x = x",
            "d/ =711\nd/.wh..wh..opq\nd/b = b\nd/s = s",
            "d/ =755\nd/c = c\ne/.wh..wh..opq\ne/new = e",
        ],
    ),
    ("opaque root", &["a = a\nd/\nd/x = x", "b = b", "./ =711\n.wh..wh..opq\nc = c"]),
    (
        "implied parents",
        &[
            "./ =711 @5:6 +77\nd/ =750 @1:2 +11 user.a:=v\nd/e/ =700 +12\nd/e/x = x",
            "d/e/y = y",
            "d/e/z = z\nd/n/new = n",
        ],
    ),
    (
        "hard links to other layers",
        &[
            "d/ =700 +9\nd/a =640 @1:2 +5 user.k:=v = low\nd/a2 => d/a\nz = z",
            "e/b => d/a\ny => z",
            "d/c => e/b\nlast = l\nx => last",
        ],
    ),
    (
        "hard links whose targets are replaced",
        &["a = old\nb = b\nt = t", ".wh.a\nc => a\nc2 => a\nu => t", "t = new\nb = new"],
    ),
    (
        "replaced types",
        &[
            "d/\nd/a = a\nf = f\ng = g\nl -> d\np |",
            "d = file\nf/ =711\nf/x = x\nl/\nl/in = i\np = file",
            "g/in = implied\nf = again\nd/\nd/new = n",
        ],
    ),
    ("layers without entries", &["./ =711 +3\na = a", "", "d/b = b"]),
    ("one layer", &["a = a\nd/\nd/x = x\nd/y => a"]),
    (
        "attributes named for overlayfs",
        &[
            "d/\nd/f = f",
            "h trusted.overlay.redirect:=/d = h\nd/e/ trusted.overlay.opaque:=y",
            "d/ trusted.overlay.opaque:=y trusted.overlay.whiteout:=y\nd/g = g",
        ],
    ),
    (
        "names that mean something in options",
        &["weird:,\\name/\nweird:,\\name/a = a", "weird:,\\name/.wh.a\n.wh.\u{fc}", "\u{fc} = u"],
    ),
];

struct Chain {
    layers: Vec<Layer>,
    stack: Stack,
    laid: Vec<Laid>,
}

impl Chain {
    fn of(layers: Vec<Layer>, bench: &Bench) -> Self {
        let trees: Vec<&Tree> = layers.iter().map(|layer| &layer.tree).collect();
        let stack = Stack::merge(&trees).unwrap();
        let mut laid = Vec::new();
        for (number, layer) in layers.iter().enumerate().skip(stack.bottom()) {
            // The root of one without entries would hide the others'.
            if layer.tree.children(Tree::ROOT).next().is_some() {
                laid.push(bench.lay(&format!("layer{number}"), layer));
            }
        }
        if let Some(mend) = stack.mend() {
            let tars: Vec<File> =
                layers.iter().map(|layer| layer.tar.try_clone().unwrap()).collect();
            laid.push(bench.lay_mend(&mend, &tars));
        }
        Self { layers, stack, laid }
    }

    fn made(lines: &[&str], bench: &Bench) -> Self {
        Self::of(lines.iter().map(|lines| Layer::made(lines)).collect(), bench)
    }

    fn facts(&self) -> made::Facts {
        let tars: Vec<&File> = self.layers.iter().map(|layer| &layer.tar).collect();
        made::facts_of_stack(&self.stack, &tars)
    }

    fn take_away(self, bench: &Bench) {
        for laid in &self.laid {
            bench.take_away(laid);
        }
    }
}

#[test]
fn three_layers_are_seen_as_their_stack_says() {
    with_each("chain::three_layers_are_seen_as_their_stack_says", |bench| {
        for (name, lines) in CHAINS {
            for is_writable in [false, true] {
                let chain = Chain::made(lines, bench);
                let merged = bench.merge(&chain.laid.iter().collect::<Vec<_>>(), is_writable);
                let mut seen = kernel::facts_of_directory(&merged.place);
                let mut expected = chain.facts();
                if is_writable {
                    // The root is the upper's own.
                    assert!(seen.remove(".").is_some() && expected.remove(".").is_some());
                }
                let (seen, expected) = (made::show(&seen), made::show(&expected));
                assert_eq!(seen, expected, "{name}, {}", bench.name());
                let links = links_of_disk(&merged.place);
                assert_eq!(links, links_of_tree(chain.stack.tree()), "{name}, {}", bench.name());
                drop(merged);
                chain.take_away(bench);
                let _ = fs::remove_dir_all(bench.store.path.join("upper"));
                let _ = fs::remove_dir_all(bench.store.elsewhere.join("upper"));
            }
        }
    });
}

/// The names of each file that has several.
fn links_of_tree(tree: &Tree) -> Vec<Vec<String>> {
    let mut files = BTreeMap::<_, Vec<String>>::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let inode = tree.inode(id);
        if inode.links > 1 && !matches!(inode.content, Content::Directory(_)) {
            files.entry(id).or_default().push(text_of_path(path));
        }
    }
    let mut links: Vec<_> = files.into_values().collect();
    for names in &mut links {
        names.sort();
    }
    links.sort();
    links
}

/// The same as the kernel tells; a file's count of names must be the number of those.
fn links_of_disk(root: &Path) -> Vec<Vec<String>> {
    let mut files = BTreeMap::<_, Vec<String>>::new();
    let mut counts = BTreeMap::new();
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        let meta = root.join(&path).symlink_metadata().unwrap();
        if meta.is_dir() {
            let entries = fs::read_dir(root.join(&path)).unwrap();
            paths.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        } else if meta.nlink() > 1 {
            let id = (meta.dev(), meta.ino());
            let name = text_of_path(path.as_os_str().as_encoded_bytes());
            files.entry(id).or_default().push(name);
            counts.insert(id, meta.nlink());
        }
    }
    for (id, names) in &files {
        assert_eq!(names.len() as u64, counts[id], "{names:?}");
    }
    let mut links: Vec<_> = files.into_values().collect();
    for names in &mut links {
        names.sort();
    }
    links.sort();
    links
}

#[test]
fn device_of_number_nothing_hides_as_a_whiteout_does() {
    with_each("chain::device_of_number_nothing_hides_as_a_whiteout_does", |bench| {
        // Where whiteouts are files, it could be made on no overlayfs.
        if bench.backend.marks() == varve_fs::mount::Marks::UserAttributes {
            return;
        }
        let chain = Chain::made(&["a = a\nb = b", "a char 0,0\nc = c"], bench);
        let merged = bench.merge(&chain.laid.iter().collect::<Vec<_>>(), false);
        assert!(!merged.place.join("a").exists(), "{}", bench.name());
        assert!(merged.place.join("b").exists() && merged.place.join("c").exists());
        drop(merged);
        chain.take_away(bench);
    });
}

/// What is written above the layers is a layer again, and the stack with it shows the same.
#[test]
fn upper_is_read_back_as_the_layer_that_it_is() {
    with_each("chain::upper_is_read_back_as_the_layer_that_it_is", |bench| {
        let lower = "a = a\nd/ +1\nd/x = x\nd/y =640 @1:2 user.k:=v = y\nf = f\ngone/\ngone/z = z";
        let chain = Chain::made(&[lower, "d/w => d/y\ne/\ne/in = e"], bench);
        let merged = bench.merge(&chain.laid.iter().collect::<Vec<_>>(), true);
        let at = |path: &str| merged.place.join(path);
        fs::remove_file(at("a")).unwrap();
        fs::remove_dir_all(at("gone")).unwrap();
        fs::create_dir(at("gone")).unwrap();
        fs::write(at("gone/new"), "new").unwrap();
        fs::write(at("f"), "longer than before").unwrap();
        fs::hard_link(at("f"), at("f2")).unwrap();
        fs::set_permissions(at("d/x"), fs::Permissions::from_mode(0o4711)).unwrap();
        symlink("d/x", at("link")).unwrap();
        fs::rename(at("e/in"), at("out")).unwrap();
        rustix::fs::setxattr(at("d/y"), "user.new", b"\n\0", XattrFlags::empty()).unwrap();
        let seen = kernel::facts_of_directory(&merged.place);
        let upper = merged.upper.clone().unwrap();
        drop(merged);
        let directory = File::open(&upper).unwrap();
        let marks = bench.backend.marks();
        let (tar, sockets) = write_layer(directory.as_fd(), marks, Vec::new()).unwrap();
        assert_eq!(sockets, 0);
        let Chain { mut layers, laid, .. } = chain;
        layers.push(Layer::of(&tar));
        for laid in &laid {
            bench.take_away(laid);
        }
        let chain = Chain::of(layers, bench);
        let (read_back, seen) = (whole_seconds(chain.facts()), whole_seconds(seen));
        assert_eq!(made::show(&read_back), made::show(&seen), "{}", bench.name());
        // And it is what it says when it is a lower itself.
        let merged = bench.merge(&chain.laid.iter().collect::<Vec<_>>(), false);
        let seen = kernel::facts_of_directory(&merged.place);
        assert_eq!(made::show(&whole_seconds(seen)), made::show(&read_back), "{}", bench.name());
        drop(merged);
        chain.take_away(bench);
    });
}

/// A layer that is made here has whole seconds, and nothing to say of the root.
fn whole_seconds(mut facts: made::Facts) -> made::Facts {
    facts.remove(".");
    for fact in facts.values_mut() {
        if let Some(dot) = fact.rfind('.')
            && fact[dot + 1..].len() >= 9
            && fact.as_bytes()[dot + 1..dot + 10].iter().all(u8::is_ascii_digit)
        {
            fact.replace_range(dot..dot + 10, "");
        }
    }
    facts
}
