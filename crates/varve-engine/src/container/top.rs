//! `top`: a container's processes as `ps` of the host lists them.

use std::{collections::BTreeSet, io, process::Command};

use varve_types::{
    Ctx,
    container::{Container, listing::ProcessTable},
};

use super::{ContainerError, processes};
use crate::{Engine, Result};

/// What Docker asks of `ps` when nothing is asked for.
const OPTIONS: &str = "-ef";

impl Engine {
    /// Lists the processes of a container that runs, with the options of `ps`.
    pub fn top_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        options: &[String],
    ) -> Result<ProcessTable> {
        self.running_state(ctx, container)?;
        let invalid = |text: String| ContainerError::Invalid(text);
        let pids = self.runtime(container)?.pids(&container.id.to_string());
        let pids = pids.map_err(|error| invalid(error.docker_text()))?;
        let pids: BTreeSet<i32> = pids.into_iter().collect();
        let options = if options.is_empty() { OPTIONS.to_owned() } else { options.join(" ") };
        check(&options).map_err(invalid)?;
        let words = options.split_whitespace();
        let output = match Command::new("ps").args(words).env("LC_ALL", "C").output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(processes::table(&options, &pids, ctx.now()).map_err(invalid)?);
            }
            other => other.map_err(|error| invalid(format!("error running ps: {error}")))?,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(invalid(format!("ps: {said}")).into());
        }
        Ok(parse(&String::from_utf8_lossy(&output.stdout), &pids).map_err(invalid)?)
    }
}

/// Refuses a column of process numbers under another name: rows could not be told apart.
fn check(options: &str) -> Result<(), String> {
    let words = options.split_whitespace().filter_map(|word| word.split_once('='));
    for (name, title) in words {
        if title.starts_with("PID") {
            return Err(format!("specifying \"{name}={title}\" is not allowed"));
        }
    }
    Ok(())
}

/// Reads what `ps` wrote: the rows of these processes, and the threads below each.
fn parse(text: &str, pids: &BTreeSet<i32>) -> Result<ProcessTable, String> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let at = titles.iter().position(|title| title == "PID");
    let at = at.ok_or("Couldn't find PID field in ps output")?;
    let mut rows = Vec::new();
    let mut in_process = false;
    for fields in lines.map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        let Some(number) = fields.get(at) else { continue };
        // `-`: a thread of the process above.
        if *number != "-" {
            let pid = number
                .parse::<i32>()
                .map_err(|_| format!("Unexpected pid '{number}': not a number"))?;
            in_process = pids.contains(&pid);
        }
        if in_process {
            // What has spaces stands last.
            let (first, rest) = fields.split_at((titles.len() - 1).min(fields.len()));
            let mut row: Vec<String> = first.iter().map(|field| (*field).to_owned()).collect();
            row.push(rest.join(" "));
            rows.push(row);
        }
    }
    Ok(ProcessTable { titles, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "UID          PID    PPID  C STIME TTY          TIME CMD\n\
                          root           1       0  0 10:00 ?        00:00:01 /sbin/init quiet\n\
                          root        4711       1  0 10:01 ?        00:00:00 sleep 0.2\n\
                          root           -       -  0 10:01 -        00:00:00 -\n\
                          root        4712       1  0 10:01 ?        00:00:00 sh\n";

    #[test]
    fn the_rows_of_the_container_are_kept_with_their_threads() {
        let table = parse(OUTPUT, &BTreeSet::from([4711])).unwrap();
        assert_eq!(table.titles.len(), 8);
        let last: Vec<_> = table.rows.iter().map(|row| row[7].as_str()).collect();
        assert_eq!(last, ["sleep 0.2", "-"]);
    }

    #[test]
    fn without_a_column_of_numbers_rows_cannot_be_told_apart() {
        let error = parse("COMMAND\nsh\n", &BTreeSet::new()).unwrap_err();
        assert_eq!(error, "Couldn't find PID field in ps output");
        let error = check("-o pid=PID1").unwrap_err();
        assert_eq!(error, "specifying \"pid=PID1\" is not allowed");
        check("-o pid,comm").unwrap();
    }
}
