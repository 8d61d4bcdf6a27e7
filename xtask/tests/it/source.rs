//! The repository's files, and a light reading of Rust: code without comments and literals.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Every file that git knows or would add, relative to the workspace. Without git, every file
/// outside `target`.
pub(crate) fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output();
    let mut files: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() => output
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
            .collect(),
        _ => walk(&workspace()),
    };
    files.retain(|file| workspace().join(file).is_file());
    files.sort();
    assert!(files.len() > 20, "the repository's files are not found");
    files
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a readable directory").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path.strip_prefix(workspace()).expect("inside").to_path_buf());
        }
    }
    found
}

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    /// The file as it is.
    pub(crate) text: String,
    /// The same lines with comments, strings and characters blanked out.
    pub(crate) code: String,
    /// As `code`, with `#[cfg(test)]` modules blanked out too.
    pub(crate) shipped: String,
}

impl Source {
    /// The crate that the file belongs to.
    pub(crate) fn package(&self) -> &str {
        let mut parts = self.path.iter().filter_map(|part| part.to_str());
        match parts.next() {
            Some("crates") => parts.next().unwrap_or_default(),
            other => other.unwrap_or_default(),
        }
    }

    /// Whether the file is part of the crate rather than of its tests.
    pub(crate) fn is_shipped(&self) -> bool {
        self.path.iter().any(|part| part == "src")
            && !self.path.iter().any(|part| part == "tests" || part == "tests.rs")
    }

    /// Whether the file ships in a library that users run: not the binary, xtask or testkit.
    pub(crate) fn is_library(&self) -> bool {
        self.is_shipped() && !["varve", "xtask", "varve-testkit"].contains(&self.package())
    }

    /// Where `needle` stands as whole words in the shipped code, as `path:line`.
    pub(crate) fn places(&self, needle: &str) -> Vec<String> {
        find_words(&self.shipped, needle)
            .map(|at| format!("{}:{}", self.path.display(), line_of(&self.shipped, at)))
            .collect()
    }
}

/// Every Rust file of the workspace.
pub(crate) fn sources() -> Vec<Source> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(workspace().join(&path)).expect("UTF-8 source");
            let code = blank_text(&text);
            let shipped = blank_tests(&code);
            Source { path, text, code, shipped }
        })
        .collect()
}

/// The line number of a byte offset, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Offsets of `needle` where it is not part of a longer identifier.
pub(crate) fn find_words<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(needle).map(|found| found.0).filter(move |at| {
        let before = code[..*at].chars().next_back().is_some_and(in_name);
        let after = code[at + needle.len()..].chars().next().is_some_and(in_name);
        let starts = needle.chars().next().is_some_and(in_name);
        let ends = needle.chars().next_back().is_some_and(in_name);
        !(starts && before || ends && after)
    })
}

/// The offset after the bracket that closes the one at `open`.
pub(crate) fn after_block(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Blanks comments, strings and characters; lines and byte offsets stay.
fn blank_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            code.push(bytes[at]);
            at += 1;
        } else {
            code.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8(code).expect("blanks replace whole characters")
}

/// The end of the comment or literal that starts at `at`; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let name_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
    } else if rest.starts_with(b"/*") {
        at + find(rest, b"*/").map_or(rest.len(), |end| end + 2)
    } else if rest[0] == b'"' {
        quoted_end(bytes, at)
    } else if rest[0] == b'r' && !(name_before && bytes[at - 1] != b'b') {
        let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
        if rest.get(1 + hashes) != Some(&b'"') {
            return at;
        }
        let close = [b"\"".as_slice(), "#".repeat(hashes).as_bytes()].concat();
        let body = at + hashes + 2;
        body + find(&bytes[body..], &close).map_or(bytes.len() - body, |end| end + close.len())
    } else if rest[0] == b'\'' {
        character_end(bytes, at)
    } else {
        at
    }
}

fn quoted_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// A character literal, as opposed to a lifetime or a label.
fn character_end(bytes: &[u8], open: usize) -> usize {
    if bytes.get(open + 1) == Some(&b'\\') {
        let close = bytes[open + 3..].iter().position(|b| *b == b'\'');
        return close.map_or(open, |close| open + 3 + close + 1);
    }
    // One character, of up to four bytes.
    (2..=5).map(|width| open + width).find(|at| bytes.get(*at) == Some(&b'\'')).map_or(open, |at| {
        let text = std::str::from_utf8(&bytes[open + 1..at]);
        if text.is_ok_and(|text| text.chars().count() == 1) { at + 1 } else { open }
    })
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Blanks modules and functions that only tests are built with.
fn blank_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    let mut from = 0;
    while let Some(found) = shipped[from..].find("#[cfg(test)]") {
        let start = from + found;
        let item = &shipped[start..];
        let stop = match (item.find('{'), item.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => {
                after_block(&shipped, start + brace)
            }
            (_, Some(semicolon)) => start + semicolon + 1,
            _ => shipped.len(),
        };
        let blank: String =
            shipped[start..stop].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        from = start + blank.len();
        shipped.replace_range(start..stop, &blank);
    }
    shipped
}

/// Fails with every line when there is one.
#[track_caller]
pub(crate) fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn comments_strings_and_tests_are_no_code() {
    let text = "let a = \"unsafe\"; // unsafe\nlet b = 'u'; let c: &'static str = r#\"unsafe\"#;\n\
                #[cfg(test)]\nmod tests { fn x() { unsafe {} } }\nfn z() {}";
    let code = blank_text(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(find_words(&code, "unsafe").count(), 1);
    assert_eq!(find_words(&blank_tests(&code), "unsafe").count(), 0);
    assert_eq!(find_words(&blank_tests(&code), "fn z").count(), 1);
    assert_eq!(find_words(&code, "static").count(), 1);
}
