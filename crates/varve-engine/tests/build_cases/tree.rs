//! Trees as text: written as files or as a tar, and read back.
//!
//! One entry a line: `d`, `f`, `l` (symbolic link), `h` (hard link), `p` (FIFO), `s` (socket); then,
//! where they are not the usual ones, mode and `uid:gid`; the path; `= text`, or `-> target`. In text
//! `\n`, `\t` and `\\` are escaped, a longer one is given as `# bytes`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    os::unix::fs::{self as unix_fs, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use varve_fs::tar::{EntryKind, NewEntry, Writer};

/// Longer texts are shown by their size.
const TEXT_SIZE_BYTES_MAX: usize = 400;
/// Whom files of contexts belong to.
const CONTEXT_OWNER: (u32, u32) = (1000, 1000);

/// One line.
struct Line {
    kind: char,
    mode: u32,
    owner: Option<(u32, u32)>,
    path: String,
    rest: String,
}

fn usual_mode(kind: char) -> u32 {
    match kind {
        'd' => 0o755,
        'l' => 0o777,
        _ => 0o644,
    }
}

fn parse(line: &str) -> Line {
    let mut words = line.splitn(2, ' ');
    let kind = words.next().unwrap().chars().next().unwrap();
    let mut rest = words.next().unwrap_or_else(|| panic!("no path in {line:?}"));
    let (mut mode, mut owner) = (usual_mode(kind), None);
    loop {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
        match word.split_once(':') {
            Some((uid, gid)) if number(uid) && number(gid) => {
                owner = Some((uid.parse().unwrap(), gid.parse().unwrap()));
            }
            None if number(word) && word.len() >= 3 => mode = u32::from_str_radix(word, 8).unwrap(),
            _ => break,
        }
        rest = after;
    }
    let (path, rest) = match rest.split_once(" = ").or_else(|| rest.split_once(" -> ")) {
        Some((path, rest)) => (path, rest),
        None => (rest.strip_suffix(" =").unwrap_or(rest), ""),
    };
    Line { kind, mode, owner, path: path.to_owned(), rest: unescaped(rest) }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => panic!("a \\ at the end of {text:?}"),
            }),
            other => plain.push(other),
        }
    }
    plain
}

/// The text as it stands in a line.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('\t', "\\t").replace('\r', "\\r")
}

/// Makes the files of a context below `root`, with `seconds` as everybody's time.
pub(crate) fn write(root: &Path, lines: &str, seconds: i64) {
    let lines: Vec<Line> = lines.lines().filter(|line| !line.is_empty()).map(parse).collect();
    for line in &lines {
        let path = root.join(&line.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match line.kind {
            'd' => fs::create_dir_all(&path).unwrap(),
            'f' => fs::write(&path, &line.rest).unwrap(),
            'l' => unix_fs::symlink(&line.rest, &path).unwrap(),
            'h' => fs::hard_link(root.join(&line.rest), &path).unwrap(),
            'p' => rustix::fs::mknodat(
                CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o644),
                0,
            )
            .unwrap(),
            's' => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
            other => panic!("no kind is called {other}"),
        }
        if !"lh".contains(line.kind) {
            fs::set_permissions(&path, fs::Permissions::from_mode(line.mode)).unwrap();
        }
    }
    for line in &lines {
        let owner = line.owner.unwrap_or(CONTEXT_OWNER);
        unix_fs::lchown(root.join(&line.path), Some(owner.0), Some(owner.1)).unwrap();
        if line.kind != 'd' && line.mode != usual_mode(line.kind) && !"lh".contains(line.kind) {
            // A change of owner takes set-ID bits away.
            let mode = fs::Permissions::from_mode(line.mode);
            fs::set_permissions(root.join(&line.path), mode).unwrap();
        }
    }
    set_times(root, seconds);
}

/// Gives all files the same time.
pub(crate) fn set_times(root: &Path, seconds: i64) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            set_times(&path, seconds);
        } else {
            set_time(&path, seconds);
        }
    }
    set_time(root, seconds);
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tar of the lines at `path`, packed as the end of its name says. Entries belong to 0:0 unless
/// they say otherwise.
pub(crate) fn write_tar(path: &Path, lines: &str) {
    let mut writer = Writer::new(Vec::new());
    for line in lines.lines().filter(|line| !line.is_empty()).map(parse) {
        let kind = match line.kind {
            'd' => EntryKind::Directory,
            'f' => EntryKind::File,
            'l' => EntryKind::Symlink,
            'h' => EntryKind::HardLink,
            'p' => EntryKind::Fifo,
            other => panic!("no kind is called {other}"),
        };
        let text = if line.kind == 'f' { line.rest.as_bytes() } else { b"" };
        let link_target = if line.kind == 'f' { b"" } else { line.rest.as_bytes() };
        let entry = NewEntry::file(line.path.as_bytes(), text.len() as u64);
        let (uid, gid) = line.owner.unwrap_or((0, 0));
        let entry = NewEntry { kind, mode: line.mode, uid, gid, link_target, ..entry };
        writer.append_bytes(&entry, text).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, writer.finish().unwrap()).unwrap();
    if path.extension().is_some_and(|ending| ending == "gz" || ending == "tgz") {
        let packed = Command::new("gzip").arg("-nc").arg(path).output().unwrap();
        assert!(packed.status.success());
        fs::write(path, packed.stdout).unwrap();
    }
}

/// What lies below a directory: by path, the line that says so; and the latest time.
pub(crate) fn read(root: &Path) -> (BTreeMap<String, String>, i64) {
    let (mut lines, mut latest, mut seen) = (BTreeMap::new(), i64::MIN, HashMap::new());
    read_below(root, "", &mut |path, line, time, inode| {
        latest = latest.max(time);
        let line = match inode.and_then(|inode| seen.insert(inode, path.to_owned())) {
            Some(first) => {
                let line = format!("h {path} -> {first}");
                seen.insert(inode.unwrap(), first);
                line
            }
            None => line,
        };
        lines.insert(path.to_owned(), line);
    });
    (lines, latest)
}

type Tell<'a> = dyn FnMut(&str, String, i64, Option<(u64, u64)>) + 'a;

fn read_below(directory: &Path, prefix: &str, tell: &mut Tell<'_>) {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let at = directory.join(&name);
        let path = format!("{prefix}{}", name.to_str().unwrap());
        let facts = fs::symlink_metadata(&at).unwrap();
        let kind = facts.file_type();
        let letter = if kind.is_dir() {
            'd'
        } else if kind.is_symlink() {
            'l'
        } else if kind.is_fifo() {
            'p'
        } else if kind.is_socket() {
            's'
        } else if kind.is_file() {
            'f'
        } else {
            'c'
        };
        let mut line = letter.to_string();
        let mode = facts.mode() & 0o7777;
        if mode != usual_mode(letter) {
            write!(line, " {mode:03o}").unwrap();
        }
        if (facts.uid(), facts.gid()) != (0, 0) {
            write!(line, " {}:{}", facts.uid(), facts.gid()).unwrap();
        }
        write!(line, " {path}").unwrap();
        if letter == 'l' {
            write!(line, " -> {}", fs::read_link(&at).unwrap().display()).unwrap();
        } else if letter == 'f' {
            let text = fs::read(&at).unwrap();
            match String::from_utf8(text) {
                Ok(text) if text.is_empty() => {}
                Ok(text) if text.len() <= TEXT_SIZE_BYTES_MAX => {
                    write!(line, " = {}", escaped(&text)).unwrap();
                }
                Ok(text) => write!(line, " # {}", text.len()).unwrap(),
                Err(bytes) => write!(line, " # {}", bytes.into_bytes().len()).unwrap(),
            }
        }
        let inode = (facts.nlink() > 1 && letter == 'f').then(|| (facts.dev(), facts.ino()));
        tell(&path, line, facts.mtime(), inode);
        if letter == 'd' {
            read_below(&at, &format!("{path}/"), tell);
        }
    }
}
