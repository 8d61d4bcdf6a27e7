//! The server: listening, accepting, and stopping in an orderly way.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use varve_distribution::server::Registry;

use crate::{Error, connection::Shared, crowd::Crowd, log::Log, tls};

/// Connections at once. For one more, the one that has kept still for longest goes; where requests
/// are going on at all of them, it waits.
const CONNECTIONS_MAX: usize = 256;
/// Threads for what blocks: a request on each connection, and the reading of responses.
const BLOCKING_THREADS_MAX: usize = CONNECTIONS_MAX + 64;
/// How long requests may go on after the server was told to stop.
const GRACE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long cut requests have to clean up.
const CLEANUP_TIME_MAX: Duration = Duration::from_secs(5);

/// How often uploads that nobody ends are looked for.
const SWEEP_PAUSE: Duration = Duration::from_hours(1);

/// How to serve.
#[derive(Default)]
pub struct Options {
    /// The time now. From then on the server counts itself, to drop uploads that nobody has
    /// written to for a day; `None`: it drops none.
    pub now: Option<Timestamp>,
    /// PEM files of the certificate and its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Takes one line a request.
    pub log: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Makes servers.
#[derive(Debug)]
pub struct Server;

/// A server at work on threads of its own; stopped when dropped.
#[derive(Debug)]
pub struct Running {
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on an address and serves a registry from then on.
    pub fn bind(
        address: SocketAddr,
        registry: Registry,
        options: Options,
    ) -> Result<Running, Error> {
        let tls = match &options.tls {
            Some((certificate, key)) => Some(TlsAcceptor::from(tls::configure(certificate, key)?)),
            None => None,
        };
        let bind = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let (stop, stopping) = watch::channel(false);
        let shared =
            Shared { registry: Arc::new(registry), tls, log: Log::new(options.log), stopping };
        let entered = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(bind)?;
        drop(entered);
        if let Some(now) = options.now {
            runtime.spawn(sweep(Arc::clone(&shared.registry), now));
        }
        let accepting = runtime.spawn(accept(listener, shared));
        Ok(Running { local_addr, stop, accepting: Some(accepting), runtime: Some(runtime) })
    }
}

/// Drops uploads that nobody ends, as long as the server is there.
async fn sweep(registry: Arc<Registry>, start: Timestamp) {
    let began = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(SWEEP_PAUSE).await;
        let (registry, now) = (Arc::clone(&registry), start + began.elapsed());
        // What cannot be dropped now is dropped another time.
        let _ = tokio::task::spawn_blocking(move || registry.storage().sweep_uploads(now)).await;
    }
}

/// Accepts connections until the server stops, then waits for those that are there.
async fn accept(listener: tokio::net::TcpListener, shared: Shared) {
    let crowd = Crowd::new(CONNECTIONS_MAX);
    let mut stopping = shared.stopping.clone();
    // Ends when the last connection has dropped its sender.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = tokio::select! {
                    place = crowd.enter() => place,
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                };
                let Some(place) = place else { break };
                let (shared, alive) = (shared.clone(), alive.clone());
                tokio::spawn(async move {
                    shared.serve(stream, place).await;
                    drop(alive);
                });
            }
            // No descriptors left, most likely: those in use will come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop((listener, alive));
    let _ = tokio::time::timeout(GRACE_TIME_MAX, ended.recv()).await;
}

impl Running {
    /// Where it listens; the port is the real one where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits for SIGTERM or SIGINT, then stops.
    pub fn wait_for_signal(self) -> io::Result<()> {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async {
                let mut terminate = signal(SignalKind::terminate())?;
                let mut interrupt = signal(SignalKind::interrupt())?;
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                io::Result::Ok(())
            })?;
        }
        self.shutdown();
        Ok(())
    }

    /// Takes no more connections, lets requests finish for a while, and cuts what is left.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let _ = self.stop.send(true);
        if let Some(accepting) = self.accepting.take() {
            // Its only failure would be a panic, of which there is nothing to say here.
            let _ = runtime.block_on(accepting);
        }
        runtime.shutdown_timeout(CLEANUP_TIME_MAX);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
