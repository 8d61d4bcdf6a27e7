//! The flags of a build as the engine takes them.

use std::{collections::BTreeMap, io::Stdout, sync::atomic::AtomicBool};

use varve_engine::build::{
    BuildContext, BuildLimits, BuildOptions, BuildRequest, BuildSecret, BuildTimes, CacheExport,
    CacheImport, NoCache, RunNetwork, SshAgent, context_name,
};
use varve_types::{
    Environment, Platform, Reference, container::parse, platform::PlatformError,
    reference::ReferenceError,
};

use super::{
    Args, caches,
    context::{Prepared, Stdin},
    outputs::{self, Output},
    refused, secrets,
};
use crate::{error::CommandError, ui::Ui};

/// What the flags say.
#[derive(Clone)]
pub(crate) struct Settings {
    outputs: Vec<Output>,
    /// What is to be said before the build begins.
    pub(crate) warnings: Vec<String>,
    /// What is said when the build is over.
    pub(crate) late_warnings: Vec<String>,
    options: BuildOptions,
    platforms: Vec<Platform>,
    times: BuildTimes,
    source_date_epoch: Option<i64>,
    secrets: Vec<BuildSecret>,
    ssh: Vec<SshAgent>,
    allow_insecure: bool,
    allow_host_network: bool,
    limits: BuildLimits,
    cgroup_parent: String,
    cache_from: Vec<CacheImport>,
    cache_to: Vec<CacheExport>,
    annotations: Vec<(String, String)>,
    pull: bool,
}

impl Settings {
    /// Reads all flags, in docker's order, so that the same one is refused first.
    pub(crate) fn read(ui: &Ui, args: &Args) -> Result<Self, CommandError> {
        let environment = ui.environment();
        let mut options = BuildOptions::new(Platform::host());
        options.build_args = build_args(&args.build_args, environment);
        options.contexts = contexts(&args.build_contexts)?;
        options.labels = args.labels.iter().map(|text| pair(text)).collect();
        options.target = args.target.clone().filter(|target| !target.is_empty());
        options.network = network(&args.network)?;
        options.extra_hosts = extra_hosts(&args.add_hosts)?;
        options.shm_size_bytes = args.shm_size.filter(|size| *size > 0);
        options.ulimits.clone_from(&args.ulimits);
        options.no_cache = match (args.no_cache, args.no_cache_filter.as_slice()) {
            (true, []) => NoCache::All,
            (true, _) => {
                return Err(refused(
                    "--no-cache and --no-cache-filter cannot currently be used together",
                ));
            }
            (false, []) => NoCache::Never,
            (false, stages) => NoCache::Stages(
                stages.iter().flat_map(|text| text.split(',')).map(str::to_owned).collect(),
            ),
        };
        let secrets = list(&args.secrets, |text| secrets::secret(text, environment))?;
        let ssh = list(&args.ssh, |text| secrets::ssh(text, environment))?;
        let tags = list(&args.tags, tag)?;
        let outputs = outputs::read(&args.outputs, args.load, args.push, &tags)?;
        let cache_from = list(&args.cache_from, caches::imports)?.concat();
        let cache_to = list(&args.cache_to, caches::exports)?.concat();
        let warnings = warnings(args);
        let mut late_warnings = Vec::new();
        let cache_from = caches::that_are_there(cache_from, &mut late_warnings);
        let (allow_insecure, allow_host_network) = entitlements(&args.allow)?;
        Ok(Self {
            platforms: platforms(&args.platforms)?,
            allow_host_network: allow_host_network || options.network == RunNetwork::Host,
            options,
            times: times(&args.timestamp)?,
            source_date_epoch: source_date_epoch(environment)?,
            secrets,
            ssh,
            allow_insecure,
            limits: args.old.limits(),
            cgroup_parent: cgroup_parent(args)?,
            cache_from,
            cache_to,
            annotations: list(&args.annotations, annotation)?,
            outputs,
            pull: args.pull,
            warnings,
            late_warnings,
        })
    }

    /// The same build without a look into the cache, as an image that gets no name and goes
    /// nowhere else.
    pub(crate) fn trial(&self) -> Self {
        let mut trial = self.clone();
        trial.options.no_cache = NoCache::All;
        trial.outputs = vec![Output::Image { names: Vec::new(), push: false }];
        trial.cache_to.clear();
        trial
    }

    /// The same build with whatever the cache has.
    pub(crate) fn cached(&self) -> Self {
        let mut cached = self.clone();
        cached.options.no_cache = NoCache::Never;
        cached
    }

    /// What is planned for.
    pub(crate) fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// What the engine is asked for.
    pub(crate) fn request<'a>(
        &self,
        context: &'a Prepared,
        stdin: &'a mut Stdin,
        stdout: &'a mut Stdout,
        interrupted: &'a AtomicBool,
    ) -> BuildRequest<'a> {
        let (context, dockerfile) = context.sources(stdin);
        BuildRequest {
            context,
            dockerfile,
            options: self.options.clone(),
            platforms: self.platforms.clone(),
            pull: self.pull,
            times: self.times,
            source_date_epoch: self.source_date_epoch,
            secrets: self.secrets.clone(),
            ssh: self.ssh.clone(),
            allow_insecure: self.allow_insecure,
            allow_host_network: self.allow_host_network,
            limits: self.limits.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            cache_from: self.cache_from.clone(),
            cache_to: self.cache_to.clone(),
            outputs: outputs::for_engine(&self.outputs, stdout),
            annotations: self.annotations.clone(),
            interrupted,
        }
    }
}

fn list<T>(
    texts: &[String],
    read: impl Fn(&str) -> Result<T, CommandError>,
) -> Result<Vec<T>, CommandError> {
    texts.iter().map(|text| read(text)).collect()
}

/// Reads `-t`.
pub(crate) fn tag(text: &str) -> Result<Reference, CommandError> {
    let wrong = |reason: String| refused(format_args!("invalid tag {text:?}: {reason}"));
    let reference: Reference = text.parse().map_err(|error| {
        wrong(match error {
            ReferenceError::Uppercase(_) if text.to_lowercase().parse::<Reference>().is_ok() => {
                "repository name must be lowercase".to_owned()
            }
            ReferenceError::Uppercase(_) => ReferenceError::Format.to_string(),
            other => other.to_string(),
        })
    })?;
    if reference.digest().is_some() {
        return Err(wrong("refusing to create a tag with a digest reference".to_owned()));
    }
    Ok(reference)
}

/// Reads `--build-arg`: what has no value gets it from the environment, where it is set there.
fn build_args(texts: &[String], environment: &Environment) -> BTreeMap<String, String> {
    let value = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => environment.get(text).map(|value| (text.clone(), value.to_owned())),
    };
    texts.iter().filter_map(value).collect()
}

fn contexts(texts: &[String]) -> Result<BTreeMap<String, BuildContext>, CommandError> {
    let mut contexts = BTreeMap::new();
    for text in texts {
        let Some((name, value)) = text.split_once('=') else {
            return Err(refused(format_args!("invalid context {text}, expected key=value")));
        };
        if name.parse::<Reference>().is_err() {
            return Err(refused(format_args!("invalid context name {name}")));
        }
        let context = BuildContext::parse(value)
            .map_err(|error| refused(format_args!("invalid context {text}: {error}")))?;
        if let BuildContext::Local(path) = &context
            && !std::path::Path::new(path).is_dir()
        {
            let path = std::path::Path::new(path);
            let reason = match std::fs::metadata(path) {
                Err(error) => crate::error::go_text("stat", path, &error),
                Ok(_) => format!("{} is not a directory", path.display()),
            };
            return Err(refused(format_args!("failed to get build context {name}: {reason}")));
        }
        contexts.insert(context_name(name), context);
    }
    Ok(contexts)
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn network(text: &str) -> Result<RunNetwork, CommandError> {
    match text {
        "" | "default" => Ok(RunNetwork::Default),
        "none" => Ok(RunNetwork::None),
        "host" => Ok(RunNetwork::Host),
        other => Err(refused(format_args!("network mode {other:?} not supported by buildkit"))),
    }
}

fn extra_hosts(texts: &[String]) -> Result<Vec<(String, String)>, CommandError> {
    let all = texts.iter().flat_map(|text| text.split(','));
    let host = |text: &str| {
        let wrong = || refused(format_args!("invalid host {text}"));
        let known = parse::option::extra_host(text).map_err(|_| wrong())?;
        let (name, address) = known.split_once(':').ok_or_else(wrong)?;
        Ok((name.to_owned(), address.to_owned()))
    };
    all.map(host).collect()
}

fn platforms(texts: &[String]) -> Result<Vec<Platform>, CommandError> {
    let mut platforms: Vec<Platform> = Vec::new();
    for text in texts.iter().flat_map(|text| text.split(',')) {
        let platform = match text.trim() {
            "local" => Platform::host(),
            text => text.parse().map_err(|error: PlatformError| refused(error))?,
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

fn times(text: &str) -> Result<BuildTimes, CommandError> {
    match text {
        "epoch" => Ok(BuildTimes::Epoch),
        "now" => Ok(BuildTimes::Now),
        "keep" => Ok(BuildTimes::Keep),
        other => Err(refused(format_args!(
            "invalid timestamp mode {other}: must be one of epoch, now, keep"
        ))),
    }
}

fn source_date_epoch(environment: &Environment) -> Result<Option<i64>, CommandError> {
    let given = environment.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty());
    let number = |text: &str| {
        text.parse().map_err(|_| refused(format_args!("invalid SOURCE_DATE_EPOCH: {text}")))
    };
    given.map(number).transpose()
}

fn entitlements(texts: &[String]) -> Result<(bool, bool), CommandError> {
    let (mut insecure, mut host_network) = (false, false);
    for text in texts {
        match text.as_str() {
            "security.insecure" => insecure = true,
            "network.host" => host_network = true,
            other => return Err(refused(format_args!("unknown entitlement {other}"))),
        }
    }
    Ok((insecure, host_network))
}

/// Reads `--cgroup-parent`: below the root of cgroups, wherever that is.
fn cgroup_parent(args: &Args) -> Result<String, CommandError> {
    let parent = args.cgroup_parent.clone().unwrap_or_default();
    if parent.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(refused(format_args!("invalid cgroup parent {parent:?}")));
    }
    Ok(parent)
}

/// Reads `--annotation`: `key=value`, with the place it is meant for in front, if any.
fn annotation(text: &str) -> Result<(String, String), CommandError> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(refused(format_args!("invalid annotation {text:?}, expected key=value")));
    };
    match key.split_once(':') {
        None => Ok((key.to_owned(), value.to_owned())),
        Some(("manifest", key)) => Ok((key.to_owned(), value.to_owned())),
        Some((place, _)) => {
            let text = format!("{place} annotations are not supported; annotate the manifest");
            Err(refused(text))
        }
    }
}

/// What docker says of flags that do nothing, and what is not made here.
fn warnings(args: &Args) -> Vec<String> {
    let mut warnings = Vec::new();
    if args.old.squash {
        let text = "WARNING: experimental flag squash is removed with BuildKit. You should squash \
                    inside build using a multi-stage Dockerfile for efficiency.";
        warnings.push(text.to_owned());
    }
    let is_wanted = |text: &Option<String>| {
        text.as_deref().is_some_and(|text| !matches!(text, "false" | "0" | "" | "disabled=true"))
    };
    let attests = args.attest.iter().any(|text| !text.contains("disabled=true"));
    if is_wanted(&args.provenance) || is_wanted(&args.sbom) || attests {
        warnings
            .push("WARNING: varve makes no attestations; the image is built without".to_owned());
    }
    if let Some(builder) = args.builder.as_deref()
        && !matches!(builder, "" | "default")
    {
        warnings.push(format!(
            "WARNING: there is one builder, \"default\"; {builder:?} is not looked for"
        ));
    }
    warnings
}
