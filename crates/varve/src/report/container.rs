//! Everything about a container.

use serde_json::{Map, Value as Json, json};
use varve_types::container::{
    MountPoint, State, Status,
    listing::{Facts, NetworkFacts},
};

use super::{inspect::Object, objects};
use crate::format::time;

/// Go's time of nothing.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A container as an object, with the members and the order of docker's.
pub(crate) fn object(facts: &Facts) -> Object {
    objects::of(&json(facts))
}

fn json(facts: &Facts) -> Json {
    let it = &facts.container;
    let mut object = json!({
        "Id": it.id.to_string(),
        "Created": time::rfc3339_nano(it.created),
        "Path": it.path,
        "Args": it.args,
        "State": state(&facts.state),
        "Image": it.image_id.to_string(),
        "ResolvConfPath": facts.paths.resolv_conf,
        "HostnamePath": facts.paths.hostname,
        "HostsPath": facts.paths.hosts,
        "LogPath": facts.paths.log,
        "Name": format!("/{}", it.name),
        "RestartCount": facts.state.restart_count,
        "Driver": facts.driver,
        "Platform": it.platform.os,
        "MountLabel": it.mount_label,
        "ProcessLabel": it.process_label,
        "AppArmorProfile": it.app_armor_profile,
        "ExecIDs": facts.exec_ids,
        "HostConfig": it.host_config,
        "GraphDriver": { "Data": facts.driver_data, "Name": facts.driver },
    });
    if let (Some(members), Some(size)) = (object.as_object_mut(), facts.size) {
        members.insert("SizeRw".to_owned(), size.writable_bytes.into());
        members.insert("SizeRootFs".to_owned(), size.root_bytes.into());
    }
    let mounts: Vec<Json> = it.mounts.iter().map(mount).collect();
    object["Mounts"] = mounts.into();
    object["Config"] = json!(it.config);
    object["NetworkSettings"] = network(&facts.network);
    object
}

fn state(state: &State) -> Json {
    let time =
        |time: Option<jiff::Timestamp>| time.map_or_else(|| NEVER.to_owned(), time::rfc3339_nano);
    let restarting = state.status == Status::Restarting;
    let pid = state.process.as_ref().map_or(0, |process| process.pid);
    let mut object = json!({
        "Status": state.status.as_str(),
        "Running": state.status.has_processes() || restarting,
        "Paused": state.status == Status::Paused,
        "Restarting": restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = &state.health {
        object["Health"] = json!(health);
    }
    object
}

fn mount(mount: &MountPoint) -> Json {
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    put("Type", mount.kind.as_str().into());
    if !mount.name.is_empty() {
        put("Name", mount.name.as_str().into());
    }
    put("Source", mount.source.as_str().into());
    put("Destination", mount.destination.as_str().into());
    if !mount.driver.is_empty() {
        put("Driver", mount.driver.as_str().into());
    }
    put("Mode", mount.mode.as_str().into());
    put("RW", mount.rw.into());
    put("Propagation", mount.propagation.map_or("", |it| it.as_str()).into());
    object.into()
}

/// The settings of the network; at the top those of the default bridge, once more.
fn network(facts: &NetworkFacts) -> Json {
    let bridge = facts.networks.get("bridge").cloned().unwrap_or_default();
    let ports: Map<String, Json> = facts
        .ports
        .iter()
        .map(|(port, places)| {
            let places = if places.is_empty() { Json::Null } else { json!(places) };
            (port.to_string(), places)
        })
        .collect();
    json!({
        "Bridge": "",
        "SandboxID": facts.sandbox_id,
        "SandboxKey": facts.sandbox_key,
        "Ports": ports,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": bridge.endpoint_id,
        "Gateway": bridge.gateway,
        "GlobalIPv6Address": bridge.ipv6_address,
        "GlobalIPv6PrefixLen": bridge.ipv6_prefix,
        "IPAddress": bridge.ip_address,
        "IPPrefixLen": bridge.ip_prefix,
        "IPv6Gateway": bridge.ipv6_gateway,
        "MacAddress": bridge.mac_address,
        "Networks": facts.networks,
    })
}

#[cfg(test)]
mod tests;
