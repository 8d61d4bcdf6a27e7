//! Facts about this machine and this store, in the layout of Docker's `info`.

use varve_engine::SystemFacts;
use varve_types::Digest;

use super::version::VERSION;
use crate::format::{
    template::{Field, Value},
    units,
};

/// How layers are shown, among the storage driver's facts.
const BACKEND: &str = "Storage Backend";

/// The first paragraph of what `info` prints.
pub(crate) fn client_text(debug: bool) -> String {
    format!("Client:\n Version:    {VERSION}\n Context:    default\n Debug Mode: {debug}\n")
}

/// What `info` prints without a format.
pub(crate) fn text(facts: &SystemFacts, debug: bool, username: Option<&str>) -> String {
    let memory = binary_size(facts.memory_size_bytes);
    let username = username.map(|name| format!(" Username: {name}\n")).unwrap_or_default();
    let backend = facts.backend.map(|kind| format!("  {BACKEND}: {kind}\n")).unwrap_or_default();
    format!(
        "{}\n\
         Server:\n Containers: 0\n  Running: 0\n  Paused: 0\n  Stopped: 0\n Images: {}\n \
         Server Version: {VERSION}\n Storage Driver: {}\n  Backing Filesystem: {}\n{backend} \
         Kernel Version: {}\n Operating System: {}\n OSType: linux\n Architecture: {}\n \
         CPUs: {}\n Total Memory: {memory}\n Name: {}\n ID: {}\n Docker Root Dir: {}\n \
         Debug Mode: {debug}\n{username} Experimental: false\n Insecure Registries:\n  127.0.0.0/8\n \
         Live Restore Enabled: false\n\n",
        client_text(debug),
        facts.images,
        facts.driver,
        facts.backing_file_system,
        facts.kernel_version,
        facts.operating_system,
        facts.architecture,
        facts.cpus,
        facts.name,
        id(facts),
        facts.root.display(),
    )
}

/// An ID that this store on this machine keeps, in the form of a UUID.
fn id(facts: &SystemFacts) -> String {
    let digest = Digest::of(format!("{}\0{}", facts.name, facts.root.display()).as_bytes());
    let hex = digest.hex();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]];
    parts.join("-")
}

/// A size in powers of 1024, as `info` shows memory: `7.75GiB`.
fn binary_size(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{}{}", units::significant(size, 4), UNITS[unit])
}

/// The same for templates and JSON.
pub(crate) fn value(facts: &SystemFacts, debug: bool) -> Value {
    let text = |name, text: &str| Field::plain(name, Value::foreign(text));
    let number = |name, number: u64| Field::plain(name, Value::Int(number as i64));
    let pair =
        vec![Value::text("Backing Filesystem"), Value::foreign(facts.backing_file_system.as_str())];
    let pairs = std::iter::once(pair)
        .chain(facts.backend.map(|kind| vec![Value::text(BACKEND), Value::text(kind.to_string())]));
    let pairs: Vec<Value> = pairs.map(Value::list).collect();
    let client = vec![
        Field::plain("Debug", Value::Bool(debug)),
        text("Version", VERSION),
        text("Context", "default"),
        Field::plain("Plugins", Value::list(Vec::new())),
        Field::plain("Warnings", Value::list_or_nil(None)),
    ];
    Value::structure(
        "system.dockerInfo",
        vec![
            text("ID", &id(facts)),
            number("Containers", 0),
            number("ContainersRunning", 0),
            number("ContainersPaused", 0),
            number("ContainersStopped", 0),
            number("Images", facts.images),
            text("Driver", facts.driver),
            Field::plain("DriverStatus", Value::list(pairs)),
            Field::plain("Debug", Value::Bool(debug)),
            text("SystemTime", &facts.system_time),
            text("KernelVersion", &facts.kernel_version),
            text("OperatingSystem", &facts.operating_system),
            text("OSType", "linux"),
            text("Architecture", &facts.architecture),
            text("IndexServerAddress", "https://index.docker.io/v1/"),
            number("NCPU", facts.cpus),
            number("MemTotal", facts.memory_size_bytes),
            text("DockerRootDir", &facts.root.display().to_string()),
            text("Name", &facts.name),
            Field::plain("ExperimentalBuild", Value::Bool(false)),
            text("ServerVersion", VERSION),
            Field::plain("LiveRestoreEnabled", Value::Bool(false)),
            Field::plain("Warnings", Value::list_or_nil(None)),
            Field::plain("ClientInfo", Value::structure("system.clientInfo", client)),
        ],
    )
}
