//! The container's first process.

use std::collections::HashMap;

use oci_spec::runtime::{
    Box as ConsoleSize, BoxBuilder as ConsoleSizeBuilder, Capability, LinuxCapabilities,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, User,
};
use varve_types::container::{NamespaceMode, NetworkMode, Ulimit};

use super::{Machine, Request, SecurityOptions, SpecError};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where `--init` puts its program.
pub(super) const INIT_PATH: &str = "/sbin/docker-init";

pub(super) fn process(
    request: &Request,
    security: &SecurityOptions,
    capabilities: &[Capability],
) -> Result<Process, SpecError> {
    let Request { container, machine, .. } = *request;
    let (config, host) = (&container.config, &container.host_config);
    let mut args = container.command();
    let joins_pid = NamespaceMode::pid(&host.pid_mode)? != NamespaceMode::Private;
    if runs_init(request) && !joins_pid {
        args.splice(0..0, [INIT_PATH.to_owned(), "--".to_owned()]);
    }
    let mut process = Process::default();
    process.set_terminal(config.tty.then_some(true));
    process.set_console_size(console_size(host.console_size).filter(|_| config.tty));
    process.set_user(oci_user(request));
    process.set_args(Some(args));
    process.set_env(Some(environment(request)?));
    let directory = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    process.set_cwd(directory.into());
    process.set_capabilities(Some(oci_capabilities(capabilities)));
    process.set_rlimits(limits(&host.ulimits, machine)?);
    process.set_no_new_privileges(security.no_new_privileges.then_some(true));
    process.set_apparmor_profile(
        Some(container.app_armor_profile.clone())
            .filter(|profile| machine.apparmor && !profile.is_empty()),
    );
    process.set_selinux_label(
        Some(container.process_label.clone()).filter(|label| machine.selinux && !label.is_empty()),
    );
    // A process in a user namespace may not lower its score, not even to what it has.
    let score = host.oom_score_adj;
    process.set_oom_score_adj((!machine.rootless || score > 0).then_some(score));
    Ok(process)
}

/// Whether `--init` was asked for and there is a program for it.
pub(super) fn runs_init(request: &Request) -> bool {
    request.container.host_config.init == Some(true) && request.paths.init.is_some()
}

/// The host name with the domain behind it.
pub(super) fn full_hostname(request: &Request) -> String {
    let name = request.container.hostname();
    match request.container.config.domainname.as_str() {
        "" => name,
        domain => format!("{name}.{domain}"),
    }
}

/// Docker's order: the default path, the host name, the terminal, then what image and user set,
/// each in the place of an older one of its name. The runtime would add HOME from the
/// container's `/etc/passwd`; that file is the image's, so it was read with limits before.
fn environment(request: &Request) -> Result<Vec<String>, SpecError> {
    let Request { container, user, paths, .. } = *request;
    let host = &container.host_config;
    let shares_name = NetworkMode::of(&host.network_mode) == NetworkMode::Host
        || NamespaceMode::uts(&host.uts_mode)? == NamespaceMode::Host;
    let name = if shares_name && container.config.hostname.is_empty() {
        paths.host_name.clone()
    } else {
        container.hostname()
    };
    let own = container.config.env.iter().flatten();
    Ok(environment_of(Some(&name), container.config.tty, own, &user.home))
}

/// The environment of a process: what docker gives it, then its own.
pub(super) fn environment_of<'a>(
    host_name: Option<&str>,
    tty: bool,
    own: impl IntoIterator<Item = &'a String>,
    home: &str,
) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned()];
    env.extend(host_name.map(|name| format!("HOSTNAME={name}")));
    env.extend(tty.then(|| "TERM=xterm".to_owned()));
    replace_or_append(&mut env, own);
    if !env.iter().any(|pair| pair.starts_with("HOME=") && pair.len() > 5) {
        replace_or_append(&mut env, [&format!("HOME={home}")]);
    }
    env
}

/// Sets variables in `env`, each in the place of an older one of its name; a name without a
/// value takes the variable away.
pub fn replace_or_append<'a>(env: &mut Vec<String>, changes: impl IntoIterator<Item = &'a String>) {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut all: Vec<Option<String>> = std::mem::take(env).into_iter().map(Some).collect();
    // Images have come with ten thousands of them.
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, pair) in all.iter().flatten().enumerate() {
        places.entry(name(pair)).or_insert(at);
    }
    for change in changes {
        if !change.contains('=') {
            if let Some(at) = places.remove(change) {
                all[at] = None;
            }
            continue;
        }
        let at = *places.entry(name(change)).or_insert(all.len());
        if at == all.len() {
            all.push(None);
        }
        all[at] = Some(change.clone());
    }
    env.extend(all.into_iter().flatten());
}

fn console_size([height, width]: [u32; 2]) -> Option<ConsoleSize> {
    if height == 0 || width == 0 {
        return None;
    }
    ConsoleSizeBuilder::default().height(height).width(width).build().ok()
}

fn oci_user(request: &Request) -> User {
    let mut user = User::default();
    user.set_uid(request.user.uid);
    user.set_gid(request.user.gid);
    user.set_additional_gids(Some(request.user.additional_gids.clone()));
    user
}

/// None inheritable and none ambient: a command that is not root has them only in its bounding
/// set.
pub(super) fn oci_capabilities(capabilities: &[Capability]) -> LinuxCapabilities {
    let set: oci_spec::runtime::Capabilities = capabilities.iter().copied().collect();
    let mut oci = LinuxCapabilities::default();
    oci.set_bounding(Some(set.clone()));
    oci.set_effective(Some(set.clone()));
    oci.set_permitted(Some(set));
    oci.set_inheritable(None);
    oci.set_ambient(None);
    oci
}

/// The limits asked for, each lowered to what the machine allows us to give.
fn limits(ulimits: &[Ulimit], machine: &Machine) -> Result<Option<Vec<PosixRlimit>>, SpecError> {
    let mut limits = Vec::new();
    for ulimit in ulimits {
        let typ = limit_type(&ulimit.name).ok_or(SpecError::Ulimit(ulimit.name.clone()))?;
        // -1 is no limit, in the kernel's way of writing it.
        let (mut soft, mut hard) = (ulimit.soft as u64, ulimit.hard as u64);
        if let Some(ours) = machine.limits.get(&ulimit.name)
            && !machine.may_raise_limits
        {
            hard = hard.min(ours.hard);
            soft = soft.min(hard);
        }
        limits.extend(PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build());
    }
    Ok((!limits.is_empty()).then_some(limits))
}

fn limit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}
