//! `ps`: the containers that are here.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use varve_runtime::state;
use varve_store::Names;
use varve_types::{
    ImageId,
    container::{
        Container, ContainerId, HealthStatus, Port, State, Status,
        listing::{NetworkFacts, Summary},
        parse_publish,
    },
};

use super::{ContainerError, watch::Left};
use crate::{Engine, Error, Filters, Result, filters::NamePatterns, find, network::NetworksNow};

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    /// Also those that do not run.
    pub all: bool,
    /// Only so many that were made last, running or not.
    pub last: Option<usize>,
    /// What must hold for those listed.
    pub filters: Filters,
    /// Whether sizes are counted.
    pub size: bool,
}

const KNOWN_FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

impl Engine {
    /// Lists containers, the newest first.
    pub fn list_containers(&self, request: &ListContainers) -> Result<Vec<Summary>> {
        let sieve = Sieve::new(self, request)?;
        let (names, networks) = (self.store.names()?, self.networks_now()?);
        let mut listed = Vec::new();
        for (container, state) in self.containers_with_states()? {
            if request.last.is_some_and(|last| listed.len() == last) {
                break;
            }
            let network = networks.facts(&container, &state);
            if !sieve.passes(&container, &state, &network) {
                continue;
            }
            let size = request.size.then(|| self.container_size(&container)).transpose()?;
            let image = shown_image(&names, &container);
            listed.push(Summary { size, ..summary(container, image, state, &network) });
        }
        Ok(listed)
    }

    /// All containers, the newest first, each with what became of it. Those that are removed
    /// meanwhile are left out, and so are those that were to go with their end and go now: not to
    /// be called with a lock of the store held.
    pub(crate) fn containers_with_states(&self) -> Result<Vec<(Container, State)>> {
        self.tidy_the_cut_off();
        let mut found = self.recorded_containers()?;
        found.retain(|(container, state)| !self.has_gone_with_its_end(container, state));
        // What cannot be done now is tried by the next listing.
        let _ = self.clear_the_gone();
        Ok(found)
    }

    /// Takes away what commands that were killed left: containers half made or half removed, and
    /// programs of builds. Not to be called with a lock of the store held.
    pub(crate) fn tidy_the_cut_off(&self) {
        // What cannot be taken away now stays for another time.
        let _ = self.store.tidy_cut_off_containers();
        let _ = self.tidy_steps();
    }

    /// All containers, the newest first, each with what became of it. Changes nothing.
    pub(crate) fn recorded_containers(&self) -> Result<Vec<(Container, State)>> {
        let (mut containers, _) = self.store.containers()?;
        containers.sort_by_key(|container| std::cmp::Reverse((container.created, container.id)));
        let mut found = Vec::new();
        for container in containers {
            match self.read_state(&container) {
                Ok(state) => found.push((container, state)),
                Err(Error::Container(ContainerError::NoSuch(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether a container that was to be removed at its end has ended without, because its
    /// monitor or a `restart` was killed, and is removed now.
    fn has_gone_with_its_end(&self, container: &Container, state: &State) -> bool {
        if !container.host_config.auto_remove || state.status != Status::Exited {
            return false;
        }
        let directory = self.store.container_path(&container.id);
        let mut left = Left { engine: self, container };
        let ended = state.finished_at.unwrap_or_default();
        // Where it cannot be done, the container is listed, and can be removed by hand.
        let _ = state::recover(&directory, &mut left, ended);
        if state.monitor.is_none()
            && directory.exists()
            && let Some(_held) = self.is_not_restarted(container)
        {
            let _ = self.remove_stopped(container, true);
        }
        !directory.exists()
    }
}

/// The image as it was named, or its ID where the name means another image now, or none.
fn shown_image(names: &Names, container: &Container) -> String {
    match find::find(names, &container.image) {
        Ok(found) if found.image() == container.image_id => container.image.clone(),
        _ => container.image_id.to_string(),
    }
}

fn summary(container: Container, image: String, state: State, network: &NetworkFacts) -> Summary {
    Summary {
        id: container.id,
        names: vec![container.name.to_string()],
        image,
        image_id: container.image_id,
        command: container.command(),
        created: container.created,
        ports: NetworksNow::listed_ports(network),
        networks: network.networks.keys().cloned().collect(),
        state,
        labels: container.config.labels.clone().unwrap_or_default(),
        mounts: container.mounts,
        size: None,
    }
}

/// What a listing lets through.
struct Sieve<'a> {
    filters: &'a Filters,
    /// Also those that do not run.
    all: bool,
    before: Option<(Timestamp, ContainerId)>,
    since: Option<(Timestamp, ContainerId)>,
    /// The images of `ancestor` and those made from them.
    images: Option<HashSet<ImageId>>,
    names: NamePatterns<'a>,
    ids: NamePatterns<'a>,
    exit_codes: BTreeSet<i32>,
    is_task: Option<bool>,
    publish: BTreeSet<Port>,
    expose: BTreeSet<Port>,
}

impl<'a> Sieve<'a> {
    fn new(engine: &Engine, request: &'a ListContainers) -> Result<Self> {
        let filters = &request.filters;
        filters.only(KNOWN_FILTERS)?;
        let mut exit_codes = BTreeSet::new();
        for text in filters.get("exited") {
            exit_codes.insert(text.parse().map_err(|_| not_a_number(text))?);
        }
        for text in filters.get("status") {
            if Status::parse(text).is_none() {
                return Err(wrong("status", text));
            }
        }
        for text in filters.get("health") {
            if !matches!(text, "none" | "starting" | "healthy" | "unhealthy") {
                return Err(wrong("health", text));
            }
        }
        let is_task = filters.flag("is-task")?;
        let bound = |name: &str| -> Result<Option<(Timestamp, ContainerId)>> {
            let named = filters.get(name).last().map(|text| engine.container(text)).transpose()?;
            Ok(named.map(|it| (it.created, it.id)))
        };
        Ok(Self {
            filters,
            all: request.all || request.last.is_some() || filters.has("status"),
            before: bound("before")?,
            since: bound("since")?,
            images: ancestors(engine, filters)?,
            names: filters.names("name"),
            ids: filters.names("id"),
            exit_codes,
            is_task,
            publish: ports(filters, "publish")?,
            expose: ports(filters, "expose")?,
        })
    }

    fn passes(&self, container: &Container, state: &State, network: &NetworkFacts) -> bool {
        let made = (container.created, container.id);
        let is_running = state.status.is_running();
        let has_ended = !is_running && state.started_at.is_some();
        (self.all || is_running)
            && self.before.is_none_or(|bound| made < bound)
            && self.since.is_none_or(|bound| made > bound)
            && self.names.pass(&[container.name.as_str(), &format!("/{}", container.name)])
            && self.ids.pass(&[&container.id.to_string()])
            && (self.exit_codes.is_empty()
                || has_ended && self.exit_codes.contains(&state.exit_code))
            && self.has_one_of("status", |text| text == state.status.as_str())
            && self.has_one_of("health", |text| text == health(state))
            && self.has_one_of("isolation", |text| text == container.host_config.isolation)
            && self.has_one_of("volume", |text| is_mounted(container, text))
            && self.has_one_of("network", |text| is_in(network, text))
            && self.has_labels(container)
            && self.images.as_ref().is_none_or(|images| images.contains(&container.image_id))
            // There are no tasks: they are the cluster's.
            && self.is_task != Some(true)
            && self.has_ports(container)
    }

    fn has_one_of(&self, filter: &str, fits: impl FnMut(&str) -> bool) -> bool {
        !self.filters.has(filter) || self.filters.get(filter).any(fits)
    }

    fn has_labels(&self, container: &Container) -> bool {
        let labels = container.config.labels.iter().flatten();
        self.filters.labels_fit(labels.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn has_ports(&self, container: &Container) -> bool {
        if self.publish.is_empty() && self.expose.is_empty() {
            return true;
        }
        let published = container.host_config.port_bindings.keys();
        let exposed = container.config.exposed_ports.iter().flatten();
        published.into_iter().any(|port| self.publish.contains(port))
            || exposed.filter_map(|(port, _)| port.parse().ok()).any(|it| self.expose.contains(&it))
    }
}

fn health(state: &State) -> &'static str {
    state.health.as_ref().map_or("none", |health| HealthStatus::as_str(health.status))
}

fn is_mounted(container: &Container, text: &str) -> bool {
    container.mounts.iter().any(|mount| {
        let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
        name == text || mount.destination == text
    })
}

fn is_in(network: &NetworkFacts, text: &str) -> bool {
    network.networks.iter().any(|(name, endpoint)| {
        name == text || !endpoint.network_id.is_empty() && endpoint.network_id == text
    })
}

/// The images that `ancestor` names, with all that are made from them. One that is not here is
/// nobody's ancestor.
fn ancestors(engine: &Engine, filters: &Filters) -> Result<Option<HashSet<ImageId>>> {
    if !filters.has("ancestor") {
        return Ok(None);
    }
    let names = engine.store.names()?;
    let found = filters.get("ancestor").filter_map(|text| find::find(&names, text).ok());
    let mut images: HashSet<ImageId> = found.map(|found| found.image()).collect();
    loop {
        let is_child = |parent: Option<ImageId>| parent.is_some_and(|it| images.contains(&it));
        let children = names.rows.iter().filter(|row| is_child(row.parent)).map(|row| row.image);
        let more: Vec<ImageId> = children.filter(|image| !images.contains(image)).collect();
        if more.is_empty() {
            return Ok(Some(images));
        }
        images.extend(more);
    }
}

fn ports(filters: &Filters, name: &str) -> Result<BTreeSet<Port>> {
    let mut ports = BTreeSet::new();
    for text in filters.get(name) {
        if text.contains(':') {
            let text = format!("filter for '{name}' should not contain ':': {text}");
            return Err(ContainerError::Invalid(text).into());
        }
        let parsed = parse_publish(text);
        let parsed = parsed.map_err(|error| ContainerError::Invalid(error.to_string()))?;
        ports.extend(parsed.into_iter().map(|(port, _)| port));
    }
    Ok(ports)
}

fn wrong(name: &str, value: &str) -> Error {
    ContainerError::Invalid(format!("invalid filter '{name}={value}'")).into()
}

fn not_a_number(text: &str) -> Error {
    ContainerError::Invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax")).into()
}
