//! What containers use.

use std::rc::Rc;

use varve_types::container::listing::Usage;

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        units,
    },
};

const HEADERS: &[(&str, &str)] = &[
    ("BlockIO", "BLOCK I/O"),
    ("CPUPerc", "CPU %"),
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("MemPerc", "MEM %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("Name", "NAME"),
    ("NetIO", "NET I/O"),
    ("PIDs", "PIDS"),
];

/// Lists containers with what they use.
pub(crate) fn table(rows: &[Usage], format: &str, whole: bool) -> Result<String, CommandError> {
    let format = match format {
        "" | "table" => {
            "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
        }
        format => format,
    };
    let rows = rows
        .iter()
        .map(|usage| -> Rc<dyn Row> { Rc::new(UsageRow { usage: usage.clone(), whole }) });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct UsageRow {
    usage: Usage,
    whole: bool,
}

impl UsageRow {
    /// A value, or docker's sign for a container of which nothing is known.
    fn known(&self, text: String, unknown: &str) -> Value {
        Value::text(if self.usage.id.is_empty() { unknown.to_owned() } else { text })
    }
}

impl Row for UsageRow {
    fn go_type(&self) -> &'static str {
        "*container.statsContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        const NONE: &str = "--";
        let usage = &self.usage;
        let pair = |one, other| format!("{} / {}", units::size(one, 3), units::size(other, 3));
        Some(match name {
            "BlockIO" => self.known(pair(usage.read_bytes, usage.written_bytes), NONE),
            "CPUPerc" => self.known(format!("{:.2}%", usage.cpu_percent), NONE),
            "Container" => Value::text(usage.container.as_str()),
            "ID" if self.whole => Value::text(usage.id.as_str()),
            "ID" => Value::text(units::short_id(&usage.id)),
            "MemPerc" => {
                let limit = usage.memory_limit_bytes as f64;
                let share =
                    if limit == 0.0 { 0.0 } else { usage.memory_bytes as f64 / limit * 100.0 };
                self.known(format!("{share:.2}%"), NONE)
            }
            "MemUsage" => {
                let used = units::binary_size(usage.memory_bytes);
                let limit = units::binary_size(usage.memory_limit_bytes);
                self.known(format!("{used} / {limit}"), "-- / --")
            }
            "Name" => self.known(usage.name.clone(), NONE),
            "NetIO" => self.known(pair(usage.received_bytes, usage.sent_bytes), NONE),
            "PIDs" => self.known(usage.pids.to_string(), NONE),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_recorded() {
        let usage = Usage {
            container: "ctr".to_owned(),
            id: "0aa4c0c796807421".to_owned(),
            name: "ctr".to_owned(),
            cpu_percent: 0.8467,
            memory_bytes: 680 << 10,
            memory_limit_bytes: 25_275_874_509,
            received_bytes: 516,
            pids: 2,
            ..Usage::default()
        };
        let rows = [usage, Usage { container: "gone".to_owned(), ..Usage::default() }];
        assert_eq!(
            table(&rows[..1], "", false).unwrap(),
            "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O     BLOCK I/O   PIDS\n\
             0aa4c0c79680   ctr       0.85%     680KiB / 23.54GiB   0.00%     516B / 0B   0B / 0B     2\n"
        );
        assert_eq!(
            table(&rows, "json", false).unwrap().lines().next().unwrap(),
            r#"{"BlockIO":"0B / 0B","CPUPerc":"0.85%","Container":"ctr","ID":"0aa4c0c79680","MemPerc":"0.00%","MemUsage":"680KiB / 23.54GiB","Name":"ctr","NetIO":"516B / 0B","PIDs":"2"}"#
        );
        assert_eq!(table(&rows[1..], "{{.Name}} {{.MemUsage}}", false).unwrap(), "-- -- / --\n");
    }
}
