//! Logins by passwords that take long to compare, by an outside service, by tokens; and those who guess.

use crate::stage::*;
use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn options(user: &str, password: &str) -> Options {
    Options { user: user.into(), password: password.into(), ..Options::default() }
}

fn refused(addr: SocketAddr, user: &str, password: &str) {
    let told = format!("{:?}", Client::open(addr, &options(user, password)).map(drop).unwrap_err());
    assert!(told.contains("ACCESS_REFUSED"), "{told}");
}

fn update_secret(client: &mut Client, token: &str) -> Result<(), Error> {
    let update = connection::UpdateSecret { new_secret: token.into(), reason: "time".into() };
    client.call(0, AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(update)), |method| {
        matches!(method, AMQPClass::Connection(connection::AMQPMethod::UpdateSecretOk(_))).then_some(())
    })
}

#[test]
fn those_who_guess_are_slowed_and_those_who_know_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let addr = broker.addr;
    let mut before = open_at(addr);
    let guessing: Vec<_> = (0..40)
        .map(|_| {
            std::thread::spawn(move || {
                let patient = Options { timeout: Duration::from_secs(60), ..options("guest", "wrong") };
                drop(Client::open(addr, &patient));
            })
        })
        .collect();
    // Meanwhile others come and go.
    for _ in 0..20 {
        let mut client = open_at(addr);
        let name = queue_of(&mut client, &["m"]);
        assert_eq!(drain(&mut client, &name), ["m"]);
    }
    queue(&mut before);
    guessing.into_iter().for_each(|guess| guess.join().unwrap());
    assert!(broker.stderr().contains("invalid credentials") && !broker.stderr().contains("wrong"));
}

struct Issuer {
    key: KeyPair,
}

impl Issuer {
    /// A new one; its key set is in the file.
    fn new(path: &std::path::Path) -> Issuer {
        let key = KeyPair::generate().unwrap();
        let point = key.der_bytes();
        let part = |from: usize, to: usize| URL_SAFE_NO_PAD.encode(&point[from..to]);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": part(1, 33), "y": part(33, 65)});
        std::fs::write(path, json!({ "keys": [jwk] }).to_string()).unwrap();
        Issuer { key }
    }

    /// A token that is good for so many seconds.
    fn token(&self, seconds: f64, scope: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let claims: Value = json!({"sub": "app", "aud": "rabbitmq", "exp": now + seconds, "scope": scope});
        let header = Header { kid: Some("k".into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

const ALL: &str = "rabbitmq.configure:*/* rabbitmq.write:*/* rabbitmq.read:*/*";

#[test]
fn tokens_log_in_say_what_is_allowed_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let issuer = Issuer::new(&keys);
    let backends = "[auth]\nbackends = [\"internal\", \"oauth2\"]\n";
    let broker = broker_with(dir.path(), &format!("{backends}[auth_oauth2]\nkeys = {keys:?}\n"));
    // Users of the broker's own come first.
    let mut guest = open_at(broker.addr);
    guest.declare_queue(CH, "theirs", false).unwrap();
    let token = issuer.token(600.0, "rabbitmq.configure:%2F/mine* rabbitmq.write:%2F/mine* rabbitmq.read:%2F/mine*");
    let mut client = open_with(broker.addr, &options("whoever", &token));
    client.declare_queue(CH, "mine-1", false).unwrap();
    let closed = format!("{:?}", client.declare_queue(CH, "other", false).unwrap_err());
    assert!(closed.contains("configure access to queue 'other' in vhost '/' refused for user 'app'"), "{closed}");
    // The end of a login, and how it is put off.
    let mut short = open_with(broker.addr, &options("", &issuer.token(3.0, ALL)));
    let mut renewed = open_with(broker.addr, &options("", &issuer.token(3.0, ALL)));
    update_secret(&mut renewed, &issuer.token(600.0, ALL)).unwrap();
    let closed = format!("{:?}", short.recv());
    assert!(closed.contains("credential expired"), "{closed}");
    queue(&mut renewed);
    let refused_secret = format!("{:?}", update_secret(&mut renewed, "no token").unwrap_err());
    assert!(refused_secret.contains("New secret was refused by one of the backends"), "{refused_secret}");
    refused(broker.addr, "app", &issuer.token(-1.0, ALL));
    refused(broker.addr, "app", &Issuer::new(&dir.path().join("others.json")).token(600.0, ALL));
    let log = broker.stderr();
    assert!(log.contains("is over") && !log.contains(&token), "{log}");
}

/// A service that allows what holds one of these parts.
fn service(allows: &'static [&'static str]) -> String {
    changing_service(Arc::new(Mutex::new(allows)))
}

/// The same; what it allows may change.
fn changing_service(allows: Arc<Mutex<&'static [&'static str]>>) -> String {
    deciding_service(move |line| allows.lock().unwrap().iter().any(|part| line.contains(part)))
}

/// A service that tells of each question for a resource, and allows it when whoever holds the other end lets go.
fn waiting_service() -> (String, Receiver<()>, Sender<()>) {
    let ((asks, asked), (tells, told)) = (channel(), channel());
    let url = deciding_service(move |line| {
        if line.contains("/resource") {
            let _ = asks.send(());
            let _ = told.recv_timeout(Duration::from_secs(60));
        }
        true
    });
    (url, asked, tells)
}

fn deciding_service(allows: impl Fn(&str) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut header) = (String::new(), String::new());
            stream.read_line(&mut line).unwrap();
            while stream.read_line(&mut header).unwrap() > 2 {
                header.clear();
            }
            let answer = if allows(&line) { "allow" } else { "deny" };
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.get_mut().write_all((head + answer).as_bytes()).unwrap();
        }
    });
    url
}

/// The settings of a service at an address.
fn service_urls(url: &str) -> String {
    ["user", "vhost", "resource", "topic"].iter().map(|name| format!("{name}_url = \"{url}/{name}\"\n")).collect()
}

#[track_caller]
fn secret_refused(client: &mut Client, secret: &str, text: &str) {
    let act = |client: &mut Client| update_secret(client, secret);
    connection_refuses(client, act, (530, text), (10, 70));
}

const SECRET_REFUSED: &str = "NOT_ALLOWED - New secret was refused by one of the backends";

#[test]
fn a_new_secret_is_judged_by_who_let_the_client_in() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let issuer = Issuer::new(&keys);
    let urls = service_urls(&service(&["password=right", "/vhost", "/resource"]));
    let backends = "[auth]\nbackends = [\"internal\", \"http\", \"oauth2\"]\n";
    let config = format!("{backends}[auth_http]\n{urls}[auth_oauth2]\nkeys = {keys:?}\n");
    let broker = broker_with(dir.path(), &config);
    // Passwords do not expire: another one is no matter, whoever compared the first.
    for (user, password) in [("guest", "guest"), ("app", "right")] {
        let mut client = open_with(broker.addr, &options(user, password));
        update_secret(&mut client, "wrong").unwrap();
        queue(&mut client);
    }
    let login = || open_with(broker.addr, &options("", &issuer.token(600.0, ALL)));
    let mut client = login();
    update_secret(&mut client, &issuer.token(600.0, ALL)).unwrap();
    queue(&mut client);
    secret_refused(&mut client, &issuer.token(-1.0, ALL), SECRET_REFUSED);
    secret_refused(&mut login(), "no token", SECRET_REFUSED);
    // A password that another back end would take is no token.
    secret_refused(&mut login(), "right", SECRET_REFUSED);
    secret_refused(&mut login(), "guest", SECRET_REFUSED);
    let nowhere = issuer.token(600.0, "rabbitmq.read:other/*");
    secret_refused(&mut login(), &nowhere, "NOT_ALLOWED - access to vhost '/' refused for user 'app'");
}

#[test]
fn tokens_alone_and_a_new_secret() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    let issuer = Issuer::new(&keys);
    let broker = broker_with(dir.path(), &format!("[auth]\nbackends = [\"oauth2\"]\n[auth_oauth2]\nkeys = {keys:?}\n"));
    let mut client = open_with(broker.addr, &options("", &issuer.token(600.0, ALL)));
    let name = queue(&mut client);
    client.consume(CH, &name, "tag", false).unwrap();
    // A token that allows less ends what it does not allow.
    let less = issuer.token(600.0, "rabbitmq.configure:*/* rabbitmq.write:*/* rabbitmq.read:*/other");
    update_secret(&mut client, &less).unwrap();
    let cancel = basic::Cancel { consumer_tag: "tag".into(), nowait: true };
    assert_eq!(method_of(client.recv().unwrap()), AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    let text = format!("ACCESS_REFUSED - read access to queue '{name}' in vhost '/' refused for user 'app'");
    channel_refuses(&mut client, |client| client.get(CH, &name, true), (403, &text), BASIC_GET);
    secret_refused(&mut client, "guest", SECRET_REFUSED);
}

#[test]
fn a_service_is_asked_anew_for_a_new_secret() {
    let dir = tempfile::tempdir().unwrap();
    let allows: Arc<Mutex<&'static [&'static str]>> = Arc::new(Mutex::new(&["/user", "/vhost", "/resource"]));
    let urls = service_urls(&changing_service(allows.clone()));
    let config = format!("[auth]\nbackends = [\"http\"]\n[auth_http]\ncache_ttl = \"0s\"\n{urls}");
    let broker = broker_with(dir.path(), &config);
    let mut client = open_with(broker.addr, &options("app", "right"));
    let name = queue(&mut client);
    client.consume(CH, &name, "tag", true).unwrap();
    publish(&mut client, &name, "m");
    assert_eq!(client.delivery().unwrap().body, b"m");
    *allows.lock().unwrap() = &["/user", "/vhost", "permission=configure"];
    update_secret(&mut client, "whatever").unwrap();
    let cancel = basic::Cancel { consumer_tag: "tag".into(), nowait: true };
    assert_eq!(method_of(client.recv().unwrap()), AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    let text = "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'app'";
    let publish = |client: &mut Client| client.publish(CH, "", &name, &BasicProperties::default(), b"m");
    channel_refuses(&mut client, publish, (403, text), BASIC_PUBLISH);
    *allows.lock().unwrap() = &[];
    secret_refused(&mut client, "whatever", "NOT_ALLOWED - access to vhost '/' refused for user 'app'");
}

#[test]
fn an_outside_service_decides() {
    let dir = tempfile::tempdir().unwrap();
    let url = service(&["password=right", "/vhost?username=app&vhost=%2F", "name=q-", "name=amq.default"]);
    let urls = service_urls(&url);
    let broker = broker_with(dir.path(), &format!("[auth]\nbackends = [\"internal\", \"http\"]\n[auth_http]\n{urls}"));
    open_at(broker.addr);
    let mut client = open_with(broker.addr, &options("app", "right"));
    client.declare_queue(CH, "q-1", false).unwrap();
    publish(&mut client, "q-1", "m");
    assert_eq!(drain(&mut client, "q-1"), ["m"]);
    let closed = format!("{:?}", client.declare_queue(CH, "p", false).unwrap_err());
    assert!(closed.contains("configure access to queue 'p' in vhost '/' refused for user 'app'"), "{closed}");
    refused(broker.addr, "app", "wrong");
    let stranger = format!("{:?}", Client::open(broker.addr, &options("other", "right")).map(drop).unwrap_err());
    assert!(stranger.contains("access to vhost '/' refused for user 'other'"), "{stranger}");
    assert!(!broker.stderr().contains("right"));
}

#[test]
fn whose_rights_are_asked_of_a_service_keeps_nobody_else_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (url, asked, tells) = waiting_service();
    let urls = service_urls(&url);
    let config = format!(
        "[auth]\nbackends = [\"internal\", \"http\"]\n[auth_http]\ntimeout = \"60s\"\ncache_ttl = \"0s\"\n{urls}"
    );
    let broker = broker_with(dir.path(), &config);
    // Connections begin in the same lane.
    let mut other = open_at(broker.addr);
    let mut asks = open_with(broker.addr, &options("app", "right"));
    let name = queue(&mut other);
    let declares = std::thread::spawn(move || asks.declare_queue(CH, "q", false).map(drop));
    asked.recv_timeout(Duration::from_secs(60)).unwrap();
    // The service is asked, and has not answered.
    publish(&mut other, &name, "m");
    assert_eq!(drain(&mut other, &name), ["m"]);
    assert!(!declares.is_finished());
    drop(tells);
    declares.join().unwrap().unwrap();
}

#[test]
fn a_service_that_is_not_there_lets_nobody_in_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("user_url = \"http://127.0.0.1:{}/user\"\n", free_port());
    let config = format!("[auth]\nbackends = [\"http\", \"internal\"]\n[auth_http]\n{nowhere}");
    let broker = broker_with(dir.path(), &config);
    open_at(broker.addr);
    refused(broker.addr, "app", "secret-word");
    let log = broker.stderr();
    assert!(log.contains("logins: http://127.0.0.1") && !log.contains("secret-word"), "{log}");
}

#[test]
fn the_first_user_has_the_rights_that_the_settings_give() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[auth]\ndefault_configure = \"^own-\"\ndefault_tags = []\n");
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "own-1", false).unwrap();
    let closed = format!("{:?}", client.declare_queue(CH, "other", false).unwrap_err());
    assert!(closed.contains("configure access to queue 'other' in vhost '/' refused for user 'guest'"), "{closed}");
}
