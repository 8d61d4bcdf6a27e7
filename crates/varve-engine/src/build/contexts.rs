//! Where the files of a build come from: its context and the named ones.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Seek as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use varve_build::{
    Ignore,
    plan::{BuildContext, LocalStep},
    select::Listing,
    solve::{
        Context, ContextRequest, Fault, FileStatus, Files, LayerFiles, OneFile, StepIds, TarFiles,
        Watch,
    },
};
use varve_fs::{
    compression::{self, Compression},
    root::Root,
    tar::Time,
};
use varve_types::{Ctx, Digest, Kind, Printable};

use super::{
    BuildError, ContextSource, dockerfile::Place, failure::failed, fetch::Fetched, shown::ShownStep,
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
}

impl<'a> Contexts<'a> {
    /// Prepares contexts: directories are looked for, archives are read.
    pub(super) fn open(
        engine: &'a Engine,
        (ctx, watch, ids): (&Ctx<'_>, &dyn Watch, &StepIds),
        main: ContextSource<'_>,
        named: &BTreeMap<String, BuildContext>,
    ) -> Result<Self, BuildError> {
        let main = match main {
            ContextSource::Directory(path) => directory(path)?,
            ContextSource::Empty => {
                let files = LayerFiles::new(Vec::new());
                Source::Files(Arc::new(files.map_err(|fault| failed(fault.kind(), fault))?))
            }
            ContextSource::Tar(stream) => Source::Files(engine.tar_files(stream)?),
            ContextSource::Http(url) => {
                let step = ShownStep::begin(watch, ids, LOAD_REMOTE_NAME.to_owned());
                match engine
                    .fetch(ctx, url)
                    .map_err(BuildError::from)
                    .and_then(|fetched| engine.http_context(fetched))
                {
                    Ok(files) => {
                        step.done();
                        Source::Files(files)
                    }
                    Err(error) => {
                        step.fail(&error.to_string());
                        let text = format!(
                            "failed to read downloaded context: failed to load cache key: {error}"
                        );
                        return Err(failed(error.kind, text));
                    }
                }
            }
            ContextSource::Git(git) => {
                let text = format!("{}: git repositories are not fetched", Printable(&git.remote));
                return Err(failed(Kind::Unsupported, text));
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
}

impl Engine {
    /// The files of a tar, plain or compressed.
    fn tar_files(&self, stream: &mut (dyn Read + Send)) -> Result<Arc<dyn Files>, BuildError> {
        let files = TarFiles::read(stream, self.nameless_file()?, &Ignore::default());
        Ok(Arc::new(files.map_err(|fault| failed(fault.kind(), fault))?))
    }

    /// What was fetched: a tar, or a Dockerfile alone.
    fn http_context(&self, mut fetched: Fetched) -> Result<Arc<dyn Files>, BuildError> {
        let mut begin = [0; BEGIN_SIZE_BYTES];
        let mut length = 0;
        while length < begin.len() {
            match fetched.file.read(&mut begin[length..]).map_err(crate::Error::Output)? {
                0 => break,
                count => length += count,
            }
        }
        fetched.file.rewind().map_err(crate::Error::Output)?;
        let is_tar = begin[..length].get(TAR_MAGIC_AT..).is_some_and(|it| it.starts_with(b"ustar"));
        if is_tar || compression::detect(&begin[..length]) != Compression::None {
            return self.tar_files(&mut fetched.file);
        }
        let (name, size_bytes) = ("Dockerfile".to_owned(), fetched.size_bytes);
        let time = Time { seconds: 0, nanoseconds: 0 };
        let file = OneFile::fetched(name, fetched.file, size_bytes, fetched.digest, time);
        Ok(Arc::new(file))
    }
}

const BEGIN_SIZE_BYTES: usize = 512;
/// Where a tar says that it is one.
const TAR_MAGIC_AT: usize = 257;
