//! Output cut into lines and pieces, as docker's copier does.

use super::PIECE_SIZE_BYTES_MAX;

/// Cuts one stream. A line feed ends an entry; so do 16 KiB without one, and the end of the stream.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The begun line, shorter than a piece.
    begun: Vec<u8>,
}

/// One cut: a line, or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut<'a> {
    /// Its bytes, without the line feed.
    pub bytes: &'a [u8],
    /// Whether a line feed ended it.
    pub whole: bool,
    /// Whether it continues a piece that was cut before; its time is then that of the first.
    pub continues: bool,
}

impl Splitter {
    /// Takes the next bytes and hands out what they complete. `continued` is the stream's mark of
    /// an unfinished line, kept by the caller between calls.
    pub fn feed(&mut self, mut bytes: &[u8], continued: &mut bool, mut out: impl FnMut(Cut<'_>)) {
        while !bytes.is_empty() {
            let room = PIECE_SIZE_BYTES_MAX - self.begun.len();
            let window = &bytes[..bytes.len().min(room)];
            let (taken, whole) = match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None if window.len() == room => (room, false),
                None => {
                    self.begun.extend_from_slice(window);
                    return;
                }
            };
            let text = &bytes[..taken - usize::from(whole)];
            let continues = std::mem::replace(continued, !whole);
            if self.begun.is_empty() {
                out(Cut { bytes: text, whole, continues });
            } else {
                self.begun.extend_from_slice(text);
                out(Cut { bytes: &self.begun, whole, continues });
                self.begun.clear();
            }
            bytes = &bytes[taken..];
        }
    }

    /// Hands out what is left at the end of the stream.
    pub fn finish(&mut self, continued: &mut bool, mut out: impl FnMut(Cut<'_>)) {
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() {
            let continues = std::mem::replace(continued, true);
            out(Cut { bytes: &begun, whole: false, continues });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths, `+` for a line feed, `&` for a continuation.
    fn shown(input: &[u8], at_once: usize) -> Vec<String> {
        let (mut splitter, mut continued, mut seen) = (Splitter::default(), false, Vec::new());
        let mut show = |cut: Cut<'_>| {
            seen.push(format!(
                "{}{}{}",
                if cut.continues { "&" } else { "" },
                cut.bytes.len(),
                if cut.whole { "+" } else { "" }
            ));
        };
        for chunk in input.chunks(at_once) {
            splitter.feed(chunk, &mut continued, &mut show);
        }
        splitter.finish(&mut continued, &mut show);
        seen
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        for at_once in [1, 7, PIECE_SIZE_BYTES_MAX - 1, PIECE_SIZE_BYTES_MAX, input.len().max(1)] {
            assert_eq!(shown(input, at_once), expected, "{at_once} bytes at once");
        }
    }

    #[test]
    fn lines_end_at_line_feeds_and_the_last_may_lack_one() {
        check(b"one\n\ntwo\nrest", &["3+", "0+", "3+", "4"]);
        check(b"", &[]);
        check(b"\n", &["0+"]);
    }

    #[test]
    fn a_long_line_is_cut_at_16_kib_wherever_the_reads_end() {
        let mut input = vec![b'x'; 2 * PIECE_SIZE_BYTES_MAX + 5];
        input.extend_from_slice(b"\nnext\n");
        check(&input, &["16384", "&16384", "&5+", "4+"]);
    }

    #[test]
    fn a_line_of_just_16_kib_is_a_piece_and_an_empty_end_as_in_docker() {
        let mut input = vec![b'x'; PIECE_SIZE_BYTES_MAX];
        input.extend_from_slice(b"\ny");
        check(&input, &["16384", "&0+", "1"]);
    }
}
