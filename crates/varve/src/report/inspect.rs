//! Everything about an image, as JSON or for a template.

use std::collections::BTreeMap;

use jiff::Timestamp;
use varve_engine::ImageFacts;
use varve_types::{RunConfig, config::Healthcheck};

use crate::{
    error::CommandError,
    format::{
        template::{
            Escape, Field, Template, Value,
            json::{self, Style},
        },
        template_error, time,
    },
};

/// How the found objects are shown.
pub(crate) enum Form {
    /// A JSON array over many lines.
    Indented,
    /// A JSON array on one line.
    Json,
    /// A line for each object.
    Template(Template),
}

impl Form {
    /// Reads `--format`. A template that cannot be parsed has an exit code of its own.
    pub(crate) fn new(format: &str) -> Result<Self, CommandError> {
        match format {
            "" => Ok(Self::Indented),
            "json" => Ok(Self::Json),
            format => match Template::parse(format) {
                Ok(template) => Ok(Self::Template(template)),
                Err(error) => {
                    Err(CommandError::plain(format!("template parsing error: {error}"), 64))
                }
            },
        }
    }

    /// Shows the objects. What fails for one of them is added to `errors`.
    pub(crate) fn show(&self, found: &[Object], errors: &mut Vec<String>) -> String {
        let all = || Value::list(found.iter().map(|object| object.raw.clone()).collect());
        let template = match self {
            Self::Indented => {
                return json::write(&all(), Style { indent: 4, escape_html: false }) + "\n";
            }
            Self::Json => {
                return json::write(&all(), json::PLAIN) + "\n";
            }
            Self::Template(template) => template,
        };
        let mut text = String::new();
        for object in found {
            // Docker tries its own type first, and what came over the wire when that fails.
            let shown = template
                .run(&object.typed, Escape::Lines)
                .or_else(|_| template.run_raw(&as_maps(&object.raw), Escape::Lines));
            match shown {
                Ok(shown) => {
                    text.push_str(&shown);
                    text.push('\n');
                }
                Err(error) => errors.extend(template_error(&error).text()),
            }
        }
        if text.is_empty() { "\n".to_owned() } else { text }
    }
}

/// An object, as `inspect` has it.
pub(crate) struct Object {
    /// With the members and the order of Docker's API.
    pub(crate) raw: Value,
    /// As Docker's client decodes it.
    pub(crate) typed: Value,
}

/// An image as an object.
pub(crate) fn image(facts: &ImageFacts) -> Object {
    Object { raw: raw(facts), typed: typed(facts) }
}

/// The object with the members and the order of Docker's API.
fn raw(facts: &ImageFacts) -> Value {
    object(facts, raw_config(&facts.config.config), |facts| {
        Value::foreign(time::rfc3339_nano(last_tag_time(facts)))
    })
}

/// The object as Docker's client decodes it, which knows fewer members of the config.
fn typed(facts: &ImageFacts) -> Value {
    object(facts, typed_config(&facts.config.config), |facts| Value::Time(last_tag_time(facts)))
}

fn object(facts: &ImageFacts, config: Value, tagged: impl Fn(&ImageFacts) -> Value) -> Value {
    let image = &facts.config;
    let names = |names: &[varve_types::Reference]| {
        Value::list(names.iter().map(|name| Value::text(name.familiar())).collect())
    };
    let layers = facts.layers.iter().map(|layer| Value::text(layer.to_string())).collect();
    let driver = vec![
        Field::plain("Data", Value::map_or_nil(None, Value::text(""))),
        Field::plain("Name", Value::text(facts.driver)),
    ];
    let root = vec![
        Field::plain("Type", Value::text("layers")),
        Field::omit_empty("Layers", "Layers", Value::list(layers)),
    ];
    let parent = facts.parent.map(|parent| parent.to_string()).unwrap_or_default();
    let created = image.created.map(time::rfc3339_nano).unwrap_or_default();
    Value::structure(
        "*image.InspectResponse",
        vec![
            Field::new("ID", "Id", Value::text(facts.id.to_string())),
            Field::plain("RepoTags", names(&facts.tags)),
            Field::plain("RepoDigests", names(&facts.digests)),
            Field::plain("Parent", Value::text(parent)),
            Field::plain("Comment", foreign(&facts.comment)),
            Field::omit_empty("Created", "Created", Value::text(created)),
            Field::plain("DockerVersion", foreign(&image.docker_version)),
            Field::plain("Author", foreign(&image.author)),
            Field::plain("Config", config),
            Field::plain("Architecture", foreign(&image.architecture)),
            Field::omit_empty("Variant", "Variant", foreign(&image.variant)),
            Field::plain("Os", foreign(&image.os)),
            Field::omit_empty("OsVersion", "OsVersion", foreign(&image.os_version)),
            Field::plain("Size", Value::Int(facts.size_bytes as i64)),
            Field::plain("GraphDriver", Value::structure("storage.DriverData", driver)),
            Field::plain("RootFS", Value::structure("image.RootFS", root)),
            Field::plain(
                "Metadata",
                Value::structure(
                    "image.Metadata",
                    vec![Field::plain("LastTagTime", tagged(facts))],
                ),
            ),
        ],
    )
}

/// When the image was last named here; Go's zero time when it never was.
fn last_tag_time(facts: &ImageFacts) -> Timestamp {
    const ZERO: Timestamp = Timestamp::constant(-62_135_596_800, 0);
    facts.tagged.unwrap_or(ZERO)
}

fn raw_config(config: &RunConfig) -> Value {
    let flag = |name, on| Field::plain(name, Value::Bool(on));
    Value::structure(
        "container.Config",
        vec![
            Field::plain("Hostname", foreign(&config.hostname)),
            Field::plain("Domainname", foreign(&config.domainname)),
            Field::plain("User", foreign(&config.user)),
            flag("AttachStdin", config.attach_stdin),
            flag("AttachStdout", config.attach_stdout),
            flag("AttachStderr", config.attach_stderr),
            omit("ExposedPorts", set(config.exposed_ports.as_ref())),
            flag("Tty", config.tty),
            flag("OpenStdin", config.open_stdin),
            flag("StdinOnce", config.stdin_once),
            Field::plain("Env", texts(config.env.as_ref())),
            Field::plain("Cmd", texts(config.cmd.as_ref())),
            omit("Healthcheck", config.healthcheck.as_ref().map_or(Value::Nil, healthcheck)),
            omit("ArgsEscaped", Value::Bool(config.args_escaped)),
            Field::plain("Image", foreign(&config.image)),
            Field::plain("Volumes", set(config.volumes.as_ref())),
            Field::plain("WorkingDir", foreign(&config.working_dir)),
            Field::plain("Entrypoint", texts(config.entrypoint.as_ref())),
            omit("NetworkDisabled", Value::Bool(config.network_disabled)),
            Field::plain("OnBuild", texts(config.on_build.as_ref())),
            Field::plain("Labels", labels(config.labels.as_ref())),
            omit("StopSignal", foreign(&config.stop_signal)),
            omit("StopTimeout", config.stop_timeout.map_or(Value::Nil, Value::Int)),
            omit("Shell", texts(config.shell.as_ref())),
        ],
    )
}

fn typed_config(config: &RunConfig) -> Value {
    Value::structure(
        "*v1.DockerOCIImageConfig",
        vec![
            omit("User", foreign(&config.user)),
            omit("ExposedPorts", set(config.exposed_ports.as_ref())),
            omit("Env", texts(config.env.as_ref())),
            omit("Entrypoint", texts(config.entrypoint.as_ref())),
            omit("Cmd", texts(config.cmd.as_ref())),
            omit("Volumes", set(config.volumes.as_ref())),
            omit("WorkingDir", foreign(&config.working_dir)),
            omit("Labels", labels(config.labels.as_ref())),
            omit("StopSignal", foreign(&config.stop_signal)),
            omit("ArgsEscaped", Value::Bool(config.args_escaped)),
            omit("Healthcheck", config.healthcheck.as_ref().map_or(Value::Nil, healthcheck)),
            omit("OnBuild", texts(config.on_build.as_ref())),
            omit("Shell", texts(config.shell.as_ref())),
        ],
    )
}

fn healthcheck(check: &Healthcheck) -> Value {
    Value::structure(
        "v1.HealthcheckConfig",
        vec![
            omit("Test", texts(check.test.as_ref())),
            omit("Interval", Value::Int(check.interval)),
            omit("Timeout", Value::Int(check.timeout)),
            omit("StartPeriod", Value::Int(check.start_period)),
            omit("StartInterval", Value::Int(check.start_interval)),
            omit("Retries", Value::Int(check.retries)),
        ],
    )
}

fn foreign(text: &str) -> Value {
    Value::foreign(text)
}

fn omit(name: &'static str, value: Value) -> Field {
    Field::omit_empty(name, name, value)
}

fn texts(texts: Option<&Vec<String>>) -> Value {
    Value::list_or_nil(texts.map(|texts| texts.iter().map(|text| foreign(text)).collect()))
}

fn labels(labels: Option<&BTreeMap<String, String>>) -> Value {
    let entries = labels
        .map(|labels| labels.iter().map(|(name, value)| (name.clone(), foreign(value))).collect());
    Value::map_or_nil(entries, Value::text(""))
}

fn set<T>(names: Option<&BTreeMap<String, T>>) -> Value {
    let empty = || Value::structure("struct {}", Vec::new());
    let entries = names.map(|names| names.keys().map(|name| (name.clone(), empty())).collect());
    Value::map_or_nil(entries, empty())
}

/// The value as it is when it was read from JSON: structs become maps, what JSON leaves out is
/// not there.
fn as_maps(value: &Value) -> Value {
    match value {
        Value::Struct(structure) => {
            let fields = structure.fields.iter();
            let entries =
                fields.filter_map(|f| Some((f.json.as_deref()?.to_owned(), as_maps(&f.value))));
            Value::any_map(entries.collect())
        }
        Value::List(list) if list.nil => Value::Missing,
        Value::Map(map) if map.nil => Value::Missing,
        Value::List(list) => Value::list(list.items.iter().map(as_maps).collect()),
        Value::Map(map) => {
            let entries = map.entries.iter();
            Value::any_map(entries.map(|(name, value)| (name.clone(), as_maps(value))).collect())
        }
        Value::Nil => Value::Missing,
        other => other.clone(),
    }
}
