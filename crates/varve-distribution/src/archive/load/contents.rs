//! What an archive holds: layers and blobs that are in the store already, and documents.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
};

use varve_fs::compression::{self, Compression};
use varve_store::{Keep, LayerRequest, Lease, Store, StoredLayer, ingest};
use varve_types::{Ctx, Descriptor, Digest, Event, LayerState, limits, media_type};

use crate::archive::{Error, Result};

/// Bytes of documents that are kept in memory; what goes beyond is put into the store.
const DOCUMENTS_IN_MEMORY_SIZE_BYTES: usize = 16 << 20;
/// Files up to this size are kept whatever they look like.
const SMALL_FILE_SIZE_BYTES: u64 = 16 << 10;
/// How many links may lead to each other.
const LINKS_MAX: usize = 40;
/// Bytes between two reports of progress.
const PROGRESS_STEP_SIZE_BYTES: u64 = 512 << 10;
const TAR_BLOCK_SIZE_BYTES: usize = 512;

/// The members of an archive by path.
pub(super) struct Contents<'a> {
    store: &'a Store,
    lease: &'a Lease,
    ctx: &'a Ctx<'a>,
    members: BTreeMap<Vec<u8>, Member>,
    /// Blobs in a compression that layers may not have: kept as plain tars.
    made_plain: HashSet<Digest>,
    members_read: u64,
    paths_size_bytes: u64,
    in_memory_size_bytes: usize,
}

/// A member, as far as it may be needed.
pub(super) enum Member {
    /// A file without bytes.
    Empty,
    /// Something small, JSON as a rule.
    Document(Document),
    /// A layer, in the store.
    Layer(Box<StoredLayer>),
    /// Something else that is named by its digest, in the store.
    Blob,
    /// Not what it should be. That matters only when something refers to it.
    Damaged(Damage),
    /// Neither document, layer nor named by its digest.
    Foreign,
    Link(Vec<u8>),
}

/// The bytes of a document.
pub(super) enum Document {
    InMemory(Vec<u8>),
    InStore(Digest, u64),
}

/// Why a member is of no use.
pub(super) enum Damage {
    /// Its bytes are others than its name promises.
    Digest { expected: Digest, actual: Digest, is_plain: bool },
    /// The store did not take it. Kept as text because errors are not cloned.
    Refused(std::cell::RefCell<Option<Error>>),
}

impl<'a> Contents<'a> {
    pub(super) fn new(store: &'a Store, lease: &'a Lease, ctx: &'a Ctx<'a>) -> Self {
        Self {
            store,
            lease,
            ctx,
            members: BTreeMap::new(),
            made_plain: HashSet::new(),
            members_read: 0,
            paths_size_bytes: 0,
            in_memory_size_bytes: 0,
        }
    }

    /// Whether there is a member of this path, of any kind.
    pub(super) fn has(&self, path: &str) -> bool {
        self.members.contains_key(path.as_bytes())
    }

    /// The member of a path, links followed.
    pub(super) fn get(&self, path: &str) -> Result<Option<&Member>> {
        let mut key = path.as_bytes();
        for _ in 0..LINKS_MAX {
            match self.members.get(key) {
                Some(Member::Link(target)) => key = target,
                found => return Ok(found),
            }
        }
        Err(Error::LinkLoop(path.to_owned()))
    }

    /// The member that is named by a digest.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<&Member>> {
        self.get(&blob_path(digest))
    }

    /// Whether a blob came compressed in a way that its digest could not be kept.
    pub(super) fn was_made_plain(&self, digest: &Digest) -> bool {
        self.made_plain.contains(digest)
    }

    /// The bytes of a document, or an error that says why there are none.
    pub(super) fn document(&self, path: &str) -> Result<Vec<u8>> {
        match self.get(path)? {
            None => Err(Error::Missing(path.to_owned())),
            Some(Member::Empty) => Ok(Vec::new()),
            Some(Member::Document(document)) => self.bytes(document),
            Some(Member::Damaged(damage)) => Err(damage.error()),
            Some(_) => Err(Error::Document {
                path: path.to_owned(),
                reason: "it is not a JSON document, or too large for one".to_owned(),
            }),
        }
    }

    pub(super) fn bytes(&self, document: &Document) -> Result<Vec<u8>> {
        match document {
            Document::InMemory(bytes) => Ok(bytes.clone()),
            Document::InStore(digest, size) => Ok(self.store.read_blob(digest, *size)?),
        }
    }

    pub(super) fn take_hard_link(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<()> {
        // A link to itself would hide what it links to.
        if path == target { Ok(()) } else { self.insert(path, Member::Link(target)) }
    }

    /// Takes a symbolic link. Its target is resolved as if the archive were the whole world.
    pub(super) fn take_symlink(&mut self, path: Vec<u8>, target: &[u8]) -> Result<()> {
        let mut parts: Vec<&[u8]> = Vec::new();
        if target.first() != Some(&b'/') {
            parts.extend(path.split(|&byte| byte == b'/'));
            parts.pop();
        }
        for part in target.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let target = parts.join(&b'/');
        self.insert(path, Member::Link(target))
    }

    /// Takes a file: a layer or blob goes into the store, a document is kept.
    pub(super) fn take_file(
        &mut self,
        path: Vec<u8>,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let member = self.read_file(&path, size, content)?;
        self.insert(path, member)
    }

    fn insert(&mut self, path: Vec<u8>, member: Member) -> Result<()> {
        self.paths_size_bytes += path.len() as u64;
        within(
            "size of all paths in the archive",
            self.paths_size_bytes,
            limits::ARCHIVE_PATHS_SIZE_BYTES_MAX,
        )?;
        self.members_read += 1;
        within(
            "number of members in the archive",
            self.members_read,
            limits::ARCHIVE_MEMBERS_MAX as u64,
        )?;
        if let Some(Member::Document(Document::InMemory(old))) = self.members.insert(path, member) {
            self.in_memory_size_bytes -= old.len();
        }
        Ok(())
    }

    fn read_file(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<Member> {
        if size == 0 {
            return Ok(Member::Empty);
        }
        let is_root_document =
            matches!(path, b"manifest.json" | b"index.json" | b"repositories" | b"oci-layout");
        if is_root_document {
            within(
                "size of a document in the archive",
                size,
                limits::ARCHIVE_DOCUMENT_SIZE_BYTES_MAX,
            )?;
            return self.read_document(None, content);
        }
        let mut prefix = Vec::with_capacity(TAR_BLOCK_SIZE_BYTES);
        content
            .take(TAR_BLOCK_SIZE_BYTES as u64)
            .read_to_end(&mut prefix)
            .map_err(Error::reading)?;
        let claimed = digest_of_path(path);
        let compression = compression::detect(&prefix);
        let is_layer = compression != Compression::None || is_tar_block(&prefix);
        let is_json =
            prefix.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| b"{[".contains(b));
        let mut whole = Cut::new(io::Cursor::new(prefix).chain(content));
        if is_layer {
            self.read_layer(path, claimed, size, compression, &mut whole)
        } else if size <= SMALL_FILE_SIZE_BYTES || is_json && size <= limits::CONFIG_SIZE_BYTES_MAX
        {
            self.read_document(claimed, &mut whole)
        } else if let Some(digest) = claimed {
            self.read_blob(digest, size, &mut whole)
        } else {
            Ok(Member::Foreign)
        }
    }

    fn read_document(&mut self, claimed: Option<Digest>, content: &mut dyn Read) -> Result<Member> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(Error::reading)?;
        if let Some(expected) = claimed {
            let actual = Digest::of(&bytes);
            if actual != expected {
                return Ok(Member::Damaged(Damage::Digest { expected, actual, is_plain: true }));
            }
        }
        let size = bytes.len();
        if self.in_memory_size_bytes + size > DOCUMENTS_IN_MEMORY_SIZE_BYTES {
            let digest = self.store.put_blob(self.lease, &bytes)?;
            return Ok(Member::Document(Document::InStore(digest, size as u64)));
        }
        self.in_memory_size_bytes += size;
        Ok(Member::Document(Document::InMemory(bytes)))
    }

    fn read_layer(
        &mut self,
        path: &[u8],
        claimed: Option<Digest>,
        size: u64,
        compression: Compression,
        content: &mut Cut<impl Read>,
    ) -> Result<Member> {
        // No media type exists for these two: the plain tar is kept.
        let keep = match compression {
            Compression::Bzip2 | Compression::Xz => Keep::Uncompressed,
            _ => Keep::AsReceived,
        };
        if keep == Keep::Uncompressed {
            self.made_plain.extend(claimed);
        }
        let descriptor = claimed
            .filter(|_| keep == Keep::AsReceived)
            .map(|digest| Descriptor::new(media_type::OCI_LAYER, digest, size));
        let request = LayerRequest { descriptor, diff_id: None, keep };
        let mut ingest = match self.store.ingest_layer(self.lease, request)? {
            ingest::LayerState::Present(layer) => {
                let is_plain = compression == Compression::None;
                let damage = wrong_bytes(layer.blob.digest, is_plain, content)?;
                return Ok(damage.map_or_else(|| Member::Layer(Box::new(layer)), Member::Damaged));
            }
            ingest::LayerState::Wanted(ingest) => ingest,
        };
        if ingest.resume_from() > 0 {
            ingest.restart()?;
        }
        let mut reporting = Reporting::new(&mut *content, self.ctx, short_name(path), size);
        match ingest.receive(&mut reporting) {
            Ok(layer) => {
                reporting.finish();
                Ok(Member::Layer(Box::new(layer)))
            }
            Err(error) => content.judge(error, compression == Compression::None),
        }
    }

    fn read_blob(&self, digest: Digest, size: u64, content: &mut Cut<impl Read>) -> Result<Member> {
        let descriptor = Descriptor::new("", digest, size);
        let Some(mut ingest) = self.store.ingest_blob(self.lease, &descriptor)? else {
            let damage = wrong_bytes(digest, true, content)?;
            return Ok(damage.map_or(Member::Blob, Member::Damaged));
        };
        if ingest.resume_from() > 0 {
            ingest.restart()?;
        }
        match ingest.receive(content) {
            Ok(_) => Ok(Member::Blob),
            Err(error) => content.judge(error, true),
        }
    }
}

impl Damage {
    /// What to say of a member that is needed.
    pub(super) fn error(&self) -> Error {
        match self {
            Self::Digest { expected, actual, .. } => {
                Error::BlobDigest { expected: *expected, actual: *actual }
            }
            Self::Refused(error) => error.take().unwrap_or(Error::Truncated),
        }
    }
}

/// A reader that remembers how it failed, so that a broken archive is told from a broken layer.
struct Cut<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R: Read> Cut<R> {
    fn new(inner: R) -> Self {
        Self { inner, error: None }
    }

    /// A member that the store did not take: the archive's end, the store's failure, or damage
    /// that matters only when the member is needed.
    fn judge(&mut self, error: varve_store::Error, is_plain: bool) -> Result<Member> {
        if let Some(error) = self.error.take() {
            return Err(Error::reading(error));
        }
        match error {
            varve_store::Error::Mismatch { expected, actual } => {
                Ok(Member::Damaged(Damage::Digest { expected, actual, is_plain }))
            }
            error @ (varve_store::Error::Layer { .. }
            | varve_store::Error::Decompress { .. }
            | varve_store::Error::Limit { .. }) => {
                Ok(Member::Damaged(Damage::Refused(Some(Error::receiving(error)).into())))
            }
            other => Err(other.into()),
        }
    }
}

impl<R: Read> Read for Cut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.error.get_or_insert(error);
            kind.into()
        })
    }
}

/// Reads what the store has already: an archive is refused for bytes that are not what they are
/// called, whatever the store it comes to knows of others.
fn wrong_bytes(
    expected: Digest,
    is_plain: bool,
    content: &mut impl Read,
) -> Result<Option<Damage>> {
    let mut hasher = varve_types::Hasher::new();
    io::copy(content, &mut hasher).map_err(Error::reading)?;
    let actual = hasher.finish();
    Ok((actual != expected).then_some(Damage::Digest { expected, actual, is_plain }))
}

/// Reports how much of a layer has been read.
struct Reporting<'a, R> {
    inner: R,
    ctx: &'a Ctx<'a>,
    id: String,
    done_bytes: u64,
    total_bytes: u64,
    reported_bytes: Option<u64>,
}

impl<'a, R: Read> Reporting<'a, R> {
    fn new(inner: R, ctx: &'a Ctx<'a>, id: String, total_bytes: u64) -> Self {
        Self { inner, ctx, id, done_bytes: 0, total_bytes, reported_bytes: None }
    }

    fn report(&mut self) {
        self.reported_bytes = Some(self.done_bytes);
        let state =
            LayerState::Loading { done_bytes: self.done_bytes, total_bytes: self.total_bytes };
        self.ctx.progress.event(Event::Layer { id: self.id.clone(), state });
    }

    fn finish(&mut self) {
        if self.reported_bytes != Some(self.done_bytes) {
            self.report();
        }
    }
}

impl<R: Read> Read for Reporting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done_bytes += count as u64;
        let due =
            self.reported_bytes.is_none_or(|at| self.done_bytes >= at + PROGRESS_STEP_SIZE_BYTES);
        if count > 0 && due {
            self.report();
        }
        Ok(count)
    }
}

/// The path of the blob with this digest.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn digest_of_path(path: &[u8]) -> Option<Digest> {
    let hex = path.strip_prefix(b"blobs/sha256/")?;
    Digest::from_hex(std::str::from_utf8(hex).ok()?).ok()
}

/// Twelve digits to call a layer by: those that its path has, for its diff ID is not known yet.
fn short_name(path: &[u8]) -> String {
    let mut parts = path.split(|byte| matches!(byte, b'/' | b'.'));
    let hex = parts.rfind(|part| part.len() == 64 && part.iter().all(u8::is_ascii_hexdigit));
    let hex =
        hex.map_or_else(|| Digest::of(path).hex(), |hex| String::from_utf8_lossy(hex).into_owned());
    hex.chars().take(12).collect()
}

/// Whether a block is a tar header, or the end marker of a tar without members.
fn is_tar_block(block: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if block.len() < TAR_BLOCK_SIZE_BYTES {
        return false;
    }
    if block.iter().all(|&byte| byte == 0) {
        return true;
    }
    let text: String = block[CHECKSUM].iter().map(|&b| b as char).collect();
    let Ok(recorded) = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) else { return false };
    let spaces = 8 * u32::from(b' ');
    let others = block[..CHECKSUM.start].iter().chain(&block[CHECKSUM.end..]);
    let (unsigned, signed) = others.fold((spaces, spaces as i32), |(unsigned, signed), &byte| {
        (unsigned + u32::from(byte), signed + i32::from(byte as i8))
    });
    recorded == unsigned || i64::from(recorded) == i64::from(signed)
}

fn within(what: &'static str, actual: u64, limit: u64) -> Result<()> {
    if actual > limit { Err(Error::Limit { what, actual, limit }) } else { Ok(()) }
}
