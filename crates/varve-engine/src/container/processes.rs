//! Processes as `ps` shows them, where there is no `ps`: read from `/proc`.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use varve_types::{Printable, container::listing::ProcessTable};

/// Ticks of a second, as the kernel tells times to programs on every architecture here.
const TICKS_PER_SECOND: u64 = 100;

/// The columns that are known, by `ps`'s names for them.
const COLUMNS: [(&str, &str); 13] = [
    ("pid", "PID"),
    ("ppid", "PPID"),
    ("uid", "UID"),
    ("user", "USER"),
    ("comm", "COMMAND"),
    ("args", "COMMAND"),
    ("cmd", "CMD"),
    ("command", "COMMAND"),
    ("c", "C"),
    ("stime", "STIME"),
    ("tty", "TT"),
    ("time", "TIME"),
    ("stat", "STAT"),
];

/// What `/proc` tells of a process.
struct Facts {
    pid: i32,
    parent: i32,
    uid: u32,
    user: String,
    name: String,
    command: String,
    state: char,
    tty: u64,
    used_s: u64,
    begun_s: u64,
}

/// The processes in the columns of `ps -ef`, or in those named with `-o`.
pub(super) fn table(
    options: &str,
    pids: &BTreeSet<i32>,
    now: Timestamp,
) -> Result<ProcessTable, String> {
    let unknown = || {
        let shown = Printable(options);
        format!("ps is not installed, and without it \"{shown}\" cannot be shown")
    };
    let words: Vec<&str> = options.split_whitespace().collect();
    let (names, is_full) = match words.as_slice() {
        ["-ef"] => ("user,pid,ppid,c,stime,tty,time,cmd", true),
        ["-o" | "-eo", names] => (*names, false),
        _ => return Err(unknown()),
    };
    let names: Vec<&str> = names.split(',').collect();
    let title = |name: &&str| {
        let known = COLUMNS.iter().find(|(known, _)| known == name);
        match known.ok_or_else(unknown)?.1 {
            "USER" if is_full => Ok("UID".to_owned()),
            "TT" if is_full => Ok("TTY".to_owned()),
            title => Ok(title.to_owned()),
        }
    };
    let titles = names.iter().map(title).collect::<Result<Vec<String>, String>>()?;
    if !names.contains(&"pid") {
        return Err("Couldn't find PID field in ps output".to_owned());
    }
    let up_s = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up_s = up_s.split('.').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let processes = pids.iter().filter_map(|pid| Facts::read(*pid, &users));
    let row = |facts: Facts| names.iter().map(|name| facts.cell(name, now, up_s)).collect();
    Ok(ProcessTable { titles, rows: processes.map(row).collect() })
}

impl Facts {
    /// Reads what there is of a process; `None` when it has ended.
    fn read(pid: i32, users: &str) -> Option<Self> {
        let directory = format!("/proc/{pid}");
        let uid = fs::metadata(&directory).ok()?.uid();
        let stat = fs::read_to_string(format!("{directory}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let arguments = fs::read(format!("{directory}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        let words: Vec<&str> = arguments.trim_end_matches('\0').split('\0').collect();
        let command = match words.join(" ") {
            text if text.is_empty() => format!("[{name}]"),
            text => text,
        };
        let user = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            uid,
            user: user.unwrap_or_else(|| uid.to_string()),
            name,
            command,
            state: fields.first()?.chars().next()?,
            tty: number(4)?,
            used_s: (number(11)? + number(12)?) / TICKS_PER_SECOND,
            begun_s: number(19)? / TICKS_PER_SECOND,
        })
    }

    fn cell(&self, column: &str, now: Timestamp, up_s: u64) -> String {
        let lived_s = up_s.saturating_sub(self.begun_s);
        match column {
            "pid" => self.pid.to_string(),
            "ppid" => self.parent.to_string(),
            "uid" => self.uid.to_string(),
            "user" => self.user.clone(),
            "comm" => self.name.clone(),
            "c" => (self.used_s * 100 / lived_s.max(1)).min(99).to_string(),
            "stime" => {
                let begun = now - SignedDuration::from_secs(lived_s.cast_signed());
                begun.to_zoned(TimeZone::system()).strftime("%H:%M").to_string()
            }
            "tty" => match (self.tty >> 8 & 0xfff, self.tty & 0xff) {
                (0, 0) => "?".to_owned(),
                (136, minor) => format!("pts/{minor}"),
                (4, minor) => format!("tty{minor}"),
                (major, minor) => format!("{major}:{minor}"),
            },
            "time" => {
                let (minutes, seconds) = (self.used_s / 60, self.used_s % 60);
                format!("{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60)
            }
            "stat" => self.state.to_string(),
            _ => self.command.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(options: &str, pids: &BTreeSet<i32>) -> Result<ProcessTable, String> {
        super::table(options, pids, Timestamp::now())
    }

    #[test]
    fn a_process_is_shown_as_ps_does() {
        let me = std::process::id().cast_signed();
        let table = table("-ef", &BTreeSet::from([me])).unwrap();
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
        assert_eq!(table.titles, titles);
        let row = &table.rows[0];
        assert_eq!(row[1], me.to_string());
        assert_eq!(row[2], std::os::unix::process::parent_id().to_string());
        let command = std::env::args().next().unwrap();
        assert!(row[7].starts_with(&command), "{row:?}");
    }

    #[test]
    fn what_only_ps_knows_is_said_to_be_missing() {
        let none = BTreeSet::new();
        assert!(table("aux", &none).unwrap_err().starts_with("ps is not installed"));
        assert!(table("-o pid,wchan", &none).is_err());
        assert_eq!(table("-o pid,comm", &none).unwrap().titles, ["PID", "COMMAND"]);
        assert_eq!(table("-o comm", &none).unwrap_err(), "Couldn't find PID field in ps output");
    }
}
