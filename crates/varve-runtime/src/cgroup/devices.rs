//! Device rules: what every container may use besides what was asked for, and the rules as a BPF
//! program for version 2, which has no files for them.

use crate::{oci::DeviceRule, sys::BpfInstruction};

const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// The rules with those that a container cannot do without: its standard devices, terminals, and
/// making (not using) any device. They go last, as in runc, unless everything is allowed anyway.
pub(super) fn with_defaults(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut all = rules.to_vec();
    let everything = |rule: &DeviceRule| {
        matches!(rule.kind.as_deref(), None | Some("a" | ""))
            && rule.major.is_none_or(|n| n < 0)
            && rule.minor.is_none_or(|n| n < 0)
    };
    if all.iter().rev().find(|rule| everything(rule)).is_some_and(|rule| rule.allow) {
        return all;
    }
    let mut allow = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
        all.push(DeviceRule {
            allow: true,
            kind: Some(kind.to_owned()),
            major,
            minor,
            access: Some(access.to_owned()),
        });
    };
    allow("c", None, None, "m");
    allow("b", None, None, "m");
    // null, zero, full, random, urandom; tty, console, ptmx; the slaves of terminals.
    for minor in [3, 5, 7, 8, 9] {
        allow("c", Some(1), Some(minor), "rwm");
    }
    for minor in 0..=2 {
        allow("c", Some(5), Some(minor), "rwm");
    }
    allow("c", Some(136), None, "rwm");
    all
}

/// A program that answers 1 for what the rules allow. The last rule that speaks of a device wins,
/// so it is asked first; what no rule speaks of is refused.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<BpfInstruction> {
    // r2 type, r3 access, r4 major, r5 minor, out of the context in r1.
    let mut program = vec![
        instruction(0x61, 2, 1, 0, 0),
        instruction(0xbf, 3, 2, 0, 0),
        instruction(0x57, 2, 0, 0, 0xffff),
        instruction(0x77, 3, 0, 0, 16),
        instruction(0x61, 4, 1, 4, 0),
        instruction(0x61, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let block = block(rule);
        let always = block == answer(rule.allow);
        program.extend(block);
        // The kernel takes no program with parts that cannot be reached.
        if always {
            return program;
        }
    }
    program.extend(answer(false));
    program
}

fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> BpfInstruction {
    BpfInstruction { code, registers: to | (from << 4), offset, immediate }
}

fn answer(allow: bool) -> [BpfInstruction; 2] {
    [instruction(0xb7, 0, 0, 0, i32::from(allow)), instruction(0x95, 0, 0, 0, 0)]
}

/// The comparisons of one rule, each of which skips to the end of the block when it fails.
fn block(rule: &DeviceRule) -> Vec<BpfInstruction> {
    const JUMP_IF_OTHER_THAN: u8 = 0x55;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const JUMP_IF_REGISTERS_DIFFER: u8 = 0x5d;
    let mut block = Vec::new();
    let kind = match rule.kind.as_deref() {
        Some("b") => Some(BLOCK),
        Some("c" | "u") => Some(CHARACTER),
        _ => None,
    };
    if let Some(kind) = kind {
        block.push(instruction(JUMP_IF_OTHER_THAN, 2, 0, 0, kind));
    }
    let access = access(rule);
    if access != MKNOD | READ | WRITE {
        block.push(instruction(0xbf, 1, 3, 0, 0));
        block.push(instruction(0x57, 1, 0, 0, access));
        // All of what is asked must be allowed; one refused part refuses all.
        block.push(if rule.allow {
            instruction(JUMP_IF_REGISTERS_DIFFER, 1, 3, 0, 0)
        } else {
            instruction(JUMP_IF_EQUAL, 1, 0, 0, 0)
        });
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number.filter(|number| *number >= 0) {
            block.push(instruction(JUMP_IF_OTHER_THAN, register, 0, 0, number as i32));
        }
    }
    block.extend(answer(rule.allow));
    let length = block.len() as i16;
    for (index, one) in block.iter_mut().enumerate() {
        if [JUMP_IF_OTHER_THAN, JUMP_IF_EQUAL, JUMP_IF_REGISTERS_DIFFER].contains(&one.code) {
            one.offset = length - index as i16 - 1;
        }
    }
    block
}

fn access(rule: &DeviceRule) -> i32 {
    let text = rule.access.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm");
    let bit = |letter, bit| if text.contains(letter) { bit } else { 0 };
    bit('r', READ) | bit('w', WRITE) | bit('m', MKNOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers: a small BPF machine for the operations that are used.
    fn allows(program: &[BpfInstruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let context = [(access << 16) | kind, major, minor];
        let mut registers = [0_i64; 11];
        let mut at = 0_usize;
        loop {
            let one = program[at];
            let (to, from) = (usize::from(one.registers & 15), usize::from(one.registers >> 4));
            let value = i64::from(one.immediate);
            at += 1;
            let jump = match one.code {
                0x61 => {
                    registers[to] = i64::from(context[one.offset as usize / 4]);
                    false
                }
                0xbf => {
                    registers[to] = registers[from];
                    false
                }
                0xb7 => {
                    registers[to] = value;
                    false
                }
                0x57 => {
                    registers[to] &= value;
                    false
                }
                0x77 => {
                    registers[to] >>= value;
                    false
                }
                0x55 => registers[to] != value,
                0x15 => registers[to] == value,
                0x5d => registers[to] != registers[from],
                0x95 => return registers[0] == 1,
                other => panic!("operation {other:#x}"),
            };
            at += if jump { one.offset as usize } else { 0 };
        }
    }

    fn rules(json: &str) -> Vec<DeviceRule> {
        with_defaults(&serde_json::from_str::<Vec<DeviceRule>>(json).unwrap())
    }

    #[test]
    fn the_last_rule_that_speaks_of_a_device_wins() {
        let program = program(&rules(
            r#"[{"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"},
                {"allow":false,"access":"rwm"},
                {"allow":true,"type":"b","major":8,"minor":0,"access":"r"},
                {"allow":true,"type":"c","major":10,"access":"rwm"},
                {"allow":false,"type":"c","major":10,"minor":200,"access":"w"}]"#,
        ));
        assert!(allows(&program, CHARACTER, READ | WRITE, 1, 3));
        assert!(allows(&program, CHARACTER, READ | WRITE, 136, 7));
        assert!(allows(&program, BLOCK, READ, 8, 0));
        assert!(!allows(&program, BLOCK, READ | WRITE, 8, 0));
        assert!(!allows(&program, BLOCK, READ, 8, 1));
        assert!(allows(&program, BLOCK, MKNOD, 8, 1));
        assert!(allows(&program, CHARACTER, READ, 10, 200));
        assert!(!allows(&program, CHARACTER, READ | WRITE, 10, 200));
        assert!(!allows(&program, CHARACTER, READ, 11, 0));
    }

    #[test]
    fn a_privileged_container_may_use_every_device() {
        let rules = rules(r#"[{"allow":false},{"allow":true,"access":"rwm"}]"#);
        assert_eq!(rules.len(), 2);
        assert!(allows(&program(&rules), BLOCK, READ | WRITE, 8, 0));
    }
}
