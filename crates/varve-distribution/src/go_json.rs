//! JSON as Go's `encoding/json` words and writes it. Docker shows its complaints, and people
//! search for them; image IDs that Docker and varve both derive depend on its escaping.

use serde::Serialize;

/// Writes compact JSON with `<`, `>`, `&`, U+2028 and U+2029 escaped, as Go's `json.Marshal` does.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                bytes.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// What is wrong with a whole document, or `None` when it is well formed.
pub fn describe(text: &[u8]) -> Option<String> {
    syntax_error(text, true)
}

/// Go's text for the first byte that makes `bytes` invalid, or `None` when they begin with a
/// whole value. What follows the value is
/// looked at only when `whole` is set (Go's `Unmarshal`, as opposed to `Decoder.Decode`).
pub(crate) fn syntax_error(bytes: &[u8], whole: bool) -> Option<String> {
    let mut scanner = Scanner { bytes, at: 0 };
    let result = scanner.value(0).and_then(|()| if whole { scanner.end() } else { Ok(()) });
    match result {
        Ok(()) => None,
        Err(Bad::Byte(byte, context)) => {
            Some(format!("invalid character {} {context}", quoted(byte)))
        }
        Err(Bad::Depth) => Some("exceeded max depth".to_owned()),
        Err(Bad::End) if whole => Some("unexpected end of JSON input".to_owned()),
        Err(Bad::End) if bytes.iter().all(|b| is_space(*b)) => Some("EOF".to_owned()),
        Err(Bad::End) => Some("unexpected EOF".to_owned()),
    }
}

/// Levels of nesting that Go's scanner accepts; serde_json stops at 128, which is less.
const DEPTH_MAX: usize = 127;

enum Bad {
    Byte(u8, String),
    Depth,
    End,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Result<u8, Bad> {
        let byte = *self.bytes.get(self.at).ok_or(Bad::End)?;
        self.at += 1;
        Ok(byte)
    }

    fn next_after_space(&mut self) -> Result<u8, Bad> {
        loop {
            let byte = self.next()?;
            if !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    fn end(&mut self) -> Result<(), Bad> {
        match self.next_after_space() {
            Ok(byte) => bad(byte, "after top-level value"),
            Err(_) => Ok(()),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Bad> {
        let byte = self.next_after_space()?;
        self.value_from(byte, depth)
    }

    fn value_from(&mut self, byte: u8, depth: usize) -> Result<(), Bad> {
        if depth > DEPTH_MAX {
            return Err(Bad::Depth);
        }
        match byte {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(byte),
            other => bad(other, "looking for beginning of value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Bad> {
        let mut first = true;
        loop {
            match self.next_after_space()? {
                b'}' if first => return Ok(()),
                b'"' => self.string()?,
                other => return bad(other, "looking for beginning of object key string"),
            }
            match self.next_after_space()? {
                b':' => self.value(depth + 1)?,
                other => return bad(other, "after object key"),
            }
            match self.next_after_space()? {
                b'}' => return Ok(()),
                b',' => first = false,
                other => return bad(other, "after object key:value pair"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Bad> {
        match self.next_after_space()? {
            b']' => return Ok(()),
            other => self.value_from(other, depth + 1)?,
        }
        loop {
            match self.next_after_space()? {
                b']' => return Ok(()),
                b',' => self.value(depth + 1)?,
                other => return bad(other, "after array element"),
            }
        }
    }

    fn string(&mut self) -> Result<(), Bad> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return bad(byte, "in \\u hexadecimal character escape");
                            }
                        }
                    }
                    other => return bad(other, "in string escape code"),
                },
                byte if byte < 0x20 => return bad(byte, "in string literal"),
                _ => {}
            }
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Bad> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting {})", quoted(expected));
                return Err(Bad::Byte(byte, context));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), Bad> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            other => return bad(other, "in numeric literal"),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<(), Bad> {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return bad(byte, context);
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}

fn bad(byte: u8, context: &str) -> Result<(), Bad> {
    Err(Bad::Byte(byte, context.to_owned()))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A byte as Go shows it: the character of that number, between single quotes.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        byte if byte < 0x20 || byte == 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        byte => format!("'{}'", byte as char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let error = syntax_error(json.as_bytes(), false);
        assert_eq!(error.as_deref().unwrap_or("fine"), expected, "{json:?}");
    }

    #[test]
    fn the_first_bad_byte_is_named_as_go_names_it() {
        check("{not json", "invalid character 'n' looking for beginning of object key string");
        check("not json", "invalid character 'o' in literal null (expecting 'u')");
        check("hello", "invalid character 'h' looking for beginning of value");
        check("[1 2]", "invalid character '2' after array element");
        check("{\"a\" 1}", "invalid character '1' after object key");
        check("{\"a\":1 2}", "invalid character '2' after object key:value pair");
        check("{\"a\":1,}", "invalid character '}' looking for beginning of object key string");
        check("[\"\n\"]", "invalid character '\\n' in string literal");
        check("[\"\\x\"]", "invalid character 'x' in string escape code");
        check("[\"\\u12g\"]", "invalid character 'g' in \\u hexadecimal character escape");
        check("[-]", "invalid character ']' in numeric literal");
        check("[1.]", "invalid character ']' after decimal point in numeric literal");
        check("[1e]", "invalid character ']' in exponent of numeric literal");
        check("\u{1b}[31m", "invalid character '\\x1b' looking for beginning of value");
        check("'", "invalid character '\\'' looking for beginning of value");
        check("[", "unexpected EOF");
        check(" ", "EOF");
        check("[] trailing", "fine");
        check("{\"a\":[1,-2.5e+3,\"\\u00e4\",true,false,null,{}]}", "fine");
    }

    #[test]
    fn answers_of_servers_are_complained_about() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(describe(text.as_bytes()).as_deref(), expected, "{text}");
        }
        check("<html>", Some("invalid character '<' looking for beginning of value"));
        check("", Some("unexpected end of JSON input"));
        check("404 page", Some("invalid character 'p' after top-level value"));
        check("not", Some("invalid character 'o' in literal null (expecting 'u')"));
        check(r#"{"a": [1, -2.5e3, "x\"y", true, null, {}], "b": []}"#, None);
    }

    #[test]
    fn a_whole_document_may_be_followed_by_space_only() {
        let whole = |json: &str| syntax_error(json.as_bytes(), true);
        assert_eq!(whole("[] x").unwrap(), "invalid character 'x' after top-level value");
        assert_eq!(whole("{").unwrap(), "unexpected end of JSON input");
        assert_eq!(whole("{} \n"), None);
    }

    #[test]
    fn nesting_without_end_is_refused_before_the_stack_is_full() {
        check(&"[".repeat(100_000), "exceeded max depth");
    }

    #[test]
    fn html_is_escaped_as_go_escapes_it() {
        assert_eq!(
            to_vec(&"Jane <jane@example.com> & co\u{2028}"),
            br#""Jane \u003cjane@example.com\u003e \u0026 co\u2028""#
        );
    }
}
