//! Go's quoted texts, in both directions.

use std::fmt::Write as _;

/// A text in Go's double quotes (`%q`).
pub(crate) fn go_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c if is_hidden(c) => {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a character shows nothing by itself, or turns what is around it.
pub(crate) fn is_hidden(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    (c as u32) >= 0x80 && varve_types::Printable(text).to_string() != text
}

/// Reads a Go literal with its quotes: `"…"`, `` `…` `` or `'…'`.
pub(crate) fn unquoted(literal: &str) -> Option<String> {
    let mark = literal.chars().next()?;
    let inner = literal.get(1..literal.len() - 1)?;
    if mark == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            escape(&mut chars, &mut bytes)?;
        } else {
            push(&mut bytes, c);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Reads what stands behind a backslash.
fn escape(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let c = chars.next()?;
    let mut number = |first: Option<char>, count: usize, radix: u32| {
        let text: String = first.into_iter().chain(chars.by_ref().take(count)).collect();
        u32::from_str_radix(&text, radix).ok()
    };
    match c {
        'a' => bytes.push(7),
        'b' => bytes.push(8),
        'f' => bytes.push(12),
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        'v' => bytes.push(11),
        '\\' | '"' | '\'' => push(bytes, c),
        'x' => bytes.push(u8::try_from(number(None, 2, 16)?).ok()?),
        'u' => push(bytes, char::from_u32(number(None, 4, 16)?)?),
        'U' => push(bytes, char::from_u32(number(None, 8, 16)?)?),
        '0'..='7' => bytes.push(u8::try_from(number(Some(c), 2, 8)?).ok()?),
        _ => return None,
    }
    Some(())
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
