//! Programs that keep credentials: `docker-credential-NAME get|store|erase`, with JSON on
//! standard input and output (docker/docker-credential-helpers).

use std::{
    io::{self, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use varve_types::Environment;

use super::{Credential, CredentialsError};

/// Bytes of a helper's answer.
const ANSWER_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Long, because a helper may ask its user for a password.
const PATIENCE: Duration = Duration::from_mins(2);
/// The name that marks a secret as an identity token.
const TOKEN_USERNAME: &str = "<token>";

/// A program that keeps credentials.
#[derive(Debug, Clone)]
pub(super) struct Helper {
    program: String,
    path: Option<String>,
    patience: Duration,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    pub(super) fn new(name: &str, environment: &Environment) -> Result<Self, CredentialsError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(CredentialsError::HelperName(name.to_owned()));
        }
        let path = environment.get("PATH").map(str::to_owned);
        Ok(Self { program: format!("docker-credential-{name}"), path, patience: PATIENCE })
    }

    #[cfg(test)]
    pub(super) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The credential for a server, if the helper has one.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credential>, CredentialsError> {
        let (status, output) = self.run("get", "getting", server.as_bytes())?;
        if !status.success() {
            let said = String::from_utf8_lossy(&output);
            if said.trim() == "credentials not found in native keychain" {
                return Ok(None);
            }
            return Err(failed("getting", status, &output));
        }
        let entry: Entry = serde_json::from_slice(&output)
            .map_err(|error| failed_because("getting", error.to_string(), b""))?;
        if entry.username.is_empty() && entry.secret.is_empty() {
            return Ok(None);
        }
        Ok(Some(if entry.username == TOKEN_USERNAME {
            Credential::IdentityToken { username: String::new(), token: entry.secret }
        } else {
            Credential::Password { username: entry.username, password: entry.secret }
        }))
    }

    pub(super) fn store(
        &self,
        server: &str,
        credential: &Credential,
    ) -> Result<(), CredentialsError> {
        let (username, secret) = match credential {
            Credential::Password { username, password } => (username.clone(), password.clone()),
            Credential::IdentityToken { token, .. } => (TOKEN_USERNAME.to_owned(), token.clone()),
        };
        let entry = Entry { server_url: server.to_owned(), username, secret };
        let input = serde_json::to_vec(&entry)
            .map_err(|error| failed_because("storing", error.to_string(), b""))?;
        match self.run("store", "storing", &input)? {
            (status, _) if status.success() => Ok(()),
            (status, output) => Err(failed("storing", status, &output)),
        }
    }

    pub(super) fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        match self.run("erase", "erasing", server.as_bytes())? {
            (status, _) if status.success() => Ok(()),
            (status, output) => Err(failed("erasing", status, &output)),
        }
    }

    /// Runs the program and returns how it ended and what it wrote.
    fn run(
        &self,
        verb: &str,
        action: &'static str,
        input: &[u8],
    ) -> Result<(ExitStatus, Vec<u8>), CredentialsError> {
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let mut child = command.spawn().map_err(|error| CredentialsError::HelperMissing {
            action,
            program: self.program.clone(),
            reason: match error.kind() {
                io::ErrorKind::NotFound => "executable file not found in $PATH".to_owned(),
                _ => error.to_string(),
            },
        })?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let input = input.to_vec();
        // Both ends may block while the other side waits, so each has a thread of its own.
        thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                // A helper that does not read its input says why by its exit status.
                let _ = stdin.write_all(&input);
            }
        });
        let reader = thread::spawn(move || {
            let mut output = Vec::new();
            if let Some(stdout) = stdout {
                let _ = stdout.take(ANSWER_SIZE_BYTES_MAX).read_to_end(&mut output);
            }
            output
        });
        let Some(status) = self.wait(&mut child) else {
            return Err(CredentialsError::HelperSilent {
                program: self.program.clone(),
                seconds: self.patience.as_secs(),
            });
        };
        Ok((status, reader.join().unwrap_or_default()))
    }

    /// Waits for the end; kills and returns `None` when it does not come.
    fn wait(&self, child: &mut Child) -> Option<ExitStatus> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        while begun.elapsed() < self.patience {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        // It may have just ended; either way nothing is left behind.
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}

fn failed(action: &'static str, status: ExitStatus, output: &[u8]) -> CredentialsError {
    failed_because(action, status.to_string().replace("exit status: ", "exit status "), output)
}

fn failed_because(action: &'static str, status: String, output: &[u8]) -> CredentialsError {
    let output = String::from_utf8_lossy(output).trim().to_owned();
    CredentialsError::Helper { action, status, output }
}
