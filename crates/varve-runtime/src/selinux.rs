//! SELinux: the labels of a container's processes and files.
//!
//! Text only. Two containers have different pairs of categories (`c1,c2`), so that neither
//! reads the other's files, whatever a process breaks out of.

use varve_types::{Kind, Printable};

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

/// The label that `:z` (shared by all containers) or `:Z` (this container's own) gives to a
/// volume or a directory of the host.
pub fn relabel(mount_label: &str, shared: bool) -> String {
    let mut parts: Vec<&str> = mount_label.splitn(4, ':').collect();
    if let (true, Some(level)) = (shared, parts.get_mut(3)) {
        *level = "s0";
    }
    parts.join(":")
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

    #[test]
    fn a_shared_volume_has_no_categories() {
        let mount = "system_u:object_r:container_file_t:s0:c1,c2";
        assert_eq!(relabel(mount, true), "system_u:object_r:container_file_t:s0");
        assert_eq!(relabel(mount, false), mount);
    }

    #[test]
    fn the_categories_of_a_pair_differ_and_are_in_order() {
        for random in 0..10_000_u64 {
            let (first, second) = categories(random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(first < second && second < CATEGORIES, "{first} {second}");
        }
    }
}
