//! Removing what was extracted.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags},
    io::Errno,
};

/// Removes a file, or a directory with all in it, from a directory. It is renamed into `trash` in
/// one step first, so that nobody ever sees half of it; `trash` must be of the same file system,
/// and whoever else has it must not mind what appears there. What a killed process left in the
/// trash is removed by [`empty`]. What is not there is no error.
///
/// Only handles and single names are used, at any depth: a directory that is not empty moves up
/// into the trash, and is emptied there.
pub fn remove(directory: BorrowedFd, name: &[u8], trash: BorrowedFd) -> io::Result<()> {
    let mut moved = Vec::new();
    match move_away(directory, name, trash, &mut moved) {
        Err(Errno::NOENT) => return Ok(()),
        done => done?,
    }
    while let Some(name) = moved.pop() {
        remove_moved(trash, name, &mut moved)?;
    }
    Ok(())
}

fn remove_moved(trash: BorrowedFd, name: String, moved: &mut Vec<String>) -> io::Result<()> {
    match rustix::fs::unlinkat(trash, &*name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        done => return Ok(done?),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(trash, &*name, flags, Mode::empty());
    let opened: OwnedFd = match open() {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ACCESS) => {
            open_up(trash, name.as_bytes())?;
            open()?
        }
        opened => opened?,
    };
    // An owner who is not root may have left itself no right to change it.
    let _ = rustix::fs::fchmod(&opened, Mode::RWXU);
    for entry in Dir::read_from(&opened)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::unlinkat(&opened, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(Errno::NOENT) => continue,
            done => {
                done?;
                continue;
            }
        }
        match rustix::fs::unlinkat(&opened, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                move_away(opened.as_fd(), name.to_bytes(), trash, moved)?;
            }
            Err(Errno::NOENT) => {}
            done => done?,
        }
    }
    match rustix::fs::unlinkat(trash, &*name, AtFlags::REMOVEDIR) {
        // Somebody else, removing the same, was quicker.
        Err(Errno::NOENT) => Ok(()),
        done => Ok(done?),
    }
}

/// Moves something into the trash under a name that nothing has.
fn move_away(
    directory: BorrowedFd,
    name: &[u8],
    trash: BorrowedFd,
    moved: &mut Vec<String>,
) -> Result<(), Errno> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Errno::IO)?;
    let new = format!("{:032x}", u128::from_ne_bytes(bytes));
    match rustix::fs::renameat(directory, name, trash, &*new) {
        // To be moved, a directory must be open to who moves it, unless that is root.
        Err(Errno::ACCESS) => {
            open_up(directory, name)?;
            rustix::fs::renameat(directory, name, trash, &*new)?;
        }
        done => done?,
    }
    moved.push(new);
    Ok(())
}

/// Gives the owner of a directory all rights to it; it need not be readable to be opened for that.
fn open_up(directory: BorrowedFd, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", opened.as_raw_fd()), Mode::RWXU)
}

/// Removes all that lies in a trash.
pub fn empty(trash: BorrowedFd) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(trash)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.iter().try_for_each(|name| remove(trash, name, trash))
}
