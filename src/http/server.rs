//! Sockets of HTTP clients, and the way of a request: who asks is found out before its body is read; its handler runs on a
//! thread for blocking work; its answer may wait for the disk. Everything is bounded: sockets, handlers at a time, bytes of
//! bodies, and the time for each step.

use super::answer::{Answer, Failure};
use super::control::{self, Serving};
use super::overview::form_credentials;
use super::place::Place;
use super::prometheus;
use super::request::{Caller, Request};
use super::rights::{Credentials, Peer, authenticate, check, local_administrator};
use super::route::{Needs, Route, Verb};
use super::routes;
use crate::auth::Authenticator;
use crate::broker::access::Identity;
use crate::engine::Broker;
use crate::limits::{HTTP_BODIES_BYTES, HTTP_BODY_BYTES, HTTP_CONNECTIONS, HTTP_HANDLERS, HTTP_HEAD_BYTES};
use crate::name::Name;
use crate::tls;
use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// Time for a request's head; a connection without a request is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take none of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after the system refused a socket.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the API is served with.
#[derive(Clone)]
pub struct Service {
    broker: Arc<Broker>,
    auth: Arc<Authenticator>,
    place: Arc<Place>,
    sockets: Arc<Semaphore>,
    handlers: Arc<Semaphore>,
    /// Of bodies in memory, a permit a KiB.
    bodies: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Service {
    /// For a broker on a node.
    pub fn new(broker: Arc<Broker>, auth: Arc<Authenticator>, place: Arc<Place>, stop: CancellationToken) -> Service {
        let permits = |count: usize| Arc::new(Semaphore::new(count));
        let (sockets, handlers) = (permits(HTTP_CONNECTIONS), permits(HTTP_HANDLERS));
        Service { broker, auth, place, sockets, handlers, bodies: permits(HTTP_BODIES_BYTES / 1024), stop }
    }
}

impl Service {
    /// The same with places of its own.
    #[must_use]
    pub fn separate(&self) -> Service {
        let permits = |count: usize| Arc::new(Semaphore::new(count));
        Service { sockets: permits(HTTP_CONNECTIONS), handlers: permits(HTTP_HANDLERS), ..self.clone() }
    }
}

/// Accepts clients until the node stops. `app`: what they are served with, made by [`api`].
/// `tls`: what their connections begin with.
pub async fn serve(listener: TcpListener, tls: Option<Arc<tls::Server>>, service: Service, app: Router) {
    loop {
        // A place first: clients without one wait in the kernel's queue.
        let Ok(place) = service.sockets.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (app, stop, tls) = (app.clone(), service.stop.clone(), tls.clone());
                tokio::spawn(async move {
                    let _place = place;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = greet(stream, address, tls, app) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// The same for tools of this machine: whoever can open the socket's file is an administrator.
pub async fn serve_tools(listener: UnixListener, service: Service, app: Router) {
    loop {
        let Ok(place) = service.sockets.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let app = app.clone();
                tokio::spawn(async move {
                    let _place = place;
                    talk(stream, Peer { loopback: true, address: "tool".to_owned(), is_tool: true }, app).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of a tool");
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

/// The API, below `/api`.
pub fn api(service: &Service) -> Router {
    let router = router(service, "/api", routes(), false);
    with_fallbacks(router.merge(self::router(service, "", prometheus::ROUTES.iter(), false)))
}

/// The API with what only this machine's tools may ask.
pub fn tools(service: &Service) -> Router {
    let router = router(service, "/api", routes(), false);
    let router = router.merge(self::router(service, "", prometheus::ROUTES.iter(), false));
    with_fallbacks(router.merge(self::router(service, "/api", control::ROUTES.iter(), false)))
}

/// Figures for Prometheus, for whoever gets to their listener.
pub fn figures(service: &Service) -> Router {
    with_fallbacks(router(service, "", prometheus::ROUTES.iter(), true))
}

/// A router of some endpoints. `open`: nobody has to log in.
fn router(service: &Service, prefix: &str, routes: impl Iterator<Item = &'static Route>, open: bool) -> Router {
    let mut paths: HashMap<&'static str, MethodRouter> = HashMap::new();
    for route in routes {
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Put => MethodFilter::PUT,
            Verb::Post => MethodFilter::POST,
            Verb::Delete => MethodFilter::DELETE,
        };
        let service = service.clone();
        let handler = move |params: Result<RawPathParams, RawPathParamsRejection>, request: axum::extract::Request| {
            let service = service.clone();
            let needs = if open { Needs::Nothing } else { route.needs };
            async move { respond(attend(&service, (route, needs), params, request).await.unwrap_or_else(Failure::answer)) }
        };
        let methods = paths.remove(route.path).unwrap_or_default();
        paths.insert(route.path, methods.merge(on(filter, handler)));
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(&format!("{prefix}{path}"), methods);
    }
    router
}

fn with_fallbacks(router: Router) -> Router {
    let not_found = || async { respond(Failure::not_found().answer()) };
    let not_allowed = || async { respond(Failure::method_not_allowed().answer()) };
    router.fallback(not_found).method_not_allowed_fallback(not_allowed)
}

/// The way of a request.
async fn attend(
    service: &Service,
    (route, needs): (&'static Route, Needs),
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: axum::extract::Request,
) -> Result<Answer, Failure> {
    if service.place.control.serving() == Serving::Stopped && !control::serves(route) {
        return Err(Failure::unavailable(control::STOPPED));
    }
    let params = params.map_err(|_| Failure::bad_request("the path is not UTF-8"))?;
    let params: Vec<(String, String)> = params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().cloned();
    let peer = peer.ok_or_else(|| Failure::unavailable("the client is not known"))?;
    let query = decode_query(head.uri.query().unwrap_or_default());
    let headers = kept_headers(&head.headers);
    // A tool may ask as somebody else: to see whether a password is right.
    let caller = if peer.is_tool && !head.headers.contains_key("authorization") {
        local_administrator()
    } else if needs == Needs::Nothing {
        nobody()
    } else {
        let credentials = credentials(&head.headers).ok_or_else(Failure::not_authenticated)?;
        authenticate(&service.broker, &service.auth, credentials, &peer).await?
    };
    let named = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (broker, vhost, user) = (service.broker.clone(), named("vhost"), named("user"));
    let judged = move || check(&broker, &caller, needs, (vhost.as_deref(), user.as_deref())).map(|()| caller);
    // Somebody else may have to be asked what a user may do.
    let mut caller = blocking(service, judged).await?;
    let bytes = length(&head.headers)?;
    // A permit a KiB, held as long as the body is in memory.
    let permits = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let _room = service.bodies.acquire_many(permits).await.map_err(|_| Failure::unavailable("the node is stopping"))?;
    let limit = if bytes == 0 { 0 } else { HTTP_BODY_BYTES };
    let reading = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await;
    let body = reading.map_err(|_| Failure::too_slow())?.map_err(|_| Failure::too_large())?.to_vec();
    if route.path == "/login" {
        caller = authenticate(&service.broker, &service.auth, form_credentials(&body)?, &peer).await?;
    }
    let (broker, place, auth) = (service.broker.clone(), service.place.clone(), service.auth.clone());
    let request = Request { broker, auth, place, caller, params, query, headers, body };
    let answer = blocking(service, move || (route.handler)(&request)).await?;
    if let Some(epoch) = answer.after {
        let durable = tokio::time::timeout(DISK_TIMEOUT, service.broker.durable(epoch)).await;
        durable.map_err(|_| Failure::unavailable("the disk is slow"))??;
    }
    Ok(answer)
}

/// Runs what may take its while on a thread for that, when there is one free.
async fn blocking<T: Send + 'static>(
    service: &Service,
    run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let permit = service.handlers.clone().acquire_owned().await;
    let permit = permit.map_err(|_| Failure::unavailable("the node is stopping"))?;
    let running = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        run()
    });
    running.await.map_err(|_| Failure::unavailable("the request could not be served"))?
}

/// Who asks where nobody has to say who they are.
fn nobody() -> Caller {
    Caller { identity: Identity { user: Name::default(), tags: Vec::new(), authority: None, expires_ms: None } }
}

fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    Credentials::parse(headers.get("authorization")?.to_str().ok()?)
}

/// Bytes that a body may take: as many as it says, or as many as may be if it does not say.
fn length(headers: &HeaderMap) -> Result<usize, Failure> {
    if headers.contains_key("transfer-encoding") {
        return Ok(HTTP_BODY_BYTES);
    }
    let given = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match given.unwrap_or(0) {
        length if length > HTTP_BODY_BYTES => Err(Failure::too_large()),
        length => Ok(length),
    }
}

fn kept_headers(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    ["x-reason", "x-vhost", "content-type"].into_iter().filter_map(|name| Some((name, text(name)?))).collect()
}

/// A query or a form: percent-encoded, `+` for a space.
pub fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let mut digits = rest.clone();
                    let pair = [digits.next(), digits.next()]
                        .map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
                    match pair {
                        [Some(high), Some(low)] => {
                            bytes.push((high * 16 + low) as u8);
                            rest = digits;
                        }
                        _ => bytes.push(b'%'),
                    }
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            pair.split_once('=')
                .map_or_else(|| (decode(pair), String::new()), |(key, value)| (decode(key), decode(value)))
        })
        .collect()
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert("content-type", HeaderValue::from_static(answer.kind));
    }
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    headers.insert("vary", HeaderValue::from_static("accept, accept-encoding, origin"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("server", HeaderValue::from_static("Warren"));
    for (name, value) in answer.headers {
        // What cannot be a header is left out: it came from a client.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let pairs = |query: &str| decode_query(query);
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs("a=1&b=x%2Fy+z&c"), [own("a", "1"), own("b", "x/y z"), own("c", "")]);
        assert_eq!(pairs("a=%&b=%2&c=%zz&=d&&"), [own("a", "%"), own("b", "%2"), own("c", "%zz"), own("", "d")]);
        assert_eq!(pairs(""), []);
    }
}
