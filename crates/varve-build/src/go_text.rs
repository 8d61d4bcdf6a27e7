//! Texts as Go formats them: docker's history entries are made so.

use std::fmt::Write as _;

/// Go's `%q` of a string: quoted, with escapes.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        escape(c, '"', &mut out);
    }
    out.push('"');
    out
}

/// Go's `%q` of a list: `["a" "b"]`.
pub fn quote_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Go's `%v` of a list: `[a b]`.
pub fn list(texts: &[String]) -> String {
    format!("[{}]", texts.join(" "))
}

/// Go's `%q` of a number taken as a character: `'\x02'`.
pub fn quote_number(number: i64) -> String {
    let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let mut out = String::from("'");
    escape(c, '\'', &mut out);
    out.push('\'');
    out
}

fn escape(c: char, quote: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_invisible(c) => match c as u32 {
            code if code < 0x1_0000 => {
                let _ = write!(out, "\\u{code:04x}");
            }
            code => {
                let _ = write!(out, "\\U{code:08x}");
            }
        },
        c => out.push(c),
    }
}

/// Spaces other than ASCII's, controls and format characters: what Go does not print as it is.
fn is_invisible(c: char) -> bool {
    (c != ' ' && c.is_whitespace())
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Go's text of a duration in nanoseconds: `1m30s`, `1.5s`, `100ms`, `0s`.
pub fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |amount: u64, unit: u64| {
        let digits = unit.to_string().len() - 1;
        let rest = format!("{:0digits$}", amount % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{}{point}{rest}", amount / unit)
    };
    let text = match total {
        0 => return "0s".to_owned(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => format!("{}µs", fraction(n, 1_000)),
        n if n < 1_000_000_000 => format!("{}ms", fraction(n, 1_000_000)),
        n => {
            let (minutes, rest) = (n / 60_000_000_000, n % 60_000_000_000);
            let seconds = fraction(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (30_000_000_000, "30s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (1_500_000, "1.5ms"),
            (100, "100ns"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn texts_and_numbers_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("a\"b\\\n\u{1b}ä\u{a0}"), r#""a\"b\\\n\x1bä\u00a0""#);
        assert_eq!(quote_number(2), r"'\x02'");
        assert_eq!(quote_number(9), r"'\t'");
        assert_eq!(quote_number(39), r"'\''");
    }
}
