//! What a token's scopes allow, as RabbitMQ's OAuth 2 plugin reads them: `read:VHOST/NAME`, `write:VHOST/NAME/ROUTING-KEY`,
//! `tag:administrator`. Parts are percent-encoded; `*` stands for anything.

use crate::broker::access::{Access, Authority};
use crate::broker::refusal::ResourceKind;
use crate::name::Name;

/// Scopes of one token that are looked at; more are passed over.
const SCOPES_MAX: usize = 1024;

/// What the scopes of a token allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scopes {
    grants: Vec<Scope>,
    pub tags: Vec<Name>,
}

#[derive(Debug, PartialEq, Eq)]
struct Scope {
    access: Access,
    vhost: Vec<u8>,
    name: Vec<u8>,
    key: Vec<u8>,
}

impl Scopes {
    /// Reads those that begin with `prefix`; others are somebody else's.
    pub fn read<'a>(scopes: impl Iterator<Item = &'a str>, prefix: &str) -> Scopes {
        let mut found = Scopes::default();
        for scope in scopes.filter_map(|scope| scope.strip_prefix(prefix)).take(SCOPES_MAX) {
            if let Some(tag) = scope.strip_prefix("tag:") {
                found.tags.extend(Name::new(tag));
            } else if let Some(scope) = Scope::read(scope) {
                found.grants.push(scope);
            }
        }
        found
    }
}

impl Scope {
    fn read(text: &str) -> Option<Scope> {
        let (access, rest) = text.split_once(':')?;
        let access = match access {
            "read" => Access::Read,
            "write" => Access::Write,
            "configure" => Access::Configure,
            _ => return None,
        };
        let mut parts = rest.split('/').map(decoded);
        let (vhost, name) = (parts.next()?, parts.next()?);
        let key = parts.next().unwrap_or_else(|| b"*".to_vec());
        parts.next().is_none().then_some(Scope { access, vhost, name, key })
    }
}

impl Authority for Scopes {
    fn enters(&self, vhost: &Name) -> bool {
        self.grants.iter().any(|scope| matches(&scope.vhost, vhost.as_str()))
    }

    fn permits(&self, vhost: &Name, access: Access, _kind: ResourceKind, name: &str) -> bool {
        self.grants
            .iter()
            .any(|scope| scope.access == access && matches(&scope.vhost, vhost.as_str()) && matches(&scope.name, name))
    }

    fn permits_topic(&self, vhost: &Name, access: Access, exchange: &str, key: &str) -> bool {
        self.grants.iter().any(|scope| {
            scope.access == access
                && matches(&scope.vhost, vhost.as_str())
                && matches(&scope.name, exchange)
                && matches(&scope.key, key)
        })
    }

    fn is_renewed(&self) -> bool {
        true
    }
}

/// Percent-encoding undone; what is none stays.
fn decoded(text: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), text.as_bytes());
    while let Some((first, rest)) = bytes.split_first() {
        let code = rest.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                bytes = rest.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    out
}

/// Whether a text matches a pattern in which `*` stands for anything. Its time is bounded by the product of both lengths.
fn matches(pattern: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    let (mut at, mut place) = (0, 0);
    // Where to go on if it does not fit: behind the last star, one byte later than the last time.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(at), text.get(place)) {
            (Some(b'*'), _) => {
                at += 1;
                retry = Some((at, place));
            }
            (Some(wanted), Some(byte)) if wanted == byte => (at, place) = (at + 1, place + 1),
            (None, None) => return true,
            _ => match retry {
                Some((star, from)) if from < text.len() => {
                    (at, place) = (star, from + 1);
                    retry = Some((star, from + 1));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::read(text.split(' '), "rabbitmq.")
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*b*", "abc", true),
            ("**", "x", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn resources_and_virtual_hosts() {
        let scopes =
            scopes("rabbitmq.read:v1/q-* rabbitmq.write:*/x rabbitmq.configure:%2F/%2A other.read:*/* rabbitmq.bad");
        let permits =
            |vhost: &str, access, resource: &str| scopes.permits(&name(vhost), access, ResourceKind::Queue, resource);
        assert!(permits("v1", Access::Read, "q-7") && !permits("v1", Access::Read, "p"));
        assert!(!permits("v2", Access::Read, "q-7") && !permits("v1", Access::Configure, "q-7"));
        assert!(permits("v1", Access::Write, "x") && permits("anything", Access::Write, "x"));
        // An encoded star is a star, as in RabbitMQ.
        assert!(permits("/", Access::Configure, "whatever") && !permits("v1", Access::Configure, "whatever"));
        assert!(scopes.enters(&name("v1")) && scopes.enters(&name("any")));
        assert!(!Scopes::read(["read:v1/*"].into_iter(), "").enters(&name("v2")));
        assert!(!Scopes::default().enters(&name("/")));
    }

    #[test]
    fn topics_and_tags() {
        let scopes = scopes("rabbitmq.write:*/x/a.* rabbitmq.tag:monitoring rabbitmq.tag:management rabbitmq.read:*/y");
        let may = |access, exchange: &str, key: &str| scopes.permits_topic(&name("/"), access, exchange, key);
        assert!(may(Access::Write, "x", "a.b") && !may(Access::Write, "x", "b") && !may(Access::Read, "x", "a.b"));
        assert!(may(Access::Read, "y", "anything"));
        let tags: Vec<&str> = scopes.tags.iter().map(Name::as_str).collect();
        assert_eq!(tags, ["monitoring", "management"]);
    }

    #[test]
    fn what_is_no_scope_is_none() {
        for text in ["", "read", "read:", "read:v", "read:v/n/k/more", "reads:v/n", ":v/n"] {
            assert_eq!(Scope::read(text), None, "{text}");
        }
        assert_eq!(decoded("a%2Fb%zz%2"), b"a/b%zz%2");
    }
}
