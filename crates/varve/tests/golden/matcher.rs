//! Does an output equal a recorded one, as far as the recording says?
//!
//! A recording has placeholders for what differs from machine to machine. `<HEX64:n>` is one
//! value in a whole file and `<HEX12:n>` its beginning; ages and times are any age and time. A
//! recording that was long has a hole: `…[N characters not shown]…`; what fills it must be about
//! that long. Some listings of docker have no order; the file's plan names them.

use std::collections::BTreeMap;

use crate::build_lines::{is_movable, steps};
use crate::meters::leveled;

/// The values that placeholders of one file stand for so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bindings(BTreeMap<u32, String>);

impl Bindings {
    /// A text with its placeholders replaced by their values.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Hex { digits, number: Some(number), upper: _ } => {
                    let value = self.0.get(&number).map_or("", String::as_str);
                    filled.push_str(value.get(..digits).unwrap_or("<unknown>"));
                }
                Piece::Hex { .. } | Piece::Number => filled.push_str("<unknown>"),
            }
        }
        filled
    }
}

/// Whether `actual` is what was recorded. What new placeholders stand for is kept.
pub(crate) fn matches(recorded: &str, actual: &str, bindings: &mut Bindings) -> bool {
    let recorded = level(&leveled(recorded));
    let actual = level(&volatile(&leveled(actual)));
    let mut tried = bindings.clone();
    let matched = match split_hole(&recorded) {
        None => whole(&recorded, &actual, &mut tried),
        Some((head, hidden, tail)) => around(head, hidden, tail, &actual, &mut tried),
    };
    if matched {
        *bindings = tried;
    }
    matched
}

/// As [`matches`], for listings that docker gives in no certain order. Rows may change places only
/// when they are of one age, or both about a member that is named by its digest.
pub(crate) fn matches_rows(recorded: &str, actual: &str, bindings: &mut Bindings) -> bool {
    let kinds: Vec<String> = rows(actual).iter().map(|row| kind(row)).collect();
    let (recorded, actual) = (level(recorded), level(&volatile(actual)));
    let hole = split_hole(&recorded);
    let (head, hidden, tail) = hole.unwrap_or((&recorded, 0, ""));
    let mut wanted: Vec<Row<'_>> = rows(head).into_iter().map(Row::Whole).collect();
    if hole.is_some() {
        if let Some(Row::Whole(cut)) = wanted.pop() {
            wanted.push(Row::Beginning(cut));
        }
        let mut after = rows(tail).into_iter();
        wanted.extend(after.next().map(Row::End));
        wanted.extend(after.map(Row::Whole));
    }
    let given = rows(&actual);
    if hole.is_none() && wanted.len() != given.len() {
        return false;
    }
    let mut tried = bindings.clone();
    let found = assign(&wanted, &given, &kinds, &mut Vec::new(), &mut tried);
    let shown = head.len() + tail.len();
    let fits = hole.is_none() || close(size(&actual, &tried), shown + hidden, &actual);
    if found && fits {
        *bindings = tried;
    }
    found && fits
}

/// As [`matches`], for the progress of a build: steps may change places, each with its lines.
/// Reading the Dockerfile, finding images and exporting stay where they are.
pub(crate) fn matches_steps(recorded: &str, actual: &str, bindings: &mut Bindings) -> bool {
    let (recorded, actual) = (level(recorded), level(&volatile(actual)));
    let hole = split_hole(&recorded);
    let (head, hidden, tail) = hole.unwrap_or((&recorded, 0, ""));
    let (before, after, given) = (steps(head), steps(tail), steps(&actual));
    let mut wanted: Vec<Row<'_>> = before.iter().map(|row| Row::Whole(row)).collect();
    if hole.is_some() {
        if let Some(Row::Whole(cut)) = wanted.pop() {
            wanted.push(Row::Beginning(cut));
        }
        let mut after = after.iter();
        wanted.extend(after.next().map(|row| Row::End(row)));
        wanted.extend(after.map(|row| Row::Whole(row)));
    }
    if hole.is_none() && wanted.len() != given.len() {
        return false;
    }
    let kind = |row: &String| if is_movable(row) { "step" } else { "fixed" }.to_owned();
    let kinds: Vec<String> = given.iter().map(kind).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let mut tried = bindings.clone();
    let found = assign(&wanted, &given, &kinds, &mut Vec::new(), &mut tried);
    let shown = head.len() + tail.len();
    let fits = hole.is_none() || close(size(&actual, &tried), shown + hidden, &actual);
    if found && fits {
        *bindings = tried;
    }
    found && fits
}

/// A recorded row, as much of it as is not in the hole.
#[derive(Debug, Clone, Copy)]
enum Row<'a> {
    Whole(&'a str),
    Beginning(&'a str),
    End(&'a str),
}

impl Row<'_> {
    fn matches(self, actual: &str, bindings: &mut Bindings) -> bool {
        match self {
            Self::Whole(row) => whole(row, actual, bindings),
            Self::Beginning(row) => beginning(row, actual, bindings).is_some(),
            Self::End(row) => actual.char_indices().any(|(start, _)| {
                let mut tried = bindings.clone();
                let ends = whole(row, &actual[start..], &mut tried);
                if ends {
                    *bindings = tried;
                }
                ends
            }),
        }
    }
}

/// The lines of a text; a title of the form `== TITLE` is one with the line below it.
fn rows(text: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices('\n') {
        let row = &text[start..at];
        if !row.starts_with("== ") || row.contains('\n') {
            rows.push(row);
            start = at + 1;
        }
    }
    rows.extend((start < text.len()).then(|| &text[start..]));
    rows
}

/// What must be equal for two rows to change places; `fixed` is equal to nothing.
fn kind(row: &str) -> String {
    const FIXED: &[&str] = &["REPOSITORY", "drwxr-xr-x", "-rw-r--r--"];
    if row.contains("blobs/sha256/") && !row.ends_with("blobs/sha256/") {
        return "blob".to_owned();
    }
    let mut ends = row.char_indices().map(|(at, _)| &row[at..]);
    match ends.find_map(|text| Some(&text[..age(text)?.0])) {
        // What was recorded within a second may take us a few.
        Some(age) if age.contains("second") => "seconds".to_owned(),
        Some(age) => age.to_owned(),
        None if FIXED.iter().any(|start| row.starts_with(start)) => "fixed".to_owned(),
        None => String::new(),
    }
}

/// Finds a row of its own for each recorded row. `taken` are those found so far.
fn assign(
    wanted: &[Row<'_>],
    given: &[&str],
    kinds: &[String],
    taken: &mut Vec<usize>,
    bindings: &mut Bindings,
) -> bool {
    let Some((row, rest)) = wanted.split_first() else { return true };
    for at in 0..given.len() {
        let may_pass = |other: &usize| {
            at > *other || at != *other && kinds[at] == kinds[*other] && kinds[at] != "fixed"
        };
        if !taken.iter().all(may_pass) {
            continue;
        }
        let mut tried = bindings.clone();
        if row.matches(given[at], &mut tried) {
            taken.push(at);
            if assign(rest, given, kinds, taken, &mut tried) {
                *bindings = tried;
                return true;
            }
            taken.pop();
        }
    }
    false
}

/// Matches a recording with a hole: its head, its tail, and about as much in between.
fn around(head: &str, hidden: usize, tail: &str, actual: &str, bindings: &mut Bindings) -> bool {
    let Some(rest) = beginning(head, actual, bindings) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    for start in starts {
        let mut tried = bindings.clone();
        if whole(tail, &rest[start..], &mut tried) {
            let between = &rest[..start];
            if close(size(between, &tried), hidden, between) {
                *bindings = tried;
                return true;
            }
        }
    }
    false
}

/// Whether a filled hole is as long as the recorded one. Columns of ages are as wide as the
/// widest age, and placeholders at the edges were cut.
fn close(length: usize, recorded: usize, text: &str) -> bool {
    let ages = text.matches("<AGO>").count();
    length.abs_diff(recorded) <= 16 + 10 * ages
}

/// How long a text would be with placeholders for its digests.
fn size(text: &str, bindings: &Bindings) -> usize {
    let mut text = text.to_owned();
    for (number, value) in &bindings.0 {
        // One whose beginning alone is known stands in front of the rest of it, too.
        if value.len() == 64 {
            text = text.replace(value, &format!("<HEX64:{number}>"));
            text = text.replace(&value[..12], &format!("<HEX12:{number}>"));
        }
    }
    let mut hexes = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        hexes.push_str(match run.len() {
            64 => "<HEX64:9>",
            12 => "<HEX12>",
            _ => &run,
        });
        run.clear();
        hexes.push(c);
    }
    hexes.chars().count() - 1
}

fn split_hole(recorded: &str) -> Option<(&str, usize, &str)> {
    let (head, rest) = recorded.split_once("\n…[")?;
    let (number, tail) = rest.split_once(" characters not shown]…\n")?;
    // Half a placeholder at an edge is part of the hole.
    let cut = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ':';
    let head = match head.rfind('<') {
        Some(at) if head[at + 1..].chars().all(cut) => &head[..at],
        _ => head,
    };
    let tail = match tail.find('>') {
        Some(at) if at < 9 && tail[..at].chars().all(cut) => &tail[at + 1..],
        _ => tail,
    };
    Some((head, number.parse().expect("a count"), tail))
}

fn whole(pattern: &str, text: &str, bindings: &mut Bindings) -> bool {
    beginning(pattern, text, bindings) == Some("")
}

/// What follows after the pattern, when the text begins with it.
fn beginning<'a>(pattern: &str, text: &'a str, bindings: &mut Bindings) -> Option<&'a str> {
    let mut rest = text;
    for piece in pieces(pattern) {
        rest = match piece {
            Piece::Text(text) => rest.strip_prefix(text)?,
            Piece::Number => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                (digits > 0).then(|| &rest[digits..])?
            }
            Piece::Hex { digits, number, upper } => {
                let found = rest.get(..digits)?;
                let fits = |c: u8| {
                    c.is_ascii_digit()
                        || (if upper { b'A'..=b'F' } else { b'a'..=b'f' }).contains(&c)
                };
                if !found.bytes().all(fits) {
                    return None;
                }
                if let Some(number) = number {
                    agree(number, &found.to_lowercase(), bindings)?;
                }
                &rest[digits..]
            }
        };
    }
    Some(rest)
}

/// Keeps what a numbered placeholder stands for, or compares with what it stood for before. A
/// short one that comes first is kept as far as it goes and completed later.
fn agree(number: u32, found: &str, bindings: &mut Bindings) -> Option<()> {
    let known = bindings.0.entry(number).or_default();
    let shared = known.len().min(found.len());
    (known[..shared] == found[..shared]).then_some(())?;
    if found.len() > known.len() {
        found.clone_into(known);
    }
    Some(())
}

enum Piece<'a> {
    Text(&'a str),
    /// That many digits of a digest.
    Hex {
        digits: usize,
        number: Option<u32>,
        upper: bool,
    },
    Number,
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    let mut from = 0;
    while let Some(found) = rest[from..].find('<') {
        let open = from + found;
        let close = rest[open..].find('>').map(|end| open + end);
        let piece = close.and_then(|close| placeholder(&rest[open + 1..close]));
        match (piece, close) {
            (Some(piece), Some(close)) => {
                pieces.push(Piece::Text(&rest[..open]));
                pieces.push(piece);
                rest = &rest[close + 1..];
                from = 0;
            }
            _ => from = open + 1,
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

fn placeholder(name: &str) -> Option<Piece<'static>> {
    if name == "N" {
        return Some(Piece::Number);
    }
    let (kind, number) = match name.split_once(':') {
        Some((kind, number)) => (kind, Some(number.parse().ok()?)),
        None => (name, None),
    };
    let upper = kind.starts_with("UPPER");
    let digits = kind.strip_prefix("HEX").or_else(|| kind.strip_prefix("UPPER"))?.parse().ok()?;
    Some(Piece::Hex { digits, number, upper })
}

/// Ages and times as placeholders.
fn volatile(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at_word = !out.ends_with(|c: char| c.is_alphanumeric());
        let found = match at_word {
            true if out.ends_with("Up ") => duration(rest),
            true => age(rest).or_else(|| time(rest)).or_else(|| listed_time(rest)),
            false => None,
        };
        if let Some((length, placeholder)) = found {
            out.push_str(placeholder);
            rest = &rest[length..];
        } else {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
        }
    }
    out
}

/// How long something has been up: what an age is without its last word.
fn duration(text: &str) -> Option<(usize, &'static str)> {
    let end = text.find(['\n', '"']).unwrap_or(text.len());
    let end = text[..end].find("  ").unwrap_or(end);
    let end = text[..end].find(" (").unwrap_or(end);
    let whole = format!("{} ago", &text[..end]);
    age(&whole).filter(|(length, _)| *length == whole.len()).map(|_| (end, "<DUR>"))
}

/// `Nov 20 20:21`, as `ls` lists a time of this year.
fn listed_time(text: &str) -> Option<(usize, &'static str)> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = text.get(..3).and_then(|month| MONTHS.find(month))?;
    let rest = text.get(3..12)?;
    let shape = |(at, byte): (usize, u8)| match at {
        0 | 3 => byte == b' ',
        1 => byte == b' ' || byte.is_ascii_digit(),
        6 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    (month % 3 == 0 && rest.bytes().enumerate().all(shape)).then_some((12, "<DATE>"))
}

fn age(text: &str) -> Option<(usize, &'static str)> {
    let fixed = ["Less than a second ago", "About a minute ago", "About an hour ago"];
    if let Some(age) = fixed.iter().find(|age| text.starts_with(**age)) {
        return Some((age.len(), "<AGO>"));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text[digits..].strip_prefix(' ').filter(|_| digits > 0)?;
    let unit = ["second", "minute", "hour", "day", "week", "month", "year"]
        .into_iter()
        .find(|unit| rest.starts_with(unit))?;
    let rest = &rest[unit.len()..];
    let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix(" ago")?;
    Some((text.len() - rest.len(), "<AGO>"))
}

/// `2026-11-20T13:17:23.5Z`, `2026-11-20 13:17:23 +0000 UTC` or `2026-11-20 13:17`; the zero time
/// and the epoch were recorded as they are.
fn time(text: &str) -> Option<(usize, &'static str)> {
    let shape = |pattern: &str, text: &str| {
        text.len() >= pattern.len()
            && pattern.bytes().zip(text.bytes()).all(|(p, t)| match p {
                b'0' => t.is_ascii_digit(),
                _ => p == t,
            })
    };
    if text.starts_with("0001-") || text.starts_with("1970-") {
        return None;
    }
    if shape("0000-00-00T00:00:00", text) {
        let fraction = text[19..].bytes().take_while(|b| *b == b'.' || b.is_ascii_digit()).count();
        let zone = text[19 + fraction..].strip_prefix('Z')?;
        return Some((text.len() - zone.len(), "<TIME>"));
    }
    if shape("0000-00-00 00:00:00 +0000 UTC", text) {
        return Some((29, "<TIME>"));
    }
    shape("0000-00-00 00:00", text).then_some((16, "<DATE>"))
}

/// Columns of ages take the width of the widest age: their padding says nothing.
fn level(text: &str) -> String {
    const BEFORE: &[&str] = &["<AGO>", "CREATED", "CREATED AT", "<TIME>", "<DUR>", "STATUS"];
    const STATES: &[&str] = &["Created", "(Paused)", "(healthy)", "(unhealthy)"];
    let mut out = text.to_owned();
    for before in BEFORE.iter().chain(STATES) {
        let wide = format!("{before}    ");
        while out.contains(&wide) {
            out = out.replace(&wide, &format!("{before}   "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Bindings, matches, matches_rows};

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    #[test]
    fn numbered_placeholder_is_one_value() {
        let mut bindings = Bindings::default();
        assert!(matches("a <HEX64:1>\n", &format!("a {ONE}\n"), &mut bindings));
        assert!(!matches("b <HEX12:1>\n", "b 222222222222\n", &mut bindings));
        assert!(matches("b <HEX12:1> <N>\n", "b 111111111111 42\n", &mut bindings));
        assert_eq!(bindings.fill("x <HEX2:1>"), "x 11");
    }

    #[test]
    fn ages_and_times_are_any_age_and_time() {
        let mut bindings = Bindings::default();
        assert!(matches(
            "CREATED          SIZE\n<AGO>   1B\n",
            "CREATED        SIZE\n3 days ago     1B\n",
            &mut bindings
        ));
        assert!(matches("\"<TIME>\"", "\"2026-11-20T13:17:23.123Z\"", &mut bindings));
        assert!(!matches("<TIME>", "0001-01-01T00:00:00Z", &mut bindings));
        assert!(matches("Up <DUR>   web\n", "Up 1 second             web\n", &mut bindings));
        assert!(!matches("Up <DUR>   web\n", "Up soon             web\n", &mut bindings));
        let paused = "Up 9 seconds (Paused)             web\n";
        assert!(matches("Up <DUR> (Paused)   web\n", paused, &mut bindings));
        assert!(!matches("Up <DUR>   web\n", paused, &mut bindings));
        assert!(matches("3 <DATE> /x\n", "3 Nov 20 20:21 /x\n", &mut bindings));
    }

    #[test]
    fn hole_is_filled_by_about_as_much() {
        let mut bindings = Bindings::default();
        let recorded = "one\nt\n…[40 characters not shown]…\nree\n";
        assert!(matches(recorded, &format!("one\nt{}ree\n", "x".repeat(40)), &mut bindings));
        assert!(!matches(recorded, &format!("one\nt{}ree\n", "x".repeat(99)), &mut bindings));
        assert!(!matches(recorded, "one\ntree\n", &mut bindings));
    }

    #[test]
    fn rows_of_different_ages_keep_their_places() {
        let recorded = "REPOSITORY  CREATED\na  <AGO>\nb  <AGO>\n";
        let check = |actual: &str| matches_rows(recorded, actual, &mut Bindings::default());
        assert!(check("REPOSITORY  CREATED\nb  2 hours ago\na  2 hours ago\n"));
        assert!(check("REPOSITORY  CREATED\nb  2 seconds ago\na  3 seconds ago\n"));
        assert!(!check("REPOSITORY  CREATED\nb  2 hours ago\na  3 hours ago\n"));
        assert!(!check("a  2 hours ago\nREPOSITORY  CREATED\nb  2 hours ago\n"));
    }

    #[test]
    fn rows_at_the_edges_of_a_hole_count_as_far_as_they_go() {
        let recorded = "one\ntw\n…[10 characters not shown]…\nur\n";
        let check = |actual: &str| matches_rows(recorded, actual, &mut Bindings::default());
        assert!(check("two\none\nthree\nfour\n"));
        assert!(!check("one\nthree\nfour\nfive\n"));
        assert!(!check("one\ntwo\nthree\nfive\n"));
    }

    #[test]
    fn rows_may_change_places_but_not_values() {
        let mut bindings = Bindings::default();
        let recorded = "ID\n<HEX64:1> a\n<HEX64:2> b\n<HEX64:1> c\n";
        let actual = format!("ID\n{TWO} b\n{ONE} c\n{ONE} a\n");
        assert!(matches_rows(recorded, &actual, &mut bindings));
        let wrong = format!("ID\n{TWO} b\n{TWO} c\n{ONE} a\n");
        assert!(!matches_rows(recorded, &wrong, &mut bindings));
    }
}
