//! The object of a container, against what docker printed.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use varve_types::{
    Platform,
    container::{
        Container, ContainerId, MountKind, MountPoint, ProcessIdentity, Propagation, State, Status,
        listing::{EndpointFacts, FactPaths, Facts, NetworkFacts},
    },
};

use super::*;

const RECORDED: [&str; 2] = [
    include_str!("../../../../varve-types/tests/golden/inspect-container-default.json"),
    include_str!("../../../../varve-types/tests/golden/inspect-container-options.json"),
];

const ID: &str = "0aa4c0c796807421ac8473f039fbfafb0541faa7c43c7d289fc94be9702acece";
const CREATED: &str = "2026-11-20T13:17:23.892822042Z";

/// The recorded object with values for what the recording left open.
fn recorded(text: &str) -> Json {
    let image = format!("sha256:{}", "2".repeat(64));
    let text = text
        .replace("sha256:<HEX64:2>", &image)
        .replace("<HEX64:1>", ID)
        .replace("<HEX12:1>", &ID[..12])
        .replace("<TIME>", CREATED);
    serde_json::from_str::<Json>(&text).unwrap()[0].take()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

fn mounts(recorded: &Json) -> Vec<MountPoint> {
    let one = |mount: &Json| MountPoint {
        kind: match mount["Type"].as_str().unwrap() {
            "bind" => MountKind::Bind,
            "volume" => MountKind::Volume,
            _ => MountKind::Tmpfs,
        },
        name: mount["Name"].as_str().unwrap_or_default().to_owned(),
        source: text(&mount["Source"]),
        destination: text(&mount["Destination"]),
        driver: mount["Driver"].as_str().unwrap_or_default().to_owned(),
        mode: text(&mount["Mode"]),
        rw: mount["RW"].as_bool().unwrap(),
        propagation: Propagation::parse(mount["Propagation"].as_str().unwrap()),
        tmpfs_options: String::new(),
        non_recursive: false,
        read_only_non_recursive: false,
        read_only_force_recursive: false,
        anonymous: false,
        subpath: String::new(),
        copy_image_content: false,
    };
    recorded["Mounts"].as_array().unwrap().iter().map(one).collect()
}

fn network(settings: &Json) -> NetworkFacts {
    let networks: BTreeMap<String, EndpointFacts> =
        serde_json::from_value(settings["Networks"].clone()).unwrap();
    NetworkFacts {
        sandbox_id: text(&settings["SandboxID"]),
        sandbox_key: text(&settings["SandboxKey"]),
        ports: serde_json::from_value(settings["Ports"].clone()).unwrap(),
        networks,
    }
}

fn facts(recorded: &Json) -> Facts {
    let created = CREATED.parse().unwrap();
    Facts {
        container: Container {
            id: ID.parse::<ContainerId>().unwrap(),
            name: "spec".parse().unwrap(),
            created,
            image_id: text(&recorded["Image"]).parse().unwrap(),
            manifest: varve_types::Digest::of(b"manifest"),
            image: "busybox:1.36.0".to_owned(),
            platform: Platform::new("linux", "amd64", ""),
            path: text(&recorded["Path"]),
            args: serde_json::from_value(recorded["Args"].clone()).unwrap(),
            config: serde_json::from_value(recorded["Config"].clone()).unwrap(),
            host_config: serde_json::from_value(recorded["HostConfig"].clone()).unwrap(),
            networks: BTreeMap::new(),
            mounts: mounts(recorded),
            layers: Vec::new(),
            base: None,
            mount_label: String::new(),
            process_label: String::new(),
            app_armor_profile: String::new(),
        },
        state: State {
            status: Status::Running,
            started_at: Some(created),
            process: Some(ProcessIdentity {
                pid: recorded["State"]["Pid"].as_u64().unwrap() as u32,
                ..ProcessIdentity::default()
            }),
            ..State::default()
        },
        network: network(&recorded["NetworkSettings"]),
        exec_ids: None,
        paths: FactPaths {
            resolv_conf: text(&recorded["ResolvConfPath"]),
            hostname: text(&recorded["HostnamePath"]),
            hosts: text(&recorded["HostsPath"]),
            log: text(&recorded["LogPath"]),
        },
        driver: "overlay2".to_owned(),
        driver_data: serde_json::from_value(recorded["GraphDriver"]["Data"].clone()).unwrap(),
        size: None,
    }
}

#[test]
fn containers_are_inspected_member_for_member_as_recorded() {
    for text in RECORDED {
        let recorded = recorded(text);
        let shown = json(&facts(&recorded));
        assert_eq!(
            serde_json::to_string_pretty(&shown).unwrap(),
            serde_json::to_string_pretty(&recorded).unwrap()
        );
    }
}

#[test]
fn sizes_come_before_the_mounts_and_health_after_the_state() {
    let mut facts = facts(&recorded(RECORDED[0]));
    facts.size =
        Some(varve_types::container::listing::ContainerSize { writable_bytes: 14, root_bytes: 20 });
    facts.state.health = Some(varve_types::container::Health::default());
    let shown = json(&facts);
    let names: Vec<&String> = shown.as_object().unwrap().keys().collect();
    let at = names.iter().position(|name| *name == "SizeRw").unwrap();
    assert_eq!(names[at - 1..at + 3], ["GraphDriver", "SizeRw", "SizeRootFs", "Mounts"]);
    assert_eq!(
        shown["State"]["Health"].to_string(),
        r#"{"Status":"starting","FailingStreak":0,"Log":[]}"#
    );
}
