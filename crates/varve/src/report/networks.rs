//! Networks.

use std::rc::Rc;

use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};
use varve_types::container::listing::Network;

use super::{containers, inspect::Object, objects};
use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        time, units,
    },
};

const HEADERS: &[(&str, &str)] = &[
    ("CreatedAt", "CREATED AT"),
    ("Driver", "DRIVER"),
    ("ID", "NETWORK ID"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("Scope", "SCOPE"),
];

/// How to list networks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// The user's `--format`; empty for the default.
    pub(crate) format: &'a str,
    pub(crate) quiet: bool,
    /// Whether whole IDs are shown.
    pub(crate) whole: bool,
}

/// Lists networks as they come.
pub(crate) fn list(
    networks: &[Network],
    layout: Layout<'_>,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let format = match (layout.format, layout.quiet) {
        ("" | "table", true) => "{{.ID}}",
        ("" | "table", false) => "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
        ("raw", true) => "network_id: {{.ID}}",
        ("raw", false) => {
            "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
        }
        (format, _) => format,
    };
    let rows = networks.iter().map(|network| -> Rc<dyn Row> {
        Rc::new(NetworkRow { network: network.clone(), whole: layout.whole, zone: zone.clone() })
    });
    Listing { format, headers: HEADERS }.render(rows)
}

/// A network as an object, with the members and the order of docker's.
pub(crate) fn object(network: &Network) -> Object {
    let pool = |pool: &varve_types::container::listing::AddressPool| {
        let mut object = Map::new();
        object.insert("Subnet".to_owned(), pool.subnet.as_str().into());
        for (name, text) in [("IPRange", &pool.range), ("Gateway", &pool.gateway)] {
            if !text.is_empty() {
                object.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !pool.auxiliary.is_empty() {
            object.insert("AuxiliaryAddresses".to_owned(), json!(pool.auxiliary));
        }
        Json::from(object)
    };
    let pools: Vec<Json> = network.pools.iter().map(pool).collect();
    let pools =
        if pools.is_empty() && network.driver != "bridge" { Json::Null } else { pools.into() };
    // Docker has a map, though an empty one, for networks that somebody made.
    let is_made = !matches!(network.name.as_str(), "bridge" | "host" | "none");
    let options = is_made.then(Map::new);
    let members = network.containers.iter().map(|(id, member)| {
        let member = json!({
            "Name": member.name,
            "EndpointID": member.endpoint_id,
            "MacAddress": member.mac_address,
            "IPv4Address": member.ipv4_address,
            "IPv6Address": member.ipv6_address,
        });
        (id.clone(), member)
    });
    objects::of(&json!({
        "Name": network.name,
        "Id": network.id,
        "Created": time::rfc3339_nano(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.ipv4,
        "EnableIPv6": network.ipv6,
        "IPAM": { "Driver": "default", "Options": options, "Config": pools },
        "Internal": network.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": members.collect::<Map<String, Json>>(),
        "Options": network.options,
        "Labels": network.labels,
    }))
}

#[derive(Debug)]
struct NetworkRow {
    network: Network,
    whole: bool,
    zone: TimeZone,
}

impl Row for NetworkRow {
    fn go_type(&self) -> &'static str {
        "*network.networkContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &["CreatedAt", "Driver", "ID", "IPv4", "IPv6", "Internal", "Labels", "Name", "Scope"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let it = &self.network;
        Some(match name {
            "CreatedAt" => Value::text(time::go_nanoseconds(it.created, &self.zone)),
            "Driver" => Value::text(it.driver.as_str()),
            "ID" if self.whole => Value::text(it.id.as_str()),
            "ID" => Value::text(units::short_id(&it.id)),
            "IPv4" => Value::text(it.ipv4.to_string()),
            "IPv6" => Value::text(it.ipv6.to_string()),
            "Internal" => Value::text(it.internal.to_string()),
            "Labels" => Value::foreign(containers::labels(&it.labels)),
            "Name" => Value::text(it.name.as_str()),
            "Scope" => Value::text("local"),
            _ => return None,
        })
    }

    fn label(&self, name: &str) -> Option<Value> {
        Some(Value::foreign(self.network.labels.get(name).map_or("", String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::inspect::Form;

    #[test]
    fn networks_are_listed_and_shown() {
        let network = Network {
            name: "bridge".to_owned(),
            id: "b1946ac92492d2347c6235b4d2611184".to_owned(),
            created: "2026-11-20T13:40:13.5Z".parse().unwrap(),
            driver: "bridge".to_owned(),
            ipv4: true,
            ..Network::default()
        };
        let networks = std::slice::from_ref(&network);
        let layout = Layout { format: "", quiet: false, whole: false };
        assert_eq!(
            list(networks, layout, &TimeZone::UTC).unwrap(),
            "NETWORK ID     NAME      DRIVER    SCOPE\nb1946ac92492   bridge    bridge    local\n"
        );
        let layout = Layout { format: "json", ..layout };
        assert_eq!(
            list(networks, layout, &TimeZone::UTC).unwrap(),
            "{\"CreatedAt\":\"2026-11-20 13:40:13.5 +0000 UTC\",\"Driver\":\"bridge\",\
             \"ID\":\"b1946ac92492\",\"IPv4\":\"true\",\"IPv6\":\"false\",\"Internal\":\"false\",\
             \"Labels\":\"\",\"Name\":\"bridge\",\"Scope\":\"local\"}\n"
        );
        let template = "{{.Id}} {{.IPAM.Driver}} {{len .Containers}}";
        let shown = Form::new(template).unwrap().show(&[object(&network)], &mut Vec::new());
        assert_eq!(shown, "b1946ac92492d2347c6235b4d2611184 default 0\n");
    }
}
