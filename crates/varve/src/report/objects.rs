//! Objects of docker's API, from their JSON to what templates work on.
//!
//! Templates see Go's structs, maps and slices, which JSON does not tell apart: maps are known by
//! their names here, and so is what a `null` stands for.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::inspect::Object;
use crate::format::template::{Field, Value};

/// Members that are maps in Go.
const MAPS: &[&str] = &[
    "Annotations",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Members that are pointers in Go, nil when there is nothing.
const POINTERS: &[&str] = &["IPAMConfig", "MemorySwappiness", "OomKillDisable", "PidsLimit"];

/// Names in templates that differ from those in JSON.
const NAMES: &[(&str, &str)] = &[("Id", "ID"), ("Dns", "DNS"), ("Cpuset", "CPUSet")];

/// An object.
pub(crate) fn of(json: &Json) -> Object {
    let raw = value("", "", json);
    Object { typed: raw.clone(), raw }
}

fn value(outer: &str, name: &str, json: &Json) -> Value {
    let is_map = MAPS.contains(&name) || (outer, name) == ("LogConfig", "Config");
    match json {
        Json::Null if is_map => Value::map_or_nil(None, Value::text("")),
        Json::Null if POINTERS.contains(&name) => Value::Nil,
        Json::Null => Value::list_or_nil(None),
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::foreign(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(|item| value(name, "", item)).collect()),
        Json::Object(members) if is_map => {
            let entries = members.iter().map(|(key, item)| (key.clone(), value(name, "", item)));
            let zero = match members.values().next() {
                Some(Json::String(_)) | None => Value::text(""),
                _ => Value::Missing,
            };
            Value::map_or_nil(Some(entries.collect()), zero)
        }
        Json::Object(members) => {
            let field = |(key, item): (&String, &Json)| {
                let known = NAMES.iter().find(|(json, _)| json == key);
                Field {
                    name: known.map_or_else(|| Cow::Owned(key.clone()), |(_, name)| (*name).into()),
                    json: Some(Cow::Owned(key.clone())),
                    value: value(name, key, item),
                }
            };
            Value::structure("struct", members.iter().map(field).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::inspect::Form;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let object = of(&json!({
            "Id": "abc",
            "State": { "Status": "exited", "ExitCode": 7 },
            "HostConfig": { "Binds": null, "PidsLimit": null, "LogConfig": { "Config": {} } },
            "NetworkSettings": { "Networks": { "b": { "IPAddress": "" }, "a": { "IPAddress": "1" } } },
            "Config": { "Labels": { "l": "1" }, "Cmd": ["sh", "-c"] },
        }));
        let mut errors = Vec::new();
        let shown = Form::new(template).unwrap().show(&[object], &mut errors);
        assert_eq!(format!("{shown}{}", errors.join("\n")), expected);
    }

    #[test]
    fn templates_see_gos_structs_maps_and_slices() {
        check("{{.State.Status}} {{.State.ExitCode}}", "exited 7\n");
        check(
            "{{.Id}} {{.ID}}",
            "\ntemplate parsing error: template: :1:10: executing \"\" at <.ID>: map has no entry for key \"ID\"",
        );
        check("{{.Id}}", "abc\n");
        check("{{.ID}}", "abc\n");
        check(
            "{{.HostConfig.Binds}} {{json .HostConfig}}",
            "[] {\"Binds\":null,\"PidsLimit\":null,\"LogConfig\":{\"Config\":{}}}\n",
        );
        check(
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}} {{end}}",
            "a=1 b= \n",
        );
        check("{{index .Config.Labels \"l\"}} {{join .Config.Cmd \",\"}}", "1 sh,-c\n");
    }
}
