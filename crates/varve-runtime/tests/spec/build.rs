//! Specs of programs that builds run, against docker's of a container that asks for nothing.

use std::path::Path;

use serde_json::{Value, json};
use varve_runtime::spec::{BuildLimits, BuildMount, BuildNetwork, BuildRequest, Paths, build_spec};
use varve_types::container::Ulimit;

use crate::golden::sort_capabilities;
use crate::made::{container, machine, made, mount_at, namespaces, root};

/// The spec of `true`, asked for as `change` says, with these limits and mounts.
fn built_with(
    mounts: &[BuildMount],
    (ulimits, limits): (&[Ulimit], &BuildLimits),
    change: impl FnOnce(&mut BuildRequest<'_>),
) -> Value {
    let (machine, user) = (machine(), root());
    let arguments = ["true".to_owned()];
    let environment = ["A=1".to_owned(), "A=2".to_owned()];
    let mut request = BuildRequest {
        arguments: &arguments,
        environment: &environment,
        directory: "/",
        user: &user,
        mounts,
        network: BuildNetwork::Namespace("/proc/1/fd/7".into()),
        insecure: false,
        apparmor_profile: "",
        ulimits,
        shm_size_bytes: None,
        limits,
        rootfs: Path::new("/run/rootfs"),
        hosts: Path::new("/run/hosts"),
        resolv_conf: Path::new("/run/resolv.conf"),
        cgroup: "/varve/<ID>",
        machine: &machine,
    };
    change(&mut request);
    serde_json::to_value(build_spec(&request).unwrap()).unwrap()
}

fn built(change: impl FnOnce(&mut BuildRequest<'_>)) -> Value {
    built_with(&[], (&[], &BuildLimits::default()), change)
}

#[test]
fn a_program_of_a_build_may_what_a_container_may() {
    let mut spec = built(|_| {});
    let mut of_container = made(&container(), &machine(), &Paths::default()).unwrap();
    sort_capabilities(&mut spec);
    sort_capabilities(&mut of_container);
    for member in ["seccomp", "maskedPaths", "readonlyPaths", "sysctl"] {
        assert_eq!(spec["linux"][member], of_container["linux"][member], "{member}");
    }
    for member in ["capabilities", "user", "noNewPrivileges", "oomScoreAdj"] {
        assert_eq!(spec["process"][member], of_container["process"][member], "{member}");
    }
    assert_eq!(
        spec["linux"]["resources"]["devices"],
        of_container["linux"]["resources"]["devices"]
    );
    assert_eq!(spec["linux"]["cgroupsPath"], "/varve/<ID>");
    assert_eq!(spec["root"]["path"], "/run/rootfs");
}

#[test]
fn its_surroundings_are_those_of_dockers_builder() {
    let spec = built(|_| {});
    assert_eq!(spec["hostname"], "buildkitsandbox");
    assert_eq!(spec["process"]["args"], json!(["true"]));
    assert_eq!(spec["process"]["cwd"], "/");
    assert_eq!(spec["process"]["terminal"], Value::Null);
    // No HOSTNAME, as containers have it.
    assert_eq!(
        spec["process"]["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "A=2",
            "HOME=/root"
        ])
    );
    let file = |name: &str| {
        json!({
            "destination": format!("/etc/{name}"),
            "type": "bind",
            "source": format!("/run/{name}"),
            "options": ["bind", "ro", "nosuid", "nodev", "noexec"],
        })
    };
    assert_eq!(mount_at(&spec, "/etc/hosts"), file("hosts"));
    assert_eq!(mount_at(&spec, "/etc/resolv.conf"), file("resolv.conf"));
    assert_eq!(mount_at(&spec, "/etc/hostname"), Value::Null);
    assert_eq!(
        mount_at(&spec, "/dev/shm")["options"],
        json!(["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"])
    );
}

#[test]
fn mounts_come_parents_first_with_the_options_of_dockers_builder() {
    let mounts = [
        BuildMount::Bind { source: "/a".into(), target: "/etc/x/y".to_owned(), read_only: true },
        BuildMount::Bind { source: "/b".into(), target: "/etc".to_owned(), read_only: false },
        BuildMount::Tmpfs { target: "/t".to_owned(), size_bytes: Some(4096) },
        BuildMount::File { source: "/s".into(), target: "/run/secrets/s".to_owned() },
    ];
    let spec = built_with(&mounts, (&[], &BuildLimits::default()), |_| {});
    let all: Vec<&Value> = spec["mounts"].as_array().unwrap().iter().collect();
    let own: Vec<String> = all[all.len() - 6..]
        .iter()
        .map(|mount| {
            let options: Vec<&str> = mount["options"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_str().unwrap())
                .collect();
            format!("{} {}", mount["destination"].as_str().unwrap(), options.join(","))
        })
        .collect();
    assert_eq!(
        own,
        [
            "/etc rbind",
            "/t nosuid,size=4096",
            "/etc/hosts bind,ro,nosuid,nodev,noexec",
            "/etc/resolv.conf bind,ro,nosuid,nodev,noexec",
            "/etc/x/y rbind,ro",
            "/run/secrets/s bind,ro,nosuid,nodev,noexec",
        ]
    );
}

#[test]
fn networks_are_its_own_the_machines_or_none() {
    let network = |network| namespaces(&built(|request| request.network = network));
    let with = |own: &str| {
        let all = ["mount", own, "uts", "pid", "ipc"];
        all.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(network(BuildNetwork::None), with("network"));
    assert_eq!(network(BuildNetwork::Host), with(""));
    let given = BuildNetwork::Namespace("/proc/1/fd/7".into());
    assert_eq!(network(given), with("network=/proc/1/fd/7"));
}

#[test]
fn what_is_asked_for_is_limited_and_the_trusted_may_everything() {
    let ulimits = ["nofile=100:200".parse().unwrap()];
    let limits =
        BuildLimits { memory_bytes: 64 << 20, cpuset_cpus: "0".to_owned(), ..Default::default() };
    let spec = built_with(&[], (&ulimits, &limits), |request| {
        request.shm_size_bytes = Some(1 << 20);
    });
    assert_eq!(
        spec["process"]["rlimits"],
        json!([{"type": "RLIMIT_NOFILE", "hard": 200, "soft": 100}])
    );
    assert_eq!(mount_at(&spec, "/dev/shm")["options"][4], "size=1048576");
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 64 << 20);
    assert_eq!(spec["linux"]["resources"]["cpu"]["cpus"], "0");
    let spec = built(|request| request.insecure = true);
    for hidden in ["seccomp", "maskedPaths", "readonlyPaths"] {
        assert_eq!(spec["linux"][hidden], Value::Null, "{hidden}");
    }
    assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 41);
    assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": true, "access": "rwm"}]));
}
