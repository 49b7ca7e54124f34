//! Pages of other sites that use the API from a browser.

use crate::api::{Node, guest};

#[test]
fn pages_of_other_sites() {
    let origins = ("WARREN_MANAGEMENT_CORS_ORIGINS", "https://a.example");
    let node = Node::start(&[origins, ("WARREN_MANAGEMENT_CORS_MAX_AGE", "60s")]);
    let asks = [("origin", "https://a.example"), ("access-control-request-headers", "authorization")];
    let path = "/api/queues/%2F/cors-q";
    let told = node.nobody().call("OPTIONS", path, None, &asks);
    assert_eq!(told.status, 200, "{told:?}");
    let header = |name: &str| told.header(name).unwrap_or_default();
    assert_eq!(header("access-control-allow-origin"), "https://a.example");
    assert_eq!(header("access-control-allow-methods"), "OPTIONS, GET, PUT, DELETE, HEAD");
    assert_eq!(header("allow"), "OPTIONS, GET, PUT, DELETE, HEAD");
    assert_eq!(header("access-control-allow-headers"), "authorization");
    assert_eq!(header("access-control-max-age"), "60");
    assert_eq!(header("access-control-allow-credentials"), "true");
    let answer = node.as_guest().call("GET", "/api/whoami", None, &asks[..1]);
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("https://a.example"));
    let refused = node.nobody().call("GET", "/api/whoami", None, &asks[..1]);
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin").is_some()),
        (401, true),
        "a page sees why"
    );
    let other = node.as_guest().call("GET", "/api/whoami", None, &[("origin", "https://b.example")]);
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));
}

#[test]
fn without_the_setting_no_page_may() {
    let told = guest().call("OPTIONS", "/api/whoami", None, &[("origin", "https://a.example")]);
    assert_eq!((told.status, told.header("allow").as_deref()), (200, Some("OPTIONS, GET, HEAD")));
    assert_eq!(told.header("access-control-allow-origin"), None);
}
