//! Where bridges are: in this machine's network, or in one of the user's own.
//!
//! A user without privileges may not touch the machine's network. All that is made for their
//! containers is made in a network namespace of their own instead, the *ground*, in the same way as
//! root has it on the machine; a program that they may run connects it with the world:
//!
//! ```text
//!   container ── veth ── bridge ── forward, masquerade ── uplink (tap) ── pasta or slirp4netns ── the world
//!                         └── helper ── published ports, bound on the machine
//! ```
//!
//! The ground is a file in the run directory on which the namespace is mounted. It comes with the
//! first container that needs a bridge and goes with the last; it is seen in the user's mount
//! namespace only, and ends with that. Nobody comes back from it to the machine's network: what
//! concerns that (binding ports, starting the uplink) is done before.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use varve_fs::mount::{self, InUse};
use varve_types::{Printable, container::ProcessIdentity};

use super::{
    attach::Warning,
    error::{Error, Result},
    link::Links,
    netns::Netns,
    networks::Networks,
    process,
};

/// The interface that leads out.
const UPLINK: &str = "uplink";
/// `NSFS_MAGIC` of the kernel's magic.h: what a mounted namespace says that it is.
const NAMESPACE_MAGIC: u64 = 0x6e73_6673;
/// How long a program may take to connect the ground.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Bytes of what a program may say when it fails.
const COMPLAINT_BYTES_MAX: usize = 400;

/// Programs that connect a ground, the best first, with what stands before its path.
const PROGRAMS: &[(&str, &[&str])] = &[
    // No port of its own: the helper serves them, after varve's checks. The machine's loopback is
    // none of a container's.
    (
        "pasta",
        &[
            "--foreground",
            "--quiet",
            "--config-net",
            "--no-map-gw",
            "--ns-ifname",
            UPLINK,
            "--tcp-ports",
            "none",
            "--udp-ports",
            "none",
            "--tcp-ns",
            "none",
            "--udp-ns",
            "none",
            "--netns-only",
            "--netns",
        ],
    ),
    (
        "slirp4netns",
        &["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"],
    ),
];

/// Who connects the ground.
#[derive(Debug, Serialize, Deserialize)]
struct Uplink {
    process: ProcessIdentity,
}

/// Whether this machine's network may be changed by who asks.
pub(super) fn may_administer() -> bool {
    let tried = Links::here().and_then(|mut links| links.set_up("lo"));
    !tried.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

impl Networks {
    /// Does what concerns bridges and interfaces where they are. The lock is held.
    pub(super) fn on_ground<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if !self.has_ground {
            return work();
        }
        let failed = || Error::kernel("enter", "the user's network");
        let ground = match self.ground() {
            Some(ground) => ground,
            // There is nothing of all that is to be taken away.
            None => Netns::create().map_err(failed())?,
        };
        ground.inside(|| Ok(work())).map_err(failed())?
    }

    /// Makes sure that the ground is there and connected, before a bridge is needed. The lock is held.
    pub(super) fn make_ground(&self, warnings: &mut Vec<Warning>) -> Result<()> {
        if !self.has_ground {
            return Ok(());
        }
        let ground = match self.ground() {
            Some(ground) => ground,
            None => self.new_ground()?,
        };
        if self.uplink().is_some_and(|uplink| process::is_alive(&uplink.process)) {
            return Ok(());
        }
        match self.connect_ground(&ground) {
            Ok(process) => self.records.write_ground(&Uplink { process }),
            Err(why) => {
                warnings.push(Warning::NoUplink(why));
                Ok(())
            }
        }
    }

    /// Takes the ground away when no container has an interface any more. The lock is held.
    pub(super) fn settle_ground(&self) -> Result<()> {
        let is_connected = |it: &super::Sandbox| it.endpoints.iter().any(|e| e.interface.is_some());
        if !self.has_ground || self.records.sandboxes()?.iter().any(is_connected) {
            return Ok(());
        }
        if let Some(uplink) = self.uplink() {
            process::end(&uplink.process).map_err(Error::kernel("end", "the uplink"))?;
        }
        let place = self.records.ground_path();
        if self.ground().is_some() {
            let failed = |error: mount::MountError| {
                Error::kernel("unmount", "the user's network")(io::Error::other(error))
            };
            mount::unmount(&place, InUse::Detached).map_err(failed)?;
        }
        self.records.remove_ground()
    }

    /// The ground, if it is there and seen from here.
    fn ground(&self) -> Option<Netns> {
        let place = self.records.ground_path();
        let facts = rustix::fs::statfs(&place).ok()?;
        let is_namespace = facts.f_type as u64 == NAMESPACE_MAGIC;
        is_namespace.then(|| Netns::at(&place).ok()).flatten()
    }

    fn new_ground(&self) -> Result<Netns> {
        let failed = || Error::kernel("make", "the user's network");
        let ground = Netns::create().map_err(failed())?;
        Links::of(&ground).and_then(|mut links| links.set_up("lo")).map_err(failed())?;
        let place = self.records.ground_path();
        File::create(&place).map_err(Error::file("make", &place))?;
        // Only the calling process holds it yet.
        rustix::mount::mount_bind(ground.path(), &place).map_err(|errno| failed()(errno.into()))?;
        Ok(ground)
    }

    fn uplink(&self) -> Option<Uplink> {
        self.records.read_ground().ok().flatten()
    }

    /// Connects the ground by the first program that can. `Err` says why none does.
    fn connect_ground(&self, ground: &Netns) -> std::result::Result<ProcessIdentity, String> {
        let mut complaints = Vec::new();
        for (program, arguments) in PROGRAMS {
            match self.start_uplink(program, arguments, ground) {
                Ok(process) => return Ok(process),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => complaints.push(format!("{program}: {error}")),
            }
        }
        if complaints.is_empty() {
            let text = "neither pasta (package passt) nor slirp4netns is installed";
            return Err(text.to_owned());
        }
        Err(complaints.join("; "))
    }

    fn start_uplink(
        &self,
        program: &str,
        arguments: &[&str],
        ground: &Netns,
    ) -> io::Result<ProcessIdentity> {
        let (place, log) = (self.records.ground_path(), self.records.ground_log_path());
        let said = OpenOptions::new().create(true).write(true).truncate(true).open(&log)?;
        let mut command = Command::new(program);
        command.args(arguments).arg(&place);
        if program == "slirp4netns" {
            command.arg(UPLINK);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        match wait_for_uplink(&mut child, ground, &log) {
            Ok(()) => process::identify(child.id()),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

fn wait_for_uplink(child: &mut Child, ground: &Netns, log: &Path) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut links = ground.inside(Links::here)?;
    while !links.leads_out()? {
        if child.try_wait()?.is_some() || Instant::now() > until {
            return Err(io::Error::other(complaint(log)));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// The last line of what a program said.
fn complaint(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    // Where there is no system log, passt says so for each message.
    let says = |line: &&str| !line.ends_with("bytes to syslog") && !line.trim().is_empty();
    let last = text.lines().rfind(says).unwrap_or("no answer");
    let last: String = last.chars().take(COMPLAINT_BYTES_MAX).collect();
    Printable(&last).to_string()
}
