//! Small layers made of any bytes. There are few names, so that layers meet.

use std::{fs::File, io::Write as _};

use varve_fs::{
    layer::LayerParser,
    tar::{Device, EntryKind, NewEntry, Time, Writer, Xattr},
    tree::Tree,
};

const LAYERS_MAX: usize = 5;
const NAMES: [&[u8]; 4] = [b"a", b"b", b"a-b", b"dir"];

/// A layer that the parser takes.
pub(crate) struct Layer {
    pub(crate) tree: Tree,
    pub(crate) tar: Vec<u8>,
}

impl Layer {
    pub(crate) fn file(&self) -> File {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create("layer", flags).expect("memory"));
        file.write_all(&self.tar).expect("memory");
        file
    }
}

/// At least one. Those that the parser refuses are left out.
pub(crate) fn made_of(data: &[u8]) -> Vec<Layer> {
    let mut bytes = Bytes(data);
    let mut layers = Vec::new();
    while layers.is_empty() || !bytes.0.is_empty() && layers.len() < LAYERS_MAX {
        let mut writer = Writer::new(Vec::new());
        while append(&mut writer, &mut bytes) {}
        let tar = writer.finish().expect("memory");
        let mut parser = LayerParser::new();
        if parser.update(&tar).is_ok()
            && let Ok((_, tree)) = parser.finish()
        {
            layers.push(Layer { tree, tar });
        } else if bytes.0.is_empty() {
            layers.push(made_of(&[]).remove(0));
        }
    }
    layers
}

/// Appends what the next bytes say; `false` where the layer ends.
fn append(writer: &mut Writer<Vec<u8>>, bytes: &mut Bytes) -> bool {
    let Some(what) = bytes.next() else { return false };
    let path = path(bytes.number());
    let looks = bytes.number();
    let xattrs: Vec<Xattr> = match looks >> 6 {
        0 | 1 => Vec::new(),
        2 => vec![(b"user.one".to_vec(), vec![looks])],
        _ => vec![(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())],
    };
    let mut entry = NewEntry {
        mode: if looks & 1 == 0 { 0o644 } else { 0o4711 },
        uid: u32::from(looks >> 1 & 1),
        gid: u32::from(looks >> 2 & 1),
        mtime: Time { seconds: i64::from(looks >> 3 & 3), nanoseconds: u32::from(looks >> 5 & 1) },
        xattrs: &xattrs,
        ..NewEntry::file(&path, 0)
    };
    let (target, marker);
    let mut content: &[u8] = b"";
    match what % 12 {
        0 => return false,
        1 | 2 => {
            content = &b"the same bytes for all, but not as many"[..usize::from(what >> 4)];
            entry.size = content.len() as u64;
        }
        3..=5 => entry.kind = EntryKind::Directory,
        6 | 7 => {
            let kind = if what % 12 == 6 { EntryKind::Symlink } else { EntryKind::HardLink };
            target = self::path(bytes.number());
            (entry.kind, entry.link_target) = (kind, &target);
        }
        8 => {
            entry.kind = [EntryKind::CharacterDevice, EntryKind::BlockDevice, EntryKind::Fifo]
                [usize::from(what >> 4) % 3];
            if entry.kind != EntryKind::Fifo {
                entry.device = Device { major: u32::from(what >> 6), minor: u32::from(looks & 1) };
            }
        }
        9 | 10 => {
            let name = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
            marker = [&path[..name], b".wh.", &path[name..]].concat();
            entry.path = &marker;
        }
        _ => {
            marker = [&path, &b"/.wh..wh..opq"[..]].concat();
            entry.path = &marker;
        }
    }
    writer.append_bytes(&entry, content).is_ok()
}

/// Up to three names; of the root, none.
fn path(number: u8) -> Vec<u8> {
    let name = |shift: u8| NAMES[usize::from(number >> shift & 3)];
    match number >> 6 {
        0 if number & 0x3f == 0x3f => b".".to_vec(),
        0 | 1 => name(0).to_vec(),
        2 => [name(0), b"/", name(2)].concat(),
        _ => [name(0), b"/", name(2), b"/", name(4)].concat(),
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Zero behind the end.
    fn number(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }
}
