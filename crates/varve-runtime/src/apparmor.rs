//! AppArmor: which profile a container has, and the text of the default one.
//!
//! The profile is loaded by `apparmor_parser` of the machine where AppArmor is enabled.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::oci::SYSTEM_PATH;

/// The profile of a container that asks for none.
pub const DEFAULT_PROFILE: &str = "docker-default";

/// The profile of a container: the one asked for, none with `--privileged`, else the default.
pub fn profile(asked: Option<&str>, privileged: bool) -> &str {
    match asked {
        Some(name) if !name.is_empty() => name,
        _ if privileged => "unconfined",
        _ => DEFAULT_PROFILE,
    }
}

/// Writes of the kernel's settings, and of what drives the machine, that are refused even to
/// root; paths as AppArmor globs.
const DENIED: &[(&str, &str)] = &[
    // Everything in /proc but the processes' own and /proc/sys.
    ("@{PROC}/*", "w"),
    ("@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/**", "w"),
    // Of /proc/sys only kernel/shm* and what belongs to namespaces.
    ("@{PROC}/sys/[^k]**", "w"),
    ("@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**}", "w"),
    ("@{PROC}/sysrq-trigger", "rwklx"),
    ("@{PROC}/kcore", "rwklx"),
    // Of /sys nothing that reaches the firmware, devices or other containers.
    ("/sys/[^f]*/**", "wklx"),
    ("/sys/f[^s]*/**", "wklx"),
    ("/sys/fs/[^c]*/**", "wklx"),
    ("/sys/fs/c[^g]*/**", "wklx"),
    ("/sys/fs/cg[^r]*/**", "wklx"),
    ("/sys/firmware/**", "rwklx"),
    ("/sys/devices/virtual/powercap/**", "rwklx"),
    ("/sys/kernel/security/**", "rwklx"),
];

/// The text of the default profile under the name `name`. `runtime` is the profile of the
/// process that signals the container, `unconfined` as a rule.
pub fn default_profile(name: &str, runtime: &str) -> String {
    let mut text = format!(
        "#include <tunables/global>\n\n\
         profile {name} flags=(attach_disconnected,mediate_deleted) {{\n\
         \x20 #include <abstractions/base>\n\n\
         \x20 network,\n\
         \x20 capability,\n\
         \x20 file,\n\
         \x20 umount,\n\n\
         \x20 # Processes of the host may signal the container's, which may signal each other.\n\
         \x20 signal (receive) peer={runtime},\n\
         \x20 signal (receive) peer=runc,\n\
         \x20 signal (receive) peer=crun,\n\
         \x20 signal (send,receive) peer={name},\n\n"
    );
    for (path, access) in DENIED {
        text.extend([format!("  deny {path} {access},\n")]);
    }
    text.push_str("  deny mount,\n\n");
    text.extend([format!("  ptrace (trace,read,tracedby,readby) peer={name},\n}}\n")]);
    text
}

/// Whether the kernel's list of profiles, one a line with its mode behind it, has this one.
fn lists(profiles: &str, name: &str) -> bool {
    profiles.lines().any(|line| line.split_once(" (").map_or(line, |(name, _)| name) == name)
}

fn is_loaded() -> bool {
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    profiles.is_ok_and(|profiles| lists(&profiles, DEFAULT_PROFILE))
}

fn parser() -> Option<PathBuf> {
    let directories = SYSTEM_PATH.split(':').map(PathBuf::from);
    directories.map(|path| path.join("apparmor_parser")).find(|path| path.is_file())
}

/// Whether the default profile is loaded, or there is a program to load it.
pub fn can_be_loaded() -> bool {
    is_loaded() || parser().is_some()
}

/// Loads the default profile unless the kernel has it.
pub fn load_default() -> io::Result<()> {
    if is_loaded() {
        return Ok(());
    }
    let parser = parser().ok_or(io::ErrorKind::NotFound)?;
    let mut child = Command::new(parser)
        .args(["-K", "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let text = default_profile(DEFAULT_PROFILE, "unconfined");
    // A parser that ends early says so by its exit code.
    let _ = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("apparmor_parser: {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_confined_unless_it_is_privileged_or_asks_otherwise() {
        assert_eq!(profile(None, false), "docker-default");
        assert_eq!(profile(None, true), "unconfined");
        assert_eq!(profile(Some("mine"), true), "mine");
        assert_eq!(profile(Some("unconfined"), false), "unconfined");
    }

    #[test]
    fn a_loaded_profile_is_found_by_its_whole_name() {
        let profiles = "docker-default-2 (enforce)\nmine (complain)\n";
        assert!(lists(profiles, "mine"));
        assert!(!lists(profiles, "docker-default"));
        assert!(!lists("", "docker-default"));
    }

    #[test]
    fn the_profile_names_itself_and_ends_every_rule() {
        let text = default_profile("docker-default", "unconfined");
        assert!(text.contains("profile docker-default flags=("));
        assert!(text.contains("signal (receive) peer=unconfined,"));
        for line in text.lines().map(str::trim) {
            let rule = !line.is_empty() && !line.starts_with('#');
            assert!(!rule || line.ends_with([',', '{', '}']), "{line}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn the_parser_of_a_machine_takes_the_profile() {
        let Some(parser) = varve_testkit::guard::tool("apparmor_parser") else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("profile");
        std::fs::write(&path, default_profile("docker-default", "unconfined")).unwrap();
        let mut command = std::process::Command::new(parser);
        // Neither loaded nor kept: only read.
        let output = command.args(["-Q", "-K"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
