//! SELinux: the labels of a container's processes and files.
//!
//! Text, but for [`write`]. Two containers have different pairs of categories (`c1,c2`), so that neither
//! reads the other's files, whatever a process breaks out of.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, XattrFlags, lsetxattr, openat},
    io::Errno,
};
use varve_types::{
    Kind, Printable,
    container::{MountKind, MountPoint},
};

/// The attribute that a file has its label in.
const ATTRIBUTE: &str = "security.selinux";
/// Directories of the system: with a container's label in them the machine would not work.
const NEVER_RELABELLED: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
];

/// Categories that there are (`c0` to `c1023`).
const CATEGORIES: u32 = 1024;

/// The two labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Of processes; empty when the container is not confined.
    pub process: String,
    /// Of files (`context=` of the mounts).
    pub mount: String,
}

/// A `--security-opt label=` that there is not. The message is docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Not `NAME:VALUE`.
    #[error("bad label option \"{}\", valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value", Printable(.0))]
    Format(String),
    /// A name that there is not.
    #[error("bad label option \"{}\", valid options 'disable, user, role, level, type, filetype'", Printable(.0))]
    Name(String),
}

impl LabelError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Two categories made of a random number, the smaller first, never twice the same.
pub fn categories(random: u64) -> (u32, u32) {
    let first = (random % u64::from(CATEGORIES)) as u32;
    let step = 1 + ((random >> 32) % u64::from(CATEGORIES - 1)) as u32;
    let second = (first + step) % CATEGORIES;
    (first.min(second), first.max(second))
}

/// The labels of a container with the options of `--security-opt label=` and its own categories.
/// A privileged container's processes are not confined.
pub fn labels(
    options: &[String],
    privileged: bool,
    (first, second): (u32, u32),
) -> Result<Labels, LabelError> {
    let mut process = ["system_u", "system_r", "container_t", ""].map(str::to_owned);
    let mut mount = ["system_u", "object_r", "container_file_t", ""].map(str::to_owned);
    let level = format!("s0:c{first},c{second}");
    process[3].clone_from(&level);
    mount[3] = level;
    let mut disabled = privileged;
    for option in options {
        if option == "disable" {
            disabled = true;
            continue;
        }
        let (name, value) =
            option.split_once(':').ok_or_else(|| LabelError::Format(option.clone()))?;
        match name {
            "user" => value.clone_into(&mut process[0]),
            "role" => value.clone_into(&mut process[1]),
            "type" => value.clone_into(&mut process[2]),
            "filetype" => value.clone_into(&mut mount[2]),
            "level" => {
                value.clone_into(&mut process[3]);
                value.clone_into(&mut mount[3]);
            }
            _ => return Err(LabelError::Name(name.to_owned())),
        }
    }
    let process = if disabled { String::new() } else { process.join(":") };
    // Files of a container that is not confined are open to all of them.
    if disabled {
        "s0".clone_into(&mut mount[3]);
    }
    Ok(Labels { process, mount: mount.join(":") })
}

/// What is mounted into a container and gets a label of it: by `:z` one for all containers, by `:Z`
/// this container's own. Volumes that are not asked otherwise have `z`. With each its label. None
/// where the container has no label for files.
pub fn relabelled<'a>(
    mounts: &'a [MountPoint],
    mount_label: &str,
) -> Result<Vec<(&'a MountPoint, String)>, RelabelError> {
    let mut found = Vec::new();
    if mount_label.is_empty() {
        return Ok(found);
    }
    for mount in mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
        let has = |wanted| mount.mode.split(',').any(|word| word == wanted);
        let is_shared = has("z");
        if !is_shared && !has("Z") {
            continue;
        }
        check(Path::new(&mount.source))?;
        found.push((mount, relabel(mount_label, is_shared)));
    }
    Ok(found)
}

fn check(path: &Path) -> Result<(), RelabelError> {
    if NEVER_RELABELLED.iter().any(|never| Path::new(never) == path) {
        return Err(RelabelError::NotAllowed(path.display().to_string()));
    }
    Ok(())
}

fn relabel(mount_label: &str, shared: bool) -> String {
    let mut parts: Vec<&str> = mount_label.splitn(4, ':').collect();
    if let (true, Some(level)) = (shared, parts.get_mut(3)) {
        *level = "s0";
    }
    parts.join(":")
}

/// Why files did not get a label.
#[derive(Debug, thiserror::Error)]
pub enum RelabelError {
    /// A directory of the system. The message is docker's.
    #[error("SELinux relabeling of {} is not allowed", Printable(.0))]
    NotAllowed(String),
    /// The operating system refused.
    #[error("cannot label {}", Printable(path))]
    Io {
        /// What was to be labelled.
        path: String,
        /// Why it was not.
        source: io::Error,
    },
}

impl RelabelError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotAllowed(_) => Kind::Invalid,
            Self::Io { .. } => Kind::Internal,
        }
    }
}

/// Gives a label to a file or a directory with all that is in it; links in it are labelled and not
/// followed. A filesystem that keeps no labels is left as it is, as docker leaves it.
pub fn write(path: &Path, label: &str) -> Result<(), RelabelError> {
    let failed = |source: io::Error| RelabelError::Io { path: path.display().to_string(), source };
    // What is mounted is where a link leads to.
    let place = fs::canonicalize(path).map_err(failed)?;
    check(&place)?;
    match write_all(&place, label) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

fn write_all(path: &Path, label: &str) -> rustix::io::Result<()> {
    lsetxattr(path, ATTRIBUTE, label.as_bytes(), XattrFlags::empty())?;
    let Some(directory) = directory(openat(CWD, path, DIRECTORY, Mode::empty()))? else {
        return Ok(());
    };
    let mut open = vec![Dir::new(directory)?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // By way of the directory that is open, whatever became of its path.
        let place = format!("/proc/self/fd/{}", directory.fd()?.as_raw_fd());
        let path = Path::new(&place).join(OsStr::from_bytes(name.to_bytes()));
        match lsetxattr(&path, ATTRIBUTE, label.as_bytes(), XattrFlags::empty()) {
            // It went meanwhile.
            Err(Errno::NOENT) => continue,
            set => set?,
        }
        if matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
            && let Some(inner) =
                self::directory(openat(directory.fd()?, name, DIRECTORY, Mode::empty()))?
        {
            open.push(Dir::new(inner)?);
        }
    }
    Ok(())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that was opened; `None` for what is none, or not there any more.
fn directory(opened: rustix::io::Result<OwnedFd>) -> rustix::io::Result<Option<OwnedFd>> {
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: &[&str], privileged: bool, process: &str, mount: &str) {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let labels = labels(&options, privileged, (1, 2)).unwrap();
        assert_eq!((labels.process.as_str(), labels.mount.as_str()), (process, mount));
    }

    #[test]
    fn labels_follow_the_options() {
        let process = "system_u:system_r:container_t:s0:c1,c2";
        let mount = "system_u:object_r:container_file_t:s0:c1,c2";
        check(&[], false, process, mount);
        check(&["disable"], false, "", "system_u:object_r:container_file_t:s0");
        check(&[], true, "", "system_u:object_r:container_file_t:s0");
        check(
            &["type:svirt_apache_t", "level:s0:c100,c200"],
            false,
            "system_u:system_r:svirt_apache_t:s0:c100,c200",
            "system_u:object_r:container_file_t:s0:c100,c200",
        );
        assert!(labels(&["x".to_owned()], false, (1, 2)).is_err());
        assert!(labels(&["x:y".to_owned()], false, (1, 2)).is_err());
    }

    fn mount(kind: &str, source: &str, mode: &str) -> MountPoint {
        let json = serde_json::json!({
            "type": kind, "source": source, "destination": "/d", "mode": mode, "rw": true,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_mounted_with_z_gets_the_label_without_categories_and_with_big_z_the_whole() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        let mounts = [
            mount("bind", "/srv/a", "ro,Z"),
            mount("bind", "/srv/b", "rw"),
            mount("volume", "/v/c", "z"),
            mount("tmpfs", "", "z"),
        ];
        let found = relabelled(&mounts, label).unwrap();
        let shown: Vec<(&str, &str)> =
            found.iter().map(|(mount, label)| (mount.source.as_str(), label.as_str())).collect();
        let shared = "system_u:object_r:container_file_t:s0";
        assert_eq!(shown, [("/srv/a", label), ("/v/c", shared)]);
        assert!(relabelled(&mounts, "").unwrap().is_empty());
    }

    #[test]
    fn directories_of_the_system_keep_their_labels() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        let error = relabelled(&[mount("bind", "/etc", "z")], label).unwrap_err();
        assert_eq!(error.to_string(), "SELinux relabeling of /etc is not allowed");
        assert!(relabelled(&[mount("bind", "/etc", "ro")], label).unwrap().is_empty());
    }

    #[test]
    fn the_categories_of_a_pair_differ_and_are_in_order() {
        for random in 0..10_000_u64 {
            let (first, second) = categories(random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(first < second && second < CATEGORIES, "{first} {second}");
        }
    }

    #[test]
    fn a_label_is_written_to_all_of_a_tree_and_to_links_but_not_through_them() {
        if !varve_testkit::guard::root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let (tree, other) = (directory.path().join("tree"), directory.path().join("other"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b/file"), "").unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&other, tree.join("link")).unwrap();
        let label = "system_u:object_r:container_file_t:s0";
        write(&tree, label).unwrap();
        let read = |path: &Path| {
            let mut buffer = [0; 100];
            let size = rustix::fs::lgetxattr(path, ATTRIBUTE, &mut buffer).unwrap_or_default();
            String::from_utf8_lossy(&buffer[..size]).into_owned()
        };
        if !varve_testkit::guard::found("file-labels", !read(&tree).is_empty()) {
            return;
        }
        for path in ["", "a", "a/b", "a/b/file", "link"] {
            assert_eq!(read(&tree.join(path)), label, "{path}");
        }
        assert_ne!(read(&other), label);
        assert!(write(&tree.join("missing"), label).is_err());
    }
}
