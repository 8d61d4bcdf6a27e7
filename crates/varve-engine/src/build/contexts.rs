//! Where the files of a build come from: its context and the named ones.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use varve_build::{
    Ignore,
    plan::{BuildContext, LocalStep},
    solve::{Context, ContextRequest, Fault, Files, LayerFiles},
};
use varve_fs::{root::Root, tar::Time};
use varve_types::{Ctx, Digest, Kind, Printable};

use super::{BuildError, ContextSource, dockerfile::Place, failure::failed};
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
        ctx: &Ctx<'_>,
        main: ContextSource<'_>,
        named: &BTreeMap<String, BuildContext>,
    ) -> Result<Self, BuildError> {
        let main = match main {
            ContextSource::Directory(path) => directory(path)?,
            ContextSource::Empty => {
                let files = LayerFiles::new(Vec::new());
                Source::Files(Arc::new(files.map_err(|fault| failed(fault.kind(), fault))?))
            }
            _ => return Err(failed(Kind::Unsupported, "this context is not supported")),
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
            Source::Files(files) => return Ok(files.clone()),
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
