//! Pages of other sites that may use the API from a browser (`management.cors_origins`): what their browsers are told, and the
//! answer to OPTIONS, with which a browser asks before it sends anything. Nobody has to log in for that.

use super::answer::Answer;
use super::route::Verb;
use axum::http::{HeaderMap, HeaderValue};

/// Which pages may.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// Their origins; `*` is any.
    pub origins: Vec<String>,
    /// For how many seconds a browser may remember it.
    pub max_age: u64,
}

impl Cors {
    /// The page's origin, if it may.
    fn origin<'h>(&self, request: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = request.get("origin")?;
        let text = origin.to_str().ok().filter(|text| *text != "null")?;
        self.origins.iter().any(|allowed| allowed == "*" || allowed == text).then_some(origin)
    }

    /// Adds to an answer what the page's browser looks for.
    pub(super) fn admit(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let Some(origin) = self.origin(request) else { return };
        answer.insert("access-control-allow-origin", origin.clone());
        answer.insert("access-control-allow-credentials", HeaderValue::from_static("true"));
    }

    /// The answer to OPTIONS for an address that knows these methods.
    pub(super) fn options(&self, verbs: &[Verb], request: &HeaderMap) -> Answer {
        let mut names = vec!["OPTIONS"];
        names.extend(verbs.iter().map(|verb| verb.name()));
        if verbs.contains(&Verb::Get) {
            names.push("HEAD");
        }
        let names = names.join(", ");
        let mut answer = Answer::text("text/plain", String::new()).header("allow", names.clone());
        if self.origin(request).is_some() {
            answer = answer.header("access-control-allow-methods", names);
            answer = answer.header("access-control-max-age", self.max_age.to_string());
            let asked = request.get("access-control-request-headers").and_then(|asked| asked.to_str().ok());
            if let Some(asked) = asked {
                answer = answer.header("access-control-allow-headers", asked.to_owned());
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("origin", HeaderValue::from_static(origin));
        headers
    }

    #[test]
    fn pages_that_may_are_named() {
        let cors = Cors { origins: vec!["https://one.example".to_owned()], max_age: 60 };
        let told = |cors: &Cors, origin: &'static str| {
            let mut answer = HeaderMap::new();
            cors.admit(&page(origin), &mut answer);
            answer.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(told(&cors, "https://one.example").as_deref(), Some("https://one.example"));
        assert_eq!(told(&cors, "https://two.example"), None);
        let any = Cors { origins: vec!["*".to_owned()], max_age: 60 };
        assert_eq!(told(&any, "https://two.example").as_deref(), Some("https://two.example"));
        assert_eq!(told(&any, "null"), None);
        let mut nobody = HeaderMap::new();
        any.admit(&HeaderMap::new(), &mut nobody);
        assert!(nobody.is_empty());
    }
}
