//! A node into an instruction.

use varve_types::{
    config::Healthcheck,
    duration::{self, DurationError},
};

use super::{
    Argument, Command, CommandLine, Copy, Document, From, Instruction, NAMES, Run, RunNetwork,
    Security,
    flags::{Flags, Takes},
    mount::mount_source,
};
use crate::{
    error::{DockerfileError, Problem, Result},
    heredoc,
    lint::Lint,
    parse::{Arguments, Node, Pair},
    suggest::nearest,
};

/// Reads one instruction. Errors say where it is; `lint` hears of what is doubtful.
pub fn read(node: &Node, lint: &mut Lint) -> Result<Instruction> {
    let command = command(node, lint).map_err(|error| {
        let mut error = error.at(node.lines);
        error.in_instruction = true;
        error
    })?;
    Ok(Instruction {
        name: node.name.clone(),
        code: node.original.trim().to_owned(),
        lines: node.lines,
        command,
    })
}

fn command(node: &Node, lint: &mut Lint) -> Result<Command> {
    let no_flags = || Flags::read(&node.flags, &[]).map(|_| ());
    let command = match node.name.to_ascii_lowercase().as_str() {
        "from" => return from(node, lint).map(Command::From),
        "arg" => return arg(node, lint).map(Command::Arg),
        "env" => Command::Env(pairs(node, "ENV")?),
        "label" => Command::Label(pairs(node, "LABEL")?),
        "maintainer" => {
            lint.maintainer(node.lines);
            Command::Maintainer(one(node, "MAINTAINER")?)
        }
        "add" => return add(node).map(Command::Add),
        "copy" => return copy(node).map(Command::Copy),
        "run" => return run(node).map(Command::Run),
        "workdir" => Command::Workdir(one(node, "WORKDIR")?),
        "user" => Command::User(one(node, "USER")?),
        "stopsignal" => Command::StopSignal(one(node, "STOPSIGNAL")?),
        "cmd" => Command::Cmd(command_line(node)),
        "entrypoint" => Command::Entrypoint(command_line(node)),
        "expose" => {
            let mut ports = at_least_one(node, "EXPOSE")?;
            ports.sort_unstable();
            Command::Expose(ports)
        }
        "volume" => {
            let paths = at_least_one(node, "VOLUME")?.into_iter();
            let paths: Vec<String> = paths.map(|path| path.trim().to_owned()).collect();
            if paths.iter().any(String::is_empty) {
                return Err(Problem::EmptyVolume.into());
            }
            Command::Volume(paths)
        }
        "shell" => {
            let words = at_least_one(node, "SHELL")?;
            if !node.json {
                return Err(Problem::NotJson("SHELL").into());
            }
            Command::Shell(words)
        }
        "healthcheck" => return healthcheck(node).map(Command::Healthcheck),
        "onbuild" => Command::OnBuild(on_build(node)?),
        _ => {
            let error = DockerfileError::from(Problem::UnknownInstruction(node.name.clone()));
            return Err(error.suggest(instruction_near(&node.name).as_deref()));
        }
    };
    no_flags()?;
    Ok(command)
}

/// The instruction that may have been meant, in the letters that were used.
fn instruction_near(name: &str) -> Option<String> {
    let near = nearest(&name.to_uppercase(), NAMES.iter().copied())?;
    Some(if name == name.to_lowercase() { near.to_lowercase() } else { near.to_owned() })
}

fn words(node: &Node) -> &[String] {
    match &node.arguments {
        Arguments::List(words) => words,
        _ => &[],
    }
}

fn one(node: &Node, name: &'static str) -> Result<String> {
    match words(node) {
        [word] => Ok(word.clone()),
        _ => Err(Problem::NotOneArgument(name).into()),
    }
}

fn at_least_one(node: &Node, name: &'static str) -> Result<Vec<String>> {
    let words = words(node);
    if words.is_empty() { Err(Problem::NoArgument(name).into()) } else { Ok(words.to_vec()) }
}

fn pairs(node: &Node, name: &'static str) -> Result<Vec<Pair>> {
    match &node.arguments {
        Arguments::Pairs(pairs) if !pairs.is_empty() => {
            if pairs.iter().any(|pair| pair.key.is_empty()) {
                return Err(Problem::BlankName(name).into());
            }
            Ok(pairs.clone())
        }
        _ => Err(Problem::NoArgument(name).into()),
    }
}

fn from(node: &Node, lint: &mut Lint) -> Result<From> {
    let words = words(node);
    let (base, name) = match words {
        [base] => (base, None),
        [base, word, name] if word.eq_ignore_ascii_case("as") => {
            lint.stage_name_casing(name, node.lines);
            lint.casing_of_as(&node.name, word, node.lines);
            (base, Some(name))
        }
        _ => return Err(Problem::FromArguments.into()),
    };
    if let Some(name) = name {
        let lower = name.to_lowercase();
        let fits = lower.starts_with(|c: char| c.is_ascii_lowercase())
            && lower
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
        if !fits {
            return Err(Problem::StageName(name.clone()).into());
        }
    }
    let name = name.map(|name| name.to_lowercase());
    let mut flags = Flags::read(&node.flags, &[("platform", Takes::Value)])?;
    let description = name.as_deref().and_then(|name| description(&node.comments, name));
    if let Some(name) = &name {
        lint.definition_description("FROM", &[name.as_str()], &node.comments, node.lines);
    }
    Ok(From { base: base.clone(), name, platform: flags.given("platform"), description })
}

/// What a comment `# NAME text` says of a stage or argument.
fn description(comments: &[String], name: &str) -> Option<String> {
    let of = |line: &String| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(of)
}

fn arg(node: &Node, lint: &mut Lint) -> Result<Vec<Argument>> {
    let arguments = at_least_one(node, "ARG")?.into_iter().map(|word| {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if key.is_empty() {
            return Err(Problem::BlankName("ARG"));
        }
        let description = description(&node.comments, key);
        Ok(Argument { key: key.to_owned(), value, description })
    });
    let arguments: Vec<Argument> = arguments.collect::<Result<_, _>>()?;
    Flags::read(&node.flags, &[])?;
    let keys: Vec<&str> = arguments.iter().map(|argument| argument.key.as_str()).collect();
    lint.definition_description("ARG", &keys, &node.comments, node.lines);
    Ok(arguments)
}

fn add(node: &Node) -> Result<Copy> {
    let known = [
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Switch),
        ("keep-git-dir", Takes::Switch),
        ("checksum", Takes::Value),
        ("unpack", Takes::Switch),
        ("exclude", Takes::Values),
    ];
    let mut copy = paths(node, "ADD")?;
    let mut flags = Flags::read(&node.flags, &known)?;
    copy.owner = flags.value("chown");
    copy.mode = flags.value("chmod");
    copy.link = flags.switch("link").unwrap_or(false);
    copy.keep_git_dir = flags.switch("keep-git-dir");
    copy.checksum = flags.value("checksum");
    copy.unpack = flags.switch("unpack");
    copy.exclude = flags.values("exclude");
    Ok(copy)
}

fn copy(node: &Node) -> Result<Copy> {
    let known = [
        ("chown", Takes::Value),
        ("from", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Switch),
        ("parents", Takes::Switch),
        ("exclude", Takes::Values),
    ];
    let mut copy = paths(node, "COPY")?;
    let mut flags = Flags::read(&node.flags, &known)?;
    copy.owner = flags.value("chown");
    copy.from = flags.given("from").filter(|from| !from.is_empty());
    copy.mode = flags.value("chmod");
    copy.link = flags.switch("link").unwrap_or(false);
    copy.parents = flags.switch("parents").unwrap_or(false);
    copy.exclude = flags.values("exclude");
    Ok(copy)
}

fn paths(node: &Node, name: &'static str) -> Result<Copy> {
    let words = words(node);
    let [sources @ .., destination] = words else {
        return Err(Problem::NoDestination(name).into());
    };
    if sources.is_empty() {
        return Err(Problem::NoDestination(name).into());
    }
    let document = |word: &str| heredoc::parse_word(word).ok().flatten().filter(|_| !node.json);
    if document(destination).is_some() {
        return Err(Problem::HeredocDestination(name).into());
    }
    let mut copy = Copy { destination: destination.clone(), ..Copy::default() };
    for source in sources {
        let Some(word) = document(source) else {
            copy.sources.push(source.clone());
            continue;
        };
        let found = node.heredocs.iter().find(|heredoc| heredoc.name == word.name);
        let text = found.map(heredoc::Heredoc::text).unwrap_or_default();
        copy.documents.push(Document { name: word.name, text, expand: word.expand });
    }
    Ok(copy)
}

fn command_line(node: &Node) -> CommandLine {
    CommandLine { words: words(node).to_vec(), shell: !node.json }
}

fn run(node: &Node) -> Result<Run> {
    let known = [
        ("mount", Takes::Values),
        ("network", Takes::Value),
        ("security", Takes::Value),
        ("device", Takes::Values),
    ];
    let mut flags = Flags::read(&node.flags, &known)?;
    let mounts = flags.values("mount");
    for mount in &mounts {
        mount_source(mount)?;
    }
    let network = match flags.given("network").as_deref() {
        None => None,
        Some("default") => Some(RunNetwork::Default),
        Some("none") => Some(RunNetwork::None),
        Some("host") => Some(RunNetwork::Host),
        Some(other) => return Err(Problem::Network(other.to_owned()).into()),
    };
    let security = match flags.given("security").as_deref() {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") => Security::Insecure,
        Some(other) => return Err(Problem::Security(other.to_owned()).into()),
    };
    Ok(Run {
        line: command_line(node),
        heredocs: node.heredocs.clone(),
        mounts,
        network,
        security,
        devices: flags.values("device"),
    })
}

fn healthcheck(node: &Node) -> Result<Healthcheck> {
    let words = words(node);
    let Some((kind, command)) = words.split_first() else {
        return Err(Problem::NoArgument("HEALTHCHECK").into());
    };
    let kind = kind.to_uppercase();
    if kind == "NONE" {
        if !command.is_empty() {
            return Err(Problem::HealthcheckNone.into());
        }
        return Ok(Healthcheck { test: Some(vec![kind]), ..Healthcheck::default() });
    }
    const FLAGS: [&str; 5] = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let mut flags = Flags::read(&node.flags, &FLAGS.map(|name| (name, Takes::Value)))?;
    if kind != "CMD" {
        return Err(Problem::HealthcheckType(kind).into());
    }
    if command.is_empty() {
        return Err(Problem::HealthcheckCommand.into());
    }
    let mut test = vec![if node.json { kind } else { "CMD-SHELL".to_owned() }];
    test.extend_from_slice(command);
    Ok(Healthcheck {
        test: Some(test),
        interval: interval(&mut flags, "interval")?,
        timeout: interval(&mut flags, "timeout")?,
        start_period: interval(&mut flags, "start-period")?,
        start_interval: interval(&mut flags, "start-interval")?,
        retries: retries(&flags.value("retries"))?,
    })
}

const INTERVAL_NANOSECONDS_MIN: i64 = 1_000_000;

fn interval(flags: &mut Flags, name: &str) -> Result<i64, Problem> {
    let text = flags.value(name);
    if text.is_empty() {
        return Ok(0);
    }
    match duration::parse(&text) {
        Ok(length) if length != 0 && length < INTERVAL_NANOSECONDS_MIN => {
            Err(Problem::Interval(name.to_owned()))
        }
        Ok(length) => Ok(length),
        Err(DurationError::Unit) => Err(Problem::DurationUnit(text)),
        Err(DurationError::Format) => Err(Problem::Duration(text)),
    }
}

fn retries(text: &str) -> Result<i64, Problem> {
    if text.is_empty() {
        return Ok(0);
    }
    let number: i32 = text.parse().map_err(|_| Problem::Number(text.to_owned()))?;
    if number < 0 { Err(Problem::Retries(number.into())) } else { Ok(number.into()) }
}

fn on_build(node: &Node) -> Result<String> {
    let name = match &node.arguments {
        Arguments::Nested(nested) => nested.name.to_uppercase(),
        _ => words(node).first().ok_or(Problem::NoArgument("ONBUILD"))?.to_uppercase(),
    };
    match name.as_str() {
        "ONBUILD" => return Err(Problem::OnBuildChain.into()),
        "MAINTAINER" | "FROM" => return Err(Problem::OnBuildNotAllowed(name).into()),
        _ => {}
    }
    let rest = node.original.trim_start();
    let rest = rest.get("ONBUILD".len()..).unwrap_or_default().trim_start();
    let mut text = rest.to_owned();
    for heredoc in &node.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    Ok(text)
}
