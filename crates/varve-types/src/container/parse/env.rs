//! Variables and labels, from flags and from files of lines.

use super::FlagError;
use crate::Printable;

/// Checks `--env`: `NAME=value`, or a name alone, whose value is the caller's.
pub fn variable(text: &str) -> Result<String, FlagError> {
    if text.is_empty() || text.starts_with('=') {
        return Err(FlagError::of("invalid environment variable: ", text));
    }
    Ok(text.to_owned())
}

/// Checks `--label`: `NAME=value`, or a name alone.
pub fn label(text: &str) -> Result<String, FlagError> {
    let name = text.split('=').next().unwrap_or_default().trim_start_matches([' ', '\t']);
    if name.is_empty() {
        let text = format!("invalid label '{}': empty name", Printable(text));
        return Err(FlagError::new(text));
    }
    if name.contains([' ', '\t']) {
        let text = format!("label '{}' contains whitespaces", Printable(name));
        return Err(FlagError::new(text));
    }
    Ok(text.to_owned())
}

/// The variables of a file (`--env-file`, `--label-file`): one a line, without quotes or
/// escapes. Empty lines and those that begin with `#` are passed over, and so is a name alone
/// for which `lookup` knows no value. Docker's client puts the file's name before the error.
pub fn lines(
    bytes: &[u8],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, FlagError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut found = Vec::new();
    for (place, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            let bytes: Vec<String> = line.iter().map(ToString::to_string).collect();
            let bytes = bytes.join(" ");
            return Err(FlagError::new(format!(
                "invalid utf8 bytes at line {}: [{bytes}]",
                place + 1
            )));
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.is_empty() {
            let text = format!("no variable name on line '{}'", Printable(line));
            return Err(FlagError::new(text));
        }
        if name.contains(char::is_whitespace) {
            let text = format!("variable '{}' contains whitespaces", Printable(name));
            return Err(FlagError::new(text));
        }
        match value {
            Some(_) => found.push(line.to_owned()),
            None => found.extend(lookup(name).map(|value| format!("{name}={value}"))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| (name == "B").then(|| "fromhost".to_owned());
        let shown = match lines(text.as_bytes(), lookup) {
            Ok(lines) => lines.join("|"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn files_are_read_line_by_line_as_they_are() {
        check("# comment\nX=1\nY=a b\nB\nNOVAL\n\nQ=\"q\"\n", "X=1|Y=a b|B=fromhost|Q=\"q\"");
        check("  A=1 \r\n", "A=1 ");
        check("\u{feff}A=", "A=");
        check("bad key=1\n", "variable 'bad key' contains whitespaces");
        check("=x\n", "no variable name on line '=x'");
        assert_eq!(
            lines(b"A=1\n\xff", |_| None).unwrap_err().to_string(),
            "invalid utf8 bytes at line 2: [255]"
        );
    }

    #[test]
    fn flags_need_a_name() {
        assert_eq!(variable("A").unwrap(), "A");
        assert_eq!(variable("").unwrap_err().to_string(), "invalid environment variable: ");
        assert_eq!(variable("=x").unwrap_err().to_string(), "invalid environment variable: =x");
        assert_eq!(label("a=b c").unwrap(), "a=b c");
        assert_eq!(label("=b").unwrap_err().to_string(), "invalid label '=b': empty name");
        assert_eq!(label("a b=c").unwrap_err().to_string(), "label 'a b' contains whitespaces");
    }
}
