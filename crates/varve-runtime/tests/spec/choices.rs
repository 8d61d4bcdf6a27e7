//! Namespaces, capabilities, mounts and machines other than the recorded ones.

use serde_json::json;
use varve_runtime::spec::{Cgroups, Paths};
use varve_types::{Container, container::MountPoint};

use crate::made::{container, machine, made, mount_at, namespaces, with};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[track_caller]
fn in_namespaces(change: impl FnOnce(&mut Container), expected: &[&str]) {
    let mut container = container();
    change(&mut container);
    let paths = Paths {
        network_namespace: Some("/net".into()),
        ipc_namespace: Some("/ipc".into()),
        pid_namespace: Some("/pid".into()),
        ..Paths::default()
    };
    let spec = made(&container, &machine(), &paths).unwrap();
    assert_eq!(namespaces(&spec), expected);
}

#[test]
fn namespaces_are_the_containers_the_hosts_or_anothers() {
    in_namespaces(|_| {}, &["mount", "network=/net", "uts", "pid", "ipc"]);
    in_namespaces(
        |c| {
            c.host_config.network_mode = "host".to_owned();
            c.host_config.uts_mode = "host".to_owned();
            c.host_config.pid_mode = "host".to_owned();
            c.host_config.ipc_mode = "host".to_owned();
            c.host_config.cgroupns_mode = "private".to_owned();
        },
        &["mount", "cgroup"],
    );
    in_namespaces(
        |c| {
            c.host_config.network_mode = "container:x".to_owned();
            c.host_config.pid_mode = "container:x".to_owned();
            c.host_config.ipc_mode = "container:x".to_owned();
        },
        &["mount", "network=/net", "uts", "pid=/pid", "ipc=/ipc"],
    );
}

#[test]
fn another_containers_namespace_is_never_replaced_by_a_new_one() {
    let refused = with(|c| c.host_config.pid_mode = "container:x".to_owned());
    assert_eq!(refused.unwrap_err(), "the pid namespace to join is not known");
    let refused = with(|c| c.host_config.network_mode = "container:x".to_owned());
    assert_eq!(refused.unwrap_err(), "the network namespace to join is not known");
    let refused = with(|c| c.host_config.ipc_mode = "bogus".to_owned());
    assert_eq!(refused.unwrap_err(), "invalid IPC mode: bogus");
}

#[test]
fn with_the_hosts_names_no_name_is_set_and_the_environment_has_the_hosts() {
    let mut container = container();
    container.host_config.uts_mode = "host".to_owned();
    let paths = Paths { host_name: "machine".to_owned(), ..Paths::default() };
    let spec = made(&container, &machine(), &paths).unwrap();
    assert_eq!(spec.get("hostname"), None);
    assert_eq!(spec["process"]["env"][1], "HOSTNAME=machine");
}

#[test]
fn a_domain_is_part_of_the_host_name_and_set_in_the_kernel() {
    let spec = with(|c| {
        c.config.hostname = "hh".to_owned();
        c.config.domainname = "example.org".to_owned();
    })
    .unwrap();
    assert_eq!(spec["hostname"], "hh.example.org");
    assert_eq!(spec["linux"]["sysctl"]["kernel.domainname"], "example.org");
    assert_eq!(spec["process"]["env"][1], "HOSTNAME=hh");
}

#[test]
fn the_environment_is_in_dockers_order_and_takes_the_last_of_a_name() {
    let spec = with(|c| {
        c.config.tty = true;
        c.config.env = Some(strings(&["A=1", "PATH=/x", "TERM=vt100", "HOSTNAME", "HOME="]));
    })
    .unwrap();
    let expected = json!(["PATH=/x", "TERM=vt100", "A=1", "HOME=/root"]);
    assert_eq!(spec["process"]["env"], expected);
    assert_eq!(spec["process"]["terminal"], true);
}

#[track_caller]
fn capabilities(add: &[&str], drop: &[&str], expected: Result<usize, &str>) {
    let spec = with(|c| {
        c.host_config.cap_add = Some(strings(add));
        c.host_config.cap_drop = Some(strings(drop));
    });
    let count =
        spec.map(|spec| spec["process"]["capabilities"]["effective"].as_array().unwrap().len());
    assert_eq!(count, expected.map_err(str::to_owned), "{add:?} {drop:?}");
}

#[test]
fn capabilities_are_added_and_dropped_as_docker_does_it() {
    capabilities(&[], &[], Ok(14));
    capabilities(&["NET_ADMIN", "cap_chown"], &[], Ok(15));
    capabilities(&[], &["mknod"], Ok(13));
    capabilities(&[], &["ALL"], Ok(0));
    capabilities(&["CAP_CHOWN"], &["all"], Ok(1));
    capabilities(&["ALL"], &[], Ok(41));
    capabilities(&["ALL"], &["SYS_ADMIN"], Ok(40));
    capabilities(&["FOO"], &[], Err("invalid CapAdd: unknown capability: \"CAP_FOO\""));
    capabilities(&[], &["x"], Err("invalid CapDrop: unknown capability: \"CAP_X\""));
}

#[test]
fn a_capability_that_the_machine_has_not_got_is_refused() {
    let mut machine = machine();
    machine.capabilities.retain(|capability| capability.to_string() != "SYS_RESOURCE");
    let mut container = container();
    container.host_config.cap_add = Some(strings(&["SYS_RESOURCE"]));
    let error = made(&container, &machine, &Paths::default()).unwrap_err();
    assert_eq!(
        error,
        "invalid CapAdd: capability not supported by your kernel or not available in the current environment: \"CAP_SYS_RESOURCE\""
    );
}

#[test]
fn seccomp_follows_capabilities_and_options() {
    let refuses_mount = |spec: serde_json::Value| {
        let text = spec["linux"]["seccomp"].to_string();
        assert!(text.contains("SCMP_ARCH_X86_64"), "{text}");
        !text.contains("\"mount\"")
    };
    assert!(refuses_mount(with(|_| {}).unwrap()));
    let admin = with(|c| c.host_config.cap_add = Some(strings(&["SYS_ADMIN"]))).unwrap();
    assert!(!refuses_mount(admin));
    let option = |text: &str| {
        let options = Some(strings(&[text]));
        with(|c| c.host_config.security_opt = options)
    };
    assert_eq!(option("seccomp=unconfined").unwrap()["linux"].get("seccomp"), None);
    let own = option(r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":null}"#).unwrap();
    assert_eq!(own["linux"]["seccomp"], json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}));
    let refused = option("seccomp={").unwrap_err();
    assert!(refused.starts_with("Decoding seccomp profile failed: "), "{refused}");
    assert_eq!(option("bogus").unwrap_err(), "invalid --security-opt 1: \"bogus\"");
    let spec = option("no-new-privileges").unwrap();
    assert_eq!(spec["process"]["noNewPrivileges"], true);
}

fn bind(destination: &str, change: impl FnOnce(&mut MountPoint)) -> MountPoint {
    let point = json!({"type": "bind", "source": "/s", "destination": destination, "rw": true});
    let mut point = serde_json::from_value(point).unwrap();
    change(&mut point);
    point
}

#[test]
fn a_mount_over_a_default_takes_its_place_and_parents_come_first() {
    let spec = with(|c| {
        c.mounts = vec![bind("/a/b", |_| {}), bind("/a", |_| {}), bind("/dev/shm", |_| {})];
    })
    .unwrap();
    let mounts = spec["mounts"].as_array().unwrap();
    let order: Vec<&str> =
        mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
    assert_eq!(order[order.len() - 3..], ["/a", "/a/b", "/dev/shm"]);
    assert_eq!(order.iter().filter(|path| **path == "/dev/shm").count(), 1);
    assert_eq!(mount_at(&spec, "/dev/shm")["type"], "bind");
    let spec = with(|c| c.mounts = vec![bind("/dev", |_| {})]).unwrap();
    assert_eq!(mount_at(&spec, "/dev/pts"), json!(null));
}

#[test]
fn read_only_is_recursive_where_the_kernel_can_and_may_be_demanded() {
    let options = |recursive: bool, change: fn(&mut MountPoint)| {
        let mut container = container();
        container.mounts = vec![bind("/d", |point| {
            point.rw = false;
            change(point);
        })];
        let mut machine = machine();
        machine.recursive_read_only = recursive;
        made(&container, &machine, &Paths::default())
            .map(|spec| mount_at(&spec, "/d")["options"].to_string())
    };
    assert_eq!(options(true, |_| {}).unwrap(), r#"["rbind","rro"]"#);
    assert_eq!(options(false, |_| {}).unwrap(), r#"["rbind","ro"]"#);
    assert_eq!(options(true, |p| p.read_only_non_recursive = true).unwrap(), r#"["rbind","ro"]"#);
    assert_eq!(options(true, |p| p.non_recursive = true).unwrap(), r#"["bind","ro"]"#);
    assert!(options(false, |p| p.read_only_force_recursive = true).is_err());
}

#[test]
fn options_of_memory_replace_the_defaults_they_speak_against() {
    let tmpfs = |options: &str| {
        let asked = [("/t".to_owned(), options.to_owned())].into();
        with(|c| c.host_config.tmpfs = asked)
            .map(|spec| mount_at(&spec, "/t")["options"].to_string())
    };
    assert_eq!(tmpfs("").unwrap(), r#"["noexec","nosuid","nodev","rprivate"]"#);
    assert_eq!(
        tmpfs("exec,size=64m,mode=1770,size=1m").unwrap(),
        r#"["nosuid","nodev","rprivate","exec","mode=1770","size=1m"]"#
    );
    assert_eq!(tmpfs("bogus").unwrap_err(), "invalid tmpfs option [\"bogus\"]");
    // An option of the kernel's that would reach outside is none of docker's.
    assert!(tmpfs("context=x").is_err());
}

#[test]
fn other_ways_to_have_shared_memory() {
    let spec = with(|c| c.host_config.ipc_mode = "none".to_owned()).unwrap();
    assert_eq!(mount_at(&spec, "/dev/shm"), json!(null));
    let paths = Paths { shm: Some("/run/shm".into()), ..Paths::default() };
    let mut shareable = container();
    shareable.host_config.ipc_mode = "shareable".to_owned();
    let spec = made(&shareable, &machine(), &paths).unwrap();
    let mount = mount_at(&spec, "/dev/shm");
    assert_eq!(
        (mount["type"].as_str(), mount["source"].as_str()),
        (Some("bind"), Some("/run/shm"))
    );
}

#[test]
fn a_read_only_privileged_container_cannot_write_the_kernels_files_either() {
    let spec = with(|c| {
        c.host_config.privileged = true;
        c.host_config.readonly_rootfs = true;
    })
    .unwrap();
    for path in ["/sys", "/sys/fs/cgroup"] {
        let options = mount_at(&spec, path)["options"].to_string();
        assert!(options.contains("\"ro\""), "{path} {options}");
    }
    assert!(!mount_at(&spec, "/dev/shm")["options"].to_string().contains("\"ro\""));
    assert_eq!(spec["linux"].get("maskedPaths"), None);
}

#[test]
fn a_rootless_machine_is_asked_for_nothing_that_it_refuses() {
    let mut machine = machine();
    machine.rootless = true;
    machine.has_tty_group = false;
    let mut container = container();
    container.host_config.network_mode = "host".to_owned();
    let spec = made(&container, &machine, &Paths::default()).unwrap();
    assert!(!mount_at(&spec, "/dev/pts")["options"].to_string().contains("gid=5"));
    assert_eq!(mount_at(&spec, "/sys")["type"], "bind");
    assert!(mount_at(&spec, "/sys")["options"].to_string().contains("\"rro\""));
    assert_eq!(spec["linux"]["resources"].get("devices"), None);
    assert_eq!(spec["process"].get("oomScoreAdj"), None);
    assert_eq!(spec["linux"].get("sysctl"), None);
    let spec = made(&crate::made::container(), &machine, &Paths::default()).unwrap();
    assert_eq!(mount_at(&spec, "/sys")["type"], "sysfs");
    assert!(!spec["linux"]["sysctl"].to_string().contains("ping_group_range"));
}

#[test]
fn cgroups_of_version_2_are_a_namespace_and_none_at_all_are_left_out() {
    let mut machine = machine();
    machine.cgroups = Cgroups::V2;
    let spec = made(&container(), &machine, &Paths::default()).unwrap();
    assert_eq!(namespaces(&spec).last().unwrap(), "cgroup");
    assert_eq!(spec["linux"]["resources"]["memory"], json!({}));
    machine.cgroups = Cgroups::None;
    let spec = made(&container(), &machine, &Paths::default()).unwrap();
    assert_eq!(mount_at(&spec, "/sys/fs/cgroup"), json!(null));
    assert_eq!(spec["linux"].get("resources"), None);
    assert_eq!(spec["linux"].get("cgroupsPath"), None);
}

#[test]
fn labels_are_written_only_where_the_kernel_knows_them() {
    let mut labelled = container();
    labelled.process_label = "system_u:system_r:container_t:s0:c1,c2".to_owned();
    labelled.app_armor_profile = "docker-default".to_owned();
    let mut machine = machine();
    let spec = made(&labelled, &machine, &Paths::default()).unwrap();
    assert_eq!(spec["process"].get("selinuxLabel"), None);
    assert_eq!(spec["process"].get("apparmorProfile"), None);
    (machine.selinux, machine.apparmor) = (true, true);
    let spec = made(&labelled, &machine, &Paths::default()).unwrap();
    assert_eq!(spec["process"]["selinuxLabel"], labelled.process_label);
    assert_eq!(spec["process"]["apparmorProfile"], "docker-default");
}
