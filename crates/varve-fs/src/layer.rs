//! One layer's tar going by: hashed, parsed strictly, collected into a tree and a summary.

mod error;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use varve_types::{DiffId, Hasher, limits};

use crate::{
    tar::{Device, Entry, EntryKind, Event, Parser, lossy},
    tree::{Applied, Builder, Content, InodeId, Tree},
};

pub use error::{HeaderFault, LayerError};

const BLOCK_SIZE_BYTES: u64 = 512;
/// Of a path, in errors.
const SHOWN_SIZE_BYTES: usize = 256;

/// What is known of a layer once its tar has gone by. Written into the store's layer record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSummary {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar, padding and anything after the end marker included.
    pub tar_size_bytes: u64,
    /// Docker's SIZE: bytes of regular files and symlink targets, each file counted once.
    pub content_size_bytes: u64,
    /// Paths of the tree: implied directories and whiteouts are counted, the root is not.
    pub entries: u64,
    /// Directories that entries lie in without the tar naming them, as [`text_of_path`]. The root
    /// is the empty text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied_directories: Vec<String>,
    /// Hard links to paths that this layer does not hold, `(path, target)`, as [`text_of_path`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_hard_links: Vec<(String, String)>,
    /// Things that are legal but will not do what their maker meant, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Takes a layer's uncompressed bytes in order, in pieces of any size, and hashes them.
#[derive(Debug)]
pub struct LayerParser {
    hasher: Hasher,
    parser: TreeParser,
}

/// The same for bytes that are hashed by somebody else.
#[derive(Debug)]
pub struct TreeParser {
    size_bytes: u64,
    parser: Parser,
    builder: Builder,
    /// The path of the entry that was read last.
    last: Option<Vec<u8>>,
    /// The file whose end is still to come.
    file: Option<InodeId>,
    warnings: Vec<String>,
    warnings_left_out: u64,
}

#[expect(clippy::new_without_default, reason = "a parser is begun, it is no value")]
impl LayerParser {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self { hasher: Hasher::new(), parser: TreeParser::new() }
    }

    /// Takes the next bytes. After an error the layer is refused, and `self` of no more use.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.hasher.update(bytes);
        self.parser.update(bytes)
    }

    /// Ends: the tar must be whole. An empty stream is an empty layer, as in Docker.
    pub fn finish(self) -> Result<(LayerSummary, Tree), LayerError> {
        let (diff_id, parser) = self.hashed();
        parser.finish(diff_id)
    }

    /// Ends the hashing only.
    pub fn hashed(self) -> (DiffId, TreeParser) {
        (DiffId(self.hasher.finish()), self.parser)
    }
}

#[expect(clippy::new_without_default, reason = "a parser is begun, it is no value")]
impl TreeParser {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self {
            size_bytes: 0,
            parser: Parser::new(),
            builder: Builder::new(),
            last: None,
            file: None,
            warnings: Vec::new(),
            warnings_left_out: 0,
        }
    }

    /// Takes the next bytes. After an error the layer is refused, and `self` of no more use.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
            let limit = limits::LAYER_INFLATED_SIZE_BYTES_MAX;
            return Err(LayerError::Limit { what: "bytes of a layer", limit });
        }
        loop {
            match self.parser.next(&mut bytes) {
                Ok(None) => return Ok(()),
                Ok(Some(event)) => self.take(event)?,
                Err(error) => return Err(self.at(error)),
            }
        }
    }

    /// Says where an error is, once there was an entry.
    fn at(&self, error: LayerError) -> LayerError {
        let Some(last) = &self.last else { return error };
        let offset = match error {
            LayerError::InvalidHeader { offset, .. } => offset,
            LayerError::UnexpectedEof => self.size_bytes,
            // The header is the block that was read last.
            _ => self.parser.offset().saturating_sub(BLOCK_SIZE_BYTES),
        };
        let last: &[u8] = if last.is_empty() { b"/" } else { last };
        let shown = &last[..last.len().min(SHOWN_SIZE_BYTES)];
        let more = if shown.len() < last.len() { "…" } else { "" };
        LayerError::At { entry: lossy(shown) + more, offset, source: Box::new(error) }
    }

    /// Ends: the tar must be whole. `diff_id` is what its bytes hash to.
    pub fn finish(mut self, diff_id: DiffId) -> Result<(LayerSummary, Tree), LayerError> {
        match self.parser.finish() {
            Ok(None) => {}
            Ok(Some(event)) => self.take(event)?,
            Err(error) => return Err(self.at(error)),
        }
        let tree = self.builder.finish();
        if self.warnings_left_out > 0 {
            self.warnings.push(format!("and {} more warnings", self.warnings_left_out));
        }
        let mut summary = LayerSummary {
            diff_id,
            tar_size_bytes: self.size_bytes,
            content_size_bytes: 0,
            entries: 0,
            implied_directories: Vec::new(),
            foreign_hard_links: Vec::new(),
            warnings: self.warnings,
        };
        summarise(&tree, &mut summary)?;
        Ok((summary, tree))
    }

    fn take(&mut self, event: Event) -> Result<(), LayerError> {
        match event {
            Event::Entry(mut entry) => {
                self.warn_of(&entry);
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(&entry.path);
                self.file = match self.builder.apply(&mut entry) {
                    Ok(Applied::File(id)) => Some(id),
                    Ok(Applied::Other | Applied::Skipped) => None,
                    Err(error) => return Err(self.at(error)),
                };
            }
            Event::Data(_) => {}
            Event::End { padding_is_zero } => {
                if let Some(file) = self.file.take() {
                    self.builder.set_padding(file, padding_is_zero);
                }
            }
        }
        Ok(())
    }

    fn warn_of(&mut self, entry: &Entry) {
        let is_whiteout = entry.kind == EntryKind::CharacterDevice
            && entry.device == Device { major: 0, minor: 0 };
        if is_whiteout {
            self.warn(entry, "the character device 0/0 will act as a whiteout");
        }
        if entry.kind == EntryKind::Socket {
            self.warn(entry, "a socket cannot be part of a layer and is left out");
        }
        for (name, _) in &entry.xattrs {
            if name == b"security.selinux" {
                self.warn(entry, "the attribute security.selinux is dropped");
            }
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                self.warn(entry, "an attribute named for overlayfs will be escaped");
            }
        }
    }

    fn warn(&mut self, entry: &Entry, what: &str) {
        if self.warnings.len() >= limits::LAYER_WARNINGS_MAX {
            self.warnings_left_out += 1;
            return;
        }
        let path = lossy(&entry.path);
        self.warnings.push(format!("/{}: {what}", varve_types::Printable(&path)));
    }
}

fn summarise(tree: &Tree, summary: &mut LayerSummary) -> Result<(), LayerError> {
    let is_implied = |id| match &tree.inode(id).content {
        Content::Directory(directory) => directory.is_implied,
        _ => false,
    };
    let mut listed = 0;
    let mut list = |path: &[u8]| {
        listed += path.len() as u64;
        let limit = limits::LAYER_RECORD_SIZE_BYTES_MAX;
        if listed > limit {
            return Err(LayerError::Limit { what: "bytes of a layer's record", limit });
        }
        Ok(text_of_path(path))
    };
    let mut counted = vec![false; tree.inode_count()];
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        summary.entries += 1;
        if is_implied(id) {
            summary.implied_directories.push(list(path)?);
        }
        // A file with several names is counted once.
        let is_first = !std::mem::replace(&mut counted[id.index()], true);
        let size = match &tree.inode(id).content {
            Content::File(data) if is_first => data.size,
            Content::Symlink(target) if is_first => target.len() as u64,
            Content::ForeignHardLink(target) => {
                let link = (list(path)?, list(target)?);
                summary.foreign_hard_links.push(link);
                0
            }
            _ => 0,
        };
        summary.content_size_bytes = summary.content_size_bytes.saturating_add(size);
    }
    if summary.entries > 0 && is_implied(Tree::ROOT) {
        summary.implied_directories.insert(0, String::new());
    }
    Ok(())
}

/// Writes a path as text from which [`path_of_text`] gets its bytes back: what is readable UTF-8
/// stays, backslashes are doubled, every other byte becomes `\xNN`.
pub fn text_of_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    escape(&mut text, c.encode_utf8(&mut buffer).as_bytes());
                }
                c => text.push(c),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Reads what [`text_of_path`] wrote; `None` when it did not.
pub fn path_of_text(text: &str) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        path.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            path.push(b'\\');
            rest = after;
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            path.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &escaped[3..];
        }
    }
    path.extend_from_slice(rest.as_bytes());
    Some(path)
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
}
