//! One instruction over a base, with a context and another image to copy from.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    sync::Arc,
};

use expect_test::Expect;
use varve_build::{
    Dockerfile, Ignore, Lint, Options, Planner, Source,
    plan::{CopyStep, MkdirStep, Op, Plan, ResolvedImage},
    solve::{
        Context, ContextRequest, CopyError, Files, LayerFiles, LayerTimes, OneFile, Timestamps,
        copy_contents, copy_times, write_copy, write_mkdir,
    },
};
use varve_fs::{
    layer::LayerParser,
    root::Root,
    tar::{Device, EntryKind, NewEntry, Reader, Time, Writer, Xattr},
};
use varve_types::{Digest, Platform};

/// The build's time in all cases.
pub(crate) const EPOCH: Time = Time { seconds: 1_000_000, nanoseconds: 0 };

/// A tree as text, one entry a line: `d`, `f`, `l`, `h`, `c`, `b` or `p`; then, where they are not
/// the usual ones, mode, `uid:gid` and `@seconds`; the path; `= text`, `-> target` or numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree(pub(crate) &'static str);

impl Tree {
    /// A tar of it.
    pub(crate) fn tar(self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for line in self.0.lines().map(str::trim).filter(|line| !line.is_empty()) {
            write_line(&mut writer, line);
        }
        writer.finish().unwrap()
    }

    /// It as a layer.
    pub(crate) fn layer(self) -> (varve_fs::tree::Tree, File) {
        layer(&self.tar())
    }
}

/// A tar as a layer.
pub(crate) fn layer(tar: &[u8]) -> (varve_fs::tree::Tree, File) {
    let mut parser = LayerParser::new();
    parser.update(tar).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    (parser.finish().unwrap().1, file)
}

fn write_line(writer: &mut Writer<Vec<u8>>, line: &str) {
    let mut words = line.split(' ').peekable();
    let kind = match words.next().unwrap() {
        "d" => EntryKind::Directory,
        "f" => EntryKind::File,
        "l" => EntryKind::Symlink,
        "h" => EntryKind::HardLink,
        "c" => EntryKind::CharacterDevice,
        "b" => EntryKind::BlockDevice,
        "p" => EntryKind::Fifo,
        other => panic!("{other}"),
    };
    let mut entry = NewEntry { kind, ..NewEntry::file(b"", 0) };
    entry.mode = match kind {
        EntryKind::Directory => 0o755,
        EntryKind::Symlink => 0o777,
        _ => 0o644,
    };
    let mut xattrs: Vec<Xattr> = Vec::new();
    let path = loop {
        let word = words.next().unwrap();
        if let Some(seconds) = word.strip_prefix('@') {
            entry.mtime = Time { seconds: seconds.parse().unwrap(), nanoseconds: 0 };
        } else if let Some((name, value)) = word.strip_prefix('+').and_then(|it| it.split_once('='))
        {
            xattrs.push((name.into(), value.into()));
        } else if let Some((uid, gid)) = word.split_once(':').filter(|(uid, _)| number(uid)) {
            (entry.uid, entry.gid) = (uid.parse().unwrap(), gid.parse().unwrap());
        } else if number(word) {
            entry.mode = u32::from_str_radix(word, 8).unwrap();
        } else {
            break word;
        }
    };
    let rest: Vec<&str> = words.collect();
    let text = rest.get(1..).unwrap_or_default().join(" ");
    if rest.first() == Some(&"dev") {
        let (major, minor) = text.split_once(' ').unwrap();
        entry.device = Device { major: major.parse().unwrap(), minor: minor.parse().unwrap() };
    }
    let data = if rest.first() == Some(&"=") { text.as_bytes() } else { b"" };
    let target = if rest.first() == Some(&"->") { text.as_bytes() } else { b"" };
    let size = data.len() as u64;
    let entry =
        NewEntry { path: path.as_bytes(), link_target: target, xattrs: &xattrs, size, ..entry };
    writer.append_bytes(&entry, data).unwrap();
}

fn number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The entries of a tar, in the form that [`Tree`] reads.
pub(crate) fn shown(tar: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = Reader::new(tar);
    while let Some(mut member) = reader.next().unwrap() {
        let entry = member.entry().clone();
        let mut data = String::new();
        member.read_to_string(&mut data).unwrap();
        let (letter, usual) = match entry.kind {
            EntryKind::Directory => ('d', 0o755),
            EntryKind::File => ('f', 0o644),
            EntryKind::Symlink => ('l', 0o777),
            EntryKind::HardLink => ('h', 0o644),
            EntryKind::CharacterDevice => ('c', 0o644),
            EntryKind::BlockDevice => ('b', 0o644),
            _ => ('p', 0o644),
        };
        text.push(letter);
        if entry.mode != usual {
            write!(text, " {:o}", entry.mode).unwrap();
        }
        if (entry.uid, entry.gid) != (0, 0) {
            write!(text, " {}:{}", entry.uid, entry.gid).unwrap();
        }
        if entry.mtime != EPOCH {
            write!(text, " @{}", entry.mtime.seconds).unwrap();
        }
        for (name, value) in &entry.xattrs {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            write!(text, " +{name}={value}").unwrap();
        }
        write!(text, " {}", entry.path.escape_ascii()).unwrap();
        match entry.kind {
            EntryKind::File if !data.is_empty() => write!(text, " = {data}").unwrap(),
            EntryKind::Symlink | EntryKind::HardLink => {
                write!(text, " -> {}", entry.link_target.escape_ascii()).unwrap();
            }
            EntryKind::CharacterDevice | EntryKind::BlockDevice => {
                write!(text, " dev {} {}", entry.device.major, entry.device.minor).unwrap();
            }
            _ => {}
        }
        text.push('\n');
    }
    text
}

/// An instruction and what it works on.
pub(crate) struct Case<'a> {
    /// The lines after `FROM base`.
    pub(crate) text: &'a str,
    /// The base; `None` is `FROM scratch`.
    pub(crate) base: Option<Tree>,
    /// The base's tar, instead.
    pub(crate) base_tar: Option<&'a [u8]>,
    /// What `--from=other` names.
    pub(crate) other: Tree,
    /// The context.
    pub(crate) context: Option<&'a Path>,
    /// The context, instead.
    pub(crate) files: Option<Arc<dyn Files>>,
    /// `.dockerignore`.
    pub(crate) ignore: &'a str,
    /// How times are written.
    pub(crate) how: Timestamps,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) tar: Vec<u8>,
    pub(crate) real_times: BTreeMap<Vec<u8>, Time>,
    pub(crate) contents: Digest,
}

impl<'a> Case<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let how = Timestamps::Epoch;
        Self {
            text,
            base: None,
            base_tar: None,
            other: Tree(""),
            context: None,
            files: None,
            ignore: "",
            how,
        }
    }

    pub(crate) fn base(self, base: &'static str) -> Self {
        Self { base: Some(Tree(base)), ..self }
    }

    pub(crate) fn other(self, other: &'static str) -> Self {
        Self { other: Tree(other), ..self }
    }

    pub(crate) fn context(self, context: &'a Path) -> Self {
        Self { context: Some(context), ..self }
    }

    fn plan(&self) -> Plan {
        let base = if self.base.is_some() { "base" } else { "scratch" };
        let text = format!("FROM {base}\n{}\n", self.text);
        let mut lint = Lint::new();
        let file = Dockerfile::parse(Source::new("D", text), &mut lint).unwrap();
        let options = Options::new(Platform::new("linux", "amd64", ""));
        let mut planner = Planner::new(&file, &options, &mut lint).unwrap();
        loop {
            let needs = planner.needs().unwrap();
            if needs.is_empty() {
                return planner.finish().unwrap();
            }
            for need in needs {
                let id = Digest::of(need.reference.to_string().as_bytes());
                let json = format!(
                    r#"{{"architecture":"amd64","os":"linux","config":{{}},
                    "rootfs":{{"type":"layers","diff_ids":["{id}"]}},"history":[]}}"#
                );
                let config = serde_json::from_str(&json).unwrap();
                planner.supply(need.id, ResolvedImage { config, id, digest: None });
            }
        }
    }

    /// The base as layers.
    fn base_files(&self) -> Option<LayerFiles> {
        let tar = self.base_tar.map(<[u8]>::to_vec).or_else(|| Some(self.base?.tar()))?;
        Some(LayerFiles::new(vec![layer(&tar)]).unwrap())
    }

    fn source(&self, op: &Op) -> Arc<dyn Files> {
        match op {
            Op::Local(_) if self.files.is_some() => self.files.clone().unwrap(),
            Op::Local(step) => {
                let shown = self.context.expect("the case has no context");
                let ignore = Ignore::parse(self.ignore.as_bytes()).unwrap();
                let request = ContextRequest {
                    shown,
                    ignore: &ignore,
                    paths: step.paths.as_deref(),
                    hashes: None,
                    now: Time { seconds: i64::from(u32::MAX), nanoseconds: 0 },
                };
                Arc::new(Context::open(Root::open(shown).unwrap(), &request).unwrap())
            }
            Op::Image(_) => Arc::new(LayerFiles::new(vec![self.other.layer()]).unwrap()),
            Op::Document(step) => Arc::new(OneFile::document(step, EPOCH)),
            Op::Http(step) => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(b"fetched").unwrap();
                file.rewind().unwrap();
                let digest = Digest::of(b"fetched");
                Arc::new(OneFile::fetched(step.file.clone(), file, 7, digest, EPOCH))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Does the last step.
    pub(crate) fn make(&self) -> Result<Made, CopyError> {
        let plan = self.plan();
        let is_step = |op: &&Op| matches!(op, Op::Copy(_) | Op::Mkdir(_));
        let op = plan.vertices.iter().map(|vertex| &vertex.op).rev().find(is_step).unwrap();
        let base = self.base_files();
        let times = LayerTimes { how: self.how, epoch: EPOCH };
        match op {
            Op::Copy(step) => self.copy(&plan, step, base.as_ref(), &times),
            Op::Mkdir(step) => mkdir(step, base.as_ref(), &times),
            other => panic!("{other:?}"),
        }
    }

    fn copy(
        &self,
        plan: &Plan,
        step: &CopyStep,
        base: Option<&LayerFiles>,
        times: &LayerTimes,
    ) -> Result<Made, CopyError> {
        let source = |from: Option<varve_build::plan::VertexId>| {
            from.map(|from| self.source(&plan.vertices[from.0].op))
        };
        let sources: Vec<_> = step.actions.iter().map(|action| source(action.from)).collect();
        let base = base.filter(|_| step.base.is_some());
        let contents = copy_contents(step, &sources, times.how)?;
        let mut tar = Vec::new();
        let real_times = write_copy(step, base, &sources, times, &mut tar)?;
        // Nothing of it depends on when it is written, or on what was read before.
        let sources: Vec<_> = step.actions.iter().map(|action| source(action.from)).collect();
        let mut again = Vec::new();
        write_copy(step, base, &sources, times, &mut again).unwrap();
        assert_eq!(tar, again, "written twice, the layer differs");
        assert_eq!(copy_times(step, base, &sources, times)?, real_times);
        Ok(Made { tar, real_times, contents })
    }

    #[track_caller]
    pub(crate) fn gives(self, expected: Expect) {
        let shown = match self.make() {
            Ok(made) => shown(&made.tar),
            Err(error) => {
                let mut text = format!("error: {error}\n");
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    writeln!(text, "  {error}").unwrap();
                    cause = error.source();
                }
                text
            }
        };
        let shown = match self.context {
            Some(context) => shown.replace(&context.display().to_string(), "CONTEXT"),
            None => shown,
        };
        expected.assert_eq(&shown);
    }
}

fn mkdir(
    step: &MkdirStep,
    base: Option<&LayerFiles>,
    times: &LayerTimes,
) -> Result<Made, CopyError> {
    let mut tar = Vec::new();
    let real_times = write_mkdir(step, base, times, &mut tar)?;
    Ok(Made { tar, real_times, contents: Digest::of(b"") })
}
