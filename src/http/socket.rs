//! Sockets of HTTP clients: how many there may be, and how long each may be silent.

use super::rights::Peer;
use super::server::Service;
use crate::limits::HTTP_HEAD_BYTES;
use crate::tls;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, Sleep};

/// Time for a request's head; a connection without a request is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take none of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after the system refused a socket.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves clients until the service stops, and ends their connections then. `app`: what they are served with, made by
/// [`super::server::api`]. `tls`: what their connections begin with.
pub async fn serve(listener: TcpListener, tls: Option<Arc<tls::Server>>, service: Service, app: Router) {
    let stop = service.stop.clone();
    let serve = move |(stream, address)| {
        let (app, stop, tls) = (app.clone(), stop.clone(), tls.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = greet(stream, address, tls, app) => {}
            }
        }
    };
    accept_all(service, listener, serve).await;
}

/// The same for tools of this machine: whoever can open the socket's file is an administrator.
pub async fn serve_tools(listener: UnixListener, service: Service, app: Router) {
    let peer = || Peer { loopback: true, address: "tool".to_owned(), is_tool: true };
    accept_all(service, listener, move |(stream, _)| talk(stream, peer(), app.clone())).await;
}

/// A socket that clients connect to.
trait Door {
    type Client;

    fn accept(&self) -> impl Future<Output = std::io::Result<Self::Client>> + Send;
}

impl Door for TcpListener {
    type Client = (TcpStream, SocketAddr);

    async fn accept(&self) -> std::io::Result<Self::Client> {
        TcpListener::accept(self).await
    }
}

impl Door for UnixListener {
    type Client = (UnixStream, tokio::net::unix::SocketAddr);

    async fn accept(&self) -> std::io::Result<Self::Client> {
        UnixListener::accept(self).await
    }
}

/// Accepts clients until the service stops, and serves each in a task of its own.
async fn accept_all<D: Door, F>(service: Service, door: D, serve: impl Fn(D::Client) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // A place first: clients without one wait in the kernel's queue.
        let Ok(place) = service.sockets.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok(client) => {
                let serving = serve(client);
                tokio::spawn(async move {
                    let _place = place;
                    serving.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Serves a client, after the handshake that its connection may begin with.
async fn greet(stream: TcpStream, address: SocketAddr, tls: Option<Arc<tls::Server>>, app: Router) {
    let loopback = address.ip().to_canonical().is_loopback();
    let peer = Peer { loopback, address: address.to_string(), is_tool: false };
    // Without it answers are slower, not wrong.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return talk(stream, peer, app).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, peer, app).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS session"),
        Err(_) => tracing::debug!(%address, "no TLS session in time"),
    }
}

/// Serves one connection to its end.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, peer: Peer, app: Router) {
    let app = TowerToHyperService::new(app);
    let address = peer.address.clone();
    let serve = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(uri) = without_last_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        hyper::service::Service::call(&app, request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HTTP_HEAD_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(Patient::new(stream)), serve).await {
        tracing::debug!(address, %error, "HTTP connection ended");
    }
}

/// The same address without a slash at the end of its path, which some clients send. None when there is none.
fn without_last_slash(uri: &axum::http::Uri) -> Option<axum::http::Uri> {
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().ok()
}

/// A socket whose peer has to take something of what is written, from time to time.
struct Patient<S> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Patient<S> {
        Patient { stream, deadline: Box::pin(tokio::time::sleep(WRITE_TIMEOUT)), waiting: false }
    }

    /// Judges a write that has just been tried.
    fn judge<T>(&mut self, context: &mut Context<'_>, tried: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if tried.is_ready() {
            self.waiting = false;
            return tried;
        }
        if !self.waiting {
            self.waiting = true;
            let now = crate::clock::Now::read().monotonic;
            self.deadline.as_mut().reset(Instant::from_std(now) + WRITE_TIMEOUT);
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(std::io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, tried)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
