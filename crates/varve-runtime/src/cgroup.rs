//! Control groups: what a container may use, what it has used, and all its processes at once.
//!
//! ```text
//! machine   what is mounted: v1 hierarchies, v2, both, nothing that can be used
//! v1, v2    limits as writes of text to files                                     pure
//! devices   device rules as a small BPF program, for v2                           pure
//! stats     what the files say was used
//! entry     how a process gets in
//! ```
//!
//! A container's group is `<path>` in every hierarchy that is there. A machine where groups cannot
//! be made still runs containers: what is not enforced comes back as [`Unenforced`].

mod devices;
mod entry;
mod machine;
mod stats;
mod v1;
mod v2;

use std::{
    fs,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{oci::Resources, sys};

pub(crate) use entry::Entry;
pub use machine::{Hierarchy, Machine, Version};
pub use stats::{BlockStats, CpuStats, MemoryStats, PidStats, Stats};

/// How often a group that still has ends of processes in it is tried to be removed or frozen,
/// with [`PAUSE`] between.
const TRIES_MAX: u32 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// A container's place in the control groups of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    parts: Vec<Part>,
}

/// Its directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) directory: PathBuf,
    pub(crate) hierarchy: Hierarchy,
}

/// A limit that was asked for and is not in force here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unenforced {
    /// What: `memory limit`, `device rules`, or `limits` for all of them.
    pub what: String,
    /// Why, as the machine says it.
    pub why: String,
}

/// What is not limited because groups could not be made: one text for each reason.
fn unlimited(refused: &[(&Hierarchy, String)]) -> Vec<Unenforced> {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for (hierarchy, why) in refused {
        let names = hierarchy.controllers.iter().map(String::as_str);
        let names: Vec<&str> = match hierarchy.version {
            Version::V1 => names.collect(),
            Version::V2 => Vec::new(),
        };
        match told.iter_mut().find(|(known, _)| known == why) {
            Some((_, all)) => all.extend(names),
            None => told.push((why, names)),
        }
    }
    let text = |(why, mut names): (&str, Vec<&str>)| {
        names.sort_unstable();
        let of = if names.is_empty() { "" } else { " of " };
        Unenforced { what: format!("limits{of}{}", names.join(", ")), why: why.to_owned() }
    };
    told.into_iter().map(text).collect()
}

/// One text to be written to one file of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) controller: &'static str,
    pub(crate) file: &'static str,
    pub(crate) value: String,
    pub(crate) what: &'static str,
}

impl Cgroup {
    /// Makes the group `path` (such as `/varve/<id>`) wherever that is possible. What is not
    /// possible is told; a path that leaves the hierarchies is refused as invalid.
    pub fn create(machine: &Machine, path: &str) -> io::Result<(Self, Vec<Unenforced>)> {
        let relative = relative(path)?;
        let (mut group, mut refused) = (Self::default(), Vec::new());
        let has_v1 = machine.hierarchies.iter().any(|one| one.version == Version::V1);
        for hierarchy in &machine.hierarchies {
            match make_directories(hierarchy, relative) {
                Ok(directory) => {
                    group.parts.push(Part { directory, hierarchy: hierarchy.clone() });
                }
                Err(_) if !hierarchy.is_missed(has_v1) => {}
                Err(error) => refused.push((hierarchy, reason(&error))),
            }
        }
        let unenforced = if machine.hierarchies.is_empty() {
            let why = "no control groups are mounted".to_owned();
            vec![Unenforced { what: "limits".to_owned(), why }]
        } else {
            unlimited(&refused)
        };
        Ok((group, unenforced))
    }

    /// The group `path` as far as somebody made it; none for what is no path of a group, above all
    /// an empty one: that would be the group of all processes.
    pub fn find(machine: &Machine, path: &str) -> Self {
        let Ok(relative) = relative(path) else { return Self::default() };
        let part = |hierarchy: &Hierarchy| {
            let directory = hierarchy.base().join(relative);
            directory.is_dir().then(|| Part { directory, hierarchy: hierarchy.clone() })
        };
        Self { parts: machine.hierarchies.iter().filter_map(part).collect() }
    }

    /// Whether there is no group at all.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Puts limits in force. What is refused is told.
    pub fn apply(&self, resources: &Resources) -> Vec<Unenforced> {
        let (mut unenforced, mut refused) = (Vec::new(), Vec::new());
        let unified = self.parts.iter().find(|part| part.hierarchy.version == Version::V2);
        let mut settings = v1::settings(resources);
        let of_v1 = settings.len();
        settings.extend(v2::settings(resources));
        let mut asked: Vec<(&str, bool)> = Vec::new();
        for (index, setting) in settings.iter().enumerate() {
            let version = if index < of_v1 { Version::V1 } else { Version::V2 };
            let part = self.part(setting.controller, version);
            if !asked.iter().any(|(what, _)| *what == setting.what) {
                asked.push((setting.what, false));
            }
            let Some(part) = part else { continue };
            if let Some(found) = asked.iter_mut().find(|(what, _)| *what == setting.what) {
                found.1 = true;
            }
            if write(&part.directory.join(setting.file), &setting.value).is_err() {
                refused.push((part.directory.join(setting.file), setting));
            }
        }
        // Some limits must not pass others that were still to be written, so try once more.
        for (file, setting) in refused {
            if let Err(error) = write(&file, &setting.value) {
                unenforced.push(Unenforced { what: setting.what.to_owned(), why: reason(&error) });
            }
        }
        for (what, _) in asked.iter().filter(|(_, found)| !found) {
            let why = "this machine has no such controller".to_owned();
            unenforced.push(Unenforced { what: (*what).to_owned(), why });
        }
        unenforced.extend(self.apply_device_rules(unified, resources));
        unenforced
    }

    fn apply_device_rules(
        &self,
        unified: Option<&Part>,
        resources: &Resources,
    ) -> Option<Unenforced> {
        if resources.devices.is_empty() {
            return None;
        }
        let rules = devices::with_defaults(&resources.devices);
        let done = if let Some(part) = self.part("devices", Version::V1) {
            rules.iter().try_for_each(|rule| {
                let file = if rule.allow { "devices.allow" } else { "devices.deny" };
                write(&part.directory.join(file), &v1::device_rule(rule))
            })
        } else if let Some(part) = unified {
            attach(&part.directory, &rules)
        } else {
            Err(io::Error::other("this machine has no such controller"))
        };
        let error = done.err()?;
        Some(Unenforced { what: "device rules".to_owned(), why: reason(&error) })
    }

    fn part(&self, controller: &str, version: Version) -> Option<&Part> {
        self.parts.iter().find(|part| {
            part.hierarchy.version == version
                && (part.hierarchy.controllers.iter().any(|name| name == controller))
        })
    }

    /// Takes a process of another in, for which the kernel takes its time; what it starts is in the
    /// group too.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        let text = pid.to_string();
        self.parts.iter().try_for_each(|part| write(&part.directory.join("cgroup.procs"), &text))
    }

    /// The directory of each hierarchy with its name below `/sys/fs/cgroup`.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&Path, &Hierarchy)> {
        self.parts.iter().map(|part| (part.directory.as_path(), &part.hierarchy))
    }

    /// The processes in the group and in the groups that its processes made below it.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let Some(part) = self.parts.first() else { return Ok(Vec::new()) };
        let mut pids = Vec::new();
        collect_pids(&part.directory, &mut pids)?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Stops every process where it is, or lets all go on.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(part) = self.part("freezer", Version::V1) {
            let state = if frozen { "FROZEN" } else { "THAWED" };
            let file = part.directory.join("freezer.state");
            for _ in 0..TRIES_MAX {
                write(&file, state)?;
                if fs::read_to_string(&file)?.trim() == state {
                    return Ok(());
                }
                thread::sleep(PAUSE);
            }
            return Err(io::ErrorKind::TimedOut.into());
        }
        let unified = self.parts.iter().find(|part| part.hierarchy.version == Version::V2);
        let Some(part) = unified else {
            return Err(io::Error::other("this machine has no freezer"));
        };
        write(&part.directory.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        for _ in 0..TRIES_MAX {
            let events = fs::read_to_string(part.directory.join("cgroup.events"))?;
            if events.lines().any(|line| line == wanted) {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Whether the group is frozen.
    pub fn is_frozen(&self) -> bool {
        let is = |part: &Part, file: &str, texts: &[&str]| {
            let text = fs::read_to_string(part.directory.join(file)).unwrap_or_default();
            texts.contains(&text.trim())
        };
        if let Some(part) = self.part("freezer", Version::V1) {
            return is(part, "freezer.state", &["FROZEN", "FREEZING"]);
        }
        let mut unified = self.parts.iter().filter(|part| part.hierarchy.version == Version::V2);
        unified.any(|part| is(part, "cgroup.freeze", &["1"]))
    }

    /// Sends a signal to every process of the group; `SIGKILL` until none is left.
    pub fn kill(&self, signal: Signal) -> io::Result<()> {
        if signal == Signal::KILL {
            for part in self.parts.iter().filter(|part| part.hierarchy.version == Version::V2) {
                // From Linux 5.14 on; elsewhere the loop below does it.
                let _ = write(&part.directory.join("cgroup.kill"), "1");
            }
        }
        for _ in 0..TRIES_MAX {
            let pids = self.pids()?;
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                match kill_process(pid, signal) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if signal != Signal::KILL || pids.is_empty() {
                return Ok(());
            }
            if self.is_frozen() {
                self.freeze(false)?;
            }
            thread::sleep(PAUSE);
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// What the group has used.
    pub fn stats(&self) -> Stats {
        stats::read(&self.parts)
    }

    /// How many processes the kernel ended for want of memory.
    pub fn oom_kills(&self) -> u64 {
        stats::oom_kills(&self.parts)
    }

    /// Removes the group and what its processes made below it. They must be gone.
    pub fn delete(&self) -> io::Result<()> {
        for part in &self.parts {
            remove(&part.directory)?;
        }
        Ok(())
    }
}

/// The path of a group below where a hierarchy is mounted, and not that place itself.
fn relative(path: &str) -> io::Result<&str> {
    let relative = path.trim_start_matches('/');
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    if relative.split('/').all(plain) {
        Ok(relative)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path of a cgroup"))
    }
}

fn reason(error: &io::Error) -> String {
    crate::oci::errno_text(error)
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Makes the directories of a group, each ready to hold processes or further groups.
fn make_directories(hierarchy: &Hierarchy, relative: &str) -> io::Result<PathBuf> {
    let mut directory = hierarchy.base();
    for name in relative.split('/') {
        if hierarchy.version == Version::V2 {
            for controller in &hierarchy.controllers {
                // Refused where processes are in the way; the limit's own file is missed then.
                let _ = write(&directory.join("cgroup.subtree_control"), &format!("+{controller}"));
            }
        }
        let parent = directory.clone();
        directory.push(name);
        match fs::create_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if hierarchy.version == Version::V1
            && hierarchy.controllers.iter().any(|name| name == "cpuset")
        {
            // A new group has no processors, and takes no process until it has.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if fs::read_to_string(directory.join(file))?.trim().is_empty() {
                    let inherited = fs::read_to_string(parent.join(file))?;
                    write(&directory.join(file), inherited.trim())?;
                }
            }
        }
    }
    Ok(directory)
}

fn attach(directory: &Path, rules: &[crate::oci::DeviceRule]) -> io::Result<()> {
    let directory = fs::File::open(directory)?;
    sys::attach_device_program(directory.as_fd(), &devices::program(rules))
}

fn collect_pids(directory: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    let text = match fs::read_to_string(directory.join("cgroup.procs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    if !has_groups(directory) {
        return Ok(());
    }
    for entry in fs::read_dir(directory)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_pids(&entry.path(), pids)?;
        }
    }
    Ok(())
}

/// Whether there are groups in a group: the kernel counts them among its directory's names.
fn has_groups(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|facts| facts.nlink() > 2)
}

fn remove(directory: &Path) -> io::Result<()> {
    // Refused while there is anything in it, so there is no need to look first.
    if fs::remove_dir(directory).is_ok() {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    let mut tried = 0;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if tried == TRIES_MAX => return Err(error),
            // The last process is on its way out.
            Err(_) => thread::sleep(PAUSE),
        }
        tried += 1;
    }
}
