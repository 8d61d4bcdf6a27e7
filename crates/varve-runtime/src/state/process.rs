//! Who a process is: a number alone is given again to others.

use std::{fs, io, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use varve_types::container::ProcessIdentity;

/// Who has this number now; `None` when nobody has, or only one that is dead and not yet waited
/// for.
pub fn identify(pid: u32) -> io::Result<Option<ProcessIdentity>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => match parse(&stat) {
            None | Some((b'Z' | b'X' | b'x', _)) => Ok(None),
            Some((_, start_ticks)) => {
                Ok(Some(ProcessIdentity { pid, start_ticks, boot_id: boot_id()? }))
            }
        },
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Like [`identify`], for a child of ours: that it is dead already does not matter, because its
/// number is not given again before we wait for it.
pub fn identify_child(pid: u32) -> io::Result<ProcessIdentity> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    let (_, start_ticks) =
        parse(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(ProcessIdentity { pid, start_ticks, boot_id: boot_id()? })
}

/// Whether this very process still runs.
pub fn is_alive(process: &ProcessIdentity) -> io::Result<bool> {
    Ok(identify(process.pid)?.as_ref() == Some(process))
}

/// A handle to this very process, through which signals never reach another one; `None` when it
/// has ended.
pub fn open(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Some(handle) = open_number(process.pid)? else { return Ok(None) };
    // Asked after opening: if the number is still its own now, it was then.
    Ok(is_alive(process)?.then_some(handle))
}

/// A handle to whoever has the number, which is right for a child that was not waited for.
pub(crate) fn open_number(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// State letter and start time. The command's name, in parentheses, may hold anything.
fn parse(stat: &[u8]) -> Option<(u8, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // Field 3 was the state; 22 is the start time.
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn is_gone(error: &io::Error) -> bool {
    // ESRCH: it ended between opening its file and reading it.
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The identity of this boot of the machine.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_is_stepped_over() {
        let stat = b"7 (a) R (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse(stat), Some((b'S', 4711)));
        assert_eq!(parse(b"7 (cut"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_dead_child_is_not_alive_although_its_number_is_still_taken() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let id = identify(child.id()).unwrap().unwrap();
        assert!(is_alive(&id).unwrap());
        let handle = open(&id).unwrap().unwrap();
        crate::sys::send_signal(&handle, 9).unwrap();
        let mut ended = rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN);
        rustix::event::poll(std::slice::from_mut(&mut ended), None).unwrap();
        assert!(!is_alive(&id).unwrap());
        assert!(open(&id).unwrap().is_none());
        assert_eq!(identify_child(child.id()).unwrap(), id);
        child.wait().unwrap();
    }

    #[test]
    fn another_process_with_the_same_number_is_not_the_same() {
        let me = identify(std::process::id()).unwrap().unwrap();
        let earlier = ProcessIdentity { start_ticks: me.start_ticks - 1, ..me.clone() };
        let other_boot = ProcessIdentity { boot_id: "x".into(), ..me };
        assert!(open(&earlier).unwrap().is_none());
        assert!(open(&other_boot).unwrap().is_none());
    }
}
