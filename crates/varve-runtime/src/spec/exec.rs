//! A process beside a container's own.

use oci_spec::runtime::{Capability, Process, User};
use varve_types::container::Container;

use super::process::{environment_of, oci_capabilities};
use crate::users::ResolvedUser;

/// A process to be run in a container that runs.
#[derive(Debug, Clone, Copy)]
pub struct ExecRequest<'a> {
    /// The container.
    pub container: &'a Container,
    /// Its first process, as it was started: what is not said here is as there.
    pub first: &'a Process,
    /// Program and arguments.
    pub command: &'a [String],
    /// `NAME=value`, after the container's own.
    pub env: &'a [String],
    /// Absolute, or empty for the container's own.
    pub working_dir: &'a str,
    /// Who runs it.
    pub user: &'a ResolvedUser,
    /// The capabilities to have instead of the container's (`--privileged`).
    pub capabilities: Option<&'a [Capability]>,
    /// Whether it has a terminal.
    pub tty: bool,
}

/// Makes the runtime's description of a process, as docker does for `exec`: environment, user and
/// directory are made anew, limits, labels and capabilities are the container's.
pub fn exec_process(request: &ExecRequest<'_>) -> Process {
    let config = &request.container.config;
    let mut process = request.first.clone();
    process.set_terminal(request.tty.then_some(true));
    process.set_console_size(None);
    process.set_args(Some(request.command.to_vec()));
    let host_name =
        request.first.env().iter().flatten().find_map(|it| it.strip_prefix("HOSTNAME="));
    let own = config.env.iter().flatten().chain(request.env);
    process.set_env(Some(environment_of(host_name, request.tty, own, &request.user.home)));
    let directories = [request.working_dir, &config.working_dir, "/"];
    let directory = directories.into_iter().find(|directory| !directory.is_empty());
    process.set_cwd(directory.unwrap_or("/").into());
    let mut user = User::default();
    user.set_uid(request.user.uid);
    user.set_gid(request.user.gid);
    user.set_additional_gids(Some(request.user.additional_gids.clone()));
    process.set_user(user);
    if let Some(capabilities) = request.capabilities {
        process.set_capabilities(Some(oci_capabilities(capabilities)));
    }
    process
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use varve_types::container::ContainerConfig;

    use super::*;

    fn container(config: ContainerConfig) -> Container {
        let text = serde_json::json!({
            "id": "ab".repeat(32), "name": "web", "created": "2026-01-02T03:04:05Z",
            "imageId": format!("sha256:{}", "0".repeat(64)),
            "manifest": format!("sha256:{}", "1".repeat(64)), "image": "busybox",
            "platform": {"os": "linux", "architecture": "amd64"}, "path": "sh", "args": [],
            "config": config, "hostConfig": {}, "layers": [],
        });
        serde_json::from_value(text).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The environment of a process beside one whose own is what docker gives it.
    fn made(tty: bool, container_env: &[&str], env: &[&str]) -> Process {
        let config = ContainerConfig {
            env: Some(words(container_env)),
            working_dir: "/srv".to_owned(),
            ..ContainerConfig::default()
        };
        let mut first = Process::default();
        first.set_env(Some(words(&["PATH=/bin", "HOSTNAME=abc", "TERM=xterm", "HOME=/root"])));
        exec_process(&ExecRequest {
            container: &container(config),
            first: &first,
            command: &words(&["env"]),
            env: &words(env),
            working_dir: "",
            user: &ResolvedUser { uid: 1, gid: 2, additional_gids: vec![2], home: "/h".to_owned() },
            capabilities: None,
            tty,
        })
    }

    #[test]
    fn the_environment_is_made_anew_in_dockers_order() {
        let process = made(false, &["A=1", "PATH=/bin"], &["X=1", "A=2"]);
        let expected = ["PATH=/bin", "HOSTNAME=abc", "A=2", "X=1", "HOME=/h"];
        assert_eq!(process.env().as_deref().unwrap(), expected);
        let process = made(true, &[], &["HOME=/mine"]);
        let env = process.env().clone().unwrap();
        assert_eq!(env[1..], ["HOSTNAME=abc", "TERM=xterm", "HOME=/mine"]);
    }

    #[test]
    fn user_and_directory_are_those_asked_for() {
        let process = made(false, &[], &[]);
        assert_eq!(process.cwd(), Path::new("/srv"));
        assert_eq!((process.user().uid(), process.user().gid()), (1, 2));
        assert_eq!(process.terminal(), None);
    }
}
