//! Frames: `[kind, 0, 0, 0, length]` and so many bytes, as docker multiplexes streams.

use std::rc::Rc;

use crate::logs::Stream;

/// Input for the container.
pub const STDIN: u8 = 0;
/// Output.
pub const STDOUT: u8 = 1;
/// Error output.
pub const STDERR: u8 = 2;
/// From the client, first: a [`Request`](super::Request) as JSON.
pub const REQUEST: u8 = 16;
/// The terminal's new size: a [`Size`](super::Size) as JSON.
pub const RESIZE: u8 = 17;
/// No more input comes from this client.
pub const CLOSE_STDIN: u8 = 18;
/// A [`Signal`](super::Signal) as JSON, while attached.
pub const SIGNAL: u8 = 19;
/// From the monitor, first: an [`Answer`](super::Answer) as JSON.
pub const ANSWER: u8 = 32;
/// From the monitor, last: an [`Exit`](super::Exit) as JSON.
pub const EXIT: u8 = 33;
/// From the monitor, last: the client read too slowly and is let go.
pub const TOO_SLOW: u8 = 34;
/// To a monitor that is being started: its [`Config`](crate::monitor::Config) as JSON, and what
/// the starter wants of the container's streams.
pub const CONFIG: u8 = 48;

/// Bytes of one frame's content.
pub const CONTENT_SIZE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a frame's head.
pub const HEAD_SIZE_BYTES: usize = 8;

/// Appends a frame.
pub fn append(out: &mut impl Extend<u8>, kind: u8, content: &[u8]) {
    out.extend(head(kind, content.len()));
    out.extend(content.iter().copied());
}

/// A frame's head.
pub fn head(kind: u8, size_bytes: usize) -> [u8; HEAD_SIZE_BYTES] {
    let [a, b, c, d] = u32::try_from(size_bytes).unwrap_or(u32::MAX).to_be_bytes();
    [kind, 0, 0, 0, a, b, c, d]
}

/// A frame with a value as JSON.
pub fn json(kind: u8, value: &impl serde::Serialize) -> Vec<u8> {
    // Our own records: no maps with keys that are not text, nothing that can fail.
    let content = serde_json::to_vec(value).unwrap_or_default();
    let mut out = Vec::with_capacity(HEAD_SIZE_BYTES + content.len());
    append(&mut out, kind, &content);
    out
}

/// A frame with what was written to a stream, to be sent to many.
pub(crate) fn output(stream: Stream, bytes: &[u8]) -> Rc<[u8]> {
    let kind = match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    };
    let mut out = Vec::with_capacity(HEAD_SIZE_BYTES + bytes.len());
    append(&mut out, kind, bytes);
    Rc::from(out)
}

/// Whoever is on the other side does not speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {size_bytes} bytes is announced, and {CONTENT_SIZE_BYTES_MAX} are allowed")]
pub struct TooLong {
    /// What was announced.
    pub size_bytes: usize,
}

/// Puts frames together from what arrives.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame: its kind and content.
    pub fn next_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, TooLong> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<HEAD_SIZE_BYTES>() else {
            return Ok(None);
        };
        let [kind, _, _, _, a, b, c, d] = *head;
        let size_bytes = u32::from_be_bytes([a, b, c, d]) as usize;
        if size_bytes > CONTENT_SIZE_BYTES_MAX {
            return Err(TooLong { size_bytes });
        }
        if rest.len() < size_bytes {
            return Ok(None);
        }
        let content = rest[..size_bytes].to_vec();
        self.buffer.drain(..HEAD_SIZE_BYTES + size_bytes);
        Ok(Some((kind, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut bytes = Vec::new();
        append(&mut bytes, STDOUT, b"hello");
        append(&mut bytes, CLOSE_STDIN, b"");
        for at_once in 1..=bytes.len() {
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for chunk in bytes.chunks(at_once) {
                decoder.feed(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, [(STDOUT, b"hello".to_vec()), (CLOSE_STDIN, vec![])]);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_arrives() {
        let mut decoder = Decoder::default();
        decoder.feed(&head(STDIN, CONTENT_SIZE_BYTES_MAX + 1));
        decoder.next_frame().unwrap_err();
    }
}
