//! Sizes and shortened texts as Docker shows them.

use unicode_width::UnicodeWidthChar as _;

/// `1.98MB`: decimal units and so many significant digits.
pub(crate) fn size(bytes: u64, digits: usize) -> String {
    const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), UNITS[unit])
}

/// `23.54GiB`: binary units and four significant digits.
pub(crate) fn binary_size(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{}{}", significant(size, 4), UNITS[unit])
}

/// Go's `%.Ng`: significant digits without trailing zeros, with an exponent when rounding
/// reaches past them.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if exponent >= digits as i32 {
        return format!("{}e+{exponent:02}", trim(mantissa));
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

/// `58e2…`: the first 12 digits of an ID, without its algorithm.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// Shortens a text to so many columns, the last of which is `…`.
pub(crate) fn ellipsis(text: &str, columns: usize) -> String {
    let width = |c: char| if c.width() == Some(2) { 2 } else { 1 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let head = text.chars().take_while(|&c| {
        used += width(c);
        used < columns
    });
    head.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (bytes, three, four) in [
            (0, "0B", "0B"),
            (9, "9B", "9B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1kB"),
            (682_660, "683kB", "682.7kB"),
            (1_984_299, "1.98MB", "1.984MB"),
            (164_000_000, "164MB", "164MB"),
            (999_900, "1e+03kB", "999.9kB"),
            (2_666_959, "2.67MB", "2.667MB"),
            (1_000_000_000, "1GB", "1GB"),
        ] {
            assert_eq!(size(bytes, 3), three);
            assert_eq!(size(bytes, 4), four);
        }
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(ellipsis("short", 5), "short");
        assert_eq!(ellipsis("longer", 5), "long…");
        assert_eq!(ellipsis("漢字漢字", 8), "漢字漢字");
        assert_eq!(ellipsis("漢字漢字", 6), "漢字…");
        assert_eq!(ellipsis("漢字漢字", 7), "漢字漢…");
    }

    #[test]
    fn ids_are_cut_to_twelve_digits() {
        assert_eq!(short_id("sha256:fd2fba7d0648a4d0"), "fd2fba7d0648");
        assert_eq!(short_id("<missing>"), "<missing>");
    }
}
