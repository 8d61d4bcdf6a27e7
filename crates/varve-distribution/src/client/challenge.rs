//! `WWW-Authenticate`: how a registry wants to be told who we are (RFC 9110, 11.6.1).

/// Bytes of one header value that are looked at.
const CHALLENGE_SIZE_BYTES_MAX: usize = 8 << 10;

/// One way of authentication that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case: `basic`, `bearer`.
    pub(crate) scheme: String,
    /// Names are in lower case.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter, when it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Parses the values of all `WWW-Authenticate` headers. What cannot be parsed ends its value.
pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in values {
        if value.len() <= CHALLENGE_SIZE_BYTES_MAX {
            parse_value(value, &mut challenges);
        }
    }
    challenges
}

fn parse_value(value: &str, challenges: &mut Vec<Challenge>) {
    let mut rest = value;
    let mut open = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { return };
        let spaced = after.trim_start_matches([' ', '\t']);
        if let (true, Some(after)) = (open, spaced.strip_prefix('=')) {
            let Some((value, after)) = parameter_value(after.trim_start_matches([' ', '\t']))
            else {
                return;
            };
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
            rest = after;
        } else {
            let scheme = word.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: Vec::new() });
            open = true;
            rest = after;
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text.bytes().position(|b| !fits(b)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Not only tokens: realms without quotes are seen, with `:` and `/` in them.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: &str) {
        let shown: Vec<String> = parse(values.iter().copied())
            .iter()
            .map(|challenge| {
                let parameters = challenge.parameters.iter();
                let list: Vec<String> = parameters.map(|(n, v)| format!("{n}=<{v}>")).collect();
                format!("{} {}", challenge.scheme, list.join(" ")).trim_end().to_owned()
            })
            .collect();
        assert_eq!(shown.join(" | "), expected);
    }

    #[test]
    fn bearer_with_commas_and_escapes_inside_quotes() {
        check(
            &[
                r#"Bearer realm="https://a/token",service="a b",scope="repository:x:pull,push",e="\"q\"""#,
            ],
            r#"bearer realm=<https://a/token> service=<a b> scope=<repository:x:pull,push> e=<"q">"#,
        );
    }

    #[test]
    fn several_challenges_come_in_one_value_or_in_many() {
        check(&[r#"Basic realm="x", Bearer realm=y"#], "basic realm=<x> | bearer realm=<y>");
        check(&["Negotiate", "BASIC Realm=\"x\""], "negotiate | basic realm=<x>");
        check(&["Negotiate, Basic realm=\"x\""], "negotiate | basic realm=<x>");
    }

    #[test]
    fn nonsense_gives_what_came_before_it() {
        check(&[""], "");
        check(&["Bearer realm=\"unended"], "bearer");
        check(&["=,=", "Bearer a=b, \u{1}"], "bearer a=<b>");
    }
}
