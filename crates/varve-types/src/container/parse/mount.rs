//! `--mount`: as the client reads it, and as its daemon checks it.

use super::{FlagError, fields};
use crate::{
    Printable,
    container::{BindOptions, Mount, Propagation, TmpfsOptions, VolumeOptions, parse_size},
    go_bool,
};

/// Reads `--mount`: `type=bind,source=/a,target=/b,readonly` and so on. A source that begins
/// with a dot is left so; its directory is the caller's business.
pub fn mount(text: &str) -> Result<Mount, FlagError> {
    let mut mount = Mount {
        kind: "volume".to_owned(),
        source: String::new(),
        target: String::new(),
        read_only: false,
        consistency: String::new(),
        bind_options: None,
        volume_options: None,
        tmpfs_options: None,
    };
    for field in fields(text)? {
        match field.split_once('=') {
            Some((name, value)) => named(&mut mount, &name.to_lowercase(), value, &field)?,
            None => alone(&mut mount, &field)?,
        }
    }
    check(&mount)?;
    Ok(mount)
}

fn alone(mount: &mut Mount, field: &str) -> Result<(), FlagError> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => bind(mount).non_recursive = true,
        _ => {
            let text = format!("invalid field '{}' must be a key=value pair", Printable(field));
            return Err(FlagError::new(text));
        }
    }
    Ok(())
}

fn named(mount: &mut Mount, name: &str, value: &str, field: &str) -> Result<(), FlagError> {
    let refused = || {
        let text = format!("invalid value for {name}: {}", Printable(value));
        FlagError::new(text)
    };
    match name {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" => value.clone_into(&mut mount.source),
        "target" | "dst" | "destination" => value.clone_into(&mut mount.target),
        "readonly" | "ro" => mount.read_only = go_bool(value).ok_or_else(refused)?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => {
            let propagation = Propagation::parse(&value.to_lowercase());
            bind(mount).propagation = Some(propagation.ok_or_else(refused)?);
        }
        "bind-nonrecursive" => bind(mount).non_recursive = go_bool(value).ok_or_else(refused)?,
        "bind-recursive" => recursive(bind(mount), value)?,
        "volume-subpath" => value.clone_into(&mut volume(mount).subpath),
        "volume-nocopy" => volume(mount).no_copy = go_bool(value).ok_or_else(refused)?,
        "volume-label" => {
            let (label, value) = value.split_once('=').unwrap_or((value, ""));
            volume(mount).labels.insert(label.to_owned(), value.to_owned());
        }
        // There is one driver, and it has no options.
        "volume-driver" if matches!(value, "" | "local") => {
            volume(mount);
        }
        "tmpfs-size" => {
            tmpfs(mount).size_bytes = parse_size(value).map_err(|_| refused())?;
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode = u32::from_str_radix(value, 8).map_err(|_| refused())?;
        }
        name => {
            let (name, field) = (Printable(name), Printable(field));
            return Err(FlagError::new(format!("unexpected key '{name}' in '{field}'")));
        }
    }
    Ok(())
}

fn recursive(options: &mut BindOptions, value: &str) -> Result<(), FlagError> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        value => {
            return Err(FlagError::new(format!(
                "invalid value for bind-recursive: {} (must be \"enabled\", \"disabled\", \
                 \"writable\", or \"readonly\")",
                Printable(value)
            )));
        }
    }
    Ok(())
}

fn check(mount: &Mount) -> Result<(), FlagError> {
    let refused = |text: &str| Err(FlagError::new(text));
    if mount.kind.is_empty() {
        return refused("type is required");
    }
    if mount.target.is_empty() {
        return refused("target is required");
    }
    let groups = [
        ("volume", mount.volume_options.is_some()),
        ("bind", mount.bind_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ];
    if let Some((group, _)) = groups.iter().find(|(group, given)| *given && mount.kind != *group) {
        let kind = Printable(&mount.kind);
        let text = format!("cannot mix '{group}-*' options with mount type '{kind}'");
        return Err(FlagError::new(text));
    }
    let Some(options) = &mount.bind_options else { return Ok(()) };
    let needs = |mode: &str, what: &str| {
        let text = format!(
            "option 'bind-recursive={mode}' requires '{what}' to be specified in conjunction"
        );
        Err(FlagError::new(text))
    };
    if options.read_only_non_recursive && !mount.read_only {
        return needs("writable", "readonly");
    }
    if options.read_only_force_recursive && !mount.read_only {
        return needs("readonly", "readonly");
    }
    let private = matches!(options.propagation, Some(Propagation::Rprivate));
    if options.read_only_force_recursive && !private {
        return needs("readonly", "bind-propagation=rprivate");
    }
    Ok(())
}

/// Checks a mount as docker's daemon does when the container is made; the client shows the
/// complaint after `Error response from daemon: `. Whether the source exists is not looked at.
pub fn verify(mount: &Mount) -> Result<(), FlagError> {
    let refused = |reason: String| {
        let kind = Printable(&mount.kind);
        Err(FlagError::new(format!("invalid mount config for type \"{kind}\": {reason}")))
    };
    if !matches!(mount.kind.as_str(), "bind" | "volume" | "tmpfs") {
        return refused("mount type unknown".to_owned());
    }
    destination(&mount.kind, &mount.target)?;
    let options = mount.volume_options.as_ref();
    let subpath = options.map_or("", |options| options.subpath.as_str());
    match mount.kind.as_str() {
        "bind" if mount.source.is_empty() => refused("field Source must not be empty".to_owned()),
        "bind" if !mount.source.starts_with('/') => refused(relative(&mount.source)),
        "volume" if mount.source.is_empty() && mount.read_only => {
            refused("must not set ReadOnly mode when using anonymous volumes".to_owned())
        }
        "volume" if mount.source.is_empty() && !subpath.is_empty() => {
            refused("must not set Subpath when using anonymous volumes".to_owned())
        }
        "volume" if !stays_within(subpath) => {
            refused("subpath must be a relative path within the volume".to_owned())
        }
        "tmpfs" if !mount.source.is_empty() => {
            refused("field Source must not be specified".to_owned())
        }
        _ => Ok(()),
    }
}

/// Checks a path in the container for a mount of the kind, with the daemon's complaints.
pub(super) fn destination(kind: &str, path: &str) -> Result<(), FlagError> {
    let clean = path.split('/').filter(|part| !matches!(*part, "" | ".")).count();
    let reason = if path.is_empty() {
        "field Target must not be empty".to_owned()
    } else if !path.starts_with('/') {
        relative(path)
    } else if clean == 0 {
        "invalid specification: destination can't be '/'".to_owned()
    } else {
        return Ok(());
    };
    Err(FlagError::new(format!("invalid mount config for type \"{kind}\": {reason}")))
}

/// Whether a path does not begin at the root or climb above where it begins, as far as its words
/// say.
fn stays_within(path: &str) -> bool {
    let mut depth = 0_i64;
    let climbs = path.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    });
    !path.starts_with('/') && !climbs
}

fn relative(path: &str) -> String {
    format!("invalid mount path: '{}' mount path must be absolute", Printable(path))
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match mount(text) {
            Ok(mount) => serde_json::to_string(&mount).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn mounts_are_read_as_docker_reads_them() {
        check("dst=/n", r#"{"Type":"volume","Target":"/n"}"#);
        check(
            "type=tmpfs,dst=/mt,tmpfs-size=1m,tmpfs-mode=1770",
            r#"{"Type":"tmpfs","Target":"/mt","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#,
        );
        check(
            "TYPE=bind,src=/a,target=/b,ro,bind-propagation=rslave",
            r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}"#,
        );
        check(
            "source=v,dst=/d,volume-label=a=b,volume-nocopy",
            r#"{"Type":"volume","Source":"v","Target":"/d","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"}}}"#,
        );
    }

    #[test]
    fn what_is_no_mount_is_refused_in_dockers_words() {
        check("foo", "invalid field 'foo' must be a key=value pair");
        check("foo=bar", "unexpected key 'foo' in 'foo=bar'");
        check("type=bind,src=/a", "target is required");
        check("type=,dst=/a", "type is required");
        check("dst=/a,ro=maybe", "invalid value for ro: maybe");
        check("dst=/a,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'");
        check("type=tmpfs,dst=/a,tmpfs-mode=9", "invalid value for tmpfs-mode: 9");
        check(
            "type=bind,src=/a,dst=/a,bind-recursive=readonly",
            "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
        );
    }

    #[test]
    fn the_daemon_checks_what_the_client_lets_pass() {
        let said = |text: &str| verify(&mount(text).unwrap()).unwrap_err().to_string();
        let of = |kind: &str| format!("invalid mount config for type \"{kind}\": ");
        assert_eq!(said("type=bogus,dst=/n"), of("bogus") + "mount type unknown");
        assert_eq!(said("type=bind,dst=/n"), of("bind") + "field Source must not be empty");
        assert_eq!(
            said("type=bind,src=a,dst=/n"),
            of("bind") + "invalid mount path: 'a' mount path must be absolute"
        );
        assert_eq!(
            said("dst=n"),
            of("volume") + "invalid mount path: 'n' mount path must be absolute"
        );
        assert_eq!(
            said("type=tmpfs,src=a,dst=/n"),
            of("tmpfs") + "field Source must not be specified"
        );
        assert!(verify(&mount("type=bind,src=/a,dst=/n").unwrap()).is_ok());
        for path in ["/a", "..", "a/../../b"] {
            assert_eq!(
                said(&format!("type=volume,src=v,dst=/n,volume-subpath={path}")),
                "invalid mount config for type \"volume\": subpath must be a relative path within \
                 the volume"
            );
        }
        assert_eq!(
            said("type=volume,dst=/n,volume-subpath=a"),
            "invalid mount config for type \"volume\": must not set Subpath when using anonymous \
             volumes"
        );
        assert!(verify(&mount("type=volume,src=v,dst=/n,volume-subpath=a/../b").unwrap()).is_ok());
    }
}
