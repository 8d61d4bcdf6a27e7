//! One connection: requests in, the handler on a blocking thread, responses out.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use varve_distribution::server::{Failure, Registry, RequestBody};
use varve_types::limits;

use crate::{
    body::{self, Patient, Reply},
    crowd::{Busy, Place},
    log::{Log, Record},
};

/// How long a client may take for its handshake, and for the head of a request (which includes
/// the pause since its last one).
const HEAD_TIME_MAX: Duration = Duration::from_mins(1);
/// How long a client may take nothing of a response.
const WRITE_TIME_MAX: Duration = Duration::from_mins(1);
/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) log: Log,
    /// True once the server is stopping.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Serves a connection until it ends. What a client does wrong ends its connection only.
    pub(crate) async fn serve(self, stream: TcpStream, place: Place) {
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, WRITE_TIME_MAX);
        match self.tls.clone() {
            None => self.speak(stream, place).await,
            Some(tls) => {
                let handshake = tokio::select! {
                    done = tokio::time::timeout(HEAD_TIME_MAX, tls.accept(stream)) => done,
                    () = place.wanted() => return,
                };
                if let Ok(Ok(stream)) = handshake {
                    self.speak(stream, place).await;
                }
            }
        }
    }

    async fn speak(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: Place,
    ) {
        let mut stopping = self.stopping.clone();
        let own = place.clone();
        let service = service_fn(move |request| {
            let (shared, busy) = (self.clone(), own.begin());
            async move { Ok::<_, Infallible>(shared.answer(request, busy).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(limits::HTTP_HEAD_SIZE_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = place.wanted() => {
                if !place.is_busy() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
            _ = stopping.wait_for(|stopping| *stopping) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn answer(self, request: Request<Incoming>, busy: Busy) -> Response<Reply> {
        let mut record = Record::new(&self.log, &request, busy);
        let expects = request.headers().contains_key(header::EXPECT);
        let request = request.map(|body| Box::new(body::blocking(body, expects)) as RequestBody);
        let registry = self.registry;
        let answered = tokio::task::spawn_blocking(move || {
            let response = registry.answer(request);
            let (parts, body) = response.into_parts();
            let size_bytes = body.size_bytes();
            (parts, body.into_reader(), size_bytes)
        });
        let (parts, reader, size_bytes) = match answered.await {
            Ok(answered) => answered,
            Err(panic) => return broken(record, panic.to_string()),
        };
        record.status = parts.status.as_u16();
        record.failure = parts.extensions.get::<Failure>().map(|failure| failure.0.clone());
        match reader {
            Ok(reader) => Response::from_parts(parts, Reply::new(reader, size_bytes, record)),
            Err(error) => broken(record, error.to_string()),
        }
    }
}

/// The answer when there is none.
fn broken(mut record: Record, failure: String) -> Response<Reply> {
    record.status = 500;
    record.failure = Some(failure);
    let mut response = Response::new(Reply::new(Box::new(io::empty()), 0, record));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("0"));
    response
}
