//! Docker's specs, recorded from its engine (`tests/golden/oci-spec-*.json`), made again from
//! what docker recorded of the same containers.

use serde_json::{Value, json};
use varve_runtime::{
    spec::{HostDevice, Paths, Request, spec},
    users::ResolvedUser,
};
use varve_types::{Container, container::MountPoint};

use crate::made::{container, machine, null, root};

const DEFAULT: &str = include_str!("../golden/oci-spec-default.json");
const OPTIONS: &str = include_str!("../golden/oci-spec-options.json");
const PRIVILEGED: &str = include_str!("../golden/oci-spec-privileged.json");
const INSPECT_DEFAULT: &str =
    include_str!("../../../varve-types/tests/golden/inspect-container-default.json");
const INSPECT_OPTIONS: &str =
    include_str!("../../../varve-types/tests/golden/inspect-container-options.json");

/// Where docker's engine had its files; the records keep placeholders for IDs.
fn paths() -> Paths {
    let file =
        |name: &str| Some(format!("/var/lib/docker/containers/<CONTAINER_ID>/{name}").into());
    Paths {
        rootfs: "/var/lib/docker/overlay2/<HEX64:1>/merged".into(),
        resolv_conf: file("resolv.conf"),
        hostname: file("hostname"),
        hosts: file("hosts"),
        init: Some("/usr/bin/docker-init".into()),
        cgroup: "/docker/<CONTAINER_ID>".to_owned(),
        ..Paths::default()
    }
}

fn inspected(text: &str) -> Container {
    let mut object = serde_json::from_str::<Value>(text).unwrap()[0].take();
    if object["Config"]["Hostname"] == "<HEX12:1>" {
        object["Config"]["Hostname"] = json!("<HEX12>");
    }
    Container {
        config: serde_json::from_value(object["Config"].take()).unwrap(),
        host_config: serde_json::from_value(object["HostConfig"].take()).unwrap(),
        mounts: object["Mounts"].as_array().unwrap().iter().map(mount_point).collect(),
        ..container()
    }
}

/// Docker's `Mounts`, with the size of the one in memory, which it has elsewhere.
fn mount_point(mount: &Value) -> MountPoint {
    let kind = mount["Type"].as_str().unwrap();
    let propagation = mount["Propagation"].as_str().filter(|text| !text.is_empty());
    serde_json::from_value(json!({
        "type": kind,
        "source": mount["Source"],
        "destination": mount["Destination"],
        "mode": mount["Mode"],
        "rw": mount["RW"],
        "propagation": propagation,
        "tmpfsOptions": if kind == "tmpfs" { "size=1m" } else { "" },
    }))
    .unwrap()
}

/// The recorded spec, with the differences that are meant.
fn recorded(text: &str, home: &str) -> Value {
    let mut spec: Value = serde_json::from_str(text).unwrap();
    // The network namespace is made before the container is, not by a hook.
    spec.as_object_mut().unwrap().remove("hooks");
    // The runtime is not left to read the image's /etc/passwd for HOME.
    spec["process"]["env"].as_array_mut().unwrap().push(json!(format!("HOME={home}")));
    // Docker lists its default device rules twice.
    if let Some(rules) = spec["linux"]["resources"]["devices"].as_array_mut() {
        rules.drain(..8);
    }
    sort_capabilities(&mut spec);
    spec
}

/// The order of capabilities means nothing, and our type does not keep it.
pub(crate) fn sort_capabilities(spec: &mut Value) {
    for set in spec["process"]["capabilities"].as_object_mut().unwrap().values_mut() {
        set.as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
}

#[track_caller]
fn made(container: &Container, user: &ResolvedUser, devices: &[(HostDevice, String)]) -> Value {
    let mut machine = machine();
    if container.host_config.privileged {
        // The recording machine had not got this one.
        machine.capabilities.retain(|capability| capability.to_string() != "SYS_RESOURCE");
    }
    let paths = paths();
    let request = Request { container, machine: &machine, user, paths: &paths, devices };
    let mut made = serde_json::to_value(spec(&request).unwrap()).unwrap();
    sort_capabilities(&mut made);
    made
}

#[track_caller]
fn same(made: &Value, recorded: &Value) {
    let pretty = |value: &Value| {
        // Objects in one order: the comparison is of content.
        let sorted: std::collections::BTreeMap<String, Value> =
            serde_json::from_value(value.clone()).unwrap();
        serde_json::to_string_pretty(&sorted).unwrap()
    };
    if made != recorded {
        assert_eq!(pretty(made), pretty(recorded));
        panic!("the specs differ");
    }
}

#[test]
fn a_container_that_asks_for_nothing_gets_dockers_spec() {
    same(&made(&inspected(INSPECT_DEFAULT), &root(), &[]), &recorded(DEFAULT, "/root"));
}

#[test]
fn a_container_with_many_options_gets_dockers_spec() {
    let user = ResolvedUser {
        uid: 1,
        gid: 1,
        additional_gids: vec![1, 100],
        home: "/usr/sbin".to_owned(),
    };
    let mut recorded = recorded(OPTIONS, "/usr/sbin");
    // The record says "<same as default>", which is true but for what needs CAP_SYS_CHROOT.
    let default: Value = serde_json::from_str(DEFAULT).unwrap();
    let mut seccomp = default["linux"]["seccomp"].clone();
    seccomp["syscalls"].as_array_mut().unwrap().retain(|rule| rule["names"] != json!(["chroot"]));
    recorded["linux"]["seccomp"] = seccomp;
    let devices = [(null("/dev/xnull"), "rwm".to_owned())];
    same(&made(&inspected(INSPECT_OPTIONS), &user, &devices), &recorded);
}

#[test]
fn a_privileged_container_gets_dockers_spec() {
    let mut container = inspected(INSPECT_DEFAULT);
    container.host_config.privileged = true;
    let mut recorded = recorded(PRIVILEGED, "/root");
    // The record is cut after some of the recording machine's devices.
    recorded["linux"]["devices"] = json!([{"path": "/dev/autofs", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0}]);
    // Without a rule, runtimes deny every device where cgroups are of version 2.
    recorded["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
    same(&made(&container, &root(), &[]), &recorded);
}
