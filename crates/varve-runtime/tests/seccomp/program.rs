//! Programs of a few instructions: one system call, then an exit with its error number.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// How a program calls the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A 64-bit program in its own way.
    X86_64,
    /// A 32-bit program.
    X86,
    /// A 64-bit program that calls in the 32-bit way, and exits in its own.
    X86From64,
}

/// One call with up to three arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    mode: Mode,
    number: u32,
    args: [u64; 3],
}

/// Where a program is loaded.
const ADDRESS: u64 = 0x40_0000;

impl Call {
    pub(crate) fn new(mode: Mode, number: u32, args: &[u64]) -> Self {
        let argument = |at: usize| args.get(at).copied().unwrap_or(0);
        Self { mode, number, args: [argument(0), argument(1), argument(2)] }
    }

    /// Writes the program, executable.
    pub(crate) fn write(&self, path: &Path) {
        let code = match self.mode {
            Mode::X86_64 => [self.call_64(), EXIT_64.to_vec()].concat(),
            Mode::X86 => [self.call_32(), EXIT_32.to_vec()].concat(),
            Mode::X86From64 => [self.call_32(), EXIT_64.to_vec()].concat(),
        };
        let file = if self.mode == Mode::X86 { elf_32(&code) } else { elf_64(&code) };
        fs::write(path, file).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn call_64(&self) -> Vec<u8> {
        let mut code = vec![0xb8]; // mov eax, number
        code.extend(self.number.to_le_bytes());
        // mov rdi / rsi / rdx, 64 bits
        for (register, argument) in [0xbf_u8, 0xbe, 0xba].into_iter().zip(self.args) {
            code.extend([0x48, register]);
            code.extend(argument.to_le_bytes());
        }
        code.extend([0x0f, 0x05]); // syscall
        code
    }

    fn call_32(&self) -> Vec<u8> {
        let mut code = vec![0xb8]; // mov eax, number
        code.extend(self.number.to_le_bytes());
        // mov ebx / ecx / edx, 32 bits
        for (register, argument) in [0xbb_u8, 0xb9, 0xba].into_iter().zip(self.args) {
            code.push(register);
            code.extend((argument as u32).to_le_bytes());
        }
        code.extend([0xcd, 0x80]); // int 0x80
        code
    }
}

/// neg eax; mov edi, eax; mov eax, 60; syscall
const EXIT_64: &[u8] = &[0xf7, 0xd8, 0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
/// neg eax; mov ebx, eax; mov eax, 1; int 0x80
const EXIT_32: &[u8] = &[0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80];

/// An executable with one segment: 64 bytes of header, 56 of program header, the code.
fn elf_64(code: &[u8]) -> Vec<u8> {
    let headers: u64 = 64 + 56;
    let size = headers + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    half(&mut file, 2); // executable
    half(&mut file, 62); // x86_64
    file.extend(1_u32.to_le_bytes());
    file.extend((ADDRESS + headers).to_le_bytes()); // entry
    file.extend(64_u64.to_le_bytes()); // program headers
    file.extend(0_u64.to_le_bytes()); // no sections
    file.extend(0_u32.to_le_bytes());
    for value in [64, 56, 1, 64, 0, 0] {
        half(&mut file, value);
    }
    file.extend(1_u32.to_le_bytes()); // load
    file.extend(5_u32.to_le_bytes()); // read and execute
    for value in [0, ADDRESS, ADDRESS, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(value));
    }
    file.extend(code);
    file
}

/// The same with 32 bits: 52 bytes of header, 32 of program header.
fn elf_32(code: &[u8]) -> Vec<u8> {
    let headers: u32 = 52 + 32;
    let size = headers + code.len() as u32;
    let address = ADDRESS as u32;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    half(&mut file, 2); // executable
    half(&mut file, 3); // i386
    for value in [1, address + headers, 52, 0, 0] {
        file.extend(u32::to_le_bytes(value));
    }
    for value in [52, 32, 1, 40, 0, 0] {
        half(&mut file, value);
    }
    for value in [1, 0, address, address, size, size, 5, 0x1000] {
        file.extend(u32::to_le_bytes(value));
    }
    file.extend(code);
    file
}
