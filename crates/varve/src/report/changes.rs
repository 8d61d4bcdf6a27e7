//! What a container has changed.

use std::fmt::Write as _;

use varve_types::{
    Printable,
    container::listing::{Change, ChangeKind},
};

/// A line for each path, with docker's letter.
pub(crate) fn list(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        let _ = writeln!(text, "{letter} {}", Printable(&change.path));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_behind_their_letters() {
        let change = |kind, path: &str| Change { kind, path: path.to_owned() };
        let changes = [
            change(ChangeKind::Added, "/newfile"),
            change(ChangeKind::Changed, "/bin"),
            change(ChangeKind::Deleted, "/bin/yes"),
        ];
        assert_eq!(list(&changes), "A /newfile\nC /bin\nD /bin/yes\n");
    }
}
