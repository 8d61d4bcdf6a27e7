//! Takes what is the recording machine's, or chance, out of a recorded text and out of ours. A
//! rule is for the records only that a plan lists under `levelled`.

use crate::build_lines::is_id;

/// A kind of text that says nothing about behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The name that a container without one is given, in `on endpoint NAME (`.
    EndpointName,
    /// The ports of the host that nobody asked for: 32768 and above. Equal ones stay equal.
    EphemeralPorts,
    /// The numbers of processes other than the first in `ps`: threads of runc use some up.
    ProcessNumbers,
    /// The line of the root's overlay: `grep /tmp` finds it only when a store lies below `/tmp`.
    RootMount,
    /// The device and the filesystem that a volume lies on, with the filesystem's own options.
    Disk,
    /// The sizes that filesystems give to directories, and the machine's resolver.
    DirectorySizes,
    /// What the machine and the scheduler gave to a process: processors, memory nodes, switches.
    ProcessShare,
    /// How many devices the machine has.
    Devices,
    /// In which order a program of a build found files.
    FileOrder,
    /// The time of files of a build that starts from nothing.
    BuildTime,
    /// The names that are made up for records of a build cache.
    CacheNames,
    /// Where the storage says it keeps an image of one layer.
    GraphDriver,
}

impl Rule {
    /// The rule of a plan's word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "endpoint name" => Self::EndpointName,
            "ephemeral ports" => Self::EphemeralPorts,
            "process numbers" => Self::ProcessNumbers,
            "root mount" => Self::RootMount,
            "disk" => Self::Disk,
            "directory sizes" => Self::DirectorySizes,
            "process share" => Self::ProcessShare,
            "devices" => Self::Devices,
            "file order" => Self::FileOrder,
            "build time" => Self::BuildTime,
            "cache names" => Self::CacheNames,
            "graph driver" => Self::GraphDriver,
            _ => return None,
        })
    }

    /// A text, recorded or ours, without it.
    pub(crate) fn apply(self, text: &str) -> String {
        match self {
            Self::EndpointName => endpoint_name(text),
            Self::EphemeralPorts => ephemeral_ports(text),
            Self::ProcessNumbers => lines(text, number_of_process),
            Self::RootMount => root_mount(text),
            Self::Disk => lines(text, disk),
            Self::DirectorySizes => lines(text, directory_size),
            Self::ProcessShare => lines(text, share_of_process),
            Self::Devices => devices(text),
            Self::FileOrder => file_order(text),
            Self::BuildTime => text.replace("1970-01-01 00:00", "<DATE>"),
            Self::CacheNames => {
                lines(text, |line| if is_id(line) { "<ID25>".to_owned() } else { line.to_owned() })
            }
            Self::GraphDriver => graph_driver(text),
        }
    }
}

fn lines(text: &str, change: impl Fn(&str) -> String) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
        Some(line) => change(line) + "\n",
        None => change(line),
    });
    lines.collect()
}

/// A made-up name has two words of lower case; the recording cuts one off.
fn endpoint_name(text: &str) -> String {
    const BEFORE: &str = "on endpoint ";
    let Some(at) = text.find(BEFORE).map(|at| at + BEFORE.len()) else { return text.into() };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let after = text[at..].trim_start_matches(is_name);
    let name = &text[at..text.len() - after.len()];
    let made_up = name.contains('_') && (after.starts_with(" (") || after.starts_with("\n…["));
    if made_up { format!("{}NAME{after}", &text[..at]) } else { text.into() }
}

/// Numbers them in the order in which they come, in five characters, as wide as a port.
fn ephemeral_ports(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let word = &rest[start..];
        let length = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
        let word = &word[..length];
        out.push_str(&rest[..start]);
        let is_port = word.len() == 5 && word.parse::<u16>().is_ok_and(|port| port >= 32768);
        if is_port && out.ends_with(':') {
            let at = known.iter().position(|port| *port == word).unwrap_or_else(|| {
                known.push(word);
                known.len() - 1
            });
            out.push_str("PORT");
            out.push_str(&at.to_string());
        } else {
            out.push_str(word);
        }
        rest = &rest[start + length..];
    }
    out + rest
}

/// Writes ours as overlay2 has it for the layers that are listed: the recordings have most of it in
/// their holes.
fn graph_driver(text: &str) -> String {
    let layers = text.rsplit("Layers").next().unwrap_or_default().matches("sha256:").count();
    let made_up = format!("/var/lib/docker/overlay2/{}1", "0".repeat(63));
    let lower = vec![format!("{made_up}/diff"); layers.saturating_sub(1)].join(":");
    let places = [("MergedDir", "merged"), ("UpperDir", "diff"), ("WorkDir", "work")];
    let mut members: Vec<String> =
        places.iter().map(|(name, end)| format!("\"{name}\": \"{made_up}/{end}\"")).collect();
    if !lower.is_empty() {
        members.insert(0, format!("\"LowerDir\": \"{lower}\""));
    }
    let (gap, name) = ("\n                ", "\"Name\": ");
    let pretty = format!(
        "\"Data\": {{{gap}{}\n            }},\n            {name}\"overlay2\"",
        members.join(&format!(",{gap}"))
    );
    let compact = members.join(",").replace("\": ", "\":");
    let compact = format!("{{\"Data\":{{{compact}}},\"Name\":\"overlay2\"}}");
    text.replace(&format!("\"Data\": null,\n            {name}\"varve\""), &pretty)
        .replace("{\"Data\":null,\"Name\":\"varve\"}", &compact)
}

fn number_of_process(line: &str) -> String {
    let number = line.split_whitespace().next().unwrap_or_default();
    match number.parse::<u32>() {
        Ok(number) if number > 1 => {
            let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
            format!("    N{rest}")
        }
        _ => line.to_owned(),
    }
}

/// The recording's line has the hole in it.
fn root_mount(text: &str) -> String {
    match text.strip_prefix("overlay on / type overlay (ro,relatime,lowerdir=") {
        Some(rest) => rest.split_once("/work)\n").map_or("", |(_, rest)| rest).to_owned(),
        None => text.to_owned(),
    }
}

fn disk(line: &str) -> String {
    let levelled = || {
        let (_, rest) = line.strip_prefix("/dev/")?.split_once(" on ")?;
        let (path, rest) = rest.split_once(" type ")?;
        let options: Vec<&str> = rest.split_once(" (")?.1.strip_suffix(')')?.split(',').collect();
        const OF_MOUNTS: &[&str] =
            &["rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "nodiratime"];
        let kept: Vec<&str> =
            options.into_iter().filter(|option| OF_MOUNTS.contains(option)).collect();
        Some(format!("DISK on {path} type FS ({})", kept.join(",")))
    };
    levelled().unwrap_or_else(|| line.to_owned())
}

/// Of `ls -la` as busybox prints it. The line that the recording cuts ends behind the size.
fn directory_size(line: &str) -> String {
    // Of a program of a build.
    if let Some((number, rest)) = line.split_once(" <SEC> ")
        && number.starts_with('#')
    {
        return format!("{number} <SEC> {}", directory_size(rest));
    }
    if line.strip_prefix("total ").is_some_and(|count| count.parse::<u64>().is_ok()) {
        return "total 0".to_owned();
    }
    // The recording's address stands right behind the hole.
    let address = line.strip_prefix("nameserver ").unwrap_or(line);
    if address.parse::<std::net::IpAddr>().is_ok() {
        return line.replace(address, "RESOLVER");
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [mode, _, _, _, size, ..] if mode.len() == 10 && mode.starts_with('d') => {
            let (before, after) = line.split_at(line.find("root ").map_or(0, |at| at + 5));
            let wide = format!("{:>width$}", 0, width = size.len());
            format!("{before}{}", after.replacen(&format!(" {size} "), &format!(" {wide} "), 1))
        }
        _ => line.to_owned(),
    }
}

/// The recording's own values in the length of the recording, which hides most of them.
fn share_of_process(line: &str) -> String {
    match line.split_once(":\t") {
        Some((name @ ("voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches"), count))
            if count.parse::<u64>().is_ok() =>
        {
            format!("{name}:\tN")
        }
        Some((name @ "Mems_allowed", _)) => format!("{name}:\t{}00000001", "00000000,".repeat(31)),
        Some((name @ ("Cpus_allowed" | "Cpus_allowed_list" | "Mems_allowed_list"), _)) => {
            format!("{name}:\t0")
        }
        _ => line.to_owned(),
    }
}

/// Sorts the lines that a program of a build wrote.
fn file_order(text: &str) -> String {
    let is_output = |line: &str| line.starts_with('#') && line.contains(" <SEC> /");
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.chunk_by_mut(|one, other| is_output(one) && is_output(other)).for_each(<[_]>::sort);
    lines.concat()
}

/// The count is the first line that is a number; a container with its own devices has 15.
fn devices(text: &str) -> String {
    let count = |line: &&str| line.parse::<u32>().is_ok_and(|count| count > 50);
    let Some(count) = text.lines().find(count) else { return text.into() };
    text.replacen(&format!("\n{count}\n"), "\nDEVICES\n", 1)
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[track_caller]
    fn same(rule: Rule, recorded: &str, ours: &str, other: &str) {
        assert_eq!(rule.apply(recorded), rule.apply(ours), "{rule:?}");
        assert_ne!(rule.apply(recorded), rule.apply(other), "{rule:?}");
    }

    #[test]
    fn rules_level_what_they_name_and_nothing_else() {
        same(Rule::EndpointName, "on endpoint a_b (1)", "on endpoint c_d (1)", "on endpoint x (1)");
        same(Rule::EphemeralPorts, ":32770 :32770", ":32768 :32768", ":32768 :32769");
        same(Rule::EphemeralPorts, ":80 :32770", ":80 :32768", ":81 :32768");
        let header = "PID   USER     COMMAND\n    1 root     init\n";
        let process = |line: &str| format!("{header}{line}\n");
        same(
            Rule::ProcessNumbers,
            &process("    7 root     ps"),
            &process("   12 root     ps"),
            &process("    7 root     top"),
        );
        same(
            Rule::Disk,
            "/dev/sda1 on /a type ext4 (rw,relatime)",
            "/dev/vda on /a type xfs (rw,relatime,discard)",
            "/dev/sda1 on /a type ext4 (ro,relatime)",
        );
        same(
            Rule::DirectorySizes,
            "total 40\ndrwxr-xr-x    1 root     root          4096 <DATE> bin",
            "total 17\ndrwxr-xr-x    1 root     root          4846 <DATE> bin",
            "total 17\ndrwxr-xr-t    1 root     root          4846 <DATE> bin",
        );
        same(
            Rule::ProcessShare,
            "voluntary_ctxt_switches:\t10\nSeccomp:\t2",
            "voluntary_ctxt_switches:\t5\nSeccomp:\t2",
            "voluntary_ctxt_switches:\t5\nSeccomp:\t0",
        );
        same(
            Rule::FileOrder,
            "#5 <SEC> /b\n#5 <SEC> /a\n#6 RUN",
            "#5 <SEC> /a\n#5 <SEC> /b\n#6 RUN",
            "#5 <SEC> /a\n#5 <SEC> /c\n#6 RUN",
        );
        same(Rule::BuildTime, "<DATE> f", "1970-01-01 00:00 f", "1970-01-01 00:00 g");
        let id = "4hv8rjpcxwxtp7wtmfahnmsfx";
        same(Rule::CacheNames, "<ID25>\n1B", &format!("{id}\n1B"), &format!("{id}\n2B"));
        let kept = format!("/var/lib/docker/overlay2/{}1", "0".repeat(63));
        let recorded = format!(
            "{{\"Data\":{{\"MergedDir\":\"{kept}/merged\",\"UpperDir\":\"{kept}/diff\",\
             \"WorkDir\":\"{kept}/work\"}},\"Name\":\"overlay2\"}} Layers sha256:1"
        );
        let ours = "{\"Data\":null,\"Name\":\"varve\"} Layers sha256:1";
        same(Rule::GraphDriver, &recorded, ours, &format!("{ours},sha256:2"));
        same(
            Rule::Devices,
            "Seccomp:\t0\n108\n0\n",
            "Seccomp:\t0\n386\n0\n",
            "Seccomp:\t0\n15\n0\n",
        );
    }
}
