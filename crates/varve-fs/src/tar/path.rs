//! Names in a tar, made into paths that stay below the root.

use varve_types::limits;

use crate::layer::LayerError;

/// Makes a name relative to the root, without empty parts, `.` and `..`; the root itself is empty.
///
/// As in Docker: an absolute name cannot leave the root, a relative one that tries is refused.
pub(super) fn normalise(name: &[u8]) -> Result<Vec<u8>, LayerError> {
    if is_normal(name) {
        return Ok(name.to_vec());
    }
    let is_absolute = name.first() == Some(&b'/');
    let mut path: Vec<u8> = Vec::with_capacity(name.len());
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if path.is_empty() => {
                if !is_absolute {
                    return Err(LayerError::OutsideRoot { path: lossy(name) });
                }
            }
            b".." => {
                let parent = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                path.truncate(parent);
            }
            part => {
                // A whiteout's name is longer than the one that it hides.
                let hidden = part.strip_prefix(b".wh.").unwrap_or(part);
                if hidden.len() > limits::NAME_SIZE_BYTES_MAX {
                    let limit = limits::NAME_SIZE_BYTES_MAX as u64;
                    return Err(LayerError::Limit { what: "bytes of a file name", limit });
                }
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    if path.len() > limits::PATH_SIZE_BYTES_MAX {
        let limit = limits::PATH_SIZE_BYTES_MAX as u64;
        return Err(LayerError::Limit { what: "bytes of a path", limit });
    }
    Ok(path)
}

/// Whether a name is short and as it should be, as most are. Others may be, too.
fn is_normal(name: &[u8]) -> bool {
    // Whatever the part, it is not too long then.
    if name.len() > limits::NAME_SIZE_BYTES_MAX {
        return false;
    }
    // A part may only be wrong where it is empty or begins with a dot. All are looked at, without a
    // branch: the compiler does many at a time.
    let is = |byte: u8, wanted: u8| u8::from(byte == wanted);
    let wrong = |wrong: u8, (&before, &byte): (&u8, &u8)| {
        wrong | is(before, b'/') & (is(byte, b'/') | is(byte, b'.'))
    };
    let is_wrong = name.iter().zip(name.get(1..).unwrap_or_default()).fold(0, wrong) != 0;
    !is_wrong && !matches!(name.first(), None | Some(b'/' | b'.')) && name.last() != Some(&b'/')
}

/// A name for people.
pub(crate) fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(limits::PATH_SIZE_BYTES_MAX)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let actual = normalise(name.as_bytes()).ok();
        assert_eq!(actual.as_deref(), expected.map(str::as_bytes), "{name}");
    }

    #[test]
    fn every_spelling_of_a_path_is_one_path() {
        check("a/b", Some("a/b"));
        check("./a//b/", Some("a/b"));
        check("/a/./b", Some("a/b"));
        check("a/x/../b", Some("a/b"));
        check("a/..", Some(""));
        for root in ["", ".", "./", "/", "//", "/."] {
            check(root, Some(""));
        }
    }

    #[test]
    fn a_name_that_is_taken_as_it_stands_is_one_that_would_become_itself() {
        for number in 0..4_usize.pow(7) {
            let size = number % 8;
            let name: Vec<u8> = (0..size).map(|at| b"a/.b"[number >> (2 * at) & 3]).collect();
            let parts: Vec<_> = name.split(|&byte| byte == b'/').collect();
            let is_plain = parts.iter().all(|part| !matches!(*part, b"" | b"." | b".."));
            assert!(is_plain || !is_normal(&name), "{}", name.escape_ascii());
        }
        assert!(is_normal(b"usr/bin/a.b"));
        assert!(!is_normal(&[b'n'; 256]));
    }

    #[test]
    fn absolute_name_stays_and_relative_one_that_leaves_is_refused() {
        check("/../../etc/passwd", Some("etc/passwd"));
        check("../etc/passwd", None);
        check("a/../../b", None);
        check("..", None);
        check("a/..b/...", Some("a/..b/..."));
    }

    #[test]
    fn names_that_no_file_system_takes_are_refused() {
        check(&"n".repeat(256), None);
        check(&"n".repeat(255), Some(&"n".repeat(255)));
        let whiteout = format!(".wh.{}", "n".repeat(255));
        check(&whiteout, Some(&whiteout));
        check(&format!("{whiteout}n"), None);
        check(&"n/".repeat(2049), None);
    }
}
