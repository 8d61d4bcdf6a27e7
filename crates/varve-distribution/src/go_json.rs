//! What Go's JSON decoder says about text that is not JSON. Docker shows these sentences, and
//! people search for them.

/// Levels of nesting that are looked at.
const DEPTH_MAX: usize = 200;

/// The complaint, or `None` when the text is well formed (or nested too deeply to say).
pub fn describe(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { text, at: 0 };
    match scanner.document() {
        Ok(()) | Err(Complaint::Depth) => None,
        Err(Complaint::End) => Some("unexpected end of JSON input".to_owned()),
        Err(Complaint::Character(context)) => {
            let c = match text[scanner.at] {
                b'\'' => "'\\''".to_owned(),
                b'"' => "'\"'".to_owned(),
                _ => {
                    let rest = String::from_utf8_lossy(&text[scanner.at..]);
                    format!("{:?}", rest.chars().next().unwrap_or('\u{fffd}'))
                }
            };
            Some(format!("invalid character {c} {context}"))
        }
    }
}

enum Complaint {
    End,
    Character(&'static str),
    Depth,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

const VALUE: &str = "looking for beginning of value";

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), Complaint> {
        self.value(DEPTH_MAX)?;
        self.space();
        if self.at < self.text.len() {
            return Err(Complaint::Character("after top-level value"));
        }
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Result<u8, Complaint> {
        self.space();
        self.text.get(self.at).copied().ok_or(Complaint::End)
    }

    fn value(&mut self, depth: usize) -> Result<(), Complaint> {
        if depth == 0 {
            return Err(Complaint::Depth);
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b't' => self.word(
                "true",
                [
                    "in literal true (expecting 'r')",
                    "in literal true (expecting 'u')",
                    "in literal true (expecting 'e')",
                    "",
                ],
            ),
            b'n' => self.word(
                "null",
                [
                    "in literal null (expecting 'u')",
                    "in literal null (expecting 'l')",
                    "in literal null (expecting 'l')",
                    "",
                ],
            ),
            b'f' => self.word(
                "false",
                [
                    "in literal false (expecting 'a')",
                    "in literal false (expecting 'l')",
                    "in literal false (expecting 's')",
                    "in literal false (expecting 'e')",
                ],
            ),
            b'-' | b'0'..=b'9' => {
                while matches!(
                    self.text.get(self.at),
                    Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
                ) {
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(Complaint::Character(VALUE)),
        }
    }

    fn word(&mut self, word: &str, contexts: [&'static str; 4]) -> Result<(), Complaint> {
        self.at += 1;
        for (expected, context) in word.bytes().skip(1).zip(contexts) {
            match self.text.get(self.at) {
                Some(byte) if *byte == expected => self.at += 1,
                Some(_) => return Err(Complaint::Character(context)),
                None => return Err(Complaint::End),
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Complaint> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err(Complaint::End),
                Some(b'"') => break,
                Some(b'\\') => self.at += 1,
                Some(0..0x20) => return Err(Complaint::Character("in string literal")),
                Some(_) => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Complaint> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(Complaint::Character("looking for beginning of object key string"));
            }
            self.string()?;
            if self.peek()? != b':' {
                return Err(Complaint::Character("after object key"));
            }
            self.at += 1;
            self.value(depth - 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return Err(Complaint::Character("after object key:value pair")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Complaint> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth - 1)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => break,
                _ => return Err(Complaint::Character("after array element")),
            }
        }
        self.at += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(describe(text.as_bytes()).as_deref(), expected, "{text}");
    }

    #[test]
    fn complaints_are_in_gos_words() {
        check("<html>", Some("invalid character '<' looking for beginning of value"));
        check("{bad", Some("invalid character 'b' looking for beginning of object key string"));
        check("", Some("unexpected end of JSON input"));
        check("{\"a\":1", Some("unexpected end of JSON input"));
        check("{\"a\" 1}", Some("invalid character '1' after object key"));
        check("[1 2]", Some("invalid character '2' after array element"));
        check("{\"a\":1 \"b\"}", Some("invalid character '\"' after object key:value pair"));
        check("404 page", Some("invalid character 'p' after top-level value"));
        check("not", Some("invalid character 'o' in literal null (expecting 'u')"));
    }

    #[test]
    fn good_json_has_no_complaint() {
        check(r#"{"a": [1, -2.5e3, "x\"y", true, null, {}], "b": []}"#, None);
        check(&"[".repeat(100_000), None);
    }
}
