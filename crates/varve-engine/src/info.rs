//! `system info`: facts about this machine and this store.

use std::path::PathBuf;

use varve_types::Ctx;

use crate::{BackendKind, Engine, Result, list};

/// Facts about this machine and this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFacts {
    /// Images in the store.
    pub images: u64,
    /// The storage backend.
    pub driver: &'static str,
    /// How layers are shown; `None` where that was never found out, or nothing works.
    pub backend: Option<BackendKind>,
    /// The store's directory.
    pub root: PathBuf,
    /// The file system type that the store lies on.
    pub backing_file_system: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The machine's architecture as the kernel names it.
    pub architecture: String,
    /// The distribution's name.
    pub operating_system: String,
    /// Processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory_size_bytes: u64,
    /// The machine's host name.
    pub name: String,
    /// The time now, RFC 3339 with nanoseconds.
    pub system_time: String,
}

impl Engine {
    /// Gathers what `info` prints.
    pub fn info(&self, ctx: &Ctx<'_>) -> Result<SystemFacts> {
        let names = self.store.names()?;
        let uname = rustix::system::uname();
        let sysinfo = rustix::system::sysinfo();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Ok(SystemFacts {
            images: list::summaries(&names).len() as u64,
            driver: "varve",
            backend: self.store.backend_if_made().map(|probed| probed.kind),
            root: self.store.root().to_owned(),
            backing_file_system: backing_file_system(self.store.root()),
            kernel_version: text(uname.release()),
            architecture: text(uname.machine()),
            operating_system: operating_system(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_size_bytes: sysinfo.totalram as u64 * u64::from(sysinfo.mem_unit),
            name: text(uname.nodename()),
            system_time: ctx.now().to_string(),
        })
    }
}

/// `PRETTY_NAME` of os-release(5).
fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    pretty.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// The name that the file system's magic number (statfs(2)) stands for, as Docker writes it.
fn backing_file_system(path: &std::path::Path) -> String {
    let Ok(facts) = rustix::fs::statfs(path) else { return "unknown".to_owned() };
    let name = match facts.f_type as u64 {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        0x6969 => "nfs",
        0xf2f5_2010 => "f2fs",
        0x0127_3d13 => "bcachefs",
        other => return format!("0x{other:x}"),
    };
    name.to_owned()
}
