//! Files seen as block devices.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
};

use super::BackendError;
use crate::{
    durable,
    sys::{self, LoopAbout, LoopConfig},
};

const CONTROL: &str = "/dev/loop-control";
/// Others who take devices at the same time may be quicker, this many times.
const TRIES_MAX: u32 = 64;
const BLOCK_SIZE_BYTES: u32 = 512;

/// A device through which a file is read. It lets go of the file when this is dropped and nothing
/// mounts it; so also after a crash.
#[derive(Debug)]
pub(super) struct LoopDevice(OwnedFd);

impl LoopDevice {
    /// Takes a free device for a file, and makes one if there is none.
    pub(super) fn of(path: &Path) -> Result<Self, BackendError> {
        let file = File::open(path).map_err(BackendError::at("open", path))?;
        let no_devices = |source: io::Error| BackendError::NoLoopDevices { source };
        let control = OpenOptions::new().read(true).write(true).open(CONTROL);
        let control = control.map_err(no_devices)?;
        for attempt in 1.. {
            let number = sys::free_loop_device(control.as_fd()).map_err(io::Error::from);
            match number.and_then(|number| Self::take(number, &file, path)) {
                Err(error) if is_passing(&error) && attempt < TRIES_MAX => {
                    thread::sleep(Duration::from_micros(50 << attempt.min(8)));
                }
                taken => return taken.map_err(BackendError::at("attach a loop device to", path)),
            }
        }
        unreachable!("the last try returns")
    }

    fn take(number: u32, file: &File, path: &Path) -> io::Result<Self> {
        let device = open(number)?;
        let mut file_name = [0; 64];
        let name = path.as_os_str().as_encoded_bytes();
        // Its end tells layers apart. The last byte stays zero.
        let name = &name[name.len().saturating_sub(file_name.len() - 1)..];
        file_name[..name.len()].copy_from_slice(name);
        let config = LoopConfig {
            fd: file.as_raw_fd().cast_unsigned(),
            block_size: BLOCK_SIZE_BYTES,
            about: LoopAbout {
                found: [0; 3],
                offset: 0,
                size_limit: 0,
                number: 0,
                encryption: [0; 2],
                // Not DIRECT_IO: it halves cold reads, and wants blocks as large as the disk's.
                flags: LoopConfig::READ_ONLY | LoopConfig::AUTOCLEAR,
                file_name,
                cipher_name: [0; 64],
                encryption_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        sys::configure_loop_device(device.as_fd(), config)?;
        Ok(Self(device))
    }

    /// A path of the device, good while this lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Whether somebody else was quicker, or will soon be done.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::BUSY, Errno::AGAIN, Errno::INTR, Errno::NOSPC, Errno::NXIO];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// Opens a device by its number. In a container `/dev` may have no node of one that the kernel has
/// just made; then there is one for a moment.
fn open(number: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::open(format!("/dev/loop{number}"), flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let numbers = fs::read_to_string(format!("/sys/block/loop{number}/dev"))?;
    let (major, minor) = numbers
        .trim()
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or(io::ErrorKind::InvalidData)?;
    let node = PathBuf::from(format!("/dev/.loop{number}.{}", durable::random_name()?));
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, &node, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)?;
    let opened = rustix::fs::open(&node, flags, Mode::empty());
    let removed = fs::remove_file(&node);
    let device = opened?;
    removed?;
    Ok(device)
}
