//! An outside service of a few lines, and what it is asked.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

/// A service that answers by the first of these parts that a question holds; it keeps what it was asked.
fn service(post: bool, answers: &'static [(&'static str, &'static str)]) -> (Arc<Service>, Arc<Mutex<Vec<String>>>) {
    service_that(post, false, answers)
}

fn service_that(
    post: bool,
    remember_logins: bool,
    answers: &'static [(&'static str, &'static str)],
) -> (Arc<Service>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length, mut header) = (String::new(), 0, String::new());
            stream.read_line(&mut line).unwrap();
            while stream.read_line(&mut header).unwrap() > 2 {
                if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                header.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let question = format!("{} {}", line.trim(), String::from_utf8(body).unwrap());
            let answer = answers.iter().find(|(part, _)| question.contains(part)).map_or("deny", |(_, answer)| answer);
            seen.lock().push(question);
            let (status, answer) = answer.split_once('|').unwrap_or(("200 OK", answer));
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.get_mut().write_all((head + answer).as_bytes()).unwrap();
        }
    });
    let settings = ServiceSettings {
        user_url: format!("{url}/user"),
        vhost_url: format!("{url}/vhost"),
        resource_url: format!("{url}/resource"),
        topic_url: format!("{url}/topic"),
        post,
        remember: Duration::from_secs(60),
        remember_logins,
    };
    (Arc::new(Service::new(settings, Outside::new(Duration::from_secs(10), None).unwrap())), asked)
}

fn tags(login: Result<Option<Vec<Name>>, String>) -> Option<Vec<String>> {
    login.unwrap().map(|tags| tags.iter().map(|tag| tag.as_str().to_owned()).collect())
}

#[test]
fn logins_by_get_and_post() {
    let answers = &[("username=plain", "allow"), ("username=boss", "allow administrator management"), ("odd", "maybe")];
    for post in [false, true] {
        let (service, asked) = service(post, answers);
        assert_eq!(tags(service.login("plain", Some("p&s w=rd#\u{e9}"))), Some(vec![]));
        let boss = vec!["administrator".to_owned(), "management".to_owned()];
        assert_eq!(tags(service.login("boss", None)), Some(boss));
        assert_eq!(tags(service.login("nobody", Some("x"))), None);
        assert!(service.login("odd", Some("secret")).is_err_and(|fault| !fault.contains("secret")));
        let asked = asked.lock();
        let first =
            if post { "POST /user HTTP/1.1 username=plain&password=" } else { "GET /user?username=plain&password=" };
        assert!(asked[0].starts_with(first), "{}", asked[0]);
        for part in ["p%26s", "w%3Drd%23%C3%A9"] {
            assert!(asked[0].contains(part), "{}", asked[0]);
        }
        assert!(!asked[1].contains("password"), "{}", asked[1]);
    }
}

#[test]
fn allowed_logins_are_asked_once_where_the_settings_say_so() {
    let answers = &[("username=app&password=right", "allow management")];
    for (remembers, wanted) in [(true, 1), (false, 3)] {
        let (service, asked) = service_that(true, remembers, answers);
        for _ in 0..3 {
            assert_eq!(tags(service.login("app", Some("right"))), Some(vec!["management".to_owned()]));
        }
        // What is refused is asked each time, and so is who needs no password.
        for password in [Some("wrong"), Some("wrong"), None, None] {
            assert_eq!(tags(service.login("app", password)), None);
        }
        assert_eq!(tags(service.login("apprigh", Some("t"))), None, "another name, another password");
        let count = |part: &str| asked.lock().iter().filter(|question| question.contains(part)).count();
        assert_eq!((count("password=right"), count("password=wrong")), (wanted, 2));
        assert!(!format!("{service:?}").contains("right"));
    }
}

#[test]
fn rights_are_asked_once_and_what_fails_is_denied_and_asked_again() {
    let answers = &[
        ("name=good", "allow"),
        ("name=broken", "500 Oops|allow"),
        ("routing_key=a.b", "allow"),
        ("vhost=v", "ALLOW\n"),
    ];
    let (service, asked) = service(false, answers);
    let (user, vhost) = (Name::new("u").unwrap(), Name::new("/").unwrap());
    let says = Asked { service, user, tags: vec![Name::new("t").unwrap()], host: "::1".into() };
    assert!(says.enters(&Name::new("v").unwrap()) && !says.enters(&vhost));
    for _ in 0..3 {
        assert!(says.permits(&vhost, Access::Configure, ResourceKind::Queue, "good"));
        assert!(!says.permits(&vhost, Access::Configure, ResourceKind::Queue, "bad"));
        assert!(!says.permits(&vhost, Access::Read, ResourceKind::Exchange, "broken"));
    }
    assert!(
        says.permits_topic(&vhost, Access::Write, "x", "a.b") && !says.permits_topic(&vhost, Access::Write, "x", "b")
    );
    let asked = asked.lock();
    let count = |part: &str| asked.iter().filter(|question| question.contains(part)).count();
    assert_eq!((count("name=good"), count("name=bad"), count("name=broken")), (1, 1, 3));
    let wanted = "GET /resource?username=u&vhost=%2F&resource=queue&name=good&permission=configure&tags=t HTTP/1.1";
    assert!(asked.iter().any(|question| question.starts_with(wanted)), "{asked:?}");
    let wanted = "GET /topic?username=u&vhost=%2F&resource=topic&name=x&permission=write&tags=t&routing_key=a.b";
    assert!(asked.iter().any(|question| question.starts_with(wanted)), "{asked:?}");
    assert!(asked[0].starts_with("GET /vhost?username=u&vhost=v&ip=%3A%3A1&tags=t"), "{}", asked[0]);
}
