//! From rules to the kernel's filter programs.
//!
//! `seccompiler` writes the comparisons. It knows one action besides the default in each
//! program and one architecture, and it *kills* what calls in another architecture's way. So:
//!
//! - Each action gets a program of its own; the kernel runs them all and the strictest answer
//!   counts. The program of the default lets pass all that another one judges.
//! - It compares a number with one call after the other. So it is given the calls whose arguments
//!   matter, each alone; the number itself is looked up by halving.
//! - In front of that stands our own beginning, which sends each architecture to its
//!   list. Calls of an architecture that has none and of x32 are answered with ENOSYS, under
//!   every profile: a list of what is refused must not be got round in another architecture's
//!   way. Calls newer than every one that a list of what is allowed names are answered so too,
//!   as an older kernel would: libraries know what to do then, and nothing is killed for asking.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use varve_types::Kind;

/// One program for the kernel.
pub type Program = Vec<sock_filter>;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// What seccompiler puts before its comparisons: load the architecture, compare it, kill.
const PROLOGUE: usize = 3;
/// Calls of the x32 architecture are those of x86_64 with this bit in their number.
const X32_BIT: u32 = 0x4000_0000;

// Codes of classic BPF (linux/bpf_common.h) and places in `struct seccomp_data`.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;

/// The most instructions that the kernel takes in one program (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// An architecture whose system calls we know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86_64
    X86_64,
    /// i386
    X86,
    /// 64-bit ARM
    Aarch64,
    /// 32-bit ARM
    Arm,
    /// 64-bit RISC-V
    Riscv64,
}

/// Why rules cannot become a program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// An action that needs a process to ask, or is unknown.
    #[error("seccomp action {0} is not supported")]
    Action(LinuxSeccompAction),
    /// The machine's architecture is none whose calls we know.
    #[error("seccomp filters are not supported on this architecture")]
    Architecture,
    /// An argument's place is not 0 to 5, or another fault in a rule.
    #[error("invalid seccomp rule")]
    Rule(#[source] BackendError),
    /// More comparisons than the kernel takes.
    #[error("seccomp profile needs {0} instructions, more than the kernel's {INSTRUCTIONS_MAX}")]
    TooLarge(usize),
}

impl CompileError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Action(_) | Self::Architecture => Kind::Unsupported,
            Self::Rule(_) => Kind::Invalid,
            Self::TooLarge(_) => Kind::Exhausted,
        }
    }
}

impl Architecture {
    /// The architecture that this program was built for.
    pub fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            "riscv64" => Some(Self::Riscv64),
            _ => None,
        }
    }

    fn from_oci(arch: Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Self::native(),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchArm => Some(Self::Arm),
            Arch::ScmpArchRiscv64 => Some(Self::Riscv64),
            _ => None,
        }
    }

    /// The kernel's `AUDIT_ARCH_…`.
    fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// The number of a system call; `None` where the architecture has not got it.
    fn number(self, name: &str) -> Option<i64> {
        let number = match self {
            Self::X86_64 => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            Self::X86 => name.parse::<syscalls::x86::Sysno>().ok()?.id(),
            Self::Aarch64 => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
            Self::Arm => name.parse::<syscalls::arm::Sysno>().ok()?.id(),
            Self::Riscv64 => name.parse::<syscalls::riscv64::Sysno>().ok()?.id(),
        };
        Some(i64::from(number))
    }
}

/// Compiles a filter for processes of `native` and of the architectures that it names. The
/// programs may be installed in any order; all must be.
pub fn compile(seccomp: &LinuxSeccomp, native: Architecture) -> Result<Vec<Program>, CompileError> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let rules = seccomp.syscalls().as_deref().unwrap_or_default();
    let mut architectures = vec![native];
    for arch in seccomp.architectures().iter().flatten() {
        if let Some(known) = Architecture::from_oci(*arch)
            && !architectures.contains(&known)
        {
            architectures.push(known);
        }
    }
    let mut groups: Vec<(SeccompAction, Vec<&LinuxSyscall>)> = Vec::new();
    for rule in rules {
        let action = action(rule.action(), rule.errno_ret())?;
        if action == default {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == action) {
            Some((_, members)) => members.push(rule),
            None => groups.push((action, vec![rule])),
        }
    }
    let allow = SeccompAction::Allow;
    let mut programs = Vec::new();
    if default != allow {
        let judged: Vec<&LinuxSyscall> =
            groups.iter().flat_map(|(_, members)| members.iter().copied()).collect();
        programs.push(program(&judged, &default, &allow, &architectures)?);
    }
    for (action, members) in groups.iter().filter(|(action, _)| *action != allow) {
        programs.push(program(members, &allow, action, &architectures)?);
    }
    Ok(programs)
}

/// One program: `matched` for what the rules name, `otherwise` for the rest.
fn program(
    rules: &[&LinuxSyscall],
    otherwise: &SeccompAction,
    matched: &SeccompAction,
    architectures: &[Architecture],
) -> Result<Program, CompileError> {
    let mut program = vec![statement(LOAD, ARCHITECTURE_OFFSET)];
    for architecture in architectures {
        let part = part(rules, otherwise, matched, *architecture)?;
        // A short jump reaches 255 instructions, so a long one is jumped over.
        program.push(jump(JUMP_EQUAL, architecture.audit(), 1, 0));
        program.push(statement(JUMP, part.len() as u32));
        program.extend(part);
    }
    program.push(statement(RETURN, SeccompAction::Errno(ENOSYS).into()));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(CompileError::TooLarge(program.len()));
    }
    Ok(program)
}

/// The comparisons for one architecture.
fn part(
    rules: &[&LinuxSyscall],
    otherwise: &SeccompAction,
    matched: &SeccompAction,
    architecture: Architecture,
) -> Result<Program, CompileError> {
    let mut chains: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut unconditional = Vec::new();
    for rule in rules {
        let conditions = conditions(rule.args().as_deref().unwrap_or_default())?;
        for number in rule.names().iter().filter_map(|name| architecture.number(name)) {
            let chain = chains.entry(number).or_default();
            if conditions.is_empty() {
                unconditional.push(number);
            } else {
                for alternative in &conditions {
                    let rule = SeccompRule::new(alternative.clone()).map_err(CompileError::Rule)?;
                    chain.push(rule);
                }
            }
        }
    }
    for number in unconditional {
        chains.insert(number, Vec::new());
    }
    let mut runs = Runs::default();
    let newest = chains.keys().next_back().copied();
    for (number, rules) in chains {
        let Ok(number) = u32::try_from(number) else { continue };
        runs.begin(number, judge(number, rules, otherwise, matched)?);
        runs.begin(number.saturating_add(1), answer(otherwise));
    }
    let not_there = answer(&SeccompAction::Errno(ENOSYS));
    if let Some(newest) = newest.and_then(|newest| u32::try_from(newest).ok())
        && *otherwise != SeccompAction::Allow
    {
        runs.begin(newest.saturating_add(1), not_there.clone());
    }
    if architecture == Architecture::X86_64 {
        runs.begin(X32_BIT, not_there);
    }
    let mut part = vec![statement(LOAD, NUMBER_OFFSET)];
    part.extend(search(runs.all(answer(otherwise)).as_slice()));
    Ok(part)
}

/// What is to be done with one call that the rules name: conditions, when there are any, which end
/// with an answer in either case.
fn judge(
    number: u32,
    rules: Vec<SeccompRule>,
    otherwise: &SeccompAction,
    matched: &SeccompAction,
) -> Result<Program, CompileError> {
    if rules.is_empty() {
        return Ok(answer(matched));
    }
    let rules = BTreeMap::from([(i64::from(number), rules)]);
    // The target only decides the beginning, which is cut off.
    let filter = SeccompFilter::new(rules, otherwise.clone(), matched.clone(), TargetArch::x86_64)
        .map_err(CompileError::Rule)?;
    let compiled: BpfProgram = filter.try_into().map_err(CompileError::Rule)?;
    Ok(compiled.into_iter().skip(PROLOGUE).collect())
}

fn answer(action: &SeccompAction) -> Program {
    vec![statement(RETURN, action.clone().into())]
}

/// Numbers of calls cut into runs, all of each having one judgement: where it begins, and what
/// judges it.
#[derive(Default)]
struct Runs(BTreeMap<u32, Program>);

impl Runs {
    /// From this number on, this is the judgement; of two that begin at one number the later one
    /// counts.
    fn begin(&mut self, number: u32, judgement: Program) {
        self.0.insert(number, judgement);
    }

    /// All of them, in order; `first` for what lies before them. Neighbours differ.
    fn all(self, first: Program) -> Vec<(u32, Program)> {
        let mut all = vec![(0, first)];
        for (number, judgement) in self.0 {
            match all.last_mut() {
                Some((_, last)) if *last == judgement => {}
                Some((begins, last)) if *begins == number => *last = judgement,
                _ => all.push((number, judgement)),
            }
        }
        all
    }
}

/// Finds the run of a number by halving. The kernel tries a new filter with every number there is
/// and translates it, so a long list would cost more than all else at the start of a container.
fn search(runs: &[(u32, Program)]) -> Program {
    let [_, .., _] = runs else {
        return runs.first().map(|(_, judgement)| judgement.clone()).unwrap_or_default();
    };
    let (lower, upper) = runs.split_at(runs.len() / 2);
    let (begins, below) = (upper[0].0, search(lower));
    let mut program = match u8::try_from(below.len()) {
        Ok(length) => vec![jump(JUMP_AT_LEAST, begins, length, 0)],
        // A short jump reaches no further.
        Err(_) => {
            vec![jump(JUMP_AT_LEAST, begins, 0, 1), statement(JUMP, below.len() as u32)]
        }
    };
    program.extend(below);
    program.extend(search(upper));
    program
}

/// The conditions of a rule: any of the alternatives, each of which must hold whole. Conditions
/// on one argument are alternatives (runc and docker read them so), on several they add up.
fn conditions(args: &[LinuxSeccompArg]) -> Result<Vec<Vec<SeccompCondition>>, CompileError> {
    let each = args.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    let repeated = args
        .iter()
        .enumerate()
        .any(|(at, argument)| args[..at].iter().any(|earlier| earlier.index() == argument.index()));
    Ok(match each {
        none if none.is_empty() => Vec::new(),
        each if repeated => each.into_iter().map(|condition| vec![condition]).collect(),
        each => vec![each],
    })
}

fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition, CompileError> {
    let value = argument.value();
    let (op, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, value),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, value),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, value),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, value),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, value),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(value), argument.value_two().unwrap_or_default())
        }
    };
    // "Anything but 40" is asked of arguments that the kernel reads as 32 bits: with the upper
    // half compared too, one bit set there would get any value past the rule.
    let length = match op {
        SeccompCmpOp::Ne if u32::try_from(value).is_ok() => SeccompCmpArgLen::Dword,
        _ => SeccompCmpArgLen::Qword,
    };
    let index = u8::try_from(argument.index()).unwrap_or(u8::MAX);
    SeccompCondition::new(index, length, op, value).map_err(CompileError::Rule)
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<SeccompAction, CompileError> {
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow,
        LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno(errno.unwrap_or(EPERM) & 0xfff),
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            SeccompAction::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => SeccompAction::KillProcess,
        LinuxSeccompAction::ScmpActLog => SeccompAction::Log,
        LinuxSeccompAction::ScmpActTrace => SeccompAction::Trace(errno.unwrap_or(EPERM) & 0xffff),
        LinuxSeccompAction::ScmpActTrap => SeccompAction::Trap,
        LinuxSeccompAction::ScmpActNotify => return Err(CompileError::Action(action)),
    })
}

fn statement(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program that only looks at the number answers.
    fn run(program: &[sock_filter], number: u32) -> u32 {
        let mut at = 0;
        loop {
            let one = &program[at];
            at += 1;
            match one.code {
                JUMP => at += one.k as usize,
                JUMP_AT_LEAST => at += usize::from(if number >= one.k { one.jt } else { one.jf }),
                RETURN => return one.k,
                other => panic!("an instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn every_number_is_judged_as_a_list_would_judge_it() {
        // Single numbers, neighbours, gaps; so many that short jumps do not reach.
        let listed: Vec<u32> = (0..2_000).filter(|n| n % 3 == 0 || n % 7 == 1 || *n == 5).collect();
        let mut runs = Runs::default();
        for number in &listed {
            runs.begin(*number, answer(&SeccompAction::Allow));
            runs.begin(number + 1, answer(&SeccompAction::Trap));
        }
        runs.begin(3_000, answer(&SeccompAction::Errno(ENOSYS)));
        let runs = runs.all(answer(&SeccompAction::Trap));
        let program = search(&runs);
        assert!(program.len() > 3 * 255, "{}", program.len());
        for number in (0..4_000).chain([u32::MAX]) {
            let expected = match number {
                3_000.. => SeccompAction::Errno(ENOSYS),
                _ if listed.contains(&number) => SeccompAction::Allow,
                _ => SeccompAction::Trap,
            };
            assert_eq!(run(&program, number), u32::from(expected), "{number}");
        }
    }
}
