//! Names of files as text. Listings and patterns are text; names in layers and directories are
//! bytes. A name that is not UTF-8 is written with one character of the last private plane for
//! each byte that does not fit, and read back the same: no name is lost or changed.

/// The character for byte 0; bytes from 0x80 on are used.
const FIRST: u32 = 0x10_ff00;

/// The text of a name or path.
pub(super) fn text_of(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !has_marks(text)
    {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_mark(c) {
                let mut buffer = [0; 4];
                text.extend(c.encode_utf8(&mut buffer).bytes().map(mark));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(mark));
    }
    text
}

/// The same of a path that nobody else needs.
pub(super) fn text_from(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) if !has_marks(&text) => text,
        Ok(text) => text_of(text.as_bytes()),
        Err(error) => text_of(error.as_bytes()),
    }
}

/// The name or path of a text that [`text_of`] made.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    if !has_marks(text) {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if is_mark(c) {
            bytes.push((c as u32 - FIRST) as u8);
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    bytes
}

fn has_marks(text: &str) -> bool {
    !text.is_ascii() && text.contains(is_mark)
}

fn is_mark(c: char) -> bool {
    (c as u32) >= FIRST + 0x80 && (c as u32) <= FIRST + 0xff
}

fn mark(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_as_it_was() {
        let marks = "\u{10ff80}\u{10ffff}".as_bytes();
        let names: [&[u8]; 7] =
            [b"plain", "käse".as_bytes(), b"\xff\xfe", b"a\x80b", marks, b"\xc3", b""];
        for name in names {
            assert_eq!(bytes_of(&text_of(name)), name, "{name:?}");
            assert_eq!(text_from(name.to_vec()), text_of(name), "{name:?}");
        }
        for byte in 1..=255 {
            for other in [0x41, 0x80, 0xbf, 0xc3, 0xf4] {
                let name = [byte, other, byte];
                assert_eq!(bytes_of(&text_of(&name)), name);
            }
        }
    }

    #[test]
    fn different_names_have_different_texts() {
        assert_ne!(text_of(b"\xff"), text_of("\u{10ffff}".as_bytes()));
        assert_eq!(text_of("käse".as_bytes()), "käse");
    }
}
