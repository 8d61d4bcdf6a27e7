//! A stream that a thread of its own reads ahead, so that reading and hashing go on beside what is
//! done with the bytes.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{self, Receiver, Sender, SyncSender},
    thread::{self, Scope},
};

/// Handed over at once: waking a thread costs some microseconds.
const BATCH_SIZE_BYTES: usize = 256 << 10;
const BATCHES: usize = 4;

/// The bytes of a reader in order, up to its end or first error. Memory does not depend on how many
/// there are. The thread ends with the stream, or soon after this is dropped.
#[derive(Debug)]
pub struct Ahead {
    batches: Receiver<io::Result<Batch>>,
    /// Where a batch goes when all of it was taken: its memory is used again.
    used: Sender<Vec<u8>>,
    batch: Batch,
    at: usize,
}

/// Memory of which the first bytes have come.
#[derive(Debug, Default)]
struct Batch {
    memory: Vec<u8>,
    filled: usize,
}

impl Ahead {
    /// Begins to read.
    pub fn of(source: impl Read + Send + 'static) -> Self {
        let (ahead, work) = Self::with(source);
        thread::spawn(work);
        ahead
    }

    /// Begins to read what lives no longer than `scope`, which ends after this was dropped.
    pub(crate) fn within<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: impl Read + Send + 'scope,
    ) -> Self {
        let (ahead, work) = Self::with(source);
        scope.spawn(work);
        ahead
    }

    fn with<R: Read + Send>(source: R) -> (Self, impl FnOnce() + Send + use<R>) {
        let (sender, batches) = mpsc::sync_channel(BATCHES);
        let (used, spare) = mpsc::channel();
        let ahead = Self { batches, used, batch: Batch::default(), at: 0 };
        (ahead, move || read(source, &sender, &spare))
    }
}

fn read(mut source: impl Read, batches: &SyncSender<io::Result<Batch>>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut batch = Batch { memory: spare.try_recv().unwrap_or_default(), filled: 0 };
        batch.memory.resize(BATCH_SIZE_BYTES, 0);
        let error = fill(&mut source, &mut batch).err();
        let is_last = error.is_some() || batch.filled < BATCH_SIZE_BYTES;
        // What came before an error is told before it.
        let is_wanted = batch.filled == 0 || batches.send(Ok(batch)).is_ok();
        let is_wanted = is_wanted && error.is_none_or(|error| batches.send(Err(error)).is_ok());
        if is_last || !is_wanted {
            return;
        }
    }
}

/// Fills a batch as far as there are bytes.
fn fill(source: &mut impl Read, batch: &mut Batch) -> io::Result<()> {
    while batch.filled < batch.memory.len() {
        match source.read(&mut batch.memory[batch.filled..]) {
            Ok(0) => break,
            Ok(count) => batch.filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.batch.filled {
            // After its last word the thread is gone: the end stays the end.
            if let Ok(batch) = self.batches.recv() {
                let old = std::mem::replace(&mut self.batch, batch?);
                self.at = 0;
                // Nobody there: nothing more comes, and memory is not wanted any more.
                let _ = self.used.send(old.memory);
            }
        }
        Ok(&self.batch.memory[self.at..self.batch.filled])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives bytes in small pieces, and then fails.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.min(buffer.len()).min(1000);
            self.0 -= count;
            if count == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            buffer[..count].fill(7);
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_the_end_stays_the_end() {
        let bytes: Vec<u8> = (0..3 * BATCH_SIZE_BYTES + 17).map(|at| (at % 251) as u8).collect();
        let mut ahead = Ahead::of(io::Cursor::new(bytes.clone()));
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(ahead.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn an_error_is_told_after_what_came_before_it() {
        let mut ahead = Ahead::of(Failing(2 * BATCH_SIZE_BYTES + 5));
        let mut read = Vec::new();
        let error = ahead.read_to_end(&mut read).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(read.len(), 2 * BATCH_SIZE_BYTES + 5);
    }

    #[test]
    fn a_reader_that_is_dropped_ends_its_thread() {
        struct Counted(mpsc::Sender<()>);
        impl Read for Counted {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                Ok(buffer.len())
            }
        }
        impl Drop for Counted {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (sender, ended) = mpsc::channel();
        drop(Ahead::of(Counted(sender)));
        ended.recv().unwrap();
    }
}
