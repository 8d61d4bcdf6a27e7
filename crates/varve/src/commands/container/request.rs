//! From the flags of `run` and `create` to what is asked for, with docker's checks in its order.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use varve_types::{
    Environment,
    config::Healthcheck,
    container::{
        ContainerConfig, CreateRequest, HostConfig, LogConfig, NetworkMode, NetworkRequest,
        PortBindings, RestartError, RestartPolicy,
        parse::{
            network,
            option::{self, Stream},
            volume,
        },
        parse_publish,
    },
};

use super::{files, options::Options};
use crate::error::CommandError;

/// What the reading of flags needs of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    /// The caller's variables.
    pub(crate) environment: &'a Environment,
    /// The caller's directory, for paths that begin with a dot.
    pub(crate) directory: &'a Path,
}

/// A complaint of docker's client, or of its daemon about what needs no machine to judge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Client(String),
    Daemon(String),
}

impl<T: ToString> From<T> for Refused {
    fn from(text: T) -> Self {
        Self::Client(text.to_string())
    }
}

type Result<T> = std::result::Result<T, Refused>;

/// Reads what the flags, the image and the command ask for.
pub(crate) fn read(
    options: &Options,
    image: &str,
    command: &[String],
    world: World<'_>,
) -> Result<CreateRequest> {
    if !options.mac_address.is_empty() {
        network::mac_address(&options.mac_address)?;
    }
    let swappiness = options.memory.swappiness;
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        let range = "Valid memory swappiness range is 0-100";
        return Err(format!("invalid value: {swappiness}. {range}").into());
    }
    let mut config = ContainerConfig { image: image.to_owned(), ..ContainerConfig::default() };
    let mut host = HostConfig::default();
    volumes(options, world, &mut config, &mut host)?;
    config.cmd = (!command.is_empty()).then(|| command.to_vec());
    config.entrypoint = options.entrypoint.clone().map(|program| vec![program]);
    ports(options, &mut config, &mut host)?;
    for device in &options.devices {
        host.devices.push(device.parse().map_err(|error| Refused::from(&error))?);
    }
    let env = files::variables(world.environment, &options.env_files, &options.env)?;
    config.env = (!env.is_empty()).then_some(env);
    let mut labels = files::labels(&options.label_files)?;
    labels.extend(options.labels.iter().cloned());
    config.labels = Some(option::pairs(&labels));
    namespaces(options, &mut host)?;
    logging(options, &mut host)?;
    security(options, &mut host)?;
    if options.storage_options.iter().any(|option| !option.contains('=')) {
        return Err("invalid storage option".into());
    }
    host.storage_opt = option::pairs(&options.storage_options);
    config.healthcheck = healthcheck(options)?;
    streams(options, &mut config);
    limits(options, &mut host);
    plain(options, &mut config, &mut host);
    // After all else, as docker has it: what is wrong with the policy is its daemon's to say.
    let restarts = !matches!(options.restart.as_str(), "" | "no");
    let policy = options.restart.parse::<RestartPolicy>();
    if let Err(error @ (RestartError::Empty | RestartError::Count)) = &policy {
        return Err(error.into());
    }
    if options.rm && restarts {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    let networks = networks(options, &mut host)?;
    host.restart_policy = policy.map_err(|error| Refused::Daemon(error.to_string()))?;
    Ok(CreateRequest { config, host_config: host, networks, ..CreateRequest::default() })
}

fn volumes(
    options: &Options,
    world: World<'_>,
    config: &mut ContainerConfig,
    host: &mut HostConfig,
) -> Result<()> {
    for given in &options.volumes {
        match volume::spec(given)? {
            volume::Spec::Anonymous(path) => {
                let volumes = config.volumes.get_or_insert_default();
                volumes.insert(path.to_owned(), varve_types::config::Empty {});
            }
            volume::Spec::Bind(bind) => {
                let bind = match bind.split_once(':') {
                    Some((source, rest)) if source.starts_with('.') => {
                        format!("{}:{rest}", absolute(world.directory, source))
                    }
                    _ => bind.to_owned(),
                };
                host.binds.get_or_insert_default().push(bind);
            }
        }
    }
    for tmpfs in &options.tmpfs {
        let (path, how) = tmpfs.split_once(':').unwrap_or((tmpfs, ""));
        host.tmpfs.insert(path.to_owned(), how.to_owned());
    }
    host.mounts.clone_from(&options.mounts);
    for mount in &mut host.mounts {
        if mount.source == "." || mount.source.starts_with("./") {
            mount.source = absolute(world.directory, &mount.source);
        }
    }
    Ok(())
}

/// The path from a directory, without `.` and `..`.
fn absolute(directory: &Path, path: &str) -> String {
    let mut clean = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean.display().to_string()
}

#[allow(clippy::zero_sized_map_values, reason = "that is how the JSON is")]
fn ports(options: &Options, config: &mut ContainerConfig, host: &mut HostConfig) -> Result<()> {
    let mut exposed = BTreeMap::new();
    let mut bindings = PortBindings::new();
    for publish in &options.publish {
        for (port, binding) in parse_publish(&short_form(publish)?)? {
            exposed.insert(port.to_string(), varve_types::config::Empty {});
            bindings.entry(port).or_default().push(binding);
        }
    }
    for expose in &options.expose {
        if expose.contains(':') {
            return Err(format!("invalid port format for --expose: {expose}").into());
        }
        let pairs = parse_publish(expose).map_err(|error| {
            format!("invalid range format for --expose: {expose}, error: {error}")
        })?;
        for (port, _) in pairs {
            exposed.insert(port.to_string(), varve_types::config::Empty {});
        }
    }
    config.exposed_ports = (!exposed.is_empty()).then_some(exposed);
    host.port_bindings = bindings;
    Ok(())
}

/// `published=8080,target=80,protocol=tcp` in the form with colons.
fn short_form(publish: &str) -> Result<String> {
    if !publish.contains('=') {
        return Ok(publish.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in publish.split(',') {
        match field.split_once('=') {
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            Some((name, _)) if !name.is_empty() => {}
            _ => {
                let expected = "(should be name=value but got";
                return Err(format!("invalid publish opts format {expected} '{field}')").into());
            }
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn namespaces(options: &Options, host: &mut HostConfig) -> Result<()> {
    use varve_types::container::NamespaceMode as Mode;
    let checks = [
        (Mode::pid(&options.pid).is_err(), "--pid: invalid PID mode"),
        (Mode::uts(&options.uts).is_err(), "--uts: invalid UTS mode"),
        (Mode::userns(&options.userns).is_err(), "--userns: invalid USER mode"),
        (Mode::cgroup(&options.cgroupns).is_err(), "--cgroupns: invalid CGROUP mode"),
    ];
    if let Some((_, text)) = checks.iter().find(|(wrong, _)| *wrong) {
        return Err((*text).into());
    }
    host.pid_mode.clone_from(&options.pid);
    host.uts_mode.clone_from(&options.uts);
    host.userns_mode.clone_from(&options.userns);
    host.cgroupns_mode.clone_from(&options.cgroupns);
    if !options.ipc.is_empty() {
        host.ipc_mode.clone_from(&options.ipc);
    }
    Ok(())
}

fn logging(options: &Options, host: &mut HostConfig) -> Result<()> {
    if options.log_driver == "none" && !options.log_options.is_empty() {
        return Err("invalid logging opts for driver none".into());
    }
    host.log_config =
        LogConfig { config: option::pairs(&options.log_options), ..Default::default() };
    if !options.log_driver.is_empty() {
        host.log_config.kind.clone_from(&options.log_driver);
    }
    Ok(())
}

/// Reads `--security-opt`. A profile for seccomp is a file, and what is asked for is its content.
fn security(options: &Options, host: &mut HostConfig) -> Result<()> {
    let mut kept = Vec::new();
    for given in &options.security_options {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, value),
            None if given == "no-new-privileges" => (given.as_str(), ""),
            None => given.split_once(':').unwrap_or((given, "")),
        };
        if value.is_empty() && name != "no-new-privileges" {
            return Err(format!("Invalid --security-opt: {given:?}").into());
        }
        match (name, value) {
            ("seccomp", profile) if !matches!(profile, "builtin" | "unconfined") => {
                kept.push(format!("seccomp={}", files::profile(profile)?));
            }
            ("systempaths", "unconfined") => {
                (host.masked_paths, host.readonly_paths) = (Some(Vec::new()), Some(Vec::new()));
            }
            _ => kept.push(given.clone()),
        }
    }
    host.security_opt = (!kept.is_empty()).then_some(kept);
    Ok(())
}

fn healthcheck(options: &Options) -> Result<Option<Healthcheck>> {
    let health = &options.health;
    let numbers = [
        ("interval", health.interval_ns),
        ("timeout", health.timeout_ns),
        ("retries", health.retries),
        ("start-period", health.start_period_ns),
        ("start-interval", health.start_interval_ns),
    ];
    let given = !health.probe.is_empty() || numbers.iter().any(|(_, number)| *number != 0);
    if health.off {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        let test = Some(vec!["NONE".to_owned()]);
        return Ok(Some(Healthcheck { test, ..Healthcheck::default() }));
    }
    if !given {
        return Ok(None);
    }
    if let Some((name, _)) = numbers.iter().find(|(_, number)| *number < 0) {
        return Err(format!("--health-{name} cannot be negative").into());
    }
    let test = || vec!["CMD-SHELL".to_owned(), health.probe.clone()];
    Ok(Some(Healthcheck {
        test: (!health.probe.is_empty()).then(test),
        interval: health.interval_ns,
        timeout: health.timeout_ns,
        start_period: health.start_period_ns,
        start_interval: health.start_interval_ns,
        retries: health.retries,
    }))
}

fn streams(options: &Options, config: &mut ContainerConfig) {
    let all = options.attach.is_empty();
    config.attach_stdin = options.interactive || options.attach.contains(&Stream::Stdin);
    config.attach_stdout = all || options.attach.contains(&Stream::Stdout);
    config.attach_stderr = all || options.attach.contains(&Stream::Stderr);
    config.open_stdin = options.interactive;
    // Input of one who is attached ends with his command.
    config.stdin_once = config.open_stdin && config.attach_stdin;
}

fn limits(options: &Options, host: &mut HostConfig) {
    let nonzero = |number: i64| (number != 0).then_some(number);
    host.memory = options.memory.limit_bytes;
    host.memory_reservation = options.memory.reservation_bytes;
    host.memory_swap = options.memory.swap_bytes;
    host.memory_swappiness = Some(options.memory.swappiness).filter(|&number| number != -1);
    host.oom_kill_disable = Some(options.oom_kill_disable);
    host.oom_score_adj = options.oom_score_adj.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    host.nano_cpus = options.nano_cpus;
    host.cpu_shares = options.cpu_shares;
    host.cpu_period = options.cpu_period;
    host.cpu_quota = options.cpu_quota;
    host.cpu_realtime_period = options.cpu_rt_period;
    host.cpu_realtime_runtime = options.cpu_rt_runtime;
    host.cpuset_cpus.clone_from(&options.cpuset_cpus);
    host.cpuset_mems.clone_from(&options.cpuset_mems);
    host.pids_limit = nonzero(options.pids_limit);
    host.blkio_weight = options.blkio_weight.unwrap_or_default();
    host.blkio_weight_device.clone_from(&options.blkio_weight_devices);
    host.blkio_device_read_bps.clone_from(&options.device_read_bps);
    host.blkio_device_write_bps.clone_from(&options.device_write_bps);
    host.blkio_device_read_iops.clone_from(&options.device_read_iops);
    host.blkio_device_write_iops.clone_from(&options.device_write_iops);
    host.ulimits.clone_from(&options.ulimits);
    if let Some(bytes) = nonzero(options.shm_size) {
        host.shm_size = bytes;
    }
}

/// What is taken as it is.
fn plain(options: &Options, config: &mut ContainerConfig, host: &mut HostConfig) {
    let some = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    config.hostname.clone_from(&options.hostname);
    config.domainname.clone_from(&options.domainname);
    config.user.clone_from(&options.user);
    config.tty = options.tty;
    config.working_dir.clone_from(&options.workdir);
    config.stop_signal.clone_from(&options.stop_signal);
    config.stop_timeout = options.stop_timeout;
    host.container_id_file =
        options.cidfile.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    host.auto_remove = options.rm;
    host.volume_driver.clone_from(&options.volume_driver);
    host.volumes_from = some(&options.volumes_from);
    host.annotations = option::pairs(&options.annotations);
    host.cap_add = some(&options.cap_add);
    host.cap_drop = some(&options.cap_drop);
    host.dns.clone_from(&options.dns);
    host.dns_options.clone_from(&options.dns_options);
    host.dns_search.clone_from(&options.dns_search);
    host.extra_hosts = some(&options.extra_hosts);
    host.group_add = some(&options.group_add);
    host.links = some(&options.links);
    host.privileged = options.privileged;
    if options.privileged {
        (host.masked_paths, host.readonly_paths) = (None, None);
    }
    host.publish_all_ports = options.publish_all;
    host.readonly_rootfs = options.read_only;
    host.sysctls = option::pairs(&options.sysctls);
    host.isolation.clone_from(&options.isolation);
    host.cgroup_parent.clone_from(&options.cgroup_parent);
    host.device_cgroup_rules = some(&options.device_cgroup_rules);
    host.init = options.init.then_some(true);
    if !options.runtime.is_empty() {
        host.runtime.clone_from(&options.runtime);
    }
    if !options.gpus.is_empty() {
        let request = serde_json::json!({
            "Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}
        });
        host.device_requests = Some(vec![request]);
    }
}

fn networks(options: &Options, host: &mut HostConfig) -> Result<BTreeMap<String, NetworkRequest>> {
    let mut given = options.networks.clone();
    if given.is_empty() {
        given.push(network::Attachment { target: "bridge".to_owned(), ..Default::default() });
    }
    with_flags(options, &mut given[0].request)?;
    let mut found = BTreeMap::new();
    let is_named = |target: &str| matches!(NetworkMode::of(target), NetworkMode::Named(_));
    host.network_mode = match given[0].target.as_str() {
        "" | "default" => "bridge".to_owned(),
        target => target.to_owned(),
    };
    let named = given.iter().filter(|network| is_named(&network.target)).count();
    let mut seen: Vec<&str> = Vec::new();
    for network in &given {
        if seen.contains(&network.target.as_str()) {
            return Err(format!("network {:?} is specified multiple times", network.target).into());
        }
        seen.push(&network.target);
        match NetworkMode::of(&network.target) {
            NetworkMode::Bridge => {
                found.insert("bridge".to_owned(), network.request.clone());
            }
            NetworkMode::Named(name) => {
                found.insert(name, network.request.clone());
            }
            NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {}
        }
    }
    if named > 0 && named < given.len() {
        let kinds = "both user-defined and non-user-defined network-modes";
        return Err(format!("conflicting options: cannot attach {kinds}").into());
    }
    Ok(found)
}

/// Puts flags that are about a network into the request of the first one.
fn with_flags(options: &Options, request: &mut NetworkRequest) -> Result<()> {
    let conflict = |flag: &str, what: &str| -> Result<()> {
        Err(format!("conflicting options: cannot specify both --{flag} and per-network {what}")
            .into())
    };
    if !options.network_aliases.is_empty() {
        if !request.aliases.is_empty() {
            return conflict("network-alias", "alias");
        }
        request.aliases.clone_from(&options.network_aliases);
    }
    request.links.clone_from(&options.links);
    if !options.ip.is_empty() {
        if request.ipv4_address.is_some() {
            return conflict("ip", "IPv4 address");
        }
        request.ipv4_address = Some(network::ipv4(&options.ip)?);
    }
    if !options.ip6.is_empty() {
        if request.ipv6_address.is_some() {
            return conflict("ip6", "IPv6 address");
        }
        request.ipv6_address = Some(network::ipv6(&options.ip6)?);
    }
    if !options.mac_address.is_empty() {
        if request.mac_address.is_some() {
            return conflict("mac-address", "MAC address");
        }
        request.mac_address = Some(network::mac_address(&options.mac_address)?);
    }
    if !options.link_local_ips.is_empty() {
        if !request.link_local_ips.is_empty() {
            return conflict("link-local-ip", "link-local IP addresses");
        }
        for address in &options.link_local_ips {
            request.link_local_ips.push(network::address(address)?);
        }
    }
    Ok(())
}

impl Refused {
    /// The error as `run` and `create` show what is wrong with their flags.
    pub(crate) fn with_help(self, command: &str) -> CommandError {
        let text = match self {
            Self::Client(text) => text,
            Self::Daemon(text) => format!("Error response from daemon: {text}"),
        };
        super::with_help(&text, command, 125)
    }
}
