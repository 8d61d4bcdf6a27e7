//! `varve build`, which is `varve buildx build`

mod caches;
mod call;
mod context;
mod fields;
mod outputs;
mod result;
mod secrets;
mod settings;

use std::path::PathBuf;

use varve_engine::build::BuildLimits;
use varve_types::container::{Ulimit, parse_size};

use super::flags;
use crate::{
    build_progress::{Colours, Display, Form},
    error::CommandError,
    interrupt::Interrupts,
    ui::{self, Ui},
};
use call::Call;
use settings::Settings;

pub(crate) const USAGE: &str = "[OPTIONS] PATH | URL | -";
pub(crate) const NAMES: &str =
    "varve build, varve builder build, varve image build, varve buildx b";

/// Build an image from a Dockerfile
#[derive(Debug, Default, clap::Args)]
#[command(long_about = "Start a build")]
#[allow(clippy::struct_field_names, reason = "the flags are called so")]
pub(crate) struct Args {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long = "add-host", value_name = "strings", action = clap::ArgAction::Append)]
    add_hosts: Vec<String>,

    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long = "allow", value_name = "stringArray", action = clap::ArgAction::Append)]
    allow: Vec<String>,

    /// Add annotation to the image
    #[arg(long = "annotation", value_name = "stringArray", action = clap::ArgAction::Append)]
    annotations: Vec<String>,

    /// Attestation parameters (format: "type=sbom,generator=image")
    #[arg(long = "attest", value_name = "stringArray", action = clap::ArgAction::Append)]
    attest: Vec<String>,

    /// Set build-time variables
    #[arg(long = "build-arg", value_name = "stringArray", action = clap::ArgAction::Append)]
    build_args: Vec<String>,

    /// Additional build contexts (e.g., name=path)
    #[arg(long = "build-context", value_name = "stringArray", action = clap::ArgAction::Append)]
    build_contexts: Vec<String>,

    #[arg(long, value_name = "string")]
    #[arg(help = "Accepted for compatibility; there is one builder, \"default\"")]
    builder: Option<String>,

    #[arg(long = "cache-from", value_name = "stringArray", action = clap::ArgAction::Append)]
    #[arg(
        help = "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")"
    )]
    cache_from: Vec<String>,

    #[arg(long = "cache-to", value_name = "stringArray", action = clap::ArgAction::Append)]
    #[arg(
        help = "Cache export destinations (e.g., \"user/app:cache\", \"type=local,dest=path/to/dir\")"
    )]
    cache_to: Vec<String>,

    #[arg(long, value_name = "string", default_value = "build")]
    #[arg(
        help = "Set method for evaluating build (\"check\", \"outline\", \"targets\") (default \"build\")"
    )]
    call: String,

    #[arg(long = "cgroup-parent", value_name = "string")]
    #[arg(help = "Set the parent cgroup for the \"RUN\" instructions during build")]
    cgroup_parent: Option<String>,

    #[arg(long, help = "Shorthand for \"--call=check\"")]
    check: bool,

    /// Enable debug logging
    #[arg(short = 'D', long)]
    #[allow(dead_code, reason = "taken and not looked at: there is nothing more to tell")]
    debug: bool,

    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,

    /// Write the image ID to a file
    #[arg(long, value_name = "string", value_parser = flags::path)]
    iidfile: Option<PathBuf>,

    /// Set metadata for an image
    #[arg(long = "label", value_name = "stringArray", action = clap::ArgAction::Append)]
    labels: Vec<String>,

    /// Shorthand for "--output=type=docker"
    #[arg(long)]
    load: bool,

    /// Write build result metadata to a file
    #[arg(long = "metadata-file", value_name = "string", value_parser = flags::path)]
    metadata_file: Option<PathBuf>,

    #[arg(long, value_name = "string", default_value = "default")]
    #[arg(
        help = "Set the networking mode for the \"RUN\" instructions during build (default \"default\")"
    )]
    network: String,

    /// Do not use cache when building the image
    #[arg(long = "no-cache")]
    no_cache: bool,

    /// Do not cache specified stages
    #[arg(long = "no-cache-filter", value_name = "stringArray", action = clap::ArgAction::Append)]
    no_cache_filter: Vec<String>,

    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long = "output", value_name = "stringArray", action = clap::ArgAction::Append)]
    outputs: Vec<String>,

    /// Set target platform for build
    #[arg(long = "platform", value_name = "stringArray", action = clap::ArgAction::Append)]
    platforms: Vec<String>,

    #[arg(long, value_name = "string")]
    #[arg(
        help = "Set type of progress output (\"auto\", \"plain\", \"tty\", \"json\", \"rawjson\", \"quiet\"). Use plain to show container output (default \"auto\")"
    )]
    progress: Option<String>,

    #[arg(long, value_name = "string", help = "Shorthand for \"--attest=type=provenance\"")]
    provenance: Option<String>,

    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,

    /// Shorthand for "--output=type=registry"
    #[arg(long)]
    push: bool,

    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,

    #[arg(long, value_name = "string", help = "Shorthand for \"--attest=type=sbom\"")]
    sbom: Option<String>,

    #[arg(long = "secret", value_name = "stringArray", action = clap::ArgAction::Append)]
    #[arg(help = "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret]\")")]
    secrets: Vec<String>,

    /// Shared memory size for build containers
    #[arg(long = "shm-size", value_name = "bytes", value_parser = parse_size)]
    shm_size: Option<i64>,

    #[arg(long = "ssh", value_name = "stringArray", action = clap::ArgAction::Append)]
    #[arg(help = "SSH agent socket to expose to the build (format: \"default|<id>[=<socket>]\")")]
    ssh: Vec<String>,

    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long = "tag", value_name = "stringArray", action = clap::ArgAction::Append)]
    tags: Vec<String>,

    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,

    #[arg(long, value_name = "string", default_value = "epoch")]
    #[arg(
        help = "Set which times files and image get: one for the whole build (\"epoch\"), as docker does (\"now\"), or those of the context (\"keep\") (default \"epoch\")"
    )]
    timestamp: String,

    #[arg(long = "ulimit", value_name = "ulimit", value_parser = flags::ulimit)]
    #[arg(action = clap::ArgAction::Append, help = "Ulimit options (default [])")]
    ulimits: Vec<Ulimit>,

    /// Build twice without cache, and name the first file that differs
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    old: Old,

    path: String,
}

/// Flags of docker's builder before this one. Limits hold for programs; the rest is taken, and
/// without an effect as there.
#[derive(Debug, Default, clap::Args)]
#[allow(dead_code, reason = "some are taken and not looked at")]
struct Old {
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long = "cpu-period", hide = true, value_parser = flags::integer)]
    cpu_period: Option<i64>,
    #[arg(long = "cpu-quota", hide = true, value_parser = flags::integer)]
    cpu_quota: Option<i64>,
    #[arg(short = 'c', long = "cpu-shares", hide = true, value_parser = flags::integer)]
    cpu_shares: Option<i64>,
    #[arg(long = "cpuset-cpus", hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long = "cpuset-mems", hide = true)]
    cpuset_mems: Option<String>,
    #[arg(long = "disable-content-trust", hide = true)]
    disable_content_trust: bool,
    #[arg(long = "force-rm", hide = true)]
    force_rm: bool,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(short, long, hide = true, value_parser = parse_size)]
    memory: Option<i64>,
    #[arg(long = "memory-swap", hide = true, value_parser = flags::swap)]
    memory_swap: Option<i64>,
    #[arg(long, hide = true)]
    rm: bool,
    #[arg(long = "security-opt", hide = true, action = clap::ArgAction::Append)]
    security_opt: Vec<String>,
    #[arg(long, hide = true)]
    squash: bool,
}

impl Old {
    /// What programs may use.
    fn limits(&self) -> BuildLimits {
        BuildLimits {
            memory_bytes: self.memory.unwrap_or_default(),
            memory_swap_bytes: self.memory_swap.unwrap_or_default(),
            cpu_shares: self.cpu_shares.unwrap_or_default(),
            cpu_period: self.cpu_period.unwrap_or_default(),
            cpu_quota: self.cpu_quota.unwrap_or_default(),
            cpuset_cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.clone().unwrap_or_default(),
        }
    }
}

/// An error before the build begins, in docker's form.
fn refused(text: impl std::fmt::Display) -> CommandError {
    CommandError::plain(format!("ERROR: {text}"), 1)
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let form = args.form(ui)?;
    let call = Call::parse(if args.check { "check" } else { &args.call })?;
    let settings = Settings::read(ui, args)?;
    for warning in &settings.warnings {
        ui.complain(warning);
    }
    let interrupts = Interrupts::default();
    if call.builds() {
        let built = build(ui, args, &settings, &form, &interrupts);
        for warning in &settings.late_warnings {
            ui.complain(warning);
        }
        built
    } else {
        call::run(ui, args, &settings, &call, interrupts.flag())
    }
}

/// Builds, shows how it goes on, and what came of it.
fn build(
    ui: &Ui,
    args: &Args,
    settings: &Settings,
    form: &Form,
    interrupts: &Interrupts,
) -> Result<(), CommandError> {
    let context = context::Prepared::new(args)?;
    if args.verify && !context.is_lasting() {
        return Err(refused("--verify builds twice, and a context on stdin can be read only once"));
    }
    let engine = ui.engine()?;
    let once = |settings: &Settings| {
        let (mut stdin, mut stdout) = (context.stdin(), std::io::stdout());
        let request = settings.request(&context, &mut stdin, &mut stdout, interrupts.flag());
        let display = Display::new(form, ui.now());
        interrupts.during(|| display.during(|| engine.build(&ui.silent(), request, &display)))
    };
    if !args.verify {
        return result::finish(ui, args, form, interrupts, once(settings));
    }
    // Names and files are given to what was found to be the same only.
    let trial = settings.trial();
    let built = || once(&trial).map_err(|error| result::failed(ui, form, interrupts, &error));
    result::verify(ui, engine, &built()?, &built()?)?;
    result::finish(ui, args, form, interrupts, once(&settings.cached()))
}

impl Args {
    /// How the build is shown: what `--progress`, `BUILDKIT_PROGRESS` and standard error say.
    fn form(&self, ui: &Ui) -> Result<Form, CommandError> {
        let environment = ui.environment();
        let global = match ui.globals().progress {
            flags::Progress::Auto => None,
            flags::Progress::Plain => Some("plain"),
            flags::Progress::Tty => Some("tty"),
            flags::Progress::Json => Some("json"),
            flags::Progress::Quiet => Some("quiet"),
        };
        let given = self.progress.as_deref().or(global);
        let given = given.or(environment.get("BUILDKIT_PROGRESS")).unwrap_or_default();
        let tty = || {
            let no_colour = environment.get("NO_COLOR").is_some();
            Form::Tty(Colours::new(environment.get("BUILDKIT_COLORS"), no_colour))
        };
        let form = match given {
            "" | "auto" if ui::stderr_is_terminal() => tty(),
            "" | "auto" | "plain" => Form::Plain,
            "tty" => tty(),
            "json" => Form::Json,
            "rawjson" => Form::RawJson,
            "quiet" | "none" => Form::Quiet,
            other => return Err(refused(format_args!("invalid progress mode {other}"))),
        };
        if self.quiet && !given.is_empty() && !matches!(given, "auto" | "quiet" | "none") {
            let text = format!("progress={given} and quiet cannot be used together");
            return Err(refused(text));
        }
        Ok(if self.quiet { Form::Quiet } else { form })
    }
}
