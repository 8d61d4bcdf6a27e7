//! What this machine can do: the facts that specs follow from, found out by looking.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Capability, LinuxDeviceType};
use rustix::process::{Resource, Rlimit};
use varve_types::{Kind, Printable, container::DeviceMapping};

use crate::{
    cgroup,
    spec::{Cgroups, HostDevice, Machine, ResourceLimit, all_capabilities},
};

/// Directories of `/dev` that belong to each container, not to the host.
const OWN_DIRECTORIES: [&str; 5] = ["pts", "shm", "fd", "mqueue", ".lxc"];
/// How deep devices may lie in `/dev`.
const DEVICE_DEPTH_MAX: usize = 16;

/// A device that was asked for is not there. The message is docker's.
#[derive(Debug, thiserror::Error)]
#[error(
    "error gathering device information while adding custom device \"{}\": {}",
    Printable(path),
    reason(source)
)]
pub struct DeviceError {
    /// The path on the host.
    pub path: String,
    /// What the kernel said, or that it is no device.
    pub source: io::Error,
}

impl DeviceError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Invalid,
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidInput => "not a device node".to_owned(),
        _ => error.to_string(),
    }
}

/// Looks at the machine. `groups` is what was found of control groups; `privileged` lists the
/// host's devices too, which takes a walk through `/dev`.
pub fn machine(groups: cgroup::Machine, privileged: bool) -> Machine {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rootless = !maps(&read("/proc/self/uid_map"), 0, u64::from(u32::MAX));
    let cpus_list = read("/sys/devices/system/cpu/online").trim().to_owned();
    let effective = capabilities(&status, "CapEff:");
    Machine {
        architecture: varve_types::Platform::host().architecture,
        kernel: kernel(),
        cgroups: match () {
            () if groups.hierarchies.is_empty() => Cgroups::None,
            () if groups.is_unified() => Cgroups::V2,
            () => Cgroups::V1,
        },
        controls: groups.controls(),
        rootless,
        has_tty_group: maps(&read("/proc/self/gid_map"), 5, 1),
        seccomp: status.lines().any(|line| line.starts_with("Seccomp:")),
        apparmor: read("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        recursive_read_only: kernel() >= (5, 12),
        capabilities: capabilities(&status, "CapBnd:"),
        limits: limits(),
        may_raise_limits: !rootless && effective.contains(&Capability::SysResource),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
        cpus_list,
        nodes_list: read("/sys/devices/system/node/online").trim().to_owned(),
        devices: if privileged { host_devices() } else { Vec::new() },
    }
}

/// The capabilities that this process may have (its bounding set).
pub fn bounding_capabilities() -> Vec<Capability> {
    capabilities(&read("/proc/self/status"), "CapBnd:")
}

/// The devices that a mapping stands for: one, or all in a directory.
pub fn devices(mapping: &DeviceMapping) -> Result<Vec<(HostDevice, String)>, DeviceError> {
    let failed = |source| DeviceError { path: mapping.path_on_host.clone(), source };
    let host = Path::new(&mapping.path_on_host);
    let inside = PathBuf::from(&mapping.path_in_container);
    let mut found = Vec::new();
    if fs::metadata(host).map_err(failed)?.is_dir() {
        walk(host, &inside, 0, &mut found);
    } else {
        let device = device(host, inside).map_err(failed)?;
        found.push(device.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?);
    }
    let access = &mapping.cgroup_permissions;
    Ok(found.into_iter().map(|device| (device, access.clone())).collect())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Major and minor version; 0.0 when the kernel's name starts otherwise.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (next(), next())
}

/// Whether a map of IDs (`inside outside count`) has `count` from `first` on, unchanged when
/// all are asked for.
fn maps(map: &str, first: u64, count: u64) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> =
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [inside, outside, length] = numbers[..] else { return false };
        let all = count == u64::from(u32::MAX);
        inside <= first && first + count <= inside + length && (!all || outside == 0)
    })
}

/// The capabilities of one line of `/proc/self/status`.
fn capabilities(status: &str, line: &str) -> Vec<Capability> {
    let mask = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
    let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
    let all = all_capabilities().iter().enumerate();
    all.filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, capability)| *capability).collect()
}

fn limits() -> BTreeMap<String, ResourceLimit> {
    const RESOURCES: [(&str, Resource); 15] = [
        ("core", Resource::Core),
        ("cpu", Resource::Cpu),
        ("data", Resource::Data),
        ("fsize", Resource::Fsize),
        ("locks", Resource::Locks),
        ("memlock", Resource::Memlock),
        ("msgqueue", Resource::Msgqueue),
        ("nice", Resource::Nice),
        ("nofile", Resource::Nofile),
        ("nproc", Resource::Nproc),
        ("rss", Resource::Rss),
        ("rtprio", Resource::Rtprio),
        ("rttime", Resource::Rttime),
        ("sigpending", Resource::Sigpending),
        ("stack", Resource::Stack),
    ];
    let limit = |resource| {
        let Rlimit { current, maximum } = rustix::process::getrlimit(resource);
        // `None` is no limit.
        ResourceLimit { soft: current.unwrap_or(u64::MAX), hard: maximum.unwrap_or(u64::MAX) }
    };
    RESOURCES.iter().map(|(name, resource)| ((*name).to_owned(), limit(*resource))).collect()
}

/// Every device in `/dev`, but those that each container has of its own.
fn host_devices() -> Vec<HostDevice> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), Path::new("/dev"), 0, &mut found);
    // `/dev/console` is the container's own terminal.
    found.retain(|device| device.path != Path::new("/dev/console"));
    found
}

/// Adds the devices in a directory, sorted; what cannot be looked at is passed over, as links
/// are.
fn walk(directory: &Path, inside: &Path, depth: usize, found: &mut Vec<HostDevice>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, inside) = (entry.path(), inside.join(entry.file_name()));
        let own = entry.file_name().to_str().is_some_and(|name| OWN_DIRECTORIES.contains(&name));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !own && depth < DEVICE_DEPTH_MAX => {
                walk(&path, &inside, depth + 1, found);
            }
            Ok(kind) if kind.is_char_device() || kind.is_block_device() => {
                found.extend(device(&path, inside).ok().flatten());
            }
            _ => {}
        }
    }
}

/// The device at a path, following links; `None` when it is none.
fn device(path: &Path, inside: PathBuf) -> io::Result<Option<HostDevice>> {
    let metadata = fs::metadata(path)?;
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return Ok(None),
    };
    Ok(Some(HostDevice {
        path: inside,
        kind,
        major: rustix::fs::major(metadata.rdev()).into(),
        minor: rustix::fs::minor(metadata.rdev()).into(),
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_under_the_tests_is_known() {
        let machine = machine(cgroup::Machine::default(), true);
        assert!(machine.kernel >= (3, 10), "{:?}", machine.kernel);
        assert!(machine.limits["nofile"].hard >= machine.limits["nofile"].soft);
        assert!(machine.cpus >= 1 && !machine.cpus_list.is_empty());
        let null = machine.devices.iter().find(|device| device.path == Path::new("/dev/null"));
        let null = null.unwrap();
        assert_eq!((null.kind, null.major, null.minor), (LinuxDeviceType::C, 1, 3));
        assert!(!machine.devices.iter().any(|device| device.path.starts_with("/dev/pts")));
    }

    #[test]
    fn maps_of_ids_tell_whose_namespace_it_is() {
        assert!(maps("         0          0 4294967295\n", 0, u64::from(u32::MAX)));
        assert!(!maps("0 1000 1\n", 0, u64::from(u32::MAX)));
        assert!(!maps("0 100000 4294967295\n", 0, u64::from(u32::MAX)));
        assert!(maps("0 1000 1\n1 100000 65536\n", 5, 1));
        assert!(!maps("0 1000 1\n", 5, 1));
    }

    #[test]
    fn capabilities_are_bits_of_their_numbers() {
        let status = "CapEff:\t00000000a80425fb\nCapBnd:\t0000000000000000\n";
        assert_eq!(capabilities(status, "CapEff:").len(), 14);
        assert_eq!(capabilities(status, "CapBnd:"), []);
        assert!(capabilities(status, "CapEff:").contains(&Capability::NetRaw));
    }

    #[test]
    fn devices_asked_for_are_found_or_refused_in_dockers_words() {
        let mapping = |text: &str| text.parse::<DeviceMapping>().unwrap();
        let found = devices(&mapping("/dev/null:/dev/xnull:r")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].0.path.as_path(), found[0].1.as_str()),
            (Path::new("/dev/xnull"), "r")
        );
        assert_eq!(
            devices(&mapping("/dev/nope")).unwrap_err().to_string(),
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory"
        );
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(devices(&mapping(directory.path().to_str().unwrap())).unwrap(), []);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = devices(&mapping(file.to_str().unwrap())).unwrap_err();
        assert!(error.to_string().ends_with("not a device node"), "{error}");
    }
}
