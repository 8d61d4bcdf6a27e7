//! System calls, and the place where the kernel begins.

use core::{
    arch::{asm, global_asm},
    panic::PanicInfo,
    slice,
};

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const WRITE: usize = 1;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const IOCTL: usize = 16;
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const WAIT4: usize = 61;
    pub(super) const KILL: usize = 62;
    pub(super) const GETPID: usize = 39;
    pub(super) const SETPGID: usize = 109;
    pub(super) const RT_SIGTIMEDWAIT: usize = 128;
    pub(super) const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const WRITE: usize = 64;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const IOCTL: usize = 29;
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const WAIT4: usize = 260;
    pub(super) const KILL: usize = 129;
    pub(super) const GETPID: usize = 172;
    pub(super) const SETPGID: usize = 154;
    pub(super) const RT_SIGTIMEDWAIT: usize = 137;
    pub(super) const EXIT_GROUP: usize = 94;
}

const SIG_SETMASK: usize = 2;
const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
const TIOCSPGRP: usize = 0x5410;
const MASK_SIZE_BYTES: usize = 8;
/// What a fault of this program itself raises is not held back: SEGV, BUS, FPE, ILL, TRAP, ABRT,
/// SYS.
const FAULTS: u64 = (1 << 10) | (1 << 6) | (1 << 7) | (1 << 3) | (1 << 4) | (1 << 5) | (1 << 30);

// The stack has the number of arguments, then the arguments, a null, the environment, a null.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {start}",
    "brk #1",
    start = sym start
);

extern "C" fn start(stack: *const *const u8) -> ! {
    // SAFETY: the kernel lays the stack out so, and nobody has written to it.
    let (arguments, environment) = unsafe {
        let count = *stack.cast::<usize>();
        (Words(stack.add(1)), Words(stack.add(count + 2)))
    };
    exit(crate::run(arguments, environment))
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    exit(125)
}

/// A list of texts that ends with a null, as the kernel lays it out.
#[derive(Clone, Copy)]
pub(crate) struct Words(*const *const u8);

impl Words {
    /// The text at a place that no earlier one was null at.
    pub(crate) fn get(self, at: usize) -> Option<Text> {
        // SAFETY: callers count up from a place in the list and stop at its null.
        let text = unsafe { *self.0.add(at) };
        (!text.is_null()).then_some(Text(text))
    }

    /// The list behind the first `count`, which are there.
    pub(crate) fn skip(self, count: usize) -> Self {
        // SAFETY: the list has as many, or ends there.
        Self(unsafe { self.0.add(count) })
    }
}

/// A text that ends with a zero and lives as long as the program.
#[derive(Clone, Copy)]
pub(crate) struct Text(*const u8);

impl Text {
    /// Its bytes.
    pub(crate) fn bytes(self) -> &'static [u8] {
        let bytes = self.with_end();
        &bytes[..bytes.len() - 1]
    }

    /// Its bytes and the zero.
    pub(crate) fn with_end(self) -> &'static [u8] {
        let mut length = 0;
        // SAFETY: the kernel's texts end with a zero and stay where they are.
        unsafe {
            while *self.0.add(length) != 0 {
                length += 1;
            }
            slice::from_raw_parts(self.0, length + 1)
        }
    }
}

/// How a process ended.
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: the callers pass what these system calls take; the kernel keeps all other registers.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") 0, lateout("rcx") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: the callers pass what these system calls take; the kernel keeps all other registers.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
             in("x3") d, in("x4") 0);
    }
    result
}

fn set_mask(mask: u64) {
    let mask = &raw const mask;
    call(number::RT_SIGPROCMASK, SIG_SETMASK, mask as usize, 0, MASK_SIZE_BYTES);
}

/// Holds back every signal until it is waited for.
pub(crate) fn block_signals() {
    set_mask(!FAULTS);
}

/// Lets signals come as they do in a new process.
pub(crate) fn unblock_signals() {
    set_mask(0);
}

/// Copies this process: 0 in the copy, its number in the original, negative for an error.
pub(crate) fn fork() -> i32 {
    call(number::CLONE, SIGCHLD, 0, 0, 0) as i32
}

/// Puts this process into a group of its own, which gets the terminal if there is one.
pub(crate) fn own_process_group() {
    call(number::SETPGID, 0, 0, 0, 0);
    // A new group has its leader's number.
    let own = call(number::GETPID, 0, 0, 0, 0) as i32;
    let own = &raw const own;
    call(number::IOCTL, 0, TIOCSPGRP, own as usize, 0);
}

/// Executes a program; `path` ends with a zero. Returns the error's number.
pub(crate) fn execute(path: &[u8], arguments: Words, environment: Words) -> i32 {
    let (arguments, environment) = (arguments.0 as usize, environment.0 as usize);
    -(call(number::EXECVE, path.as_ptr() as usize, arguments, environment, 0) as i32)
}

/// Waits until a signal comes that was held back. Returns its number.
pub(crate) fn wait_for_signal() -> i32 {
    let mask = !FAULTS;
    let mask = &raw const mask;
    loop {
        let signal = call(number::RT_SIGTIMEDWAIT, mask as usize, 0, 0, MASK_SIZE_BYTES) as i32;
        // Being stopped and continued interrupts the wait.
        if signal > 0 {
            return signal;
        }
    }
}

/// Sends a signal.
pub(crate) fn kill(process: i32, signal: i32) {
    call(number::KILL, process as usize, signal as usize, 0, 0);
}

/// Takes a process that has ended, if there is one.
pub(crate) fn reap() -> Option<(i32, Ended)> {
    let mut status = 0_i32;
    let place = &raw mut status;
    let process = call(number::WAIT4, usize::MAX, place as usize, WNOHANG, 0) as i32;
    // SAFETY: the kernel wrote an integer there.
    let status = unsafe { place.read_volatile() };
    let signal = status & 0x7f;
    let ended = if signal == 0 { Ended::Exited(status >> 8 & 0xff) } else { Ended::Killed(signal) };
    (process > 0).then_some((process, ended))
}

/// Writes to standard error.
pub(crate) fn write_error(bytes: &[u8]) {
    call(number::WRITE, 2, bytes.as_ptr() as usize, bytes.len(), 0);
}

fn exit(code: i32) -> ! {
    loop {
        call(number::EXIT_GROUP, code as usize, 0, 0, 0);
    }
}

// What the compiler expects of a C library, and of unwinding, which there is none of.

#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// # Safety
///
/// `to` has `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller's promise.
        unsafe { *to.add(at) = byte as u8 };
    }
    to
}

/// # Safety
///
/// Both have `count` bytes and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller's promise.
        unsafe { *to.add(at) = *from.add(at) };
    }
    to
}

/// # Safety
///
/// Both have `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller's promise.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// # Safety
///
/// Both have `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, count) }
}
