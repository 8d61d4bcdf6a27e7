//! One line of a log file: docker's JSON, byte for byte.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which stream something was written to. A terminal has only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it was written to.
    pub stream: Stream,
    /// When.
    pub time: Timestamp,
    /// The text with its line feed; a piece of a longer line has none.
    pub text: String,
    /// Attributes that `--log-opt labels` and `env` asked for, as `logs --details` shows them:
    /// sorted by name.
    pub attributes: Vec<(String, String)>,
}

impl Entry {
    /// Reads a line of a log file; `None` when it is not one (torn by a loss of power, say).
    pub fn parse(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(default)]
            log: String,
            stream: Stream,
            time: Timestamp,
            #[serde(default)]
            attrs: Option<std::collections::BTreeMap<String, String>>,
        }
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(Self {
            stream: line.stream,
            time: line.time,
            text: line.log,
            attributes: line.attrs.unwrap_or_default().into_iter().collect(),
        })
    }

    /// The time as `logs -t` shows it: nine digits always.
    pub fn time_text(&self) -> String {
        format!("{:.9}", self.time)
    }
}

/// Appends a line of a log file. `attributes` is a JSON object, or empty; `time` is the time as
/// [`file_time`] gives it. A final piece of a line comes with its line feed (`whole`).
pub(crate) fn append(
    out: &mut Vec<u8>,
    text: &[u8],
    whole: bool,
    stream: Stream,
    attributes: &str,
    time: &str,
) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, text);
    if whole {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.push(b'"');
    if !attributes.is_empty() {
        out.extend_from_slice(b",\"attrs\":");
        out.extend_from_slice(attributes.as_bytes());
    }
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// A JSON object of texts, escaped as the lines are.
pub(crate) fn object<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = vec![b'{'];
    for (name, value) in pairs {
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'"');
        escape(&mut out, name.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// A time as Go's `RFC3339Nano` writes it: no zeros at the end of the fraction.
pub(crate) fn file_time(time: Timestamp) -> String {
    time.to_string()
}

/// Escapes text as Go's JSON does with HTML in mind: `<`, `>`, `&`, U+2028 and U+2029 too, and
/// each byte that is not UTF-8 as U+FFFD.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn escape_valid(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let width = match byte {
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xE2 if bytes[at + 1] == 0x80 && matches!(bytes[at + 2], 0xA8 | 0xA9) => 3,
            0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' => 1,
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0xE2 => {
                out.extend_from_slice(b"\\u202");
                out.push(HEX[usize::from(bytes[at + 2] & 0xF)]);
            }
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
            }
        }
        at += width;
        plain_from = at;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: Expect) {
        let mut out = Vec::new();
        let time = file_time("2026-11-20T13:39:49.4814853Z".parse().unwrap());
        append(&mut out, text, true, Stream::Stdout, "", &time);
        let line = String::from_utf8(out).unwrap();
        expected.assert_eq(line.trim_end());
        let entry = Entry::parse(line.as_bytes()).unwrap();
        assert_eq!(entry.text, String::from_utf8_lossy_owned_bytewise(text) + "\n");
    }

    trait Bytewise {
        fn from_utf8_lossy_owned_bytewise(text: &[u8]) -> String;
    }

    impl Bytewise for String {
        /// One U+FFFD for each bad byte, as Go decodes.
        fn from_utf8_lossy_owned_bytewise(text: &[u8]) -> String {
            text.utf8_chunks()
                .map(|chunk| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len()))
                .collect()
        }
    }

    #[test]
    fn a_plain_line_is_what_docker_writes() {
        check(
            b"started",
            expect![[
                r#"{"log":"started\n","stream":"stdout","time":"2026-11-20T13:39:49.4814853Z"}"#
            ]],
        );
    }

    #[test]
    fn controls_quotes_and_what_html_minds_are_escaped_as_go_does() {
        check(
            "\t\r\x00\x1b\"\\<&> \u{2028}\u{2029} é".as_bytes(),
            expect![[
                r#"{"log":"\u0009\r\u0000\u001b\"\\\u003c\u0026\u003e \u2028\u2029 é\n","stream":"stdout","time":"2026-11-20T13:39:49.4814853Z"}"#
            ]],
        );
    }

    #[test]
    fn each_byte_that_is_not_utf8_is_one_replacement() {
        check(
            b"a\xffb\xe2\x82c\xf0\x9f",
            expect![[
                r#"{"log":"a\ufffdb\ufffd\ufffdc\ufffd\ufffd\n","stream":"stdout","time":"2026-11-20T13:39:49.4814853Z"}"#
            ]],
        );
    }

    #[test]
    fn attributes_stand_between_stream_and_time() {
        let mut out = Vec::new();
        append(
            &mut out,
            b"x\x7f",
            false,
            Stream::Stderr,
            r#"{"b":"2","a":"1"}"#,
            "2026-01-01T00:00:00Z",
        );
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "{\"log\":\"x\x7f\",\"stream\":\"stderr\",\"attrs\":{\"b\":\"2\",\"a\":\"1\"},\"time\":\"2026-01-01T00:00:00Z\"}\n"
        );
        let entry = Entry::parse(&out).unwrap();
        assert_eq!(entry.attributes, [("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(entry.time_text(), "2026-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn what_is_not_a_line_of_a_log_is_not_taken_for_one() {
        for line in [&b""[..], b"{", b"\0\0\0", br#"{"log":"x","stream":"stdout"}"#, b"[]"] {
            assert_eq!(Entry::parse(line), None);
        }
    }
}
