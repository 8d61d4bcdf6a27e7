//! The flags of `run` and `create` that describe the container.

use std::path::PathBuf;

use varve_types::container::{
    Mount, ThrottleDevice, Ulimit, WeightDevice, parse, parse_cpus, parse_size,
};

use crate::commands::flags;

/// What `--cgroupns` takes.
const CGROUPNS_HELP: &str = "Cgroup namespace to use (host|private)
'host':    Run the container in the Docker host's cgroup namespace
'private': Run the container in its own private cgroup namespace
'':        Use the cgroup namespace as configured by the
           default-cgroupns-mode option on the daemon (default)";

/// What describes a container on the command line, each value as it stands there but checked as
/// far as docker checks it while it reads the line.
#[derive(Debug, Clone, Default, clap::Args)]
#[allow(clippy::struct_field_names, reason = "the flags are called so")]
pub(crate) struct Options {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long = "add-host", value_name = "list", value_parser = parse::option::extra_host)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) extra_hosts: Vec<String>,

    #[arg(long = "annotation", value_name = "map", action = clap::ArgAction::Append)]
    #[arg(
        help = "Add an annotation to the container (passed through to the OCI runtime) (default map[])"
    )]
    pub(crate) annotations: Vec<String>,

    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = parse::option::stream)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) attach: Vec<parse::option::Stream>,

    #[arg(long, value_name = "uint16", value_parser = flags::unsigned16)]
    #[arg(help = "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")]
    pub(crate) blkio_weight: Option<u16>,

    #[arg(long = "blkio-weight-device", value_name = "list")]
    #[arg(value_parser = parse::device::weight, action = clap::ArgAction::Append)]
    #[arg(help = "Block IO weight (relative device weight) (default [])")]
    pub(crate) blkio_weight_devices: Vec<WeightDevice>,

    /// Add Linux capabilities
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) cap_add: Vec<String>,

    /// Drop Linux capabilities
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) cap_drop: Vec<String>,

    /// Optional parent cgroup for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cgroup_parent: String,

    #[arg(long, value_name = "string", default_value = "", help = CGROUPNS_HELP)]
    pub(crate) cgroupns: String,

    /// Write the container ID to the file
    #[arg(long, value_name = "string", value_parser = flags::path)]
    pub(crate) cidfile: Option<PathBuf>,

    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) cpu_period: i64,

    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) cpu_quota: i64,

    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) cpu_rt_period: i64,

    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) cpu_rt_runtime: i64,

    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) cpu_shares: i64,

    /// Number of CPUs
    #[arg(long = "cpus", value_name = "decimal", default_value = "0")]
    #[arg(value_parser = parse_cpus)]
    pub(crate) nano_cpus: i64,

    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cpuset_cpus: String,

    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) cpuset_mems: String,

    /// Add a host device to the container
    #[arg(long = "device", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) devices: Vec<String>,

    /// Add a rule to the cgroup allowed devices list
    #[arg(long = "device-cgroup-rule", value_name = "list")]
    #[arg(value_parser = parse::device::cgroup_rule, action = clap::ArgAction::Append)]
    pub(crate) device_cgroup_rules: Vec<String>,

    #[arg(long, value_name = "list", value_parser = parse::device::bytes_rate)]
    #[arg(action = clap::ArgAction::Append)]
    #[arg(help = "Limit read rate (bytes per second) from a device (default [])")]
    pub(crate) device_read_bps: Vec<ThrottleDevice>,

    #[arg(long, value_name = "list", value_parser = parse::device::operations_rate)]
    #[arg(action = clap::ArgAction::Append)]
    #[arg(help = "Limit read rate (IO per second) from a device (default [])")]
    pub(crate) device_read_iops: Vec<ThrottleDevice>,

    #[arg(long, value_name = "list", value_parser = parse::device::bytes_rate)]
    #[arg(action = clap::ArgAction::Append)]
    #[arg(help = "Limit write rate (bytes per second) to a device (default [])")]
    pub(crate) device_write_bps: Vec<ThrottleDevice>,

    #[arg(long, value_name = "list", value_parser = parse::device::operations_rate)]
    #[arg(action = clap::ArgAction::Append)]
    #[arg(help = "Limit write rate (IO per second) to a device (default [])")]
    pub(crate) device_write_iops: Vec<ThrottleDevice>,

    /// Skip image verification (default true)
    #[arg(long, action = clap::ArgAction::SetFalse)]
    #[allow(dead_code, reason = "taken and not looked at: there is no content trust")]
    disable_content_trust: bool,

    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = parse::option::ip)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) dns: Vec<String>,

    /// Set DNS options
    #[arg(long = "dns-option", alias = "dns-opt", value_name = "list")]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) dns_options: Vec<String>,

    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = parse::option::search_domain)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) dns_search: Vec<String>,

    /// Container NIS domain name
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) domainname: String,

    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub(crate) entrypoint: Option<String>,

    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = parse::env::variable)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) env: Vec<String>,

    /// Read in a file of environment variables
    #[arg(long = "env-file", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) env_files: Vec<PathBuf>,

    /// Expose a port or a range of ports
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) expose: Vec<String>,

    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "gpu-request", action = clap::ArgAction::Append)]
    pub(crate) gpus: Vec<String>,

    /// Add additional groups to join
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) group_add: Vec<String>,

    #[command(flatten)]
    pub(crate) health: Health,

    /// Print usage
    // Never set: the line is read for it before. Declared because docker lists it.
    #[arg(long)]
    #[allow(dead_code, reason = "see above")]
    help: bool,

    /// Container host name
    #[arg(short = 'h', long, value_name = "string", default_value = "")]
    pub(crate) hostname: String,

    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,

    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) ip: String,

    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) ip6: String,

    /// IPC mode to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) ipc: String,

    /// Container isolation technology
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) isolation: String,

    /// Kernel memory limit
    #[arg(long, value_name = "bytes", default_value = "0", value_parser = parse_size)]
    #[allow(dead_code, reason = "taken and not looked at, as by docker since the kernel has none")]
    kernel_memory: i64,

    /// Set meta data on a container
    #[arg(short, long = "label", value_name = "list", value_parser = parse::env::label)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) labels: Vec<String>,

    /// Read in a line delimited file of labels
    #[arg(long = "label-file", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) label_files: Vec<PathBuf>,

    /// Add link to another container
    #[arg(long = "link", value_name = "list", value_parser = parse::option::link)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) links: Vec<String>,

    /// Container IPv4/IPv6 link-local addresses
    #[arg(long = "link-local-ip", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) link_local_ips: Vec<String>,

    /// Logging driver for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) log_driver: String,

    /// Log driver options
    #[arg(long = "log-opt", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) log_options: Vec<String>,

    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) mac_address: String,

    #[command(flatten)]
    pub(crate) memory: Memory,

    /// Attach a filesystem mount to the container
    #[arg(long = "mount", value_name = "mount", value_parser = parse::mount::mount)]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) mounts: Vec<Mount>,

    /// Connect a container to a network
    #[arg(long = "network", alias = "net", value_name = "network")]
    #[arg(value_parser = parse::network::attachment, action = clap::ArgAction::Append)]
    pub(crate) networks: Vec<parse::network::Attachment>,

    /// Add network-scoped alias for the container
    #[arg(long = "network-alias", alias = "net-alias", value_name = "list")]
    #[arg(action = clap::ArgAction::Append)]
    pub(crate) network_aliases: Vec<String>,

    /// Disable OOM Killer
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,

    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) oom_score_adj: i64,

    /// PID namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) pid: String,

    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", default_value = "0", value_parser = flags::integer)]
    pub(crate) pids_limit: i64,

    /// Give extended privileges to this container
    #[arg(long)]
    pub(crate) privileged: bool,

    /// Publish a container's port(s) to the host
    #[arg(short = 'p', long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) publish: Vec<String>,

    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,

    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,

    #[arg(long, value_name = "string", default_value = "no")]
    #[arg(help = "Restart policy to apply when a container exits (default \"no\")")]
    pub(crate) restart: String,

    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub(crate) rm: bool,

    /// Runtime to use for this container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) runtime: String,

    /// Security Options
    #[arg(long = "security-opt", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) security_options: Vec<String>,

    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", default_value = "0", value_parser = parse_size)]
    pub(crate) shm_size: i64,

    /// Signal to stop the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) stop_signal: String,

    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = flags::integer)]
    pub(crate) stop_timeout: Option<i64>,

    /// Storage driver options for the container
    #[arg(long = "storage-opt", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) storage_options: Vec<String>,

    #[arg(long = "sysctl", value_name = "map", value_parser = parse::option::sysctl)]
    #[arg(action = clap::ArgAction::Append, help = "Sysctl options (default map[])")]
    pub(crate) sysctls: Vec<String>,

    /// Mount a tmpfs directory
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) tmpfs: Vec<String>,

    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,

    #[arg(long = "ulimit", value_name = "ulimit", value_parser = flags::ulimit)]
    #[arg(action = clap::ArgAction::Append, help = "Ulimit options (default [])")]
    pub(crate) ulimits: Vec<Ulimit>,

    /// Bind mount Docker API socket and required auth
    #[arg(long)]
    pub(crate) use_api_socket: bool,

    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(crate) user: String,

    /// User namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) userns: String,

    /// UTS namespace to use
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) uts: String,

    /// Bind mount a volume
    #[arg(short, long = "volume", value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) volumes: Vec<String>,

    /// Optional volume driver for the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) volume_driver: String,

    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list", action = clap::ArgAction::Append)]
    pub(crate) volumes_from: Vec<String>,

    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    pub(crate) workdir: String,
}

/// The flags of a health check.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Health {
    /// Command to run to check health
    #[arg(long = "health-cmd", value_name = "string", default_value = "")]
    pub(crate) probe: String,

    /// Time between running the check (ms|s|m|h) (default 0s)
    #[arg(long = "health-interval", value_name = "duration", default_value = "0")]
    #[arg(value_parser = flags::duration)]
    pub(crate) interval_ns: i64,

    /// Consecutive failures needed to report unhealthy
    #[arg(long = "health-retries", value_name = "int", default_value = "0")]
    #[arg(value_parser = flags::integer)]
    pub(crate) retries: i64,

    /// Time between running the check during the start period (ms|s|m|h) (default 0s)
    #[arg(long = "health-start-interval", value_name = "duration", default_value = "0")]
    #[arg(value_parser = flags::duration)]
    pub(crate) start_interval_ns: i64,

    #[arg(long = "health-start-period", value_name = "duration", default_value = "0")]
    #[arg(value_parser = flags::duration)]
    #[arg(
        help = "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)"
    )]
    pub(crate) start_period_ns: i64,

    /// Maximum time to allow one check to run (ms|s|m|h) (default 0s)
    #[arg(long = "health-timeout", value_name = "duration", default_value = "0")]
    #[arg(value_parser = flags::duration)]
    pub(crate) timeout_ns: i64,

    /// Disable any container-specified HEALTHCHECK
    #[arg(long = "no-healthcheck")]
    pub(crate) off: bool,
}

/// The flags that limit memory.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Memory {
    /// Memory limit
    #[arg(short = 'm', long = "memory", value_name = "bytes", default_value = "0")]
    #[arg(value_parser = parse_size)]
    pub(crate) limit_bytes: i64,

    /// Memory soft limit
    #[arg(long = "memory-reservation", value_name = "bytes", default_value = "0")]
    #[arg(value_parser = parse_size)]
    pub(crate) reservation_bytes: i64,

    #[arg(long = "memory-swap", value_name = "bytes", default_value = "0")]
    #[arg(value_parser = flags::swap)]
    #[arg(help = "Swap limit equal to memory plus swap: '-1' to enable unlimited swap")]
    pub(crate) swap_bytes: i64,

    #[arg(long = "memory-swappiness", value_name = "int", default_value = "-1")]
    #[arg(value_parser = flags::integer)]
    #[arg(help = "Tune container memory swappiness (0 to 100) (default -1)")]
    pub(crate) swappiness: i64,
}

/// What `run` and `create` are told about the container beside its description.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Creation {
    /// Assign a name to the container
    #[arg(long, value_name = "string", default_value = "")]
    pub(crate) name: String,

    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    pub(crate) platform: Option<String>,

    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
