//! The strict parser: bytes in, events out.

mod sparse;

use std::borrow::Cow;

use varve_types::limits;

use sparse::{Sparse, SparseText};

use super::{
    Device, Entry, EntryKind, Time,
    header::{self, BLOCK_SIZE_BYTES, Block, Header},
    lossy,
    path::normalise,
    pax::{self, Pax, PaxError},
};
use crate::layer::{HeaderFault, LayerError};

/// What the parser saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An entry begins.
    Entry(Box<Entry>),
    /// Stored bytes of the entry that began last.
    Data(&'a [u8]),
    /// The entry that began last is complete.
    End {
        /// Whether the rest of its last block is there and zero. Where it is not, bytes behind
        /// the end of the file must not be shown to anyone who maps the tar.
        padding_is_zero: bool,
    },
}

/// A parser of tar that is fed with bytes in pieces of any size.
///
/// ```
/// # use varve_fs::tar::{Event, NewEntry, Parser, Writer};
/// # let mut writer = Writer::new(Vec::new());
/// # writer.append_bytes(&NewEntry::file(b"a", 2), b"hi")?;
/// # let tar = writer.finish()?;
/// let mut parser = Parser::new();
/// for mut piece in tar.chunks(100) {
///     while let Some(event) = parser.next(&mut piece)? {
///         if let Event::Entry(entry) = event {
///             assert_eq!(entry.path, b"a");
///         }
///     }
/// }
/// parser.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    /// Bytes taken so far.
    offset: u64,
    block: Block,
    block_filled: usize,
    state: State,
    pending: Pending,
    global: Pax,
    entries: u64,
}

#[derive(Debug)]
enum State {
    /// Before a header.
    Header,
    /// Behind one block of zeros.
    AfterZeroBlock,
    /// Inside an extension header; `left` counts its padding.
    Extension { kind: Extension, text: Vec<u8>, size: usize, left: usize },
    /// Before a block with more of an old GNU sparse map.
    MoreSparse(Box<Sparse>),
    /// Before a block of the map of a PAX 1.0 sparse file.
    SparseText(Box<SparseText>),
    /// Inside an entry's data.
    Data { left: u64, padding: usize },
    /// Inside what fills the last block of an entry.
    Padding { left: usize, is_zero: bool },
    /// Behind the end marker.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    LongName,
    LongLink,
    Pax,
    Global,
}

/// Extensions that wait for their entry.
#[derive(Debug, Default)]
struct Pending {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Starts at the beginning of a tar.
    pub fn new() -> Self {
        Self {
            offset: 0,
            block: [0; BLOCK_SIZE_BYTES],
            block_filled: 0,
            state: State::Header,
            pending: Pending::default(),
            global: Pax::default(),
            entries: 0,
        }
    }

    /// Takes bytes from the front of `input` up to the next event; `None` when `input` is used up.
    /// After an error the parser must not be asked again.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, LayerError> {
        loop {
            match &mut self.state {
                State::Data { left: 0, padding } => {
                    self.state = State::Padding { left: *padding, is_zero: true };
                }
                State::Padding { left: 0, is_zero } => {
                    let padding_is_zero = *is_zero;
                    self.state = State::Header;
                    return Ok(Some(Event::End { padding_is_zero }));
                }
                State::Extension { left: 0, kind, text, size } => {
                    let (kind, size, mut text) = (*kind, *size, std::mem::take(text));
                    self.state = State::Header;
                    text.truncate(size);
                    self.end_extension(kind, &text)?;
                }
                _ if input.is_empty() => return Ok(None),
                State::Data { left, .. } => {
                    let data = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data.len() as u64;
                    self.offset += data.len() as u64;
                    return Ok(Some(Event::Data(data)));
                }
                State::Padding { left, is_zero } => {
                    let padding = take(input, *left);
                    *left -= padding.len();
                    *is_zero &= header::is_zero(padding);
                    self.offset += padding.len() as u64;
                }
                State::Extension { left, text, .. } => {
                    let piece = take(input, *left);
                    *left -= piece.len();
                    text.extend_from_slice(piece);
                    self.offset += piece.len() as u64;
                }
                State::Ended => {
                    self.offset += input.len() as u64;
                    *input = &[];
                }
                State::Header
                | State::AfterZeroBlock
                | State::MoreSparse(_)
                | State::SparseText(_) => {
                    if self.block_filled == 0
                        && let Some((block, rest)) = input.split_first_chunk()
                    {
                        *input = rest;
                        self.offset += BLOCK_SIZE_BYTES as u64;
                        if let Some(entry) = self.block_complete(block)? {
                            return Ok(Some(Event::Entry(entry)));
                        }
                        continue;
                    }
                    let piece = take(input, BLOCK_SIZE_BYTES - self.block_filled);
                    self.block[self.block_filled..][..piece.len()].copy_from_slice(piece);
                    self.block_filled += piece.len();
                    self.offset += piece.len() as u64;
                    if self.block_filled == BLOCK_SIZE_BYTES {
                        self.block_filled = 0;
                        let block = self.block;
                        if let Some(entry) = self.block_complete(&block)? {
                            return Ok(Some(Event::Entry(entry)));
                        }
                    }
                }
            }
        }
    }

    /// Ends: the tar must be whole. The end marker may be missing, as may the padding of the last
    /// entry, whose end is returned then.
    pub fn finish(&mut self) -> Result<Option<Event<'static>>, LayerError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Padding { .. } => Ok(Some(Event::End { padding_is_zero: false })),
            State::AfterZeroBlock | State::Ended if self.block_filled == 0 => Ok(None),
            State::Header if self.block_filled == 0 && self.pending.is_empty() => Ok(None),
            _ => Err(LayerError::UnexpectedEof),
        }
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    fn block_complete(&mut self, block: &Block) -> Result<Option<Box<Entry>>, LayerError> {
        let is_zero = block[0] == 0 && header::is_zero(block);
        match std::mem::replace(&mut self.state, State::Header) {
            State::MoreSparse(sparse) => self.more_sparse(*sparse, block),
            State::SparseText(text) => self.sparse_text(text, block),
            State::AfterZeroBlock if !is_zero => Err(self.invalid(HeaderFault::LoneZeroBlock)),
            State::AfterZeroBlock => {
                self.state = State::Ended;
                Ok(None)
            }
            _ if is_zero && !self.pending.is_empty() => Err(self.invalid(HeaderFault::Orphan)),
            _ if is_zero => {
                self.state = State::AfterZeroBlock;
                Ok(None)
            }
            _ => self.header_complete(block),
        }
    }

    fn header_complete(&mut self, block: &Block) -> Result<Option<Box<Entry>>, LayerError> {
        let header = Header::parse(block).map_err(|fault| self.invalid(fault))?;
        let extension = match header.type_flag() {
            b'L' => Extension::LongName,
            b'K' => Extension::LongLink,
            b'x' => Extension::Pax,
            b'g' => Extension::Global,
            _ => return self.begin_entry(&header),
        };
        let size = header.size().map_err(|fault| self.invalid(fault))?;
        let limit = limits::TAR_EXTENSION_SIZE_BYTES_MAX;
        if size > limit {
            return Err(LayerError::Limit { what: "bytes of an extension header", limit });
        }
        let is_second = match extension {
            Extension::LongName => self.pending.long_name.is_some(),
            Extension::LongLink => self.pending.long_link.is_some(),
            Extension::Pax => self.pending.pax.is_some(),
            Extension::Global => false,
        };
        if is_second {
            return Err(self.invalid(HeaderFault::Contradiction));
        }
        let size = size as usize;
        let left = size.next_multiple_of(BLOCK_SIZE_BYTES);
        self.state = State::Extension { kind: extension, text: Vec::new(), size, left };
        Ok(None)
    }

    fn end_extension(&mut self, kind: Extension, text: &[u8]) -> Result<(), LayerError> {
        match kind {
            Extension::LongName => self.pending.long_name = Some(header::text(text).to_vec()),
            Extension::LongLink => self.pending.long_link = Some(header::text(text).to_vec()),
            Extension::Pax => {
                self.pending.pax = Some(Pax::parse(text).map_err(|error| self.refused(error))?);
            }
            Extension::Global => {
                let later = Pax::parse(text).map_err(|error| self.refused(error))?;
                let merged = self.global.merge_global(later);
                merged.map_err(|error| self.refused(error))?;
            }
        }
        Ok(())
    }

    fn begin_entry(&mut self, header: &Header) -> Result<Option<Box<Entry>>, LayerError> {
        self.entries += 1;
        if self.entries > limits::LAYER_ENTRIES_MAX {
            let limit = limits::LAYER_ENTRIES_MAX;
            return Err(LayerError::Limit { what: "entries of an archive", limit });
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut pax = pending.pax.take().unwrap_or_default();
        pax.fill_from_global(&self.global).map_err(|error| self.refused(error))?;
        let sparse = std::mem::take(&mut pax.sparse);
        let name = self.name(header, &mut pending, &mut pax, &sparse)?;
        let kind = self.kind(header, &name)?;
        let entry = Entry {
            path: normalise(&name)?,
            kind,
            mode: header.mode().map_err(|fault| self.invalid(fault))? & 0o7777,
            link_target: self.link_target(kind, header, &mut pending, &mut pax)?,
            ..self.attributes(kind, header, pax).map_err(|fault| self.invalid(fault))?
        };
        let limit = limits::LAYER_INFLATED_SIZE_BYTES_MAX;
        if entry.stored_size > limit {
            return Err(LayerError::Limit { what: "bytes of a file in an archive", limit });
        }
        self.begin_data(Box::new(entry), header, sparse)
    }

    fn name<'a>(
        &self,
        header: &Header<'a>,
        pending: &mut Pending,
        pax: &mut Pax,
        sparse: &pax::Sparse,
    ) -> Result<Cow<'a, [u8]>, LayerError> {
        let name = agreed(pending.long_name.take(), pax.path.take());
        let name = name.map_err(|fault| self.invalid(fault))?;
        Ok(sparse.name.clone().or(name).map_or_else(|| header.path(), Cow::Owned))
    }

    fn kind(&self, header: &Header, name: &[u8]) -> Result<EntryKind, LayerError> {
        Ok(match header.type_flag() {
            0 if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => {
                let mode = header.mode().map_err(|fault| self.invalid(fault))?;
                if mode & 0o170_000 == 0o140_000 { EntryKind::Socket } else { EntryKind::File }
            }
            b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharacterDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            type_flag => {
                return Err(LayerError::UnsupportedType { path: lossy(name), type_flag });
            }
        })
    }

    fn link_target(
        &self,
        kind: EntryKind,
        header: &Header,
        pending: &mut Pending,
        pax: &mut Pax,
    ) -> Result<Vec<u8>, LayerError> {
        let target = agreed(pending.long_link.take(), pax.link_path.take());
        let target = target.map_err(|fault| self.invalid(fault))?;
        if !matches!(kind, EntryKind::HardLink | EntryKind::Symlink) {
            return Ok(Vec::new());
        }
        let target = target.unwrap_or_else(|| header.link_name().to_vec());
        if target.is_empty() {
            return Err(self.invalid(HeaderFault::Name));
        }
        if target.len() > limits::LINK_SIZE_BYTES_MAX {
            let limit = limits::LINK_SIZE_BYTES_MAX as u64;
            return Err(LayerError::Limit { what: "bytes of a link target", limit });
        }
        if kind == EntryKind::HardLink { normalise(&target) } else { Ok(target) }
    }

    fn attributes(&self, kind: EntryKind, header: &Header, pax: Pax) -> Result<Entry, HeaderFault> {
        // A field that a PAX record replaces must still be sound, as for Docker.
        let (uid, gid, seconds) = (header.uid()?, header.gid()?, header.mtime()?);
        let mut size = pax.size.unwrap_or(header.size()?);
        if !matches!(kind, EntryKind::File | EntryKind::Socket) {
            // Whatever the field says: nothing is stored for these.
            size = 0;
        }
        let is_device = matches!(kind, EntryKind::CharacterDevice | EntryKind::BlockDevice);
        let (major, minor) = if is_device { header.device()? } else { (0, 0) };
        Ok(Entry {
            path: Vec::new(),
            kind,
            mode: 0,
            uid: pax.uid.unwrap_or(uid),
            gid: pax.gid.unwrap_or(gid),
            mtime: pax.mtime.unwrap_or(Time { seconds, nanoseconds: 0 }),
            link_target: Vec::new(),
            device: Device { major, minor },
            xattrs: pax.xattrs.into_iter().collect(),
            size,
            data_offset: self.offset,
            stored_size: size,
            sparse: None,
        })
    }

    fn data_follows(&mut self, mut entry: Box<Entry>) -> Box<Entry> {
        entry.data_offset = self.offset;
        let left = entry.stored_size;
        let padding = (left.next_multiple_of(BLOCK_SIZE_BYTES as u64) - left) as usize;
        self.state = State::Data { left, padding };
        entry
    }

    /// An error about the block that was read last.
    fn invalid(&self, fault: HeaderFault) -> LayerError {
        let offset = self.offset.saturating_sub(BLOCK_SIZE_BYTES as u64);
        LayerError::InvalidHeader { offset, fault }
    }

    fn refused(&self, error: PaxError) -> LayerError {
        match error {
            PaxError::Fault(fault) => self.invalid(fault),
            PaxError::Limit(error) => error,
        }
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }
}

/// What a GNU header and a PAX record both say must be the same: programs differ in which wins.
fn agreed(gnu: Option<Vec<u8>>, pax: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, HeaderFault> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != pax => Err(HeaderFault::Contradiction),
        (gnu, pax) => Ok(gnu.or(pax)),
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    front
}
