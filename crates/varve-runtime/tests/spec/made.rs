//! Containers, machines and requests to make specs from.

use std::collections::BTreeMap;

use oci_spec::runtime::LinuxDeviceType;
use serde_json::Value;
use varve_runtime::{
    spec::{Cgroups, Controls, HostDevice, Machine, Paths, Request, all_capabilities, spec},
    users::ResolvedUser,
};
use varve_types::{
    Container, ContainerId, Digest, ImageId, Platform,
    container::{ContainerConfig, HostConfig},
};

/// A machine on which everything works.
pub(crate) fn machine() -> Machine {
    Machine {
        architecture: "amd64".to_owned(),
        kernel: (6, 1),
        cgroups: Cgroups::V1,
        controls: Controls::ALL,
        rootless: false,
        has_tty_group: true,
        seccomp: true,
        apparmor: false,
        selinux: false,
        recursive_read_only: true,
        capabilities: all_capabilities().to_vec(),
        limits: BTreeMap::new(),
        may_raise_limits: true,
        cpus: 2,
        cpus_list: "0-1".to_owned(),
        nodes_list: "0".to_owned(),
        devices: vec![null("/dev/autofs")],
    }
}

pub(crate) fn null(path: &str) -> HostDevice {
    HostDevice {
        path: path.into(),
        kind: LinuxDeviceType::C,
        major: 1,
        minor: 3,
        mode: 0o20_666,
        uid: 0,
        gid: 0,
    }
}

pub(crate) fn root() -> ResolvedUser {
    ResolvedUser { uid: 0, gid: 0, additional_gids: vec![0], home: "/root".to_owned() }
}

/// A container that runs `sleep 30` and asks for nothing.
pub(crate) fn container() -> Container {
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    Container {
        id: ContainerId::from_random([0xc0; 32]),
        name: "spec".parse().unwrap(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        image_id: ImageId(Digest::of(b"config")),
        manifest: Digest::of(b"manifest"),
        image: "busybox".to_owned(),
        platform: Platform::new("linux", "amd64", ""),
        path: "sleep".to_owned(),
        args: vec!["30".to_owned()],
        config: ContainerConfig { cmd: words(&["sleep", "30"]), ..ContainerConfig::default() },
        host_config: HostConfig::default(),
        networks: BTreeMap::new(),
        mounts: Vec::new(),
        layers: Vec::new(),
        base: None,
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
    }
}

/// The spec as JSON, or the error's text.
pub(crate) fn made(
    container: &Container,
    machine: &Machine,
    paths: &Paths,
) -> Result<Value, String> {
    let user = root();
    let request = Request { container, machine, user: &user, paths, devices: &[] };
    spec(&request)
        .map(|spec| serde_json::to_value(spec).unwrap())
        .map_err(|error| error.to_string())
}

/// The spec of a container that asks for what `change` writes into it.
pub(crate) fn with(change: impl FnOnce(&mut Container)) -> Result<Value, String> {
    let mut container = container();
    change(&mut container);
    made(&container, &machine(), &Paths::default())
}

/// The mount at a destination.
pub(crate) fn mount_at(spec: &Value, destination: &str) -> Value {
    let mounts = spec["mounts"].as_array().unwrap();
    mounts.iter().find(|mount| mount["destination"] == destination).cloned().unwrap_or_default()
}

/// The namespaces, as `type` or `type=path`.
pub(crate) fn namespaces(spec: &Value) -> Vec<String> {
    let text = |namespace: &Value| {
        let kind = namespace["type"].as_str().unwrap();
        match namespace["path"].as_str() {
            Some(path) => format!("{kind}={path}"),
            None => kind.to_owned(),
        }
    };
    spec["linux"]["namespaces"].as_array().unwrap().iter().map(text).collect()
}
