//! `COPY` and `ADD`.

use std::fmt::Write as _;

use varve_types::Digest;

use super::{
    CopyAction, CopySource, CopyStep, Destination, DocumentStep, GitStep, HttpStep, Mode, Op,
    Vertex, VertexId,
    build::{Builder, Current},
};
use crate::{
    error::{Problem, Result},
    expand::Expander,
    file_name::http_file_name,
    git::{self, GitRef},
    glob::{has_wildcards, join},
    instruction::{Copy, Instruction},
};

/// The name of the step that makes a file of the Dockerfile's text.
const DOCUMENT_NAME: &str = "[internal] preparing inline document";
const DOCUMENT_MODE: u32 = 0o644;

/// One copy at work.
struct Work<'a> {
    from: &'a Instruction,
    copy: &'a Copy,
    add: bool,
    /// The step's name.
    name: String,
    /// Where paths are taken from.
    root: Option<VertexId>,
    ignore_cache: bool,
}

impl Builder<'_> {
    pub(super) fn copy(
        &mut self,
        current: &mut Current,
        from: &Instruction,
        copy: &Copy,
        sources: &[Option<usize>],
        add: bool,
    ) -> Result<()> {
        let copy = &self.expanded(current, from, copy)?;
        let root = match (&copy.from, sources.first()) {
            (Some(name), Some(Some(source))) => self.root_of(*source, |builder| {
                let here = builder.planner.states[current.index].shown.clone();
                Problem::LaterStage(name.clone(), here)
            })?,
            _ => None,
        };
        let mode = mode(&copy.mode)?;
        check_checksum(copy)?;
        let name = self.named(current, self.planner.expander, &from.code);
        let ignore_cache = self.planner.states[current.index].ignore_cache;
        let work = Work { from, copy, add, name, root, ignore_cache };
        let mut actions = Vec::new();
        for source in &copy.sources {
            actions.push(self.action(&work, source)?);
        }
        for document in &copy.documents {
            let op = Op::Document(DocumentStep {
                file: document.name.clone(),
                mode: DOCUMENT_MODE,
                text: document.text.clone(),
            });
            let id = self.add(Vertex {
                name: DOCUMENT_NAME.to_owned(),
                lines: Some(from.lines),
                op,
                ignore_cache: false,
            });
            actions.push(CopyAction { from: Some(id), source: CopySource::All, unpack: false });
        }
        // Names of owners are looked up in the base, without which they would mean nobody.
        let link = copy.link && !has_names(&copy.owner);
        let base = current.root.filter(|_| !link);
        let op = Op::Copy(CopyStep {
            base,
            actions,
            destination: destination(current.directory(), &copy.destination),
            owner: copy.owner.clone(),
            mode,
            exclude: copy.exclude.clone(),
        });
        let lines = Some(from.lines);
        let layer = self.add(Vertex { name: work.name.clone(), lines, op, ignore_cache });
        current.root = Some(match current.root {
            Some(_) if link => {
                // Shown as one step with the copy.
                let op = Op::Merge { base: current.root, layer };
                self.add(Vertex { name: work.name, lines, op, ignore_cache })
            }
            _ => layer,
        });
        current.commit(history(copy, add), Some(layer));
        Ok(())
    }

    /// The words of the instruction, expanded.
    fn expanded(&mut self, current: &Current, from: &Instruction, copy: &Copy) -> Result<Copy> {
        let lines = from.lines;
        let mut copy = copy.clone();
        for text in [&mut copy.owner, &mut copy.mode, &mut copy.checksum, &mut copy.destination] {
            *text = self.word(current, text, lines)?;
        }
        for text in copy.sources.iter_mut().chain(&mut copy.exclude) {
            *text = self.word(current, text, lines)?;
        }
        let mut expander = Expander::new('\\');
        expander.plain_quotes = true;
        for document in copy.documents.iter_mut().filter(|document| document.expand) {
            document.text = self.word_by(expander, current, &document.text, lines)?;
        }
        Ok(copy)
    }

    fn action(&mut self, work: &Work<'_>, source: &str) -> Result<CopyAction> {
        if let Some(git) = git::parse(source).map_err(Problem::Remote)? {
            if !work.add {
                return Err(Problem::Remote("source can't be a git ref for COPY").into());
            }
            let from = Some(self.git(work, git)?);
            return Ok(CopyAction { from, source: CopySource::All, unpack: false });
        }
        if git::is_http(source) {
            if !work.add {
                return Err(Problem::Remote("source can't be a URL for COPY").into());
            }
            let from = Some(self.http(work, source)?);
            let unpack = work.copy.unpack.unwrap_or(false);
            return Ok(CopyAction { from, source: CopySource::All, unpack });
        }
        let root = if work.copy.from.is_some() {
            work.root
        } else {
            let ignore = self.planner.options.ignore.as_ref();
            self.planner.lint.ignored_source(work.add, source, ignore, work.from.lines);
            Some(self.local(None))
        };
        let unpack = work.copy.unpack.unwrap_or(work.add);
        if !work.copy.parents {
            let path = join("/", source);
            self.take_path(root, &path);
            return Ok(CopyAction { from: root, source: CopySource::Path(path), unpack });
        }
        let (directory, pattern) = source.split_once("/./").unwrap_or(("/", source));
        let pattern = join("/", pattern).trim_start_matches('/').to_owned();
        let directory = join("/", directory);
        let required = !has_wildcards(&directory) && !has_wildcards(&pattern);
        self.take_path(root, &format!("{directory}/{pattern}"));
        let source = CopySource::Parents { directory, pattern, required };
        Ok(CopyAction { from: root, source, unpack })
    }

    fn git(&mut self, work: &Work<'_>, git: GitRef) -> Result<VertexId> {
        let keep = match (work.copy.keep_git_dir, git.keep_git_dir) {
            (Some(one), Some(other)) if one != other => {
                return Err(Problem::Remote("inconsistent keep-git-dir configuration").into());
            }
            (flag, address) => address.or(flag).unwrap_or(false),
        };
        let checksum = match (work.copy.checksum.as_str(), git.checksum.as_str()) {
            (flag, "") => flag,
            ("", address) => address,
            (flag, address) if flag == address => flag,
            (flag, address) => {
                let (flag, address) = (flag.to_owned(), address.to_owned());
                return Err(Problem::ChecksumMismatch(flag, address).into());
            }
        };
        let op = Op::Git(GitStep {
            checksum: checksum.to_owned(),
            remote: git.remote,
            reference: git.reference,
            subdirectory: git.subdirectory,
            keep_git_dir: keep,
            submodules: git.submodules.unwrap_or(true),
        });
        Ok(self.source_step(work, op))
    }

    fn http(&mut self, work: &Work<'_>, url: &str) -> Result<VertexId> {
        let checksum = match work.copy.checksum.as_str() {
            "" => None,
            text => Some(text.parse::<Digest>().map_err(|_| {
                let known = text.split_once(':').is_none_or(|(algorithm, _)| algorithm == "sha256");
                Problem::Checksum(if known {
                    "invalid checksum digest format"
                } else {
                    "unsupported digest algorithm"
                })
            })?),
        };
        let op = Op::Http(HttpStep { url: url.to_owned(), file: http_file_name(url), checksum });
        Ok(self.source_step(work, op))
    }

    fn source_step(&mut self, work: &Work<'_>, op: Op) -> VertexId {
        let (name, lines) = (work.name.clone(), Some(work.from.lines));
        self.add(Vertex { name, lines, op, ignore_cache: work.ignore_cache })
    }
}

fn check_checksum(copy: &Copy) -> Result<(), Problem> {
    let [source] = copy.sources.as_slice() else {
        return match copy.checksum.as_str() {
            "" => Ok(()),
            _ => Err(Problem::Checksum("checksum can't be specified for multiple sources")),
        };
    };
    let remote = git::is_http(source) || matches!(git::parse(source), Ok(Some(_)));
    if !copy.checksum.is_empty() && !remote {
        return Err(Problem::Checksum("checksum requires HTTP(S) or Git sources"));
    }
    Ok(())
}

/// Where to: relative to the working directory; a slash at the end says that it is a directory.
fn destination(directory: &str, path: &str) -> Destination {
    let directory_meant = path.is_empty()
        || path == "."
        || path == ".."
        || path.ends_with('/')
        || path.ends_with("/.")
        || path.ends_with("/..");
    Destination { path: join(directory, path), directory: directory_meant }
}

/// Whether `--chown` says a name.
fn has_names(owner: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !owner.splitn(2, ':').all(is_number)
}

/// `--chmod`: four octal digits at most, or changes as chmod(1) has them.
fn mode(text: &str) -> Result<Option<Mode>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(bits) if bits <= 0o7777 => Ok(Some(Mode::Bits(bits))),
            _ => Err(Problem::Chmod(text.to_owned())),
        };
    }
    let change = |change: &str| {
        let rest = change.trim_start_matches(['u', 'g', 'o', 'a']);
        let letters = |c: char| "rwxXstugo".contains(c);
        rest.starts_with(['+', '-', '=']) && rest.chars().all(|c| letters(c) || "+-=".contains(c))
    };
    if text.split(',').all(change) {
        Ok(Some(Mode::Symbols(text.to_owned())))
    } else {
        Err(Problem::ChmodSymbols)
    }
}

/// The entry of the history: flags that change the files, sources as expanded.
fn history(copy: &Copy, add: bool) -> String {
    let mut text = String::from(if add { "ADD" } else { "COPY" });
    if copy.parents {
        text.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.owner), ("chmod", &copy.mode)] {
        if !value.is_empty() {
            let _ = write!(text, " --{flag}={value}");
        }
    }
    for source in &copy.sources {
        let _ = write!(text, " {source}");
    }
    for document in &copy.documents {
        let _ = write!(text, " <<{}", document.name);
    }
    format!("{text} {} # buildkit", copy.destination)
}
