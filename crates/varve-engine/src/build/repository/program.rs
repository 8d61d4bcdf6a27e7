//! The program `git`, run so that nothing but what is asked for has a say.
//!
//! # Invariants
//!
//! 1. No configuration of the user's or the machine's is read, no hook is run, nothing is asked on
//!    a terminal.
//! 2. It speaks http, https, git and ssh, or to a directory of ours; never `ext::` or `file://`.
//! 3. Secrets are in its environment, never among its arguments.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal};
use varve_build::{
    git::without_password,
    solve::{BuildEvent, Fault, StepId, Stream, Watch},
};
use varve_types::{Environment, Kind, Printable, limits};

use super::super::{BuildSecret, SecretValue, SshSource, patience, remote::Remotes};

/// Where programs are looked for when the caller has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a running program is looked at.
const PATIENCE: Duration = Duration::from_millis(5);
/// Bytes of standard error that an error shows: the last ones.
const SHOWN_SIZE_BYTES: usize = 4 << 10;
/// What git may speak.
const PROTOCOLS: &str = "http:https:git:ssh";

/// What is said where there is no git.
const MISSING: &str = "the program git is not in PATH (install it, or check the repository out and build from the directory)";

/// Settings that stand in for all files of settings.
const SETTINGS: &[(&str, &str)] = &[
    ("advice.detachedHead", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("credential.helper", ""),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    // A server that sends nothing for a minute is given up.
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
    ("init.defaultBranch", "master"),
    ("maintenance.auto", "false"),
    ("pack.threads", "1"),
    ("submodule.recurse", "false"),
];

/// Whom git may fetch from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Servers.
    Servers,
    /// Directories that are ours.
    OurDirectories,
}

/// The program, for one repository.
pub(super) struct Git<'a> {
    watch: &'a dyn Watch,
    id: StepId,
    remotes: &'a Remotes<'a>,
    /// What `git` is given, which may have a password in it.
    remote: &'a str,
    environment: Vec<(String, String)>,
}

impl<'a> Git<'a> {
    pub(super) fn new(
        remotes: &'a Remotes<'a>,
        remote: &'a str,
        id: StepId,
    ) -> Result<Self, Fault> {
        let environment = environment(remotes, remote)?;
        Ok(Self { watch: remotes.watch, id, remotes, remote, environment })
    }

    /// Runs git in a directory; returns what it wrote to standard output.
    pub(super) fn run(
        &self,
        directory: &Path,
        from: From,
        words: &[&str],
    ) -> Result<Vec<u8>, Fault> {
        let mut command = Command::new("git");
        command.args(words).current_dir(directory).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let protocols = if from == From::Servers { PROTOCOLS } else { "file" };
        command.env("GIT_ALLOW_PROTOCOL", protocols);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that all of it can be ended.
        command.process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::new(Kind::Unsupported, MISSING),
            _ => Fault::new(Kind::Internal, error),
        })?;
        let (output, errors, status) = self.wait(child)?;
        if status.success() {
            return Ok(output);
        }
        let from = errors.len().saturating_sub(SHOWN_SIZE_BYTES);
        let errors = String::from_utf8_lossy(&errors[from..]);
        let errors = errors.replace(self.remote, &without_password(self.remote));
        Err(Fault::new(Kind::Unavailable, format!("git stderr:\n{}: {status}", Lines(&errors))))
    }

    fn wait(&self, mut child: Child) -> Result<(Vec<u8>, Vec<u8>, ExitText), Fault> {
        let failed = |error: io::Error| Fault::new(Kind::Internal, error);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        thread::scope(|scope| {
            let output = scope.spawn(|| read(stdout, None));
            let errors = scope.spawn(|| read(stderr, Some(self)));
            let mut ended = false;
            let status = loop {
                if let Some(status) = child.try_wait().map_err(failed)? {
                    break status;
                }
                if self.remotes.is_interrupted() && !ended {
                    ended = true;
                    if let Some(group) = group {
                        // It may have ended meanwhile.
                        let _ = rustix::process::kill_process_group(group, Signal::KILL);
                    }
                }
                thread::sleep(PATIENCE);
            };
            let output = output.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let errors = errors.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            if self.remotes.is_interrupted() {
                return Err(Fault::new(Kind::Unavailable, "context canceled"));
            }
            let output = output.map_err(failed)?;
            Ok((output, errors.map_err(failed)?, ExitText(status)))
        })
    }

    /// Tells something that git found out.
    pub(super) fn tell(&self, stream: Stream, bytes: &[u8]) {
        self.watch.event(&BuildEvent::Log { id: self.id, stream, bytes });
    }
}

/// Reads what a program writes, to its end, and keeps as much as may be kept; tells it, where
/// somebody is to hear of it.
fn read(from: Option<impl Read>, teller: Option<&Git<'_>>) -> io::Result<Vec<u8>> {
    let (Some(mut from), mut bytes) = (from, Vec::new()) else { return Ok(Vec::new()) };
    let mut buffer = [0; 16 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = &buffer[..count];
        if let Some(git) = teller {
            git.tell(Stream::Error, piece);
        }
        let room = limits::GIT_OUTPUT_SIZE_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend_from_slice(&piece[..count.min(room)]);
    }
}

/// How a program ended, in Go's words.
struct ExitText(ExitStatus);

impl ExitText {
    fn success(&self) -> bool {
        self.0.success()
    }
}

impl std::fmt::Display for ExitText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.code() {
            Some(code) => write!(f, "exit status {code}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Lines from outside, each made printable.
struct Lines<'a>(&'a str);

impl std::fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "{}", Printable(line)))
    }
}

fn environment(remotes: &Remotes<'_>, remote: &str) -> Result<Vec<(String, String)>, Fault> {
    let caller = remotes.ctx.environment;
    let mut all: Vec<(String, String)> = [
        ("PATH", caller.get("PATH").unwrap_or(PATH)),
        ("HOME", "/dev/null"),
        ("LC_ALL", "C"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_SSH_COMMAND", &ssh_command(remotes)),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        let lower = name.to_ascii_lowercase();
        if let Some(value) = caller.get(&lower).or_else(|| caller.get(name)) {
            all.push((lower, value.to_owned()));
        }
    }
    for (ours, gits) in [("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")] {
        all.extend(caller.get(ours).map(|value| (gits.to_owned(), value.to_owned())));
    }
    if let Some(socket) = agent(remotes, caller) {
        all.push(("SSH_AUTH_SOCK".to_owned(), socket));
    }
    let mut settings: Vec<(String, String)> =
        SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    settings.extend(authorization(remotes.secrets, remote)?);
    all.push(("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()));
    for (number, (name, value)) in settings.into_iter().enumerate() {
        all.push((format!("GIT_CONFIG_KEY_{number}"), name));
        all.push((format!("GIT_CONFIG_VALUE_{number}"), value));
    }
    Ok(all)
}

/// What reaches servers by ssh. Keys come from the agent, the files that were given, or the user's own
/// directory; nothing is asked, and a host that is not known is not trusted.
fn ssh_command(remotes: &Remotes<'_>) -> String {
    let mut command = "ssh -o BatchMode=yes -o ConnectTimeout=15".to_owned();
    if let Some(SshSource::Keys(files)) = given(remotes) {
        for path in files.iter().filter_map(|file| file.path.to_str()) {
            // git has a shell read it.
            let quoted = path.replace('\'', r"'\''");
            command.extend([" -i '", &quoted, "'"]);
        }
    }
    command
}

/// The keys that the build was given.
fn given<'a>(remotes: &Remotes<'a>) -> Option<&'a SshSource> {
    remotes.ssh.iter().find(|agent| agent.id == "default").map(|agent| &agent.source)
}

/// The agent that the build was given, else the caller's own.
fn agent(remotes: &Remotes<'_>, caller: &Environment) -> Option<String> {
    let given = match given(remotes) {
        Some(SshSource::Socket(socket)) => socket.to_str(),
        _ => None,
    };
    given.or_else(|| caller.get("SSH_AUTH_SOCK")).map(str::to_owned)
}

/// The setting by which a server of repositories gets the secret that is for it: `GIT_AUTH_TOKEN` or
/// `GIT_AUTH_HEADER`, with `.host` behind for one host only.
fn authorization(secrets: &[BuildSecret], remote: &str) -> Result<Option<(String, String)>, Fault> {
    let Some((scheme @ ("http" | "https"), rest)) = remote.split_once("://") else {
        return Ok(None);
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    for (name, is_token) in [("GIT_AUTH_TOKEN", true), ("GIT_AUTH_HEADER", false)] {
        let own = format!("{name}.{host}");
        let of = |id: &str| secrets.iter().find(|secret| secret.id == id);
        let Some(secret) = of(&own).or_else(|| of(name)) else { continue };
        let value = secret_text(secret)?;
        let value = if is_token {
            format!("basic {}", STANDARD.encode(format!("x-access-token:{value}")))
        } else {
            value
        };
        let setting = format!("http.{scheme}://{host}/.extraHeader");
        return Ok(Some((setting, format!("Authorization: {value}"))));
    }
    Ok(None)
}

fn secret_text(secret: &BuildSecret) -> Result<String, Fault> {
    let bytes = match &secret.value {
        SecretValue::Bytes(bytes) => bytes.clone(),
        SecretValue::File(path) => {
            let read = patience::read(path, limits::GIT_SECRET_SIZE_BYTES_MAX, &|| true);
            read.map_err(|error| Fault::new(crate::error::io_kind(&error), error))?
        }
    };
    let text = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned());
    text.filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        let text = format!("secret {} cannot stand in a header", Printable(&secret.id));
        Fault::new(Kind::Invalid, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, value: &str) -> BuildSecret {
        BuildSecret { id: id.to_owned(), value: SecretValue::Bytes(value.into()) }
    }

    #[test]
    fn a_token_goes_to_its_own_host_and_in_no_other_form_than_a_setting() {
        let all = [secret("GIT_AUTH_TOKEN", "any"), secret("GIT_AUTH_TOKEN.h.example", "own\n")];
        let found = |remote: &str| authorization(&all, remote).unwrap();
        let (setting, value) = found("https://h.example/a.git").unwrap();
        assert_eq!(setting, "http.https://h.example/.extraHeader");
        assert_eq!(
            value,
            format!("Authorization: basic {}", STANDARD.encode("x-access-token:own"))
        );
        assert!(
            found("https://other/a.git")
                .unwrap()
                .1
                .ends_with(&STANDARD.encode("x-access-token:any"))
        );
        assert_eq!(found("git@h.example:a.git"), None);
    }

    #[test]
    fn a_secret_of_several_lines_makes_no_header() {
        let all = [secret("GIT_AUTH_HEADER", "a\r\nHost: b")];
        assert!(authorization(&all, "https://h/a.git").is_err());
    }
}
