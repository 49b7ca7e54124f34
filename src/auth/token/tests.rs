//! Tokens, good ones and all the others.

use super::*;
use crate::broker::access::Access;
use crate::broker::refusal::ResourceKind;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const NOW_MS: u64 = 1_700_000_000_000;

fn write_keys(path: &Path, keys: &[(&str, &KeyPair)]) {
    let jwk = |(name, key): &(&str, &KeyPair)| {
        let point = key.der_bytes();
        let part = |range| URL_SAFE_NO_PAD.encode(point.get::<std::ops::Range<usize>>(range).unwrap());
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": name, "x": part(1..33), "y": part(33..65)})
    };
    let keys: Vec<Value> = keys.iter().map(jwk).collect();
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

fn sign(key: &KeyPair, name: &str, claims: &Value) -> Vec<u8> {
    let header = Header { kid: Some(name.into()), ..Header::new(Algorithm::ES256) };
    encode(&header, claims, &EncodingKey::from_ec_der(&key.serialize_der())).unwrap().into_bytes()
}

fn tokens(path: &Path) -> Tokens {
    let settings = TokenSettings {
        keys: KeyPlace::File(path.to_owned()),
        resource_server: "rabbitmq".into(),
        verify_audience: true,
        issuer: None,
        scope_prefix: "rabbitmq.".into(),
        more_scopes: vec!["roles".into(), "realm_access.roles".into(), "https://a.b/x".into()],
        scope_aliases: vec![
            ("admin".into(), vec!["rabbitmq.tag:administrator".into(), "rabbitmq.write:*/*".into()]),
            ("loop".into(), vec!["admin".into(), "tag:monitoring".into()]),
        ],
        user_claims: vec!["user_name".into(), "sub".into()],
    };
    Tokens::new(settings, Outside::new(Duration::from_secs(1), None).unwrap())
}

fn claims() -> Value {
    json!({"sub": "app", "aud": ["other", "rabbitmq"], "exp": 1_700_000_060, "iss": "https://issuer",
        "scope": "rabbitmq.read:*/q rabbitmq.tag:management openid"})
}

/// The claims with this one changed, or taken away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let map = claims.as_object_mut().unwrap();
    if value.is_null() {
        map.remove(name)
    } else {
        map.insert(name.into(), value)
    };
    claims
}

#[test]
fn a_good_token_names_its_user_rights_and_end() {
    let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
    let path = dir.path().join("keys.json");
    write_keys(&path, &[("one", &key)]);
    let tokens = tokens(&path);
    let check = |claims: &Value| tokens.check(&sign(&key, "one", claims), NOW_MS);
    let identity = check(&claims()).unwrap();
    assert_eq!((identity.user.as_str(), identity.expires_ms), ("app", Some(1_700_000_060_000)));
    assert!(identity.has_tag("management") && identity.tags.len() == 1);
    let (authority, vhost) = (identity.authority.unwrap(), Name::new("/").unwrap());
    assert!(authority.permits(&vhost, Access::Read, ResourceKind::Queue, "q") && authority.is_renewed());
    assert!(!authority.permits(&vhost, Access::Write, ResourceKind::Queue, "q"));
    assert_eq!(check(&with("user_name", json!("first"))).unwrap().user.as_str(), "first");
    assert_eq!(check(&with("exp", json!(1_700_000_000.5))).unwrap().expires_ms, Some(NOW_MS + 500));
    assert_eq!(check(&with("exp", Value::Null)).unwrap().expires_ms, None);
    for aud in [json!("rabbitmq"), json!("a rabbitmq b")] {
        assert!(check(&with("aud", aud)).is_ok());
    }
    assert!(check(&with("scope", json!(["rabbitmq.write:*/*"]))).unwrap().authority.unwrap().enters(&vhost));
    assert!(!check(&with("scope", Value::Null)).unwrap().authority.unwrap().enters(&vhost));
}

#[test]
fn others_are_not_taken_and_the_log_says_why() {
    let (dir, key, other) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let path = dir.path().join("keys.json");
    write_keys(&path, &[("one", &key)]);
    let tokens = tokens(&path);
    for (name, value, reason) in [
        ("exp", json!(1_700_000_000), "is over"),
        ("exp", json!(1_699_999_999.999), "is over"),
        ("exp", json!("1700000060"), "is no time"),
        ("exp", json!(-1), "is no time"),
        ("nbf", json!(1_700_000_100), "is not good yet"),
        ("aud", json!("rabbit"), "not for this service"),
        ("aud", Value::Null, "not for this service"),
        ("sub", Value::Null, "names no user"),
        ("sub", json!(""), "names no user"),
        ("sub", json!("x".repeat(256)), "names no user"),
    ] {
        let told = tokens.check(&sign(&key, "one", &with(name, value.clone())), NOW_MS).unwrap_err();
        assert!(told.contains(reason), "{name} {value}: {told}");
    }
    assert!(tokens.check(&sign(&other, "one", &claims()), NOW_MS).unwrap_err().contains("not good"));
    assert!(tokens.check(&sign(&key, "two", &claims()), NOW_MS).unwrap_err().contains("key is not known"));
    // Signed by what everybody knows, or by nobody.
    let public = EncodingKey::from_secret(key.der_bytes());
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let forged = encode(&header, &claims(), &public).unwrap();
    assert!(tokens.check(forged.as_bytes(), NOW_MS).unwrap_err().contains("HS256"));
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(json!({"alg": "none", "kid": "one"})), part(claims()));
    for text in [none.as_bytes(), b"", b"a.b.c", b"\xff", &vec![b'a'; TOKEN_BYTES + 1]] {
        assert!(tokens.check(text, NOW_MS).is_err());
    }
    let only = TokenSettings { issuer: Some("https://another".into()), ..tokens.settings.clone() };
    let tokens = Tokens::new(only, Outside::new(Duration::from_secs(1), None).unwrap());
    assert!(tokens.check(&sign(&key, "one", &claims()), NOW_MS).unwrap_err().contains("another issuer"));
}

#[test]
fn keys_that_cannot_be_read_are_none() {
    let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
    let path = dir.path().join("keys.json");
    let check = || tokens(&path).check(&sign(&key, "one", &claims()), NOW_MS);
    assert!(check().is_err());
    std::fs::write(&path, " ".repeat(300_000)).unwrap();
    assert!(check().is_err());
    std::fs::write(&path, "{}").unwrap();
    assert!(check().is_err());
    write_keys(&path, &[("one", &key)]);
    assert!(check().is_ok());
}

#[test]
fn other_claims_have_scopes_too_and_some_stand_for_others() {
    let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
    let path = dir.path().join("keys.json");
    write_keys(&path, &[("one", &key)]);
    let tokens = tokens(&path);
    let tags = |name: &str, value: Value| {
        let mut claims = claims();
        claims["scope"] = json!("openid");
        claims[name] = value;
        let identity = tokens.check(&sign(&key, "one", &claims), NOW_MS).unwrap();
        identity.tags.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(tags("scope", json!("admin")), ["administrator"]);
    assert_eq!(tags("roles", json!(["rabbitmq.tag:monitoring", "admin"])), ["monitoring", "administrator"]);
    assert_eq!(tags("realm_access", json!({"roles": ["admin"]})), ["administrator"]);
    assert_eq!(tags("https://a.b/x", json!("admin")), ["administrator"]);
    assert_eq!(tags("other", json!("admin")), [""; 0]);
    assert_eq!(tags("realm_access", json!("admin")), [""; 0]);
    // An alias stands for scopes, not for aliases, and these need the prefix as any other.
    assert_eq!(tags("scope", json!("loop")), [""; 0]);
}
