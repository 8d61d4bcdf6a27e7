//! Sizes: one file, one idea; a function fits a screen.

use crate::source::{Source, after_block, find_words, line_of, none, sources};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// A test that is a list of cases reads the same at any length, within reason.
const TEST_LINES_MAX: usize = 120;

#[test]
fn files_stay_within_800_lines() {
    let long: Vec<String> = sources()
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path.display()))
        .collect();
    none("files that hold a second idea", &long);
}

#[test]
fn functions_stay_within_70_lines() {
    let long: Vec<String> = sources().iter().flat_map(long_functions).collect();
    none("functions that do not fit a screen", &long);
}

fn long_functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    find_words(code, "fn")
        .filter_map(|start| {
            let name = code[start + 2..].trim_start();
            let name: String =
                name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let end = after_block(code, body(code, start)?);
            let lines = code[start..end].matches('\n').count() + 1;
            let place = format!("{}:{}", source.path.display(), line_of(code, start));
            let ships = source.is_shipped() && source.shipped[start..].starts_with("fn");
            let lines_max = if ships { FUNCTION_LINES_MAX } else { TEST_LINES_MAX };
            (!name.is_empty() && lines > lines_max)
                .then(|| format!("{place}: {name}: {lines} lines"))
        })
        .collect()
}

/// Where the body of the function at `start` opens; `None` for a declaration or a type.
fn body(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            // The function type ended inside something else.
            b',' | b'}' if depth < 0 => return None,
            _ => {}
        }
    }
    None
}
