//! A tar read member by member from a stream that cannot seek.

use std::io::{self, Read};

use super::{Entry, EntryKind, Event, Parser};
use crate::layer::LayerError;

const BUFFER_SIZE_BYTES: usize = 64 << 10;

/// Reads a tar from front to back, one member at a time.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    parser: Parser,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether a member began that has not ended.
    inside: bool,
    source_ended: bool,
}

/// A member of a tar. Reading from it gives its stored data; what is not read is skipped.
#[derive(Debug)]
pub struct Member<'a, R> {
    entry: Box<Entry>,
    reader: &'a mut Reader<R>,
}

/// What [`Reader::advance`] came to.
enum Step {
    Entry(Box<Entry>),
    /// So many bytes of data.
    Data(usize),
    MemberEnd,
    SourceEnd,
}

impl<R: Read> Reader<R> {
    /// Starts to read a tar from `source`, which needs no buffer of its own.
    pub fn new(source: R) -> Self {
        Self {
            source,
            parser: Parser::new(),
            buffer: vec![0; BUFFER_SIZE_BYTES].into(),
            start: 0,
            end: 0,
            inside: false,
            source_ended: false,
        }
    }

    /// The next member, or `None` at the end. `source` is then read to its end, so that whoever
    /// writes into a pipe is not cut off.
    #[expect(clippy::should_implement_trait, reason = "a member borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Member<'_, R>>, LayerError> {
        loop {
            match self.advance(BUFFER_SIZE_BYTES, |_| {})? {
                Step::Entry(entry) => return Ok(Some(Member { entry, reader: self })),
                Step::Data(_) | Step::MemberEnd => {}
                Step::SourceEnd => return Ok(None),
            }
        }
    }

    /// Goes on to the next step; shows at most `most` bytes of data to `take`.
    fn advance(&mut self, most: usize, take: impl FnOnce(&[u8])) -> Result<Step, LayerError> {
        loop {
            let available = &self.buffer[self.start..self.end];
            let mut input = &available[..available.len().min(most)];
            let before = input.len();
            let event = self.parser.next(&mut input)?;
            let left = input.len();
            let step = match event {
                Some(Event::Entry(entry)) => Some(Step::Entry(entry)),
                Some(Event::Data(data)) => {
                    take(data);
                    self.start += before - left;
                    return Ok(Step::Data(before - left));
                }
                Some(Event::End { .. }) => Some(Step::MemberEnd),
                None => None,
            };
            self.start += before - left;
            if let Some(step) = step {
                self.inside = matches!(step, Step::Entry(_));
                return Ok(step);
            }
            if self.start == self.end && !self.fill()? {
                self.inside = false;
                return Ok(Step::SourceEnd);
            }
        }
    }

    fn fill(&mut self) -> Result<bool, LayerError> {
        if self.source_ended {
            return Ok(false);
        }
        (self.start, self.end) = (0, 0);
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => {
                    self.source_ended = true;
                    // A layer may lack its last padding; an archive that does was cut.
                    return match self.parser.finish()? {
                        Some(_) => Err(LayerError::UnexpectedEof),
                        None => Ok(false),
                    };
                }
                Ok(count) => {
                    self.end = count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LayerError::Read(error)),
            }
        }
    }
}

impl<R> Member<'_, R> {
    /// Everything that the tar says of it.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its path below the root, normalised, without leading and trailing slash.
    pub fn path(&self) -> &[u8] {
        &self.entry.path
    }

    /// What it is.
    pub fn kind(&self) -> EntryKind {
        self.entry.kind
    }

    /// Bytes that reading gives: of a sparse member those that are stored.
    #[expect(clippy::misnamed_getters, reason = "reading does not fill the holes")]
    pub fn size(&self) -> u64 {
        self.entry.stored_size
    }

    /// A symbolic link's text, or a hard link's target as a path below the root; else empty.
    pub fn link_target(&self) -> &[u8] {
        &self.entry.link_target
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.reader.inside {
            let step = self.reader.advance(buffer.len(), |data| {
                buffer[..data.len()].copy_from_slice(data);
            })?;
            if let Step::Data(count) = step {
                return Ok(count);
            }
        }
        Ok(0)
    }
}
