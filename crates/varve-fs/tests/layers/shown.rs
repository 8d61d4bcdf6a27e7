//! Parsing, shown as text: one line for each entry, or the error.

use std::fmt::Write as _;

use varve_fs::{
    layer::{LayerError, LayerParser, text_of_path},
    tar::{Entry, EntryKind, Event, Parser},
    tree::{Content, Tree},
};

/// Parses a tar in pieces whose sizes `next_size` tells.
pub(crate) fn parse(tar: &[u8], mut next_size: impl FnMut() -> usize) -> String {
    let mut shown = String::new();
    if let Err(error) = parse_into(tar, &mut next_size, &mut shown) {
        writeln!(shown, "{}", show_error(&error)).unwrap();
    }
    shown
}

fn parse_into(
    tar: &[u8],
    next_size: &mut dyn FnMut() -> usize,
    shown: &mut String,
) -> Result<(), LayerError> {
    let mut parser = Parser::new();
    let mut rest = tar;
    let mut data = 0;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(next_size().clamp(1, rest.len()));
        rest = behind;
        while let Some(event) = parser.next(&mut piece)? {
            show_event(&event, &mut data, shown);
        }
    }
    if let Some(event) = parser.finish()? {
        show_event(&event, &mut data, shown);
    }
    Ok(())
}

fn show_event(event: &Event, data: &mut u64, shown: &mut String) {
    match event {
        Event::Entry(entry) => show_entry(entry, shown),
        // Only how many: where the pieces end must not be seen.
        Event::Data(bytes) => *data += bytes.len() as u64,
        Event::End { padding_is_zero } => {
            if *data > 0 {
                write!(shown, " data {data}").unwrap();
            }
            shown.push_str(if *padding_is_zero { "\n" } else { " unclean\n" });
            *data = 0;
        }
    }
}

fn show_entry(entry: &Entry, shown: &mut String) {
    let kind = match entry.kind {
        EntryKind::File => "file",
        EntryKind::HardLink => "hard",
        EntryKind::Symlink => "symlink",
        EntryKind::CharacterDevice => "char",
        EntryKind::BlockDevice => "block",
        EntryKind::Directory => "dir",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
    };
    let Entry { mode, uid, gid, mtime, size, data_offset, .. } = entry;
    write!(shown, "{kind} `{}` {mode:o} {uid}:{gid}", text_of_path(&entry.path)).unwrap();
    write!(shown, " {}", mtime.seconds).unwrap();
    if mtime.nanoseconds > 0 {
        write!(shown, "+{:09}", mtime.nanoseconds).unwrap();
    }
    if !entry.link_target.is_empty() {
        write!(shown, " -> `{}`", text_of_path(&entry.link_target)).unwrap();
    }
    if matches!(entry.kind, EntryKind::CharacterDevice | EntryKind::BlockDevice) {
        write!(shown, " {},{}", entry.device.major, entry.device.minor).unwrap();
    }
    if entry.kind == EntryKind::File {
        write!(shown, " {size}@{data_offset}").unwrap();
    }
    for region in entry.sparse.iter().flatten() {
        write!(shown, " [{}+{}]", region.offset, region.length).unwrap();
    }
    for (name, value) in &entry.xattrs {
        write!(shown, " {}={}", text_of_path(name), text_of_path(value)).unwrap();
    }
}

pub(crate) fn show_error(error: &LayerError) -> String {
    match error {
        LayerError::InvalidHeader { offset, fault } => format!("error: {error}: {fault} @{offset}"),
        error => format!("error: {error}"),
    }
}

/// Parses a layer at once and shows its tree and what its summary says.
pub(crate) fn layer(tar: &[u8]) -> String {
    let mut parser = LayerParser::new();
    let parsed = parser.update(tar).and_then(|()| parser.finish());
    let (summary, tree) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return show_error(&error) + "\n",
    };
    let mut shown = String::new();
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        let what = match &tree.inode(id).content {
            Content::File(data) => format!("file {}@{}", data.size, data.data_offset),
            Content::Directory(directory) => format!(
                "dir{}{}",
                if directory.is_opaque { " opaque" } else { "" },
                if directory.is_implied { " implied" } else { "" }
            ),
            Content::Symlink(target) => format!("-> {}", text_of_path(target)),
            Content::CharacterDevice(device) => format!("char {},{}", device.major, device.minor),
            Content::BlockDevice(device) => format!("block {},{}", device.major, device.minor),
            Content::Fifo => "fifo".into(),
            Content::Whiteout => "whiteout".into(),
            Content::ForeignHardLink(target) => format!("link to {}", text_of_path(target)),
        };
        let inode = tree.inode(id);
        write!(shown, "{} {what}", text_of_path(path)).unwrap();
        if inode.links > 1 {
            write!(shown, " links {}", inode.links).unwrap();
        }
        shown.push('\n');
    }
    let Content::Directory(root) = &tree.inode(Tree::ROOT).content else { unreachable!() };
    if root.is_opaque {
        shown.push_str("root opaque\n");
    }
    writeln!(shown, "{} entries, {} bytes", summary.entries, summary.content_size_bytes).unwrap();
    for warning in &summary.warnings {
        writeln!(shown, "warning: {warning}").unwrap();
    }
    shown
}
