//! Modes changed as by `chmod`: numbers, and `u+x,go=rX`.

use crate::plan::Mode;

/// What a change without `u`, `g`, `o` or `a` leaves alone.
const UMASK: u32 = 0o022;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// The mode of a file whose mode is changed. Numbers and letters are right: the plan has checked.
pub(super) fn changed(change: &Mode, mode: u32, is_directory: bool) -> u32 {
    match change {
        Mode::Bits(bits) => bits & 0o7777,
        Mode::Symbols(text) => {
            text.split(',').fold(mode, |mode, clause| apply(clause, mode, is_directory))
        }
    }
}

fn apply(clause: &str, mut mode: u32, is_directory: bool) -> u32 {
    let operators = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let who = &clause[..clause.len() - operators.len()];
    let classes = classes(who);
    let special = special(who);
    let allowed = if who.is_empty() { !UMASK } else { !0 };
    let mut rest = operators;
    while let Some(operator) = rest.chars().next() {
        let letters = &rest[1..];
        let end = letters.find(['+', '-', '=']).unwrap_or(letters.len());
        let bits = bits(&letters[..end], mode, is_directory, classes, special) & allowed;
        mode = match operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !(classes | special) | bits,
        };
        rest = &letters[end..];
    }
    mode
}

/// The permissions of those who are named.
fn classes(who: &str) -> u32 {
    let one = |letter, bits| if who.contains(letter) { bits } else { 0 };
    let named = one('u', 0o700) | one('g', 0o070) | one('o', 0o007) | one('a', 0o777);
    if who.is_empty() { 0o777 } else { named }
}

/// The bits above the permissions that belong to those who are named.
fn special(who: &str) -> u32 {
    let all = who.is_empty() || who.contains('a');
    let one = |letter, bit| if all || who.contains(letter) { bit } else { 0 };
    one('u', SET_UID) | one('g', SET_GID) | if all || who.contains('o') { STICKY } else { 0 }
}

fn bits(letters: &str, mode: u32, is_directory: bool, classes: u32, special: u32) -> u32 {
    let of = |shift: u32| (mode >> shift & 7) * 0o111;
    letters.chars().fold(0, |bits, letter| {
        bits | match letter {
            'r' => 0o444 & classes,
            'w' => 0o222 & classes,
            'x' => 0o111 & classes,
            'X' if is_directory || mode & 0o111 != 0 => 0o111 & classes,
            's' => (SET_UID | SET_GID) & special,
            't' => STICKY & special,
            'u' => of(6) & classes,
            'g' => of(3) & classes,
            'o' => of(0) & classes,
            _ => 0,
        }
    })
}
