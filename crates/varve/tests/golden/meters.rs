//! What `top` and `stats` measured: the numbers are of a moment, their places are not.

/// A text whose measured numbers are leveled, where it is a table or an object of `top` or `stats`.
pub(crate) fn leveled(text: &str) -> String {
    if text.starts_with("UID        ") || text.starts_with("PID        ") {
        return text.split_inclusive('\n').map(processes).collect();
    }
    if text.contains("CPU %") || text.contains("\"CPUPerc\"") {
        return text.split_inclusive('\n').map(usage).collect();
    }
    text.to_owned()
}

/// A row of `top` with its numbers and times as `#`, as wide as they were.
fn processes(row: &str) -> String {
    let is_number = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.bytes().all(|c| c.is_ascii_digit() || c == b':')
    };
    let words = row.split_inclusive(' ').map(|word| match word.trim_end_matches(' ') {
        number if is_number(number) => format!("{:<1$}", "#", word.len()),
        _ => word.to_owned(),
    });
    // One that has just ended, and nobody has waited for yet, has no arguments any more.
    words.collect::<String>().replace("[sleep]", "sleep 0.2")
}

/// A row of `stats` with shares as `#%` and amounts as `#B`; columns are as wide as the widest.
fn usage(row: &str) -> String {
    let mut out = String::new();
    for word in row.split_inclusive([' ', '"', '\n']) {
        let (bare, end) = word.split_at(word.trim_end_matches([' ', '"', '\n']).len());
        let number = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        match number {
            _ if number.len() == bare.len() => out.push_str(bare),
            "%" => out.push_str("#%"),
            "B" | "kB" | "KiB" | "MB" | "MiB" | "GB" | "GiB" => out.push_str("#B"),
            _ => out.push_str(bare),
        }
        out.push_str(end);
    }
    while out.contains("    ") {
        out = out.replace("    ", "   ");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::leveled;

    #[test]
    fn processes_keep_their_columns() {
        let table = |pid: &str, time: &str| {
            leveled(&format!("PID                 TIME   CMD\n{pid:<20}{time:<7}sleep 0.2\n"))
        };
        assert_eq!(table("23970", "13:39"), table("7", "00:00"));
        assert_ne!(table("23970", "13:39"), table("sh", "13:39"));
        assert_eq!(leveled("7  8\n"), "7  8\n");
    }

    #[test]
    fn usage_keeps_its_names_and_units_of_share() {
        let table = |cpu: &str, used: &str| {
            leveled(&format!("CPU %     MEM\n{cpu:<10}{used} / 2GiB     web\n"))
        };
        assert_eq!(table("0.85%", "680KiB"), table("12.03%", "1.2MiB"));
        assert_ne!(table("0.85%", "680KiB"), table("0.85", "680KiB"));
        let object = |net: &str| leveled(&format!("{{\"CPUPerc\":\"1%\",\"NetIO\":\"{net}\"}}"));
        assert_eq!(object("516B / 0B"), object("806B / 1.1kB"));
        assert_ne!(object("516B / 0B"), object("--"));
    }
}
