//! Networks of containers, in network namespaces that the tests make for the machine and for each
//! container.

use std::{collections::BTreeMap, env, ffi::OsString, fs, process::Command};

use varve_engine::{
    AttachedNetworks, CreateContainer, CreateNetwork, Engine, Filters, Import, ImportSource,
    Registries, StoreOptions,
};
use varve_runtime::{
    network::{HelperCommand, Netns},
    state,
};
use varve_testkit::guard;
use varve_types::{
    Ctx,
    container::{
        Container, ContainerConfig, HostConfig, NetworkRequest, ProcessIdentity, State, Status,
        parse_publish,
    },
};

use crate::images::tar_of;

/// A machine with a store.
struct Machine {
    directory: tempfile::TempDir,
    netns: Netns,
    engine: Engine,
}

/// Not a test: what the helper's command starts.
#[test]
#[ignore = "the process that other tests start"]
fn plays_the_helper() {
    varve_runtime::network::serve_helper().unwrap();
}

impl Machine {
    /// `None` where the kernel gives no such things.
    #[track_caller]
    fn new() -> Option<Self> {
        if !guard::root() || !guard::network_namespace() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let options =
            StoreOptions { run: Some(directory.path().join("run")), ..StoreOptions::default() };
        let words = ["networks::plays_the_helper", "--exact", "--ignored"];
        let helper = HelperCommand {
            program: env::current_exe().unwrap(),
            own_name: "helper".into(),
            arguments: words.iter().map(OsString::from).collect(),
        };
        let store = directory.path().join("store");
        let engine = Engine::open_with(&store, options, Registries::default()).unwrap();
        let engine = engine.with_network_helper(helper);
        let reference = "app:1".parse().unwrap();
        let mut tar = std::io::Cursor::new(tar_of("file", b"content"));
        let import = Import {
            source: ImportSource::Stream(&mut tar),
            reference: Some(&reference),
            changes: &[],
            message: None,
            platform: None,
        };
        engine.import(&Ctx::for_test(), import).unwrap();
        let netns = Netns::create().unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(netns.inside(up).unwrap().success());
        Some(Self { directory, netns, engine })
    }

    /// Does something where the machine's interfaces are.
    fn on<T: Send>(&self, work: impl FnOnce(&Engine, &Ctx<'_>) -> T + Send) -> T {
        self.netns.inside(|| Ok(work(&self.engine, &Ctx::for_test()))).unwrap()
    }

    fn container(&self, name: &str, mode: &str, ports: &[&str]) -> Container {
        self.container_with(name, mode, ports, |_| ())
    }

    fn container_with(
        &self,
        name: &str,
        mode: &str,
        ports: &[&str],
        change: impl FnOnce(&mut CreateContainer<'_>),
    ) -> Container {
        let mut host_config = HostConfig { network_mode: mode.to_owned(), ..HostConfig::default() };
        for (port, place) in ports.iter().flat_map(|text| parse_publish(text).unwrap()) {
            host_config.port_bindings.entry(port).or_default().push(place);
        }
        let config =
            ContainerConfig { cmd: Some(vec!["true".to_owned()]), ..ContainerConfig::default() };
        let mut request = CreateContainer {
            image: "app:1",
            name: Some(name),
            platform: None,
            config,
            host_config,
            networks: [].into(),
        };
        change(&mut request);
        self.engine.create_container(&Ctx::for_test(), &request).unwrap().container
    }

    fn attach(&self, container: &Container) -> Result<(AttachedNetworks, Netns), String> {
        let netns = Netns::create().unwrap();
        let attached =
            self.on(|engine, ctx| engine.attach_networks(container, Some(&netns), ctx.now()));
        attached.map(|attached| (attached, netns)).map_err(|error| error.to_string())
    }

    fn lock(&self, container: &Container) -> impl Sized + use<> {
        state::lock(&self.engine.store().container_path(&container.id)).unwrap()
    }

    /// Interfaces besides loopback.
    fn interfaces(&self) -> usize {
        let text = self.on(|_, _| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        text.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.on(|engine, ctx| engine.prune_networks(ctx, &Filters::default()));
        assert!(self.directory.path().exists());
    }
}

fn running() -> State {
    let process = ProcessIdentity { pid: 1, ..ProcessIdentity::default() };
    State { status: Status::Running, process: Some(process), ..State::default() }
}

#[test]
fn a_container_gets_an_address_ports_and_files_and_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let container = machine.container_with("web", "default", &["127.0.0.1:18080:80"], |request| {
        let host = &mut request.host_config;
        host.publish_all_ports = true;
        host.extra_hosts = Some(vec!["up:host-gateway".to_owned()]);
        host.dns = vec!["192.0.2.9".to_owned()];
        request.config.hostname = "box".to_owned();
        // The last is what an image might say and has no right to.
        let exposed = ["80/tcp", "81/udp", "0.0.0.0:22:22/tcp"];
        let exposed = exposed.map(|port| (port.to_owned(), varve_types::config::Empty::default()));
        request.config.exposed_ports = Some(exposed.into());
    });
    let _lock = machine.lock(&container);
    let (attached, _netns) = machine.attach(&container).unwrap();
    let address = attached.sandbox.endpoints[0].ipv4.unwrap();
    let expected = format!("{}\tup\n{}\tbox\n", address.gateway, address.address);
    assert!(attached.hosts.ends_with(&expected), "{}", attached.hosts);
    assert!(attached.resolv_conf.contains("nameserver 192.0.2.9"), "{}", attached.resolv_conf);
    assert_eq!(machine.interfaces(), 2);

    let now = machine.on(|engine, _| engine.networks_now().unwrap());
    let facts = now.facts(&container, &running());
    assert_eq!(facts.networks["bridge"].ip_address, address.address.to_string());
    let ports: Vec<String> = facts.ports.keys().map(ToString::to_string).collect();
    assert_eq!(ports, ["80/tcp", "81/udp"]);
    assert_eq!(facts.ports[&"80/tcp".parse().unwrap()][0].host_port, "18080");
    assert_eq!(now.facts(&container, &State::default()).networks["bridge"].ip_address, "");

    machine.on(|engine, _| engine.detach_networks(&container.id)).unwrap();
    assert_eq!(machine.interfaces(), 0);
}

#[test]
fn a_port_is_busy_as_long_as_somebody_watches_the_container_that_has_it() {
    let Some(machine) = Machine::new() else { return };
    let first = machine.container("first", "bridge", &["18080:80"]);
    let second = machine.container("second", "bridge", &["18080:80"]);
    let lock = machine.lock(&first);
    let _second_lock = machine.lock(&second);
    let _first_netns = machine.attach(&first).unwrap();
    let refused = machine.attach(&second).unwrap_err();
    let start = "driver failed programming external connectivity on endpoint second (";
    assert!(refused.starts_with(start), "{refused}");
    assert!(refused.ends_with("): Bind for 0.0.0.0:18080 failed: port is already allocated"));
    // Its monitor was killed.
    drop(lock);
    let _second_netns = machine.attach(&second).unwrap();
    let described = machine.on(|engine, ctx| engine.inspect_network(ctx, "bridge")).unwrap();
    let members: Vec<&str> = described.containers.values().map(|it| it.name.as_str()).collect();
    assert_eq!(members, ["second"]);
}

#[test]
fn a_container_that_does_not_run_is_connected_for_its_next_run() {
    let Some(machine) = Machine::new() else { return };
    let subnets = ["10.9.0.0/24".to_owned()];
    let new = CreateNetwork { name: "back", subnets: &subnets, ..CreateNetwork::default() };
    machine.on(|engine, ctx| engine.create_network(ctx, &new)).unwrap();
    let container = machine.container("web", "bridge", &[]);
    let request = NetworkRequest {
        ipv4_address: Some("10.9.0.77".parse().unwrap()),
        aliases: vec!["db".to_owned()],
        ..NetworkRequest::default()
    };
    let connect = |network: &str| {
        let done = machine.on(|engine, ctx| engine.connect_network(ctx, network, "web", &request));
        done.map_err(|error| error.to_string())
    };
    assert_eq!(connect("back"), Ok(Vec::new()));
    assert_eq!(
        connect("back"),
        Err("endpoint with name web already exists in network back".to_owned())
    );
    assert_eq!(
        connect("host").unwrap_err(),
        "container cannot be disconnected from host network or connected to host network"
    );
    assert_eq!(connect("nosuch").unwrap_err(), "network nosuch not found");
    let container = machine.engine.container(&container.id.to_string()).unwrap();
    let _lock = machine.lock(&container);
    let (attached, _netns) = machine.attach(&container).unwrap();
    let places: BTreeMap<&str, String> = attached
        .sandbox
        .endpoints
        .iter()
        .map(|it| (it.network.as_str(), format!("{}", it.ipv4.unwrap().address)))
        .collect();
    assert_eq!(attached.sandbox.endpoints[0].network, "bridge");
    assert_eq!(places["back"], "10.9.0.77");
    assert!(attached.resolv_conf.contains("nameserver 127.0.0.11"), "{}", attached.resolv_conf);
    let in_use = machine.on(|engine, ctx| engine.remove_network(ctx, "back")).unwrap_err();
    assert!(in_use.to_string().ends_with(" has active endpoints"), "{in_use}");
    machine.on(|engine, _| engine.detach_networks(&container.id)).unwrap();

    let disconnect = || {
        let done = machine.on(|engine, ctx| engine.disconnect_network(ctx, "back", "web", false));
        done.map_err(|error| error.to_string())
    };
    assert_eq!(disconnect(), Ok(()));
    let id = container.id;
    assert_eq!(disconnect(), Err(format!("container {id} is not connected to the network back")));
}

#[test]
fn networks_are_filtered_and_pruned() {
    let Some(machine) = Machine::new() else { return };
    for (name, label) in [("one", "a"), ("two", "b")] {
        let labels = [(label.to_owned(), "1".to_owned())].into();
        let new = CreateNetwork { name, labels, ..CreateNetwork::default() };
        machine.on(|engine, ctx| engine.create_network(ctx, &new)).unwrap();
    }
    let list = |name: &str, value: &str| {
        let mut filters = Filters::default();
        filters.add(name, value);
        let listed = machine.on(|engine, ctx| engine.list_networks(ctx, &filters));
        let names = |all: Vec<varve_types::container::listing::Network>| {
            all.into_iter().map(|network| network.name).collect::<Vec<_>>().join(" ")
        };
        listed.map(names).map_err(|error| error.to_string())
    };
    assert_eq!(list("driver", "bridge").unwrap(), "bridge one two");
    assert_eq!(list("type", "builtin").unwrap(), "bridge host none");
    assert_eq!(list("name", "o").unwrap(), "host none one two");
    assert_eq!(list("name", "^o").unwrap(), "one");
    assert_eq!(list("label", "a=1").unwrap(), "one");
    assert_eq!(list("dangling", "true").unwrap(), "one two");
    assert_eq!(list("type", "x").unwrap_err(), "invalid filter: 'type'='x'");
    assert_eq!(list("foo", "x").unwrap_err(), "invalid filter 'foo'");

    let mut filters = Filters::default();
    filters.add("label!", "b");
    let pruned = machine.on(|engine, ctx| engine.prune_networks(ctx, &filters)).unwrap();
    assert_eq!(pruned.removed, ["one"]);
    let removed = machine.on(|engine, ctx| engine.remove_network(ctx, "none")).unwrap_err();
    assert_eq!(removed.to_string(), "none is a pre-defined network and cannot be removed");
    let wrong = ["10.0.0.0".to_owned()];
    let new = CreateNetwork { name: "bad", subnets: &wrong, ..CreateNetwork::default() };
    let refused = machine.on(|engine, ctx| engine.create_network(ctx, &new)).unwrap_err();
    assert_eq!(refused.to_string(), "invalid CIDR address: 10.0.0.0");
}
