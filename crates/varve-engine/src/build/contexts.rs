//! Where the files of a build come from: its context and the named ones.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use varve_build::{
    Ignore,
    plan::{BuildContext, GitStep, LocalStep},
    select::Listing,
    solve::{
        Context, ContextRequest, Fault, FileStatus, Files, LayerFiles, OneFile, StepIds, TarFiles,
    },
};
use varve_fs::{
    compression::{self, Compression},
    root::Root,
    tar::Time,
};
use varve_types::{Digest, Kind, Printable};

use super::{
    BuildError, ContextSource, dockerfile::Place, failure::failed, remote::Remotes,
    shown::ShownStep,
};
use crate::{Engine, error::io_kind};

/// The contexts of one build.
pub(super) struct Contexts<'a> {
    engine: &'a Engine,
    now: Time,
    main: Source,
    named: BTreeMap<String, Source>,
    /// What is left out of the main one.
    ignore: Ignore,
    /// Those whose digests are to be remembered, each with where.
    opened: Mutex<Vec<(Arc<Context>, PathBuf)>>,
}

/// Where the files of a context are.
enum Source {
    Directory(PathBuf),
    Files(Arc<dyn Files>),
    Nothing,
}

impl<'a> Contexts<'a> {
    /// Prepares contexts: directories are looked for, archives are read.
    pub(super) fn open(
        engine: &'a Engine,
        remotes: &Remotes<'_>,
        ids: &StepIds,
        main: ContextSource<'_>,
        named: &BTreeMap<String, BuildContext>,
    ) -> Result<Self, BuildError> {
        let (ctx, watch) = (remotes.ctx, remotes.watch);
        let main = match main {
            ContextSource::Directory(path) => directory(path)?,
            ContextSource::Empty => Source::Nothing,
            ContextSource::Tar(stream) => Source::Files(engine.tar_files(stream)?),
            ContextSource::Http(url) => {
                let step = ShownStep::begin(watch, ids, LOAD_REMOTE_NAME.to_owned());
                let files = remotes.fetch(url, None, step.id());
                let files = files.and_then(|it| remotes.file(url, "Dockerfile", &it));
                let cannot = |fault| of_remote("downloaded context", fault);
                let files = step.ending(files).map_err(cannot)?;
                Source::Files(engine.http_context(files)?)
            }
            ContextSource::Git(git) => {
                let name = format!("{LOAD_GIT_NAME} {}", git.shown());
                let step = ShownStep::begin(watch, ids, name);
                let files = remotes.repository(&GitStep::from(git), step.id());
                let cannot = |fault| of_remote("dockerfile", fault);
                Source::Files(step.ending(files).map_err(cannot)?)
            }
        };
        let mut found = BTreeMap::new();
        for (name, context) in named {
            if let BuildContext::Local(path) = context {
                found.insert(name.clone(), directory(Path::new(path))?);
            }
        }
        let now = Time { seconds: ctx.now().as_second(), nanoseconds: 0 };
        let (ignore, opened) = (Ignore::default(), Mutex::default());
        Ok(Self { engine, now, main, named: found, ignore, opened })
    }

    /// The context, to read the Dockerfile from.
    pub(super) fn with_main<T>(
        &self,
        use_it: impl FnOnce(&Place<'_>) -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        match &self.main {
            Source::Directory(path) => use_it(&Place::Directory(&open(path)?)),
            Source::Files(files) => use_it(&Place::Files(&**files)),
            Source::Nothing => use_it(&Place::Nothing),
        }
    }

    /// Says what is left out of the context.
    pub(super) fn leave_out(&mut self, ignore: Ignore) {
        self.ignore = ignore;
    }

    /// The files of a step.
    pub(super) fn local(&self, step: &LocalStep) -> Result<Arc<dyn Files>, Fault> {
        let own;
        let (source, ignore) = match &step.context {
            None => (&self.main, &self.ignore),
            Some(name) => {
                let unknown =
                    || Fault::new(Kind::NotFound, format!("no context {}", Printable(name)));
                let source = self.named.get(name).ok_or_else(unknown)?;
                own = own_ignore(source)?;
                (source, &own)
            }
        };
        let path = match source {
            Source::Directory(path) => path,
            Source::Nothing => return Ok(Arc::new(LayerFiles::new(Vec::new())?)),
            Source::Files(files) if ignore.is_empty() => return Ok(files.clone()),
            Source::Files(files) => {
                let listing = files.listing().without(ignore);
                return Ok(Arc::new(Without { files: files.clone(), listing }));
            }
        };
        let root = Root::open(path).map_err(|error| Fault::new(io_kind(&error), error))?;
        let notes = self.notes(path);
        let request = ContextRequest {
            shown: path,
            ignore,
            paths: step.paths.as_deref(),
            hashes: Some(&notes),
            now: self.now,
        };
        let context = Arc::new(Context::open(root, &request)?);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push((context.clone(), notes));
        Ok(context)
    }

    /// The file that remembers the digests of a directory's files.
    fn notes(&self, path: &Path) -> PathBuf {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.engine.store.context_notes_path(&Digest::of(whole.as_os_str().as_bytes()))
    }

    /// Remembers what was hashed. Where this fails it is hashed again.
    pub(super) fn remember(&self) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for (context, notes) in opened.iter() {
            let _ = context.remember(notes);
        }
    }
}

fn directory(path: &Path) -> Result<Source, BuildError> {
    open(path)?;
    Ok(Source::Directory(path.to_owned()))
}

fn open(path: &Path) -> Result<Root, BuildError> {
    Root::open(path).map_err(|error| {
        let shown = path.display().to_string();
        let text = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                format!("unable to prepare context: path \"{}\" not found", Printable(&shown))
            }
            _ => format!("unable to prepare context: {}", crate::error::go_io_text(&error)),
        };
        failed(io_kind(&error), text)
    })
}

/// What the `.dockerignore` of a named context leaves out.
fn own_ignore(source: &Source) -> Result<Ignore, Fault> {
    let Source::Directory(path) = source else { return Ok(Ignore::default()) };
    let failed = |error: io::Error| Fault::new(io_kind(&error), error);
    let root = Root::open(path).map_err(failed)?;
    let place = Place::Directory(&root);
    match place.read(".dockerignore", varve_types::limits::IGNORE_SIZE_BYTES_MAX as u64) {
        Ok(Some(bytes)) => Ignore::parse(&bytes).map_err(|e| Fault::new(e.kind(), e)),
        Ok(None) => Ok(Ignore::default()),
        Err(error) => Err(failed(error)),
    }
}

const LOAD_REMOTE_NAME: &str = "[internal] load remote build context";
const LOAD_GIT_NAME: &str = "[internal] load git source";

/// Files without those that are left out.
struct Without {
    files: Arc<dyn Files>,
    listing: Listing,
}

impl Files for Without {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        self.files.status(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        self.files.open(path)
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        self.files.digest(path)
    }

    fn is_remembered(&self, path: &str) -> bool {
        self.files.is_remembered(path)
    }
}

impl Engine {
    /// The files of a tar, plain or compressed.
    fn tar_files(&self, stream: &mut (dyn Read + Send)) -> Result<Arc<dyn Files>, BuildError> {
        let files = TarFiles::read(stream, self.nameless_file()?, &Ignore::default());
        Ok(Arc::new(files.map_err(|fault| failed(fault.kind(), fault))?))
    }

    /// What was fetched: a tar, or a Dockerfile alone.
    fn http_context(&self, fetched: OneFile) -> Result<Arc<dyn Files>, BuildError> {
        let unreadable = |fault: Fault| failed(fault.kind(), fault);
        let name = fetched.only_file().unwrap_or_default().to_owned();
        let mut reader = fetched.open(&name).map_err(unreadable)?;
        let mut begin = Vec::new();
        let read = reader.by_ref().take(BEGIN_SIZE_BYTES).read_to_end(&mut begin);
        read.map_err(crate::Error::Output)?;
        let is_tar = begin.get(TAR_MAGIC_AT..).is_some_and(|it| it.starts_with(b"ustar"));
        if is_tar || compression::detect(&begin) != Compression::None {
            return self.tar_files(&mut begin.as_slice().chain(reader));
        }
        drop(reader);
        Ok(Arc::new(fetched))
    }
}

/// An error of a context that is elsewhere.
fn of_remote(what: &str, fault: Fault) -> BuildError {
    let text = format!("failed to read {what}: failed to load cache key: {fault}");
    failed(fault.kind(), text)
}

const BEGIN_SIZE_BYTES: u64 = 512;
/// Where a tar says that it is one.
const TAR_MAGIC_AT: usize = 257;
