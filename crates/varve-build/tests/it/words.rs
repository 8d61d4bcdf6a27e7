//! Expansion of words: quotes, escapes, variables and all their modifiers.

use varve_build::expand::{Expander, Variables};

struct Table;

impl Variables for Table {
    fn get(&self, name: &str) -> Option<&str> {
        let table = [
            ("PWD", "/home"),
            ("EMPTY", ""),
            ("X", "abc"),
            ("FILE", "lib.tar.gz"),
            ("PATHS", "/a/b/a/c"),
            ("LINES", "one\ntwo"),
            ("WORDS", " a  b "),
            ("STAR", "a*b"),
            ("UML", "äöü"),
        ];
        table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

#[track_caller]
fn check(word: &str, expected: &str) {
    let shown = match Expander::new('\\').expand(word, &Table) {
        Ok(expanded) => expanded.text,
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(shown, expected, "{word}");
}

#[test]
fn quotes_and_escapes_are_taken_off() {
    check("hello", "hello");
    check("'he'llo", "hello");
    check("'$PWD'", "$PWD");
    check("\"$PWD\"", "/home");
    check("he\\'llo", "he'llo");
    check("\\$PWD", "$PWD");
    check("\"\\$PWD\"", "$PWD");
    check("\"a\\b\\\"c\"", "a\\b\"c");
    check("hello\\", "hello");
    check("\"'a'\"", "'a'");
    check("'hello", "error: unexpected end of statement while looking for matching single-quote");
    check("\"hello", "error: unexpected end of statement while looking for matching double-quote");
}

#[test]
fn names_end_where_letters_end() {
    check("$PWD-x", "/home-x");
    check("he${PWD}xx", "he/homexx");
    check("$", "$");
    check("a$ b", "a$ b");
    check("$,x", "$,x");
    check("$1x$12", "x");
    check("$NONE.", ".");
    check("${", "error: syntax error: missing '}'");
    check("${}", "error: syntax error: bad substitution");
    check("${:}", "error: syntax error: bad substitution");
    check("${{x}", "error: syntax error: bad substitution");
    check("${PWD", "error: unsupported modifier (\u{fffd}) in substitution");
    check("${PWD!x}", "error: unsupported modifier (!) in substitution");
    check("${PWD:x}", "error: unsupported modifier (:x) in substitution");
}

#[test]
fn defaults_and_alternatives() {
    check("${X:-d}${EMPTY:-d}${NONE:-d}", "abcdd");
    check("${X-d}${EMPTY-d}${NONE-d}", "abcd");
    check("${X:+p}${EMPTY:+p}${NONE:+p}.", "p.");
    check("${X+p}${EMPTY+p}${NONE+p}.", "pp.");
    check("${NONE:-${EMPTY:-${X}}}", "abc");
    check("${NONE:-'a b' \"$X\"}", "a b abc");
    check("${NONE:-a\\}b}", "a}b");
    check("${X:-", "error: syntax error: missing '}'");
}

#[test]
fn what_must_be_set_is_said() {
    check("${X:?no}${EMPTY?no}", "abc");
    check("${NONE:?need}", "error: NONE: need");
    check("${NONE?}", "error: NONE: is not allowed to be unset");
    check("${EMPTY:?}", "error: EMPTY: is not allowed to be empty");
}

#[test]
fn beginnings_and_ends_are_cut_shortest_or_longest() {
    check("${FILE%.*}", "lib.tar");
    check("${FILE%%.*}", "lib");
    check("${FILE#*.}", "tar.gz");
    check("${FILE##*.}", "gz");
    check("${FILE#x}", "lib.tar.gz");
    check("${PATHS#*/}", "a/b/a/c");
    check("${PATHS%/*/c}", "/a/b");
    check("${X#???}${X%?}", "ab");
    check("${STAR#a\\*}", "b");
    check("${STAR%\\*b}", "a");
    check("${UML%ü}", "äö");
    check("${LINES#*}", "one\ntwo");
    check("${LINES##*}", "\ntwo");
    check("${NONE#a}", "");
    check("${X#\\a}", "error: invalid pattern (\\a) in substitution: invalid escape '\\a'");
}

#[test]
fn parts_are_replaced_once_or_everywhere() {
    check("${PATHS/a/x}", "/x/b/a/c");
    check("${PATHS//a/x}", "/x/b/x/c");
    check("${PATHS//\\//-}", "-a-b-a-c");
    check("${PATHS/b*/x}", "/a/x");
    check("${FILE//?/.}", "..........");
    check("${X/b/}", "ac");
    check("${X/b/\\}}", "a\\}c");
    check("${X/b}", "error: syntax error: missing '/' in ${}");
    check("${X/b/c", "error: syntax error: missing '}'");
    check("${X//$EMPTY/-}", "-a-b-c-");
}

#[test]
fn words_are_split_at_blanks_that_nothing_protects() {
    let words = |text: &str| Expander::new('\\').expand(text, &Table).unwrap().words;
    assert_eq!(words("a  b\\ c 'd e' $WORDS \"$WORDS\""), ["a", "b c", "d e", "a", "b", " a  b "]);
    assert_eq!(words("$EMPTY \"\" "), [""; 0]);
}

#[test]
fn step_names_keep_quotes_and_what_is_not_set() {
    let mut expander = Expander::new('\\');
    expander.keep_quotes = true;
    expander.keep_unset = true;
    let text = |text: &str| expander.expand(text, &Table).unwrap().text;
    assert_eq!(
        text("RUN echo \"$X\" '$X' $NONE ${NONE:-a} ${X%c}"),
        "RUN echo \"abc\" '$X' $NONE ${NONE:-a} ab"
    );
    assert_eq!(text("${NONE#a}${NONE/a/b}${NONE}"), "${NONE#a}${NONE/a/b}${NONE}");
}

#[test]
fn another_escape_leaves_the_backslash_alone() {
    let text = |text: &str| Expander::new('`').expand(text, &Table).unwrap().text;
    assert_eq!(text("c:\\x`$X"), "c:\\x$X");
}

#[test]
fn what_was_asked_for_is_known() {
    let expanded = Expander::new('\\').expand("$X $NONE ${OTHER:-x}", &Table).unwrap();
    assert_eq!(expanded.matched.iter().collect::<Vec<_>>(), ["X"]);
    assert_eq!(expanded.unmatched.iter().collect::<Vec<_>>(), ["NONE"]);
}

#[test]
fn limits_are_named() {
    let deep = "${a:-".repeat(200);
    check(&deep, "error: substitutions are nested deeper than the limit of 64");
    let long = format!("${{X#{}}}", "a".repeat(2_000));
    check(&long, "error: pattern in substitution is longer than the limit of 1024 characters");
    struct Big(String);
    impl Variables for Big {
        fn get(&self, _: &str) -> Option<&str> {
            Some(&self.0)
        }
    }
    let error = Expander::new('\\').expand(&"$A".repeat(2_000), &Big("x".repeat(1_000)));
    assert_eq!(error.unwrap_err().kind(), varve_types::Kind::Exhausted);
}
