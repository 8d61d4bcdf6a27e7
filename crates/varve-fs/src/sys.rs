//! The system calls for which there is no safe function: those of loop devices, and leaving
//! the common mount table.
#![allow(unsafe_code)]

use std::{ffi::c_void, os::fd::BorrowedFd, ptr};

use rustix::{
    io::Errno,
    ioctl::{self, Ioctl, IoctlOutput, Opcode},
};

const LOOP_CTL_GET_FREE: Opcode = 0x4c82;
const LOOP_CONFIGURE: Opcode = 0x4c0a;

/// What `LOOP_CONFIGURE` is told: `struct loop_config` of the kernel's `linux/loop.h`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LoopConfig {
    /// The file that the device shows, as a number of this process.
    pub(crate) fd: u32,
    /// Bytes of a block.
    pub(crate) block_size: u32,
    /// All else.
    pub(crate) about: LoopAbout,
    pub(crate) reserved: [u64; 8],
}

/// `struct loop_info64`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct LoopAbout {
    /// Device and inode of the file, and number of the device: the kernel fills them in.
    pub(crate) found: [u64; 3],
    /// Where in the file the device begins.
    pub(crate) offset: u64,
    /// Where it ends; zero for the file's end.
    pub(crate) size_limit: u64,
    pub(crate) number: u32,
    pub(crate) encryption: [u32; 2],
    pub(crate) flags: u32,
    /// The file's name, for people.
    pub(crate) file_name: [u8; 64],
    pub(crate) cipher_name: [u8; 64],
    pub(crate) encryption_key: [u8; 32],
    pub(crate) init: [u64; 2],
}

impl LoopConfig {
    /// The device shows nothing but the file, and cannot be written.
    pub(crate) const READ_ONLY: u32 = 1;
    /// The device lets go of the file with its last user.
    pub(crate) const AUTOCLEAR: u32 = 4;
}

/// Asks the kernel for the number of a loop device that nobody uses; it makes one if need be.
pub(crate) fn free_loop_device(control: BorrowedFd) -> Result<u32, Errno> {
    struct Free;
    // SAFETY: the call takes no argument and returns a number; nothing is read or written.
    unsafe impl Ioctl for Free {
        type Output = u32;
        const IS_MUTATING: bool = false;

        fn opcode(&self) -> Opcode {
            LOOP_CTL_GET_FREE
        }

        fn as_ptr(&mut self) -> *mut c_void {
            ptr::null_mut()
        }

        unsafe fn output_from_ptr(number: IoctlOutput, _: *mut c_void) -> Result<u32, Errno> {
            Ok(number.cast_unsigned())
        }
    }
    // SAFETY: on any other file than `/dev/loop-control` the kernel refuses the number of the call.
    unsafe { ioctl::ioctl(control, Free) }
}

/// Lets a loop device that nobody uses show a file, in one step.
pub(crate) fn configure_loop_device(device: BorrowedFd, config: LoopConfig) -> Result<(), Errno> {
    // SAFETY: `LoopConfig` has the layout of what the kernel reads for this number (a test
    // compares), and the kernel writes nothing to it.
    let call = unsafe { ioctl::Setter::<LOOP_CONFIGURE, LoopConfig>::new(config) };
    // SAFETY: as above; on any other file the kernel refuses the number of the call.
    unsafe { ioctl::ioctl(device, call) }
}

/// Gives the thread that calls a copy of the mount table, of its own.
pub(crate) fn unshare_mounts() -> Result<(), Errno> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: no memory and no descriptor stops being shared. Of the thread's own are from now on
    // its mounts, its working directory, its root and its umask, on which nothing of ours relies.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// Offsets as a C compiler gives them for `linux/loop.h`.
    #[test]
    fn what_the_kernel_reads_lies_where_it_reads_it() {
        assert_eq!((size_of::<LoopConfig>(), size_of::<LoopAbout>()), (304, 232));
        let config = [
            offset_of!(LoopConfig, fd),
            offset_of!(LoopConfig, block_size),
            offset_of!(LoopConfig, about),
            offset_of!(LoopConfig, reserved),
        ];
        assert_eq!(config, [0, 4, 8, 240]);
        let about = [
            offset_of!(LoopAbout, offset),
            offset_of!(LoopAbout, size_limit),
            offset_of!(LoopAbout, number),
            offset_of!(LoopAbout, flags),
            offset_of!(LoopAbout, file_name),
            offset_of!(LoopAbout, cipher_name),
            offset_of!(LoopAbout, encryption_key),
            offset_of!(LoopAbout, init),
        ];
        assert_eq!(about, [24, 32, 40, 52, 56, 120, 184, 216]);
    }
}
