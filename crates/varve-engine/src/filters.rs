//! Docker's `--filter NAME=VALUE` options.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, civil, tz::TimeZone};
use regex::Regex;
use varve_types::{ImageConfig, Reference, duration};

use crate::{Error, Result};

/// Values by filter name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    values: BTreeMap<String, BTreeSet<String>>,
}

impl Filters {
    /// Adds a value.
    pub fn add(&mut self, name: &str, value: &str) {
        self.values.entry(name.to_owned()).or_default().insert(value.to_owned());
    }

    /// Whether the filter was given at all.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The values of a filter, sorted.
    pub fn get(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.get(name).into_iter().flatten().map(String::as_str)
    }

    /// All filters with their values, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |v| (name.as_str(), v.as_str())))
    }

    /// Refuses filters that are not among `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.values.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Error::UnknownFilter(name.clone())),
            None => Ok(()),
        }
    }

    /// A yes-or-no filter: `1`/`true` or `0`/`false`, not both, not neither.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(values) = self.values.get(name) else { return Ok(None) };
        let yes = values.contains("1") || values.contains("true");
        let no = values.contains("0") || values.contains("false");
        if yes == no {
            let values = values.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            return Err(Error::FilterValue { name: name.to_owned(), values });
        }
        Ok(Some(yes))
    }

    /// The `until` filter: only what was made before this time passes.
    pub(crate) fn until(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut times = self.get("until");
        let Some(text) = times.next() else { return Ok(None) };
        if times.next().is_some() {
            let values = self.get("until").collect::<Vec<_>>().join(" ");
            return Err(Error::FilterValue { name: "until".to_owned(), values });
        }
        time_or_duration(text, now).map(Some)
    }

    /// Whether labels pass `label` (all given ones must fit) and `label!` (none may fit).
    pub(crate) fn labels_pass(&self, config: &ImageConfig) -> bool {
        self.labels_fit(config.labels().collect::<Vec<_>>().into_iter())
    }

    /// The same of labels of anything.
    pub(crate) fn labels_fit<'b>(
        &self,
        labels: impl Iterator<Item = (&'b str, &'b str)> + Clone,
    ) -> bool {
        let fits = |wanted: &str| {
            let (name, value) = match wanted.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (wanted, None),
            };
            labels.clone().any(|(n, v)| n == name && value.is_none_or(|value| value == v))
        };
        self.get("label").all(fits) && !(self.has("label!") && self.get("label!").all(fits))
    }

    /// The patterns of a filter on names.
    pub(crate) fn names(&self, filter: &str) -> NamePatterns<'_> {
        NamePatterns(self.get(filter).map(|value| (value, Regex::new(value).ok())).collect())
    }

    /// Whether the filters look at labels.
    pub(crate) fn want_labels(&self) -> bool {
        self.has("label") || self.has("label!")
    }

    /// Whether one of the `reference` patterns fits, or there is none.
    pub(crate) fn reference_passes(&self, reference: &Reference) -> Result<bool> {
        if !self.has("reference") {
            return Ok(true);
        }
        let (whole, name) = (reference.familiar(), reference.repository().familiar());
        for pattern in self.get("reference") {
            if path_match(pattern, &whole)? || path_match(pattern, &name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Patterns of names. One that cannot be read fits no name but itself, as in Docker.
#[derive(Debug)]
pub(crate) struct NamePatterns<'a>(Vec<(&'a str, Option<Regex>)>);

impl NamePatterns<'_> {
    /// Whether a pattern fits one of the names, or is it, or there are none.
    pub(crate) fn pass(&self, names: &[&str]) -> bool {
        let fits = |pattern: &Regex| names.iter().any(|name| pattern.is_match(name));
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|(text, pattern)| names.contains(text) || pattern.as_ref().is_some_and(fits))
    }
}

/// A duration before now (`24h`, `1h30m`), seconds since 1970, or a date with or without a time.
fn time_or_duration(text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = || Error::Time(text.to_owned());
    if let Ok(nanoseconds) = duration::parse(text) {
        let span = jiff::SignedDuration::from_nanos(nanoseconds);
        return now.checked_sub(span).map_err(|_| wrong());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let zoned = |time: civil::DateTime| time.to_zoned(TimeZone::system()).map(|z| z.timestamp());
    if let Ok(time) = text.parse::<civil::DateTime>() {
        return zoned(time).map_err(|_| wrong());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    match (seconds.parse::<i64>(), format!("{fraction:0<9}").get(..9).map(str::parse::<i32>)) {
        (Ok(seconds), Some(Ok(nanoseconds))) => {
            Timestamp::new(seconds, nanoseconds).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// Go's `path.Match`: `*` and `?` do not cross `/`, `[…]` is a class, `\` quotes.
fn path_match(pattern: &str, name: &str) -> Result<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    match_from(&pattern, &name)
}

fn match_from(pattern: &[char], name: &[char]) -> Result<bool> {
    let Some((&first, rest)) = pattern.split_first() else { return Ok(name.is_empty()) };
    match first {
        '*' => {
            let mut end = 0;
            loop {
                if match_from(rest, &name[end..])? {
                    return Ok(true);
                }
                if end == name.len() || name[end] == '/' {
                    return Ok(false);
                }
                end += 1;
            }
        }
        '?' => match name.split_first() {
            Some((&c, name)) if c != '/' => match_from(rest, name),
            _ => Ok(false),
        },
        '[' => match_class(rest, name),
        '\\' => {
            let (&quoted, rest) = rest.split_first().ok_or(Error::Pattern)?;
            literal(quoted, rest, name)
        }
        c => literal(c, rest, name),
    }
}

fn literal(c: char, rest: &[char], name: &[char]) -> Result<bool> {
    match name.split_first() {
        Some((&first, name)) if first == c => match_from(rest, name),
        _ => Ok(false),
    }
}

fn match_class(mut pattern: &[char], name: &[char]) -> Result<bool> {
    let negated = pattern.first() == Some(&'^');
    if negated {
        pattern = &pattern[1..];
    }
    let c = name.first().copied();
    let (mut fits, mut any) = (false, false);
    loop {
        let (low, rest) = class_char(pattern, any)?;
        let Some(low) = low else {
            pattern = rest;
            break;
        };
        any = true;
        pattern = rest;
        let mut high = low;
        if pattern.first() == Some(&'-') {
            let (end, rest) = class_char(&pattern[1..], false)?;
            high = end.ok_or(Error::Pattern)?;
            pattern = rest;
        }
        fits |= c.is_some_and(|c| low <= c && c <= high);
    }
    match c {
        Some(c) if c != '/' && fits != negated => match_from(pattern, &name[1..]),
        _ => Ok(false),
    }
}

/// The next character of a class, or `None` at its end.
fn class_char(pattern: &[char], may_end: bool) -> Result<(Option<char>, &[char])> {
    match pattern {
        [']', rest @ ..] if may_end => Ok((None, rest)),
        ['\\', c, rest @ ..] => Ok((Some(*c), rest)),
        [] | ['\\' | '-' | ']', ..] => Err(Error::Pattern),
        [c, rest @ ..] => Ok((Some(*c), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_does_not_cross_a_slash() {
        assert!(path_match("busy*", "busybox").unwrap());
        assert!(path_match("*/*/*:v1", "a/b/c:v1").unwrap());
        assert!(!path_match("**", "a/b").unwrap());
        assert!(path_match("[a-c]?d\\*", "bxd*").unwrap());
        assert!(!path_match("[^a]", "a").unwrap());
        assert!(matches!(path_match("[", "a"), Err(Error::Pattern)));
    }

    #[test]
    fn durations_count_back_from_now() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let check = |text: &str| time_or_duration(text, now).map(|t| t.to_string());
        assert_eq!(check("24h").unwrap(), "2026-01-01T00:00:00Z");
        assert_eq!(check("1h30m").unwrap(), "2026-01-01T22:30:00Z");
        assert_eq!(check("2020-01-01T00:00:00Z").unwrap(), "2020-01-01T00:00:00Z");
        assert_eq!(check("1.5").unwrap(), "1970-01-01T00:00:01.5Z");
        assert_eq!(
            check("foo").unwrap_err().to_string(),
            "failed to parse value as time or duration: \"foo\""
        );
    }

    #[test]
    fn a_flag_that_is_both_or_neither_is_refused() {
        let mut filters = Filters::default();
        filters.add("dangling", "true");
        filters.add("dangling", "false");
        assert_eq!(
            filters.flag("dangling").unwrap_err().to_string(),
            "invalid filter 'dangling=[false true]'"
        );
        let mut filters = Filters::default();
        filters.add("dangling", "maybe");
        filters.add("dangling", "true");
        assert_eq!(filters.flag("dangling").unwrap(), Some(true));
    }
}
