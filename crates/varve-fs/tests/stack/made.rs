//! Layers made to order, and trees shown as text.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{Read as _, Write as _},
};

use varve_fs::{
    layer::{LayerParser, LayerSummary, text_of_path},
    stack::{FileReader, Stack},
    tar::{Device, EntryKind, NewEntry, Time, Writer},
    tree::{Content, Inode, InodeId, Tree},
};

/// A layer: its tree, and its tar in a file that has no name.
pub(crate) struct Layer {
    pub(crate) tree: Tree,
    pub(crate) tar: File,
    pub(crate) summary: LayerSummary,
}

impl Layer {
    /// Parses a tar.
    pub(crate) fn of(tar: &[u8]) -> Self {
        let mut parser = LayerParser::new();
        parser.update(tar).unwrap();
        let (summary, tree) = parser.finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(tar).unwrap();
        Self { tree, tar: file, summary }
    }

    /// Makes a layer of lines, an entry each: a path (a directory's ends with a slash), then if
    /// they matter mode, owner and time (`=750`, `@1:2`, `+seconds`) and attributes
    /// (`name:=value`), and then what it is: `= text`, `-> link`, `=> hard link`, `|` for a pipe,
    /// `char 1,3`. Whiteouts go by their names.
    pub(crate) fn made(lines: &str) -> Self {
        Self::of(&tar(lines))
    }
}

pub(crate) fn tar(lines: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        append(&mut writer, line);
    }
    writer.finish().unwrap()
}

fn append(writer: &mut Writer<Vec<u8>>, line: &str) {
    let (path, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut entry = NewEntry::file(path.as_bytes(), 0);
    if path.ends_with('/') {
        entry = NewEntry::directory(path.as_bytes());
    }
    let mut xattrs = Vec::new();
    let mut data = "";
    entry.mtime = Time { seconds: 1000, nanoseconds: 0 };
    while !rest.is_empty() {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut end = |kind, size| (entry.kind, entry.size, rest) = (kind, size, "");
        match word {
            "=" => {
                data = behind;
                end(EntryKind::File, behind.len() as u64);
            }
            "->" | "=>" => {
                let is_symlink = word == "->";
                end(if is_symlink { EntryKind::Symlink } else { EntryKind::HardLink }, 0);
                entry.link_target = behind.as_bytes();
                entry.mode = if is_symlink { 0o777 } else { entry.mode };
            }
            "|" => end(EntryKind::Fifo, 0),
            "char" => {
                end(EntryKind::CharacterDevice, 0);
                let (major, minor) = behind.split_once(',').unwrap();
                entry.device =
                    Device { major: major.parse().unwrap(), minor: minor.parse().unwrap() };
            }
            word => {
                rest = behind;
                if let Some((name, value)) = word.split_once(":=") {
                    xattrs.push((name.into(), value.into()));
                } else if let Some(mode) = word.strip_prefix('=') {
                    entry.mode = u32::from_str_radix(mode, 8).unwrap();
                } else if let Some(owner) = word.strip_prefix('@') {
                    let (uid, gid) = owner.split_once(':').unwrap();
                    (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
                } else if let Some(seconds) = word.strip_prefix('+') {
                    entry.mtime.seconds = seconds.parse().unwrap();
                } else {
                    panic!("`{word}` in `{line}` means nothing");
                }
            }
        }
    }
    let entry = NewEntry { xattrs: &xattrs, ..entry };
    writer.append_bytes(&entry, data.as_bytes()).unwrap();
}

/// Of each path, everything about it, as text; the root is `.`.
pub(crate) type Facts = BTreeMap<String, String>;

/// What a merged tree is.
pub(crate) fn facts_of_stack(stack: &Stack, tars: &[&File]) -> Facts {
    facts(stack.tree(), &|id| tars[stack.layer(id)])
}

/// What a layer is.
pub(crate) fn facts_of_layer(layer: &Layer) -> Facts {
    facts(&layer.tree, &|_| &layer.tar)
}

fn facts<'a>(tree: &Tree, tar_of: &dyn Fn(InodeId) -> &'a File) -> Facts {
    let mut facts = Facts::new();
    facts.insert(".".into(), fact(tree.inode(Tree::ROOT), tar_of(Tree::ROOT)));
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        facts.insert(text_of_path(path), fact(tree.inode(id), tar_of(id)));
    }
    facts
}

fn fact(inode: &Inode, tar: &File) -> String {
    let mut fact = match &inode.content {
        Content::File(bytes) => {
            let mut content = Vec::new();
            FileReader::new(bytes, tar).read_to_end(&mut content).unwrap();
            match std::str::from_utf8(&content) {
                Ok(text) if text.len() < 40 && !text.contains('\0') => format!("= {text:?}"),
                _ => format!("= {} {}", content.len(), varve_types::Digest::of(&content).short()),
            }
        }
        Content::Directory(directory) => {
            let marks = ["", " opaque"][usize::from(directory.is_opaque)];
            format!("dir{marks}")
        }
        Content::Symlink(target) => format!("-> {}", text_of_path(target)),
        Content::CharacterDevice(device) => format!("char {},{}", device.major, device.minor),
        Content::BlockDevice(device) => format!("block {},{}", device.major, device.minor),
        Content::Fifo => "fifo".into(),
        Content::Whiteout => return "whiteout".into(),
        Content::ForeignHardLink(target) => format!("=> {}", text_of_path(target)),
    };
    let Inode { mode, uid, gid, mtime, .. } = inode;
    write!(fact, " {mode:o} {uid}:{gid} {}", mtime.seconds).unwrap();
    if mtime.nanoseconds > 0 {
        write!(fact, ".{:09}", mtime.nanoseconds).unwrap();
    }
    for (name, value) in &inode.xattrs {
        write!(fact, " {}={}", text_of_path(name), text_of_path(value)).unwrap();
    }
    fact
}

pub(crate) fn show(facts: &Facts) -> String {
    facts.iter().fold(String::new(), |text, (path, fact)| text + path + " " + fact + "\n")
}
