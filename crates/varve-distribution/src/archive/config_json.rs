//! Image configs as Docker writes them: all members, in its order, zero values included.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use varve_types::{DiffId, ImageConfig, Platform, RunConfig, config::History};

use crate::go_json;

/// What an image made here says of itself.
#[derive(Debug)]
pub struct NewImage<'a> {
    /// The platform it is for.
    pub platform: &'a Platform,
    /// Comment on the image and on the step that made it.
    pub comment: &'a str,
    /// How it is run.
    pub config: &'a RunConfig,
    /// When it was made.
    pub created: Timestamp,
    /// Its only layer.
    pub layer: DiffId,
}

impl NewImage<'_> {
    /// The config's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let created = self.created.to_string();
        let mut image = Map::new();
        let mut put = |name: &str, value: Value| image.insert(name.to_owned(), value);
        put("architecture", json!(self.platform.architecture));
        if !self.comment.is_empty() {
            put("comment", json!(self.comment));
        }
        put("config", run_config(self.config));
        put("container_config", run_config(&RunConfig::default()));
        put("created", json!(created));
        put("docker_version", json!(concat!("varve ", env!("CARGO_PKG_VERSION"))));
        let mut step = Map::new();
        step.insert("created".to_owned(), json!(created));
        if !self.comment.is_empty() {
            step.insert("comment".to_owned(), json!(self.comment));
        }
        put("history", json!([step]));
        put("os", json!(self.platform.os));
        if !self.platform.os_version.is_empty() {
            put("os.version", json!(self.platform.os_version));
        }
        put("rootfs", json!({"type": "layers", "diff_ids": [self.layer]}));
        if !self.platform.variant.is_empty() {
            put("variant", json!(self.platform.variant));
        }
        go_json::to_vec(&image)
    }
}

/// What an image says of itself that was made of another one and a container's changes.
#[derive(Debug)]
pub struct ChildImage<'a> {
    /// The image that the container is of.
    pub parent: &'a ImageConfig,
    /// Who made it.
    pub author: &'a str,
    /// Comment on the step that made it.
    pub comment: &'a str,
    /// How it is run.
    pub config: &'a RunConfig,
    /// The container's ID.
    pub container: &'a str,
    /// How the container was run.
    pub container_config: &'a RunConfig,
    /// When it was made.
    pub created: Timestamp,
    /// The container's changes; `None` where there are none.
    pub layer: Option<DiffId>,
}

impl ChildImage<'_> {
    /// The config's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let created = self.created.to_string();
        let mut image = Map::new();
        let mut put = |name: &str, value: Value| image.insert(name.to_owned(), value);
        put("architecture", json!(self.parent.architecture));
        if !self.author.is_empty() {
            put("author", json!(self.author));
        }
        put("config", run_config(self.config));
        put("container", json!(self.container));
        put("container_config", run_config(self.container_config));
        put("created", json!(created));
        put("docker_version", json!(concat!("varve ", env!("CARGO_PKG_VERSION"))));
        let step = History {
            created: Some(self.created),
            created_by: self.container_config.cmd.as_deref().unwrap_or_default().join(" "),
            author: self.author.to_owned(),
            comment: self.comment.to_owned(),
            empty_layer: self.layer.is_none(),
        };
        let history: Vec<&History> = self.parent.history.iter().chain([&step]).collect();
        put("history", json!(history));
        put("os", json!(self.parent.os));
        if !self.parent.os_version.is_empty() {
            put("os.version", json!(self.parent.os_version));
        }
        let layers: Vec<&DiffId> = self.parent.rootfs.diff_ids.iter().chain(&self.layer).collect();
        put("rootfs", json!({"type": "layers", "diff_ids": layers}));
        if !self.parent.variant.is_empty() {
            put("variant", json!(self.parent.variant));
        }
        go_json::to_vec(&image)
    }
}

/// A run config with the members that Docker always writes, in its order.
pub fn run_config(config: &RunConfig) -> Value {
    /// Members that are written even when they have no value.
    const ALWAYS: &[(&str, Zero)] = &[
        ("Hostname", Zero::Text),
        ("Domainname", Zero::Text),
        ("User", Zero::Text),
        ("AttachStdin", Zero::False),
        ("AttachStdout", Zero::False),
        ("AttachStderr", Zero::False),
        ("ExposedPorts", Zero::Absent),
        ("Tty", Zero::False),
        ("OpenStdin", Zero::False),
        ("StdinOnce", Zero::False),
        ("Env", Zero::Null),
        ("Cmd", Zero::Null),
        ("Healthcheck", Zero::Absent),
        ("ArgsEscaped", Zero::Absent),
        ("Image", Zero::Text),
        ("Volumes", Zero::Null),
        ("WorkingDir", Zero::Text),
        ("Entrypoint", Zero::Null),
        ("NetworkDisabled", Zero::Absent),
        ("OnBuild", Zero::Null),
        ("Labels", Zero::Null),
        ("StopSignal", Zero::Absent),
        ("StopTimeout", Zero::Absent),
        ("Shell", Zero::Absent),
    ];
    let Ok(Value::Object(mut members)) = serde_json::to_value(config) else { return Value::Null };
    let mut ordered = Map::new();
    for (name, zero) in ALWAYS {
        let value = match (members.shift_remove(*name), zero) {
            (Some(value), _) => value,
            (None, Zero::Text) => json!(""),
            (None, Zero::False) => json!(false),
            (None, Zero::Null) => Value::Null,
            (None, Zero::Absent) => continue,
        };
        ordered.insert((*name).to_owned(), value);
    }
    ordered.extend(members);
    Value::Object(ordered)
}

/// What stands for a member without a value.
enum Zero {
    Text,
    False,
    Null,
    Absent,
}

#[cfg(test)]
mod tests {
    use varve_types::Digest;

    use super::*;

    /// As recorded of Docker 26.1.5, apart from `docker_version`.
    #[test]
    fn a_plain_import_has_dockers_members_in_dockers_order() {
        let image = NewImage {
            platform: &Platform::new("linux", "amd64", ""),
            comment: "Imported from -",
            config: &RunConfig::default(),
            created: "2026-11-20T13:32:34.972729909Z".parse().unwrap(),
            layer: DiffId(
                Digest::from_hex(
                    "55e66e33b81306b9aad2d99ffbb41be0b2b36c01844b0a7eb87387758d0533a6",
                )
                .unwrap(),
            ),
        };
        const EMPTY: &str = r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}"#;
        let version = concat!("varve ", env!("CARGO_PKG_VERSION"));
        let expected = format!(
            r#"{{"architecture":"amd64","comment":"Imported from -","config":{EMPTY},"container_config":{EMPTY},"created":"2026-11-20T13:32:34.972729909Z","docker_version":"{version}","history":[{{"created":"2026-11-20T13:32:34.972729909Z","comment":"Imported from -"}}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:55e66e33b81306b9aad2d99ffbb41be0b2b36c01844b0a7eb87387758d0533a6"]}}}}"#
        );
        assert_eq!(String::from_utf8(image.to_bytes()).unwrap(), expected);
    }

    /// As recorded of Docker 26.1.5.
    #[test]
    fn changes_stand_where_docker_puts_them() {
        let changes = [
            r#"CMD ["sh","-c","echo hi"]"#,
            "ENV A=1 B=2",
            "EXPOSE 80 443/udp",
            "LABEL x=y z=\"q r\"",
            "USER nobody",
            "WORKDIR /tmp",
            "VOLUME /data /v2",
            r#"ENTRYPOINT ["/bin/env"]"#,
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s CMD true",
            "ONBUILD RUN echo x",
        ];
        let changes: Vec<String> = changes.iter().map(|&c| c.to_owned()).collect();
        let config = crate::archive::changes::apply(&RunConfig::default(), &changes).unwrap();
        assert_eq!(
            run_config(&config).to_string(),
            r#"{"Hostname":"","Domainname":"","User":"nobody","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"ExposedPorts":{"443/udp":{},"80/tcp":{}},"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["A=1","B=2"],"Cmd":["sh","-c","echo hi"],"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000},"Image":"","Volumes":{"/data":{},"/v2":{}},"WorkingDir":"/tmp","Entrypoint":["/bin/env"],"OnBuild":["RUN echo x"],"Labels":{"x":"y","z":"q r"},"StopSignal":"SIGINT"}"#
        );
    }

    /// As recorded of Docker 26.1.5, apart from `docker_version`.
    #[test]
    fn a_committed_image_has_dockers_members_in_dockers_order() {
        const RECORDED: &str = include_str!("../../tests/archive/committed.json");
        let image: Value = serde_json::from_str(RECORDED).unwrap();
        let mut parent: ImageConfig = serde_json::from_str(RECORDED).unwrap();
        parent.history.pop();
        let layer = parent.rootfs.diff_ids.pop();
        let part = |name: &str| serde_json::from_value::<RunConfig>(image[name].clone()).unwrap();
        let child = ChildImage {
            parent: &parent,
            author: "Jane <jane@example.com>",
            comment: "my msg",
            config: &part("config"),
            container: image["container"].as_str().unwrap(),
            container_config: &part("container_config"),
            created: parent.created.unwrap(),
            layer,
        };
        let version = concat!("varve ", env!("CARGO_PKG_VERSION"));
        let expected = RECORDED.trim_end().replace("26.1.5+dfsg1", version);
        assert_eq!(String::from_utf8(child.to_bytes()).unwrap(), expected);
        let unchanged = ChildImage { layer: None, ..child }.to_bytes();
        let unchanged: ImageConfig = serde_json::from_slice(&unchanged).unwrap();
        assert!(unchanged.history[2].empty_layer && unchanged.diff_ids().len() == 1);
    }
}
