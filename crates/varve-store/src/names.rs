//! The image table: `index.json`.
//!
//! Readers take no lock: the file is only ever replaced as a whole. Writers hold
//! `varve/index.lock` from reading to renaming.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

use jiff::Timestamp;
use serde_json::value::RawValue;
use varve_fs::{durable, lock::FileLock};
use varve_types::{Descriptor, Digest, ImageId, Platform, Reference};

use crate::{
    Error, Result, Store, Swept,
    adopt::{self, Adopted},
    error::cannot,
    store::{LAYOUT_MODE, PRIVATE_MODE},
    table::{self, Entry, Text},
    table_stamp,
};

/// One descriptor of `index.json`: a reference (`name:tag` or `name@digest`, never both and
/// never neither) or, without one, a dangling image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The name; `None` for a dangling image.
    pub reference: Option<Reference>,
    /// The manifest that is here, or an index all of whose children are here. No annotations.
    pub target: Descriptor,
    /// The image: the digest of the config (of the host's platform, if `target` is an index).
    pub image: ImageId,
    /// `created` of the config.
    pub created: Option<Timestamp>,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// The image's platform.
    pub platform: Option<Platform>,
    /// The index it was pulled through, kept beside it.
    pub index: Option<Digest>,
    /// The repository it came from (`docker.io/library/busybox`), for cross-repository mounts.
    pub source: Option<String>,
    /// When this name was last given locally (tag, load, import, build); a pull does not set it.
    pub tagged: Option<Timestamp>,
    /// When the image was pulled or made here.
    pub stored: Option<Timestamp>,
    /// The image it was committed from or built on here, as Docker's `Parent`.
    pub parent: Option<ImageId>,
    /// Whether the manifest was made here (import, commit, build, an archive without one) rather
    /// than by who made the image: its plain layers are compressed when it is pushed.
    /// Annotation `dev.varve.made`.
    pub made_here: bool,
    /// Annotations that other tools wrote; kept as they are.
    pub foreign_annotations: BTreeMap<String, String>,
}

impl Row {
    /// A row without a name that says nothing but what it points at.
    pub fn new(target: Descriptor, image: ImageId) -> Self {
        Self {
            reference: None,
            target,
            image,
            created: None,
            size_bytes: 0,
            platform: None,
            index: None,
            source: None,
            tagged: None,
            stored: None,
            parent: None,
            made_here: false,
            foreign_annotations: BTreeMap::new(),
        }
    }
}

/// The image table at one moment.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The rows, in the file's order.
    pub rows: Vec<Row>,
    /// What is in the file and no image of ours: names that are no references, artifacts. Written
    /// back as it was, and everything it reaches is kept.
    pub(crate) others: Vec<Entry<'static>>,
    /// Adopted rows as they were in the file; written back so while their row is unchanged and not
    /// everything about them is known.
    pub(crate) unsettled: Vec<(Row, Entry<'static>)>,
    /// The file's other members.
    pub(crate) members: Vec<(Text<'static>, Box<RawValue>)>,
}

impl Names {
    /// A table of these rows alone.
    pub fn new(rows: Vec<Row>) -> Self {
        Self { rows, ..Self::default() }
    }

    /// The row of a reference.
    pub fn get(&self, reference: &Reference) -> Option<&Row> {
        self.rows.iter().find(|row| row.reference.as_ref() == Some(reference))
    }

    /// Puts a row in: the one of the same reference is replaced and returned. A dangling row of
    /// the same image is dropped when a named row comes, and does not come in beside another row
    /// of its image. When the replaced row was the last of its image, the image stays as a
    /// dangling row.
    pub fn put(&mut self, row: Row) -> Option<Row> {
        let Some(reference) = &row.reference else {
            if let Some(old) = self.dangling(row.image) {
                return Some(std::mem::replace(&mut self.rows[old], row));
            }
            if self.of_image(row.image).next().is_none() {
                self.rows.push(row);
            }
            return None;
        };
        let image = row.image;
        let place = self.rows.iter().position(|old| old.reference.as_ref() == Some(reference));
        let replaced = if let Some(place) = place {
            let old = std::mem::replace(&mut self.rows[place], row);
            if self.of_image(old.image).next().is_none() {
                self.rows.push(Row { reference: None, ..old.clone() });
            }
            Some(old)
        } else {
            self.rows.push(row);
            None
        };
        if let Some(dangling) = self.dangling(image) {
            self.rows.remove(dangling);
        }
        replaced
    }

    /// Takes the row of a reference out. Leaves no dangling row.
    pub fn take(&mut self, reference: &Reference) -> Option<Row> {
        let place = self.rows.iter().position(|row| row.reference.as_ref() == Some(reference))?;
        Some(self.rows.remove(place))
    }

    /// All rows of an image.
    pub fn of_image(&self, image: ImageId) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.image == image)
    }

    /// Takes the name from all but the first of several rows of one name (other tools make them).
    fn let_first_have_its_name(&mut self) {
        let mut seen = HashSet::with_capacity(self.rows.len());
        let mut twins = Vec::new();
        for (place, row) in self.rows.iter().enumerate() {
            if row.reference.as_ref().is_some_and(|reference| !seen.insert(reference)) {
                twins.push(place);
            }
        }
        for place in twins {
            self.rows[place].reference = None;
        }
    }

    fn dangling(&self, image: ImageId) -> Option<usize> {
        self.rows.iter().position(|row| row.image == image && row.reference.is_none())
    }
}

/// Disk space set aside beside what the table takes.
const RESERVE_SIZE_BYTES: u64 = 32 << 10;

/// Which disk space a change of the table may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    /// What is free.
    Free,
    /// Also what is set aside: the change frees more than it takes.
    Reserved,
}

impl Store {
    /// Reads the image table. Takes no lock. Rows that other tools added are adopted: what their
    /// annotations lack is filled in from the manifest and config.
    pub fn names(&self) -> Result<Names> {
        let text = self.read_table()?;
        self.parse_names(&text)
    }

    /// Changes the image table under its lock: read, `change`, write, sync, rename. Nothing is
    /// written when `change` fails or changes nothing. Everything the new rows reach must be
    /// pinned under a live lease or reached by another row.
    pub fn update_names<T, E: From<crate::Error>>(
        &self,
        change: impl FnOnce(&mut Names) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Err(error) = self.make() {
            return self.change_nothing(change, error);
        }
        let _lock = self.lock_table()?;
        self.change_names(change, Space::Free).map(|(value, _)| value)
    }

    /// Like [`update_names`](Self::update_names), holding the store exclusively, and then sweeps:
    /// for `rmi` and `prune`.
    pub fn remove_names<T, E: From<crate::Error>>(
        &self,
        change: impl FnOnce(&mut Names) -> Result<T, E>,
    ) -> Result<(T, Swept), E> {
        if let Err(error) = self.make() {
            return Ok((self.change_nothing(change, error)?, Swept::default()));
        }
        let sweeping = self.sweeping()?;
        let lock = self.lock_table()?;
        let (value, names) = self.change_names(change, Space::Reserved)?;
        // Whoever adds a row now has pinned what it reaches, and the lease is still there while
        // the table is locked; so rows and leases must be read before it is let go.
        let doomed = self.doomed(&names, &sweeping)?;
        drop(lock);
        let swept = self.remove(doomed, sweeping)?;
        self.reserve(0);
        Ok((value, swept))
    }

    pub(crate) fn lock_table(&self) -> Result<FileLock> {
        let path = self.root().join("varve/index.lock");
        FileLock::exclusive(&path).map_err(cannot("lock", &path))
    }

    fn change_names<T, E: From<crate::Error>>(
        &self,
        change: impl FnOnce(&mut Names) -> Result<T, E>,
        space: Space,
    ) -> Result<(T, Names), E> {
        let text = self.read_table()?;
        let mut names = self.parse_names(&text)?;
        let value = change(&mut names)?;
        let path = self.table_path();
        let changed = write(&names).map_err(|error| cannot("write", &path)(error.into()))?;
        if changed != text.as_bytes() {
            let temporary = self.root().join("varve/index.json.new");
            let replace = || durable::replace_through(&temporary, &path, &changed, LAYOUT_MODE);
            let mut replaced = replace();
            if space == Space::Reserved
                && let Err(error) = &replaced
                && matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            {
                let reserve = self.root().join("varve/reserve");
                durable::unlink(&reserve).map_err(cannot("remove", &reserve))?;
                replaced = replace();
            }
            replaced.map_err(cannot("write", &path))?;
            // Where this fails the table only cannot be told from a damaged one.
            let _ = table_stamp::write(self.root(), &changed);
            if space == Space::Free {
                self.reserve(changed.len() as u64);
            }
        }
        Ok((value, names))
    }

    /// In a store that could not be made, a change that fails or changes nothing needs none: its own
    /// result says more than that the store cannot be made.
    fn change_nothing<T, E: From<crate::Error>>(
        &self,
        change: impl FnOnce(&mut Names) -> Result<T, E>,
        error: Error,
    ) -> Result<T, E> {
        let mut names = self.names()?;
        let before = names.rows.clone();
        let value = change(&mut names)?;
        if names.rows == before { Ok(value) } else { Err(error.into()) }
    }

    /// Sets disk space aside, so that names can be removed when there is none left: at least what
    /// the table takes. Where this fails, removing names from a full disk may fail as well.
    pub(crate) fn reserve(&self, table_size_bytes: u64) {
        let path = self.root().join("varve/reserve");
        let wanted = table_size_bytes + RESERVE_SIZE_BYTES;
        if fs::metadata(&path).is_ok_and(|there| there.len() >= wanted) {
            return;
        }
        if let Ok(file) = durable::open_or_create(&path, PRIVATE_MODE) {
            // Twice as much, so that this is not done at each change of a growing table.
            let _ = durable::allocate(&file, 2 * wanted);
        }
    }

    pub(crate) fn table_path(&self) -> PathBuf {
        self.root().join("index.json")
    }

    /// The bytes of the table, whatever they are.
    pub(crate) fn read_table_bytes(&self) -> Result<Vec<u8>> {
        let path = self.table_path();
        fs::read(&path).map_err(cannot("read", &path))
    }

    pub(crate) fn read_table(&self) -> Result<String> {
        let path = self.table_path();
        // Asked first: another process may make the store at any moment.
        let made = self.is_made();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Error::NotAStore {
                path: self.root().to_owned(),
                reason: "index.json is not valid: it is not UTF-8".to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                Ok(crate::store::EMPTY_INDEX.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotAStore {
                path: self.root().to_owned(),
                reason: "index.json is missing".to_owned(),
            }),
            Err(source) => Err(cannot("read", &path)(source)),
        }
    }

    pub(crate) fn parse_names(&self, text: &str) -> Result<Names> {
        let mut names = Names::default();
        let members = table::parse(text, &mut |entry| match adopt::row(self, entry) {
            Adopted::Known(row) | Adopted::Settled(row) => names.rows.push(row),
            Adopted::Unsettled(row, entry) => {
                names.unsettled.push((row.clone(), entry));
                names.rows.push(row);
            }
            Adopted::Other(entry) => names.others.push(entry),
        });
        let members = members.map_err(|error| Error::NotAStore {
            path: self.root().to_owned(),
            reason: format!("index.json is not valid: {error}"),
        })?;
        names.let_first_have_its_name();
        names.members =
            members.into_iter().map(|(n, v)| (Text(n.0.into_owned().into()), v)).collect();
        Ok(names)
    }
}

/// The text of a table. Adopted rows whose size is not the real one stay as they were in the file.
pub(crate) fn write(names: &Names) -> serde_json::Result<Vec<u8>> {
    let mut unsettled: HashMap<Digest, Vec<&(Row, Entry<'static>)>> = HashMap::new();
    for kept in &names.unsettled {
        unsettled.entry(kept.0.target.digest).or_default().push(kept);
    }
    let count = names.rows.len();
    let entries = (0..count + names.others.len()).map(|place| {
        let Some(row) = names.rows.get(place) else {
            return Cow::Borrowed(&names.others[place - count]);
        };
        let mut kept = unsettled.get(&row.target.digest).into_iter().flatten();
        match kept.find(|(kept, _)| kept == row) {
            Some((_, entry)) => Cow::Borrowed(entry),
            None => Cow::Owned(adopt::entry(row)),
        }
    });
    table::write(entries, &names.members)
}
