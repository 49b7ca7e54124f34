//! The way of a request: who asks is found out before its body is read; its handler runs on a thread for blocking work; its answer may
//! wait for the disk. Everything is bounded: sockets, handlers at a time, bytes of bodies, and the time for each step.

use super::answer::{Answer, Failure};
use super::bert;
use super::control::{self, Serving};
use super::offer::Offer;
use super::overview::form_credentials;
use super::place::Place;
use super::prometheus;
use super::request::{Caller, Request};
use super::rights::{Credentials, Peer, authenticate, check, local_administrator};
use super::route::{Needs, Route, Verb};
use super::routes;
use crate::auth::Authenticator;
use crate::broker::access::Identity;
use crate::clock::Now;
use crate::engine::Broker;
use crate::limits::{HTTP_BODIES_BYTES, HTTP_BODY_BYTES, HTTP_CONNECTIONS, HTTP_HANDLERS, TOOL_BODY_BYTES};
use crate::name::Name;
use crate::span::Begun;
use axum::Router;
use axum::body::Body;
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// What the API is served with.
#[derive(Clone)]
pub struct Service {
    broker: Arc<Broker>,
    auth: Arc<Authenticator>,
    place: Arc<Place>,
    pub(super) sockets: Arc<Semaphore>,
    handlers: Arc<Semaphore>,
    /// Of bodies in memory, a permit a KiB.
    bodies: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// For a broker on a node.
    pub fn new(broker: Arc<Broker>, auth: Arc<Authenticator>, place: Arc<Place>, stop: CancellationToken) -> Service {
        let permits = |count: usize| Arc::new(Semaphore::new(count));
        let (sockets, handlers) = (permits(HTTP_CONNECTIONS), permits(HTTP_HANDLERS));
        Service { broker, auth, place, sockets, handlers, bodies: permits(HTTP_BODIES_BYTES / 1024), stop }
    }

    /// The same until something else says that it ends.
    #[must_use]
    pub fn until(&self, stop: CancellationToken) -> Service {
        Service { stop, ..self.clone() }
    }

    /// The same with places of its own.
    #[must_use]
    pub fn separate(&self) -> Service {
        let permits = |count: usize| Arc::new(Semaphore::new(count));
        Service { sockets: permits(HTTP_CONNECTIONS), handlers: permits(HTTP_HANDLERS), ..self.clone() }
    }
}

/// The API, below `/api`, and the figures beside it; all of it below the prefix that is set.
pub fn api(service: &Service) -> Router {
    let prefix = &service.place.offer.path_prefix;
    let router = router(service, &format!("{prefix}/api"), routes(), false);
    let router = router.merge(self::router(service, prefix, prometheus::ROUTES.iter(), false));
    with_cors(with_fallbacks(router), service)
}

/// The API with what only this machine's tools may ask.
pub fn tools(service: &Service) -> Router {
    let place = Arc::new(Place { offer: Offer::default(), ..(*service.place).clone() });
    let service = &Service { place, ..service.clone() };
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
    let mut paths: HashMap<&'static str, (Vec<Verb>, MethodRouter)> = HashMap::new();
    let prefix: Arc<str> = prefix.into();
    for route in routes {
        let filter = match route.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Put => MethodFilter::PUT,
            Verb::Post => MethodFilter::POST,
            Verb::Delete => MethodFilter::DELETE,
        };
        let (service, prefix) = (service.clone(), prefix.clone());
        let handler = move |params: Result<RawPathParams, RawPathParamsRejection>, request: axum::extract::Request| {
            let (service, prefix) = (service.clone(), prefix.clone());
            let needs = if open { Needs::Nothing } else { route.needs };
            async move {
                let span = begin_span(&service, (route, &prefix), &params, request.headers());
                let answer = attend(&service, (route, needs), params, request).await.unwrap_or_else(Failure::answer);
                end_span(&service, span, &answer);
                respond(answer)
            }
        };
        let (mut verbs, methods) = paths.remove(route.path).unwrap_or_default();
        verbs.push(route.verb);
        paths.insert(route.path, (verbs, methods.merge(on(filter, handler))));
    }
    let mut router = Router::new();
    for (path, (verbs, methods)) in paths {
        let place = service.place.clone();
        let options = move |headers: HeaderMap| async move { respond(place.cors.options(&verbs, &headers)) };
        router = router.route(&format!("{prefix}{path}"), methods.options(options));
    }
    router
}

/// The same, with what browsers ask for who show pages of other sites.
fn with_cors(router: Router, service: &Service) -> Router {
    if service.place.cors.origins.is_empty() {
        return router;
    }
    let place = service.place.clone();
    router.layer(axum::middleware::from_fn(move |request: axum::extract::Request, next: Next| {
        let place = place.clone();
        async move {
            let headers = request.headers().clone();
            let mut response = next.run(request).await;
            place.cors.admit(&headers, response.headers_mut());
            response
        }
    }))
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
    let accepts = head.headers.get("accept").and_then(|accept| accept.to_str().ok());
    let in_bert = accepts.is_some_and(bert::is_preferred);
    // A tool may ask as somebody else: to see whether a password is right.
    let caller = if peer.is_tool && !head.headers.contains_key("authorization") {
        local_administrator()
    } else if needs == Needs::Nothing {
        nobody()
    } else {
        let credentials = credentials(&head.headers).ok_or_else(Failure::not_authenticated)?;
        check_basic(service, credentials.is_token())?;
        authenticate(&service.broker, &service.auth, credentials, &peer).await?
    };
    let named = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (broker, vhost, user) = (service.broker.clone(), named("vhost"), named("user"));
    let judged = move || check(&broker, &caller, needs, (vhost.as_deref(), user.as_deref())).map(|()| caller);
    // Somebody else may have to be asked what a user may do.
    let mut caller = blocking(service, judged).await?;
    let most = if peer.is_tool { TOOL_BODY_BYTES } else { HTTP_BODY_BYTES };
    let bytes = length(&head.headers, most)?;
    // A permit a KiB, held as long as the body is in memory; a body that is larger than all of them takes them all.
    let permits = u32::try_from(bytes.min(HTTP_BODIES_BYTES).div_ceil(1024)).unwrap_or(u32::MAX);
    let _room = service.bodies.acquire_many(permits).await.map_err(|_| Failure::unavailable("the node is stopping"))?;
    let limit = if bytes == 0 { 0 } else { most };
    let reading = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await;
    let body = reading.map_err(|_| Failure::too_slow())?.map_err(|_| Failure::too_large())?.to_vec();
    if route.path == "/login" {
        check_basic(service, false)?;
        caller = authenticate(&service.broker, &service.auth, form_credentials(&body)?, &peer).await?;
    }
    let (broker, place, auth) = (service.broker.clone(), service.place.clone(), service.auth.clone());
    let request = Request { broker, auth, place, caller, params, query, headers, body };
    let handled = move || (route.handler)(&request).map(|answer| if in_bert { answer.in_bert() } else { answer });
    let answer = blocking(service, handled).await?;
    if let Some(epoch) = answer.after {
        let durable = tokio::time::timeout(DISK_TIMEOUT, service.broker.durable(epoch)).await;
        durable.map_err(|_| Failure::unavailable("the disk is slow"))??;
    }
    Ok(answer)
}

/// The span of a request, if somebody is told of them.
fn begin_span(
    service: &Service,
    (route, prefix): (&Route, &str),
    params: &Result<RawPathParams, RawPathParamsRejection>,
    headers: &HeaderMap,
) -> Option<Box<Begun>> {
    let mut begun = service.place.spans.begin(route.verb.name(), true, Now::read())?;
    let path = format!("{prefix}{}", route.path);
    begun.name(format!("{} {path}", route.verb.name()));
    begun.know("http.request.method", route.verb.name());
    begun.know("http.route", path.as_str());
    let vhost = params.iter().flat_map(RawPathParams::iter).find(|(name, _)| *name == "vhost");
    if let Some((_, vhost)) = vhost {
        begun.know("vhost", vhost);
    }
    if let Some(parent) = headers.get("traceparent").and_then(|parent| parent.to_str().ok()) {
        begun.asked_by(parent);
    }
    Some(begun)
}

fn end_span(service: &Service, mut begun: Option<Box<Begun>>, answer: &Answer) {
    if let Some(begun) = &mut begun {
        begun.know("http.response.status_code", u64::from(answer.status));
        if answer.status >= 500 {
            begun.fail(String::from_utf8_lossy(&answer.body));
        }
    }
    service.place.spans.end(begun, Now::read());
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

/// Whether what somebody logs in by is taken.
fn check_basic(service: &Service, is_token: bool) -> Result<(), Failure> {
    let taken = is_token || service.place.offer.basic_auth;
    if taken { Ok(()) } else { Err(Failure::not_authorised("HTTP access denied: basic auth disabled")) }
}

fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    Credentials::parse(headers.get("authorization")?.to_str().ok()?)
}

/// Bytes that a body may take: as many as it says, or as many as may be if it does not say.
fn length(headers: &HeaderMap, most: usize) -> Result<usize, Failure> {
    if headers.contains_key("transfer-encoding") {
        return Ok(most);
    }
    let given = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match given.unwrap_or(0) {
        length if length > most => Err(Failure::too_large()),
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
