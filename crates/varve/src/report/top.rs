//! The processes of a container.

use varve_types::{Printable, container::listing::ProcessTable};

use crate::format::table;

/// Columns of the narrowest cell with its space.
const CELL_WIDTH_MIN: usize = 20;

/// The table. What programs call themselves is made safe to show.
pub(crate) fn table(processes: &ProcessTable) -> String {
    let mut text = processes.titles.join("\t");
    text.push('\n');
    for row in &processes.rows {
        let cells: Vec<String> = row.iter().map(|cell| Printable(cell).to_string()).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    table::align_to(&text, CELL_WIDTH_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_twenty_wide() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let processes = ProcessTable {
            titles: words(&["PID", "COMMAND"]),
            rows: vec![words(&["23970", "sh"]), words(&["25069", "sleep\u{1b}[31m"])],
        };
        assert_eq!(
            table(&processes),
            "PID                 COMMAND\n23970               sh\n\
             25069               sleep\\x1b[31m\n"
        );
    }
}
