//! Columns, aligned as Go's tabwriter aligns Docker's tables.

/// Columns of the narrowest cell with its space.
const CELL_WIDTH_MIN: usize = 10;
/// Columns between two cells.
const SPACE: usize = 3;

/// Aligns cells that end with a tab. What follows the last tab of a line belongs to no column,
/// and a line with fewer cells ends the columns above it.
pub(crate) fn align(text: &str) -> String {
    align_to(text, CELL_WIDTH_MIN)
}

/// Aligns cells as [`align`] does, the narrowest of which has `width_min` columns.
pub(crate) fn align_to(text: &str, width_min: usize) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut table =
        Table { lines, widths: Vec::new(), width_min, out: String::with_capacity(text.len() * 2) };
    table.block(0, table.lines.len());
    if body.len() == text.len() {
        table.out.pop();
    }
    table.out
}

struct Table<'a> {
    lines: Vec<Vec<&'a str>>,
    /// The widths of the columns left of the one that is looked at.
    widths: Vec<usize>,
    width_min: usize,
    out: String,
}

impl Table<'_> {
    /// Writes the lines `from..to`, in which all columns of `widths` are settled.
    fn block(&mut self, from: usize, to: usize) {
        let column = self.widths.len();
        let has_cell = |line: &[&str]| column + 1 < line.len();
        let (mut written, mut at) = (from, from);
        while at < to {
            if !has_cell(&self.lines[at]) {
                at += 1;
                continue;
            }
            self.write(written, at);
            let end = (at..to).find(|&line| !has_cell(&self.lines[line])).unwrap_or(to);
            let cells = self.lines[at..end].iter().map(|line| line[column].chars().count() + SPACE);
            let width = cells.max().unwrap_or(0).max(self.width_min);
            self.widths.push(width);
            self.block(at, end);
            self.widths.pop();
            (written, at) = (end, end);
        }
        self.write(written, to);
    }

    fn write(&mut self, from: usize, to: usize) {
        for line in &self.lines[from..to] {
            for (column, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(column) {
                    let missing = width.saturating_sub(cell.chars().count());
                    self.out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_never_narrow() {
        assert_eq!(
            align("REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\n"),
            "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
        );
        assert_eq!(align("A\tB\nlong long text\tb\n"), "A                B\nlong long text   b\n");
    }

    #[test]
    fn a_line_without_cells_ends_the_columns_above_it() {
        assert_eq!(
            align("aaaaaaaaaaaa\tb\nnothing\nc\td\n"),
            "aaaaaaaaaaaa   b\nnothing\nc         d\n"
        );
    }

    #[test]
    fn an_empty_last_cell_leaves_its_space() {
        assert_eq!(align("A\tB\tC\na\tb\t\n"), "A         B         C\na         b         \n");
    }
}
