//! The record against what docker printed.

use serde_json::{Value, json};

use super::*;
use crate::RunConfig;

const RECORDED: [&str; 2] = [
    include_str!("../../tests/golden/inspect-container-default.json"),
    include_str!("../../tests/golden/inspect-container-options.json"),
];

fn recorded(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()[0].take()
}

#[test]
fn dockers_config_and_host_config_come_back_member_for_member_in_order() {
    for text in RECORDED {
        let object = recorded(text);
        let host: HostConfig = serde_json::from_value(object["HostConfig"].clone()).unwrap();
        let config: ContainerConfig = serde_json::from_value(object["Config"].clone()).unwrap();
        assert_eq!(serde_json::to_string(&host).unwrap(), object["HostConfig"].to_string());
        assert_eq!(serde_json::to_string(&config).unwrap(), object["Config"].to_string());
    }
}

#[test]
fn a_container_that_asks_for_nothing_has_dockers_host_config() {
    let mut recorded = recorded(RECORDED[0])["HostConfig"].take();
    // What the recording machine's cgroup version made of an empty one.
    recorded["CgroupnsMode"] = json!("");
    assert_eq!(serde_json::to_value(HostConfig::default()).unwrap(), recorded);
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let object = recorded(RECORDED[1]);
    let container = Container {
        id: ContainerId::from_random([7; 32]),
        name: "spec".parse().unwrap(),
        created: "2026-11-20T13:17:23.892822042Z".parse().unwrap(),
        image_id: crate::ImageId(crate::Digest::of(b"config")),
        manifest: crate::Digest::of(b"manifest"),
        image: "busybox:1.36.0".to_owned(),
        platform: Platform::new("linux", "amd64", ""),
        path: "sleep".to_owned(),
        args: vec!["30".to_owned()],
        config: serde_json::from_value(object["Config"].clone()).unwrap(),
        host_config: serde_json::from_value(object["HostConfig"].clone()).unwrap(),
        networks: [("bridge".to_owned(), NetworkRequest::default())].into(),
        mounts: vec![
            serde_json::from_value(
                json!({"type": "volume", "name": "named", "destination": "/n", "rw": true}),
            )
            .unwrap(),
        ],
        layers: vec![crate::DiffId(crate::Digest::of(b"layer"))],
        base: None,
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
    };
    let text = serde_json::to_string(&container).unwrap();
    assert_eq!(serde_json::from_str::<Container>(&text).unwrap(), container);
    assert_eq!(container.hostname(), "hh");
    assert_eq!(container.command(), ["sleep", "30"]);
}

#[allow(clippy::unnecessary_wraps, reason = "that is how the members are")]
fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|&word| word.to_owned()).collect())
}

fn image() -> RunConfig {
    RunConfig {
        env: words(&["PATH=/bin", "A=image"]),
        entrypoint: words(&["/entry"]),
        cmd: words(&["default"]),
        working_dir: "/srv".to_owned(),
        labels: Some([("l".to_owned(), "image".to_owned())].into()),
        ..RunConfig::default()
    }
}

#[track_caller]
fn command(entrypoint: Option<Vec<String>>, cmd: Option<Vec<String>>, expected: &str) {
    let mut config = ContainerConfig { cmd, entrypoint, ..ContainerConfig::default() };
    let shown = match config.merge_image(&image()).and_then(|()| config.command()) {
        Ok((path, args)) => [vec![path], args].concat().join(" "),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn entry_point_and_command_follow_dockers_rules() {
    command(None, None, "/entry default");
    command(None, words(&["x"]), "/entry x");
    command(words(&["/mine"]), None, "/mine");
    command(words(&["/mine"]), words(&["x"]), "/mine x");
    command(words(&[""]), words(&["x"]), "x");
    command(words(&[""]), None, "no command specified");
    command(words(&[]), None, "default");
}

#[test]
fn the_users_settings_win_over_the_images() {
    let mut config = ContainerConfig {
        env: words(&["A=mine", "B=1"]),
        labels: Some([("l".to_owned(), "mine".to_owned())].into()),
        ..ContainerConfig::default()
    };
    config.merge_image(&image()).unwrap();
    assert_eq!(config.env, words(&["A=mine", "B=1", "PATH=/bin"]));
    assert_eq!(config.labels.unwrap()["l"], "mine");
    assert_eq!(config.working_dir, "/srv");
}

#[test]
fn a_relative_directory_and_a_nameless_variable_are_refused() {
    let merged = |config: ContainerConfig| {
        let mut config = config;
        config.merge_image(&image()).unwrap_err().to_string()
    };
    assert_eq!(
        merged(ContainerConfig { working_dir: "x".to_owned(), ..Default::default() }),
        "the working directory 'x' is invalid, it needs to be an absolute path"
    );
    assert_eq!(
        merged(ContainerConfig { env: words(&["=x"]), ..Default::default() }),
        "invalid environment variable: =x"
    );
}
