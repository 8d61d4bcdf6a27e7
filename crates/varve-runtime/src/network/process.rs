//! Processes that are told apart from later ones with the same number.

use std::{fs, io};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid,
};
use varve_types::container::ProcessIdentity;

/// Learns who a process is.
pub(crate) fn identify(pid: u32) -> io::Result<ProcessIdentity> {
    let start_ticks = start_ticks(pid)?;
    Ok(ProcessIdentity { pid, start_ticks, boot_id: boot_id() })
}

/// Whether a process is still there.
pub(crate) fn is_alive(process: &ProcessIdentity) -> bool {
    process.boot_id == boot_id() && start_ticks(process.pid).ok() == Some(process.start_ticks)
}

/// Ends a process and waits until its files are closed. One that is gone is fine.
pub(crate) fn end(process: &ProcessIdentity) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid as i32) else { return Ok(()) };
    if process.boot_id != boot_id() {
        return Ok(());
    }
    // The descriptor first: what is asked afterwards is asked of the process that it stands for.
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if start_ticks(process.pid).ok() != Some(process.start_ticks) {
        return Ok(());
    }
    match pidfd_send_signal(&fd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let mut wanted = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    rustix::event::poll(&mut wanted, Some(&patience))?;
    // A child of this process would stay as a zombie; somebody else's is not ours to wait for.
    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    Ok(())
}

fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Field 22 of `/proc/<pid>/stat`; the second, in brackets, may hold anything.
fn start_ticks(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let behind = text.rsplit_once(')').map(|(_, behind)| behind).unwrap_or_default();
    let field = behind.split_whitespace().nth(19).and_then(|text| text.parse().ok());
    field.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
