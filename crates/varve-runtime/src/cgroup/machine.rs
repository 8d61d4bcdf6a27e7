//! What control groups this machine has.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use crate::spec::Controls;

/// Bytes of a table of mounts with some dozens of rows.
const TABLE_SIZE_BYTES_USUAL: usize = 16 << 10;

/// The control groups that are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// All of version 1, also those that only have a name, and the one of version 2. Beside version
    /// 1 it has only controllers that version 1 lacks.
    pub hierarchies: Vec<Hierarchy>,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Which interface its files have.
    pub version: Version,
    /// `memory`, `cpu`, …
    pub controllers: Vec<String>,
    /// The group below the mount in which groups may be made: the topmost of those that this process
    /// is in, where not all are its own. Empty for the mount itself.
    #[serde(default)]
    pub delegated: PathBuf,
}

impl Hierarchy {
    /// The group in which groups are made.
    pub fn base(&self) -> PathBuf {
        if self.delegated.as_os_str().is_empty() {
            return self.mount.clone();
        }
        self.mount.join(&self.delegated)
    }

    /// Whether anything is missed when no group can be made in it. `has_v1`: it stands beside
    /// version 1.
    pub(super) fn is_missed(&self, has_v1: bool) -> bool {
        match self.version {
            Version::V1 => {
                self.controllers.iter().any(|name| KNOWN[..LIMITING].contains(&name.as_str()))
            }
            Version::V2 => !has_v1 || !self.controllers.is_empty(),
        }
    }
}

/// An interface of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// One for all.
    V2,
}

impl Machine {
    /// Looks at the mounts of this process.
    pub fn detect() -> io::Result<Self> {
        // The kernel does not say how long the text is; many small reads cost more than this.
        let mut table = String::with_capacity(TABLE_SIZE_BYTES_USUAL);
        fs::File::open("/proc/self/mountinfo")?.read_to_string(&mut table)?;
        let controllers =
            |mount: &Path| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        let mut machine = Self::from_mounts(&table, |mount| controllers(mount));
        let is_ours = |group: &Path| {
            let entrance = group.join("cgroup.procs");
            [group, &entrance].iter().all(|path| access(*path, Access::WRITE_OK).is_ok())
        };
        if machine.hierarchies.iter().any(|one| !is_ours(&one.mount)) {
            let groups = fs::read_to_string("/proc/self/cgroup")?;
            for one in &mut machine.hierarchies {
                one.delegated = delegated(one, &groups, is_ours).unwrap_or_default();
                if one.version == Version::V2 && !one.delegated.as_os_str().is_empty() {
                    let text = controllers(&one.base());
                    one.controllers.retain(|name| text.split_whitespace().any(|it| it == name));
                }
            }
        }
        Ok(machine)
    }

    /// Reads a mount table. `controllers` gives the text of `cgroup.controllers` of a mount of
    /// version 2.
    fn from_mounts(table: &str, controllers: impl Fn(&PathBuf) -> String) -> Self {
        let (mut v1, mut v2): (Vec<Hierarchy>, Vec<Hierarchy>) = (Vec::new(), Vec::new());
        for line in table.lines() {
            let Some((mount, rest)) = line.split_once(" - ") else { continue };
            let Some(place) = mount.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut rest = rest.split(' ');
            let (kind, options) =
                (rest.next().unwrap_or_default(), rest.nth(1).unwrap_or_default());
            let (version, names): (Version, Vec<String>) = match kind {
                "cgroup" => (Version::V1, options.split(',').filter_map(controller).collect()),
                "cgroup2" => {
                    let text = controllers(&place);
                    (Version::V2, text.split_whitespace().map(str::to_owned).collect())
                }
                _ => continue,
            };
            let list = if version == Version::V1 { &mut v1 } else { &mut v2 };
            // The same hierarchy may be mounted again elsewhere: the first place is the usual one.
            let again = list.iter().any(|other| other.controllers == names);
            if !again && (version == Version::V2 || !names.is_empty()) {
                list.push(Hierarchy {
                    mount: place,
                    version,
                    controllers: names,
                    delegated: PathBuf::new(),
                });
            }
        }
        v2.truncate(1);
        if let Some(hierarchy) = v2.first_mut().filter(|_| !v1.is_empty()) {
            hierarchy.controllers.retain(|name| v2_only_where_v1_lacks(name, &v1));
        }
        v1.extend(v2);
        Self { hierarchies: v1 }
    }

    /// What groups made here could limit: controllers whose hierarchy can be written, and that have
    /// the file for it.
    pub fn controls(&self) -> Controls {
        let has = |controller: &str, file: &str| {
            self.hierarchies.iter().any(|one| {
                one.controllers.iter().any(|name| name == controller)
                    && access(one.base(), Access::WRITE_OK).is_ok()
                    && match one.version {
                        // The topmost group has the files of the others, but for the weight.
                        Version::V1 => file.is_empty() || one.base().join(file).exists(),
                        // It has none of them here.
                        Version::V2 => true,
                    }
            })
        };
        let v1 = |file: &str| !self.is_unified() && has("memory", file);
        Controls {
            memory: has("memory", "memory.limit_in_bytes"),
            swap: has("memory", "memory.memsw.limit_in_bytes"),
            swappiness: v1("memory.swappiness"),
            reservation: has("memory", "memory.soft_limit_in_bytes"),
            oom_kill_disable: v1("memory.oom_control"),
            cpu_shares: has("cpu", "cpu.shares"),
            cpu_quota: has("cpu", "cpu.cfs_quota_us"),
            cpuset: has("cpuset", "cpuset.cpus"),
            pids: has("pids", ""),
            block_weight: has("io", "") || has("blkio", "blkio.weight"),
            block_rates: has("io", "") || has("blkio", "blkio.throttle.read_bps_device"),
        }
    }

    /// Whether version 2 is all there is, mounted where programs expect it.
    pub fn is_unified(&self) -> bool {
        let mut all = self.hierarchies.iter();
        all.len() == 1 && all.all(|one| one.version == Version::V2)
    }
}

fn v2_only_where_v1_lacks(name: &str, v1: &[Hierarchy]) -> bool {
    let limits = ["memory", "cpu", "pids", "cpuset", "io"];
    limits.contains(&name)
        && !v1.iter().any(|other| {
            other
                .controllers
                .iter()
                .any(|known| known == name || (name == "io" && known == "blkio"))
        })
}

/// Controllers of version 1, and how many of them limits are known for.
const KNOWN: [&str; 14] = [
    "memory",
    "cpu",
    "cpuacct",
    "cpuset",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "perf_event",
    "net_cls",
    "net_prio",
    "hugetlb",
    "rdma",
    "misc",
];
const LIMITING: usize = 8;

/// The topmost group of those that the text of `/proc/self/cgroup` says we are in (cgroups(7)) and that
/// `is_ours`, below the mount; `None` for the mount itself, or when there is none.
fn delegated(
    hierarchy: &Hierarchy,
    groups: &str,
    is_ours: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    if is_ours(&hierarchy.mount) {
        return None;
    }
    let own = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = match hierarchy.version {
            Version::V1 => names.split(',').any(|name| hierarchy.controllers[0] == name),
            Version::V2 => names.is_empty(),
        };
        is_it.then(|| Path::new(path.trim_start_matches('/')))
    })?;
    let mut group = PathBuf::new();
    for name in own.components() {
        group.push(name);
        if is_ours(&hierarchy.mount.join(&group)) {
            return Some(group);
        }
    }
    None
}

/// The controllers and the name, out of a v1 mount's options.
fn controller(option: &str) -> Option<String> {
    (KNOWN.contains(&option) || option.starts_with("name=")).then(|| option.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &str, v2_controllers: &str) -> String {
        let machine = Machine::from_mounts(table, |_| v2_controllers.to_owned());
        let row = |one: &Hierarchy| {
            format!("{:?} {} {}\n", one.version, one.mount.display(), one.controllers.join(","))
        };
        machine.hierarchies.iter().map(row).collect()
    }

    const V1: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
";
    const V2: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn every_layout_is_told_apart() {
        let v1 = "V1 /sys/fs/cgroup/cpu,cpuacct cpu,cpuacct\nV1 /sys/fs/cgroup/memory memory\n\
                  V1 /sys/fs/cgroup/systemd name=systemd\n";
        assert_eq!(shown(V1, ""), v1);
        let both = format!("{V1}{V2}");
        assert_eq!(shown(&both, "hugetlb\n"), format!("{v1}V2 /sys/fs/cgroup/unified \n"));
        assert_eq!(shown(&both, "pids hugetlb\n"), format!("{v1}V2 /sys/fs/cgroup/unified pids\n"));
        assert_eq!(shown(V2, "cpu memory"), "V2 /sys/fs/cgroup/unified cpu,memory\n");
        assert_eq!(shown("22 27 0:21 / /proc rw - proc proc rw\n", ""), "");
    }

    #[test]
    fn what_can_be_limited_is_what_the_hierarchies_have() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("memory.limit_in_bytes"), "").unwrap();
        fs::write(directory.path().join("memory.swappiness"), "").unwrap();
        let hierarchy = |version, names: &[&str]| Hierarchy {
            mount: directory.path().to_owned(),
            version,
            controllers: names.iter().map(|&name| name.to_owned()).collect(),
            delegated: PathBuf::new(),
        };
        let old = Machine { hierarchies: vec![hierarchy(Version::V1, &["memory"])] };
        let expected = Controls { memory: true, swappiness: true, ..Controls::default() };
        assert_eq!(old.controls(), expected);
        let new = Machine { hierarchies: vec![hierarchy(Version::V2, &["memory", "io"])] };
        let expected = Controls {
            memory: true,
            swap: true,
            reservation: true,
            block_weight: true,
            block_rates: true,
            ..Controls::default()
        };
        assert_eq!(new.controls(), expected);
        assert_eq!(Machine::default().controls(), Controls::default());
    }

    #[test]
    fn groups_are_made_in_the_topmost_that_is_ours() {
        let hierarchy = |version, name: &str| Hierarchy {
            mount: PathBuf::from("/g"),
            version,
            controllers: vec![name.to_owned()],
            delegated: PathBuf::new(),
        };
        let groups = "4:memory:/user/1000\n3:cpu,cpuacct:/\n0::/user.slice/u@1.service/app/x\n";
        let of = |hierarchy: &Hierarchy, ours: &str| {
            let is_ours = |group: &Path| group.starts_with(ours);
            delegated(hierarchy, groups, is_ours)
        };
        let (unified, memory) = (hierarchy(Version::V2, "pids"), hierarchy(Version::V1, "memory"));
        let service = "/g/user.slice/u@1.service";
        assert_eq!(of(&unified, service), Some("user.slice/u@1.service".into()));
        assert_eq!(of(&memory, service), None);
        assert_eq!(of(&memory, "/g/user/1000"), Some("user/1000".into()));
        assert_eq!(of(&hierarchy(Version::V1, "cpu"), "/g/user"), None);
        assert_eq!(of(&unified, "/g"), None);
    }
}
