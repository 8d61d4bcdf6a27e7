//! Uploads going on.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use varve_fs::{durable, lock::FileLock};
use varve_types::Digest;

use super::{Error, Result, Storage};
use crate::server::name::RepositoryName;

/// An upload that nobody wrote to for this long is dropped.
const UPLOAD_AGE_MAX: Duration = Duration::from_hours(24);
/// How long a request waits for another one that writes to the same upload: a client that lost
/// its connection may be back before the server has noticed.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The name of an upload: 32 random hexadecimal digits, in groups as a UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::server) struct UploadId(String);

impl UploadId {
    pub(in crate::server) fn parse(text: &str) -> Option<Self> {
        let shape = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        (text.len() == 36 && text.bytes().enumerate().all(shape)).then(|| Self(text.to_owned()))
    }

    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.extend([byte >> 4, byte & 15].map(|nibble| HEX[usize::from(nibble)] as char));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upload, held by its lock.
#[derive(Debug)]
pub(in crate::server) struct Upload {
    pub(in crate::server) id: UploadId,
    pub(in crate::server) file: File,
    directory: PathBuf,
    _lock: FileLock,
}

impl Upload {
    pub(in crate::server) fn path(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(in crate::server) fn size_bytes(&self) -> Result<u64> {
        let path = self.path();
        Ok(self.file.metadata().map_err(Error::io("read", &path))?.len())
    }
}

/// Why an upload could not be had.
#[derive(Debug)]
pub(in crate::server) enum Held {
    /// It is not there, or belongs to another repository.
    Unknown,
    /// Another request is writing to it.
    Busy,
}

impl Storage {
    /// How many uploads are going on, those included that nobody will end.
    pub(in crate::server) fn upload_count(&self) -> Result<usize> {
        let uploads = self.own("uploads");
        Ok(fs::read_dir(&uploads).map_err(Error::io("read", &uploads))?.count())
    }

    /// Begins an upload to a repository.
    pub(in crate::server) fn create_upload(&self, name: &RepositoryName) -> Result<Upload> {
        let uploads = self.own("uploads");
        let id = UploadId::random().map_err(Error::io("name an upload in", &uploads))?;
        let directory = uploads.join(&id.0);
        durable::create_directory(&directory, 0o755).map_err(Error::io("create", &directory))?;
        let owner = directory.join("repository");
        durable::replace(&owner, name.as_str().as_bytes(), 0o644)
            .map_err(Error::io("write", &owner))?;
        let data = directory.join("data");
        let file = durable::create_new(&data, 0o644).map_err(Error::io("create", &data))?;
        let lock = directory.join("lock");
        let lock = FileLock::exclusive(&lock).map_err(Error::io("lock", &lock))?;
        Ok(Upload { id, file, directory, _lock: lock })
    }

    fn upload_directory(&self, name: &RepositoryName, id: &UploadId) -> Result<Option<PathBuf>> {
        let directory = self.own("uploads").join(&id.0);
        match fs::read_to_string(directory.join("repository")) {
            Ok(owner) => Ok((owner == name.as_str()).then_some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &directory)(error)),
        }
    }

    /// The bytes that an upload has received.
    pub(in crate::server) fn upload_size(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Option<u64>> {
        let Some(directory) = self.upload_directory(name, id)? else { return Ok(None) };
        match fs::metadata(directory.join("data")) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &directory)(error)),
        }
    }

    /// Takes an upload to write to it, waiting a little for whoever has it.
    pub(in crate::server) fn take_upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Result<Upload, Held>> {
        let Some(directory) = self.upload_directory(name, id)? else {
            return Ok(Err(Held::Unknown));
        };
        let path = directory.join("lock");
        let mut waited = Duration::ZERO;
        let lock = loop {
            match FileLock::try_exclusive(&path) {
                Ok(Some(lock)) => break lock,
                Ok(None) if waited >= LOCK_WAIT_MAX => return Ok(Err(Held::Busy)),
                Ok(None) => {
                    let pause = Duration::from_millis(20);
                    thread::sleep(pause);
                    waited += pause;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Err(Held::Unknown));
                }
                Err(error) => return Err(Error::io("lock", &path)(error)),
            }
        };
        let data = directory.join("data");
        match open_data(&data) {
            Ok(file) => Ok(Ok(Upload { id: id.clone(), file, directory, _lock: lock })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(Held::Unknown)),
            Err(error) => Err(Error::io("open", &data)(error)),
        }
    }

    /// Ends an upload: its bytes, which were verified, become a blob of the repository.
    pub(in crate::server) fn commit_upload(
        &self,
        upload: Upload,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<()> {
        // From here on nobody finds the upload any more: nothing may be written behind the bytes
        // of a blob, not even when this process ends between two of these calls.
        let (data, verified) = (upload.path(), upload.directory.join("verified"));
        durable::rename(&data, &verified).map_err(Error::io("rename", &data))?;
        self.publish(name, digest, &upload.file, &verified)?;
        self.remove_upload(upload)
    }

    /// Drops an upload with its bytes.
    pub(in crate::server) fn remove_upload(&self, upload: Upload) -> Result<()> {
        self.remove_upload_directory(&upload.directory)
    }

    fn remove_upload_directory(&self, directory: &Path) -> Result<()> {
        let trash = self.own("trash").join(directory.file_name().unwrap_or_default());
        durable::remove_tree(directory, &trash).map_err(Error::io("remove", directory))
    }

    /// Drops the uploads that nobody wrote to for a day.
    pub fn sweep_uploads(&self, now: Timestamp) -> Result<()> {
        let trash = self.own("trash");
        for entry in fs::read_dir(&trash).map_err(Error::io("read", &trash))?.flatten() {
            // Left by a crash, or being removed by another process right now.
            let _ = durable::discard_tree(&entry.path());
        }
        let uploads = self.own("uploads");
        for entry in fs::read_dir(&uploads).map_err(Error::io("read", &uploads))? {
            let directory = entry.map_err(Error::io("read", &uploads))?.path();
            let written = fs::metadata(directory.join("data"))
                .or_else(|_| fs::metadata(&directory))
                .and_then(|metadata| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH);
            let age = SystemTime::from(now).duration_since(written).unwrap_or_default();
            if age < UPLOAD_AGE_MAX {
                continue;
            }
            if let Ok(Some(_lock)) = FileLock::try_exclusive(&directory.join("lock")) {
                self.remove_upload_directory(&directory)?;
            }
        }
        Ok(())
    }
}

/// Opens an upload's bytes, to add some behind the last one.
fn open_data(path: &Path) -> io::Result<File> {
    // Opening must not create what another request has just ended.
    fs::metadata(path)?;
    let mut file = durable::open_or_create(path, 0o644)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}
