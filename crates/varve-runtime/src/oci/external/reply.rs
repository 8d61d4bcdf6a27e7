//! What installed runtimes say, in our terms.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::oci::{StartFailure, Status};

/// The part of `state` that every runtime prints.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    pub(super) status: Status,
    #[serde(default)]
    pub(super) pid: i32,
}

/// The last complaint of a log (JSON objects, one a line), in runc's words. crun does not name the
/// program or directory; they are read from what it was given, in `directory`.
pub(super) fn failure(log: &str, directory: &Path) -> StartFailure {
    let given = || given(directory).unwrap_or_default();
    let message =
        |line: &str| serde_json::from_str::<Value>(line).ok()?["msg"].as_str().map(str::to_owned);
    let Some(text) = log.lines().filter_map(message).next_back() else {
        return StartFailure::Other("the runtime did not say why".to_owned());
    };
    let runc = text.split_once("unable to start container process: ").map(|parts| parts.1);
    if let Some(reason) = runc {
        return of_runc(reason);
    }
    let program = given();
    if text.starts_with("executable file `") {
        return if program.contains('/') {
            StartFailure::NoSuchFile(program)
        } else {
            StartFailure::NotInPath(program)
        };
    }
    match text.as_str() {
        // crun opens the program: that is refused for a directory and for one without the bit.
        "open executable: Operation not permitted" | "open executable: Permission denied" => {
            StartFailure::NotExecutable(program)
        }
        _ => match text.strip_prefix("chdir `").or(text.strip_prefix("chdir to `")) {
            Some(rest) => {
                let (cwd, why) = rest.split_once("`: ").unwrap_or((rest, ""));
                StartFailure::Cwd { cwd: cwd.to_owned(), why: why.to_lowercase() }
            }
            None => StartFailure::Other(text),
        },
    }
}

fn of_runc(reason: &str) -> StartFailure {
    if let Some(rest) = reason.strip_prefix("exec: ") {
        let parts = rest.rsplit_once("\": ").map(|(name, why)| (name, why.to_owned()));
        if let Some((name, why)) = parts {
            // Its names are quoted as Go and JSON quote.
            let name =
                serde_json::from_str(&format!("{name}\"")).unwrap_or_else(|_| name.to_owned());
            if why.starts_with("executable file not found") {
                return StartFailure::NotInPath(name);
            } else if why.ends_with("no such file or directory") {
                return StartFailure::NoSuchFile(name);
            } else if why == "permission denied" {
                return StartFailure::NotExecutable(name);
            } else if why == "is a directory" {
                return StartFailure::IsDirectory(name);
            }
        }
    }
    if let Some(rest) = reason.strip_prefix("chdir to cwd (\"")
        && let Some((cwd, why)) = rest.split_once("\") set in config.json failed: ")
    {
        return StartFailure::Cwd { cwd: cwd.to_owned(), why: why.to_owned() };
    }
    match reason.strip_prefix("error during container init: ") {
        Some(rest) => StartFailure::Init(rest.to_owned()),
        None => StartFailure::Other(reason.to_owned()),
    }
}

/// The program that the runtime was given, out of the process or the bundle.
fn given(directory: &Path) -> Option<String> {
    let read = |name: &str| {
        let text = std::fs::read(directory.join(name)).ok()?;
        serde_json::from_slice::<Value>(&text).ok()
    };
    let process =
        read("process.json").or_else(|| Some(read("bundle/config.json")?["process"].clone()))?;
    Some(process["args"][0].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_become_failures() {
        let directory = tempfile::tempdir().unwrap();
        let given = r#"{"args":["./x"],"cwd":"/"}"#;
        std::fs::write(directory.path().join("process.json"), given).unwrap();
        let cases = [
            (
                r#"runc create failed: unable to start container process: exec: \"a b\": executable file not found in $PATH"#,
                StartFailure::NotInPath("a b".to_owned()),
            ),
            (
                r#"exec failed: unable to start container process: exec: \"/etc\": is a directory"#,
                StartFailure::IsDirectory("/etc".to_owned()),
            ),
            (
                r#"unable to start container process: exec: \"./x\": stat ./x: no such file or directory"#,
                StartFailure::NoSuchFile("./x".to_owned()),
            ),
            (
                "executable file `./x` not found in $PATH: No such file or directory",
                StartFailure::NoSuchFile("./x".to_owned()),
            ),
            ("open executable: Permission denied", StartFailure::NotExecutable("./x".to_owned())),
            (
                "chdir `/n`: No such file or directory",
                StartFailure::Cwd {
                    cwd: "/n".to_owned(),
                    why: "no such file or directory".to_owned(),
                },
            ),
        ];
        for (message, expected) in cases {
            let log = format!("{{\"level\":\"error\",\"msg\":\"{message}\"}}\n");
            assert_eq!(failure(&log, directory.path()), expected);
        }
    }
}
