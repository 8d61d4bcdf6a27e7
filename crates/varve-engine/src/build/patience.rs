//! Reading files that users name, which may be pipes: `--secret id=x,src=<(pass show x)`.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
};

const PIECE_SIZE_BYTES: usize = 16 << 10;
/// How often it is asked whether to wait on.
const LOOK_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The bytes of a file, one more than `limit` at most, so that the caller sees that it is too much.
/// A pipe is read until nobody writes any more, as long as `goes_on` says so; one to which nobody
/// writes is an error, for that would never end.
pub(super) fn read(path: &Path, limit: u64, goes_on: &dyn Fn() -> bool) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let is_pipe = file.metadata()?.file_type().is_fifo();
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE_SIZE_BYTES]);
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    while bytes.len() < most {
        let wanted = (most - bytes.len()).min(piece.len());
        match file.read(&mut piece[..wanted]) {
            Ok(0)
                if is_pipe && bytes.is_empty() && !ready(&file, NOW)?.contains(PollFlags::HUP) =>
            {
                let text = "it is a pipe to which nobody writes";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !goes_on() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody waits for it"));
                }
                ready(&file, LOOK_INTERVAL)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// What can be done with a pipe, or is to be known of it, after so long at most.
fn ready(file: &File, time: Timespec) -> io::Result<PollFlags> {
    let mut polled = [PollFd::new(file, PollFlags::IN)];
    match poll(&mut polled, Some(&time)) {
        Ok(_) => Ok(polled[0].revents()),
        Err(Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _, sync::mpsc, thread};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    fn pipe(directory: &Path) -> std::path::PathBuf {
        let path = directory.join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn files_are_read_to_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5, &|| false).unwrap(), b"12345");
        assert_eq!(read(&path, 3, &|| false).unwrap(), b"1234");
        assert_eq!(read(Path::new("/dev/zero"), 9, &|| false).unwrap(), [0; 10]);
        assert_eq!(read(Path::new("/dev/null"), 9, &|| false).unwrap(), b"");
    }

    #[test]
    fn a_pipe_is_read_until_its_writer_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = pipe(directory.path());
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Opened before there is a reader, it waits for one.
                let mut writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
                tell.send(()).unwrap();
                writer.write_all(b"one ").unwrap();
                thread::sleep(std::time::Duration::from_millis(120));
                writer.write_all(b"two").unwrap();
            });
            told.recv().unwrap();
            assert_eq!(read(&path, 100, &|| true).unwrap(), b"one two");
        });
    }

    #[test]
    fn a_pipe_without_a_writer_or_with_one_that_says_nothing_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = pipe(directory.path());
        let error = read(&path, 100, &|| true).unwrap_err();
        assert_eq!(error.to_string(), "it is a pipe to which nobody writes");
        let _silent = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(read(&path, 100, &|| false).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
