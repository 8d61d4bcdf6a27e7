//! Bodies between hyper, which polls, and the handler, which blocks.

use std::{
    future::{Future as _, poll_fn},
    io::{self, Read},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::log::Record;

/// How long the next piece of a request's body may take.
const READ_TIME_MAX: Duration = Duration::from_mins(1);
/// Bytes a second that must come of a body, once it was waited for as long as that.
const RATE_MIN: u64 = 1 << 10;
/// Pieces of a request's body that wait for the handler.
const PIECES_MAX: usize = 4;
/// Bytes of a body that nobody wants that are read all the same: closing the connection under a
/// client that is still sending would take the answer away from it.
const UNWANTED_SIZE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a response's body that are read at once.
const PIECE_SIZE_BYTES: usize = 128 << 10;

/// A request's body as the handler reads it. Nothing is taken from the connection before the
/// first read: a client that waits for `100 Continue` gets it only when its body is wanted.
pub(crate) struct Blocking {
    start: Option<oneshot::Sender<()>>,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    ended: bool,
}

/// Makes a body readable for the handler. Must be called on the runtime. `expects` tells that the
/// client waits for `100 Continue` before it sends anything.
pub(crate) fn blocking(mut body: Incoming, expects: bool) -> Blocking {
    let (start, started) = oneshot::channel();
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let wanted = started.await.is_ok();
        if !wanted && expects {
            return;
        }
        let mut sender = wanted.then_some(sender);
        let mut unwanted_bytes = 0;
        let (mut waited, mut received_bytes) = (Duration::ZERO, 0);
        loop {
            let asked = tokio::time::Instant::now();
            let mut piece = next_piece(&mut body).await;
            waited += asked.elapsed();
            received_bytes += piece.as_ref().map_or(0, Bytes::len) as u64;
            if is_dribble(waited, received_bytes) {
                piece = Err(io::ErrorKind::TimedOut.into());
            }
            // An empty piece is the end.
            let size_bytes = piece.as_ref().map_or(0, Bytes::len);
            if let Some(open) = &sender
                && open.send(piece).await.is_err()
            {
                sender = None;
            }
            if sender.is_none() {
                unwanted_bytes += size_bytes;
            }
            if size_bytes == 0 || unwanted_bytes > UNWANTED_SIZE_BYTES_MAX {
                return;
            }
        }
    });
    Blocking { start: Some(start), pieces, current: Bytes::new(), ended: false }
}

/// Whether so few bytes came in that time that a client only wants to hold its place.
fn is_dribble(waited: Duration, received_bytes: u64) -> bool {
    waited > READ_TIME_MAX && received_bytes < waited.as_secs() * RATE_MIN
}

async fn next_piece(body: &mut Incoming) -> io::Result<Bytes> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        match tokio::time::timeout(READ_TIME_MAX, frame).await {
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(None) => return Ok(Bytes::new()),
            Ok(Some(Err(error))) => return Err(io::Error::other(error)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                _ => {}
            },
        }
    }
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(start) = self.start.take() {
            // When nobody listens any more, the channel below says so.
            let _ = start.send(());
        }
        if self.current.is_empty() && !self.ended {
            self.current = self
                .pieces
                .blocking_recv()
                .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
            self.ended = self.current.is_empty();
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// A response's body as hyper polls it: read in pieces on the blocking pool, each when the
/// connection can take it, so that a slow client holds no thread.
pub(crate) struct Reply {
    state: State,
    left_bytes: u64,
    record: Record,
}

type Piece = (Box<dyn Read + Send>, io::Result<Bytes>);

enum State {
    Ready(Box<dyn Read + Send>),
    Reading(JoinHandle<Piece>),
    Ended,
}

impl Reply {
    pub(crate) fn new(reader: Box<dyn Read + Send>, size_bytes: u64, mut record: Record) -> Self {
        record.whole = size_bytes == 0;
        let state = if size_bytes == 0 { State::Ended } else { State::Ready(reader) };
        Self { state, left_bytes: size_bytes, record }
    }
}

fn read_piece(mut reader: Box<dyn Read + Send>, size_bytes: usize) -> Piece {
    let mut piece = vec![0; size_bytes];
    let mut filled = 0;
    while filled < size_bytes {
        match reader.read(&mut piece[filled..]) {
            Ok(0) => return (reader, Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (reader, Err(error)),
        }
    }
    (reader, Ok(piece.into()))
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Ready(reader) => {
                    let size_bytes = self.left_bytes.min(PIECE_SIZE_BYTES as u64) as usize;
                    self.state = State::Reading(tokio::task::spawn_blocking(move || {
                        read_piece(reader, size_bytes)
                    }));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(piece) = Pin::new(&mut reading).poll(cx) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (reader, piece) = piece.map_err(io::Error::other)?;
                    let piece = match piece {
                        Ok(piece) => piece,
                        Err(error) => {
                            self.record.failure = Some(error.to_string());
                            return Poll::Ready(Some(Err(error)));
                        }
                    };
                    self.left_bytes -= piece.len() as u64;
                    self.record.sent_bytes += piece.len() as u64;
                    self.record.whole = self.left_bytes == 0;
                    if !self.record.whole {
                        self.state = State::Ready(reader);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

/// A stream that gives up when the other side takes nothing for a while.
pub(crate) struct Patient<S> {
    stream: S,
    time_max: Duration,
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, time_max: Duration) -> Self {
        Self { stream, time_max, waiting: None }
    }

    /// Passes a finished write on, and turns one that waits for too long into an error.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let time_max = self.time_max;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(time_max)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_a_byte_now_and_then_is_told_from_who_is_slow() {
        let minutes = Duration::from_mins;
        assert!(!is_dribble(Duration::from_secs(59), 1), "it may be slow to begin");
        assert!(is_dribble(minutes(2), 4));
        assert!(is_dribble(minutes(10), 100 << 10));
        assert!(!is_dribble(minutes(10), 1 << 20));
    }
}
