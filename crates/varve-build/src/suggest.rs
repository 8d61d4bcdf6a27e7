//! "Did you mean": the nearest of some words.

/// Words that differ in this many letters or more are not suggested.
const DISTANCE_END: usize = 3;
/// Longer words are not compared.
const WORD_CHARS_MAX: usize = 64;

/// The first of the nearest options; `None` when none is near or one is equal.
pub(crate) fn nearest<'a>(
    word: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut found = None;
    let mut distance_end = DISTANCE_END;
    for option in options {
        if option == word {
            return None;
        }
        let distance = distance(word, option);
        if distance < distance_end {
            distance_end = distance;
            found = Some(option);
        }
    }
    found
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(WORD_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(WORD_CHARS_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_equal_or_far_ones_not() {
        assert_eq!(nearest("RUM", ["FROM", "RUN"]), Some("RUN"));
        assert_eq!(nearest("foo", ["chown", "from", "link"]), Some("from"));
        assert_eq!(nearest("from", ["from", "frog"]), None);
        assert_eq!(nearest("abcdef", ["xyz"]), None);
    }
}
