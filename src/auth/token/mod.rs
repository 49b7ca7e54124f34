//! Logins by a token (JWT) in the password's place, as RabbitMQ's OAuth 2 plugin takes them.

mod keys;
mod scopes;
#[cfg(test)]
mod tests;

pub use keys::KeyPlace;

use super::outside::Outside;
use crate::broker::access::Identity;
use crate::name::Name;
use jsonwebtoken::jwk::{AlgorithmParameters, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use keys::Keys;
use scopes::Scopes;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Longest token that is looked at, in bytes: a login's frame has no more.
const TOKEN_BYTES: usize = 16 * 1024;
/// Scopes of one token that are looked at; more are passed over.
const SCOPES_MAX: usize = 1024;
/// How far the issuer's clock may be behind ours, in milliseconds.
const LEEWAY_MS: f64 = 1000.0;
/// Algorithms that need no secret of ours.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What tokens have to be like.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Where the keys are that tokens are signed with.
    pub keys: KeyPlace,
    /// The name of this service, which must be among a token's audience.
    pub resource_server: String,
    /// Whether the audience is looked at.
    pub verify_audience: bool,
    /// Who issues tokens; None: whoever has the keys.
    pub issuer: Option<String>,
    /// What scopes for this service begin with.
    pub scope_prefix: String,
    /// Claims that hold more scopes: members of members are named with dots between.
    pub more_scopes: Vec<String>,
    /// Scopes that stand for others: the scope, and what it stands for.
    pub scope_aliases: Vec<(String, Vec<String>)>,
    /// Claims that name the user, the first that is there.
    pub user_claims: Vec<String>,
}

/// Takes tokens.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    keys: Keys,
}

impl Tokens {
    /// Tokens of these settings; their keys are asked for through `outside`.
    pub fn new(settings: TokenSettings, outside: Outside) -> Tokens {
        let keys = Keys::new(settings.keys.clone(), outside);
        Tokens { settings, keys }
    }

    /// Whose token this is. May wait for the keys. The reason why it is not taken is for the log.
    ///
    /// # Errors
    /// It is none, it is not signed by a known key, it is not for us, or it is over.
    pub fn check(&self, token: &[u8], now_ms: u64) -> Result<Identity, String> {
        let claims = self.claims(token)?;
        let settings = &self.settings;
        let expires_ms = expiry(&claims, now_ms)?;
        if settings.verify_audience && !words(claims.get("aud")).any(|name| name == settings.resource_server) {
            return Err("the token is not for this service (aud)".to_owned());
        }
        let issuer = claims.get("iss").and_then(Value::as_str);
        if settings.issuer.as_deref().is_some_and(|wanted| issuer != Some(wanted)) {
            return Err("the token has another issuer (iss)".to_owned());
        }
        let more = settings.more_scopes.iter().flat_map(|path| words(member(&claims, path)));
        let given: Vec<&str> = words(claims.get("scope")).chain(more).take(SCOPES_MAX).collect();
        let meant = given.iter().flat_map(|given| {
            let alias = settings.scope_aliases.iter().find(|(alias, _)| alias == given);
            alias.into_iter().flat_map(|(_, meant)| meant.iter().map(String::as_str))
        });
        let scopes = Scopes::read(given.iter().copied().chain(meant), &settings.scope_prefix);
        let named = settings.user_claims.iter().find_map(|claim| claims.get(claim).and_then(Value::as_str));
        let user = named.filter(|name| !name.is_empty()).and_then(Name::new).ok_or("the token names no user")?;
        Ok(Identity { user, tags: scopes.tags.clone(), authority: Some(Arc::new(scopes)), expires_ms })
    }

    /// What a token says, if a known key has signed it.
    fn claims(&self, token: &[u8]) -> Result<Map<String, Value>, String> {
        if token.len() > TOKEN_BYTES {
            return Err("the token is too long".to_owned());
        }
        let header = decode_header(token).map_err(|fault| format!("no token: {fault}"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("tokens signed by {:?} are not taken", header.alg));
        }
        let key = self.keys.find(header.kid.as_deref()).ok_or("the token's key is not known")?;
        // A key says what it is for; the token does not choose.
        let fits = match key.common.key_algorithm {
            Some(KeyAlgorithm::RSA_OAEP | KeyAlgorithm::RSA_OAEP_256 | KeyAlgorithm::RSA1_5) => false,
            Some(algorithm) => algorithm.to_string() == format!("{:?}", header.alg),
            None => !matches!(key.algorithm, AlgorithmParameters::OctetKey(_)),
        };
        if !fits {
            return Err("the token's key is for something else".to_owned());
        }
        let key = DecodingKey::from_jwk(&key).map_err(|fault| format!("the token's key: {fault}"))?;
        let mut validation = Validation::new(header.alg);
        // All of these are looked at by ourselves: numbers may be fractions, and absent ones count as RabbitMQ has it.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        decode::<Map<String, Value>>(token, &key, &validation)
            .map(|token| token.claims)
            .map_err(|fault| format!("the token is not good: {fault}"))
    }
}

/// Until when a token is good; None: for ever, as in RabbitMQ where it does not say.
fn expiry(claims: &Map<String, Value>, now_ms: u64) -> Result<Option<u64>, String> {
    let moment = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            seconds.map(|seconds| Some(seconds * 1000.0)).ok_or_else(|| format!("{name} of the token is no time"))
        }
    };
    let now = now_ms as f64;
    if moment("nbf")?.is_some_and(|begins| begins > now + LEEWAY_MS) {
        return Err("the token is not good yet (nbf)".to_owned());
    }
    match moment("exp")? {
        Some(ends) if ends <= now => Err("the token is over (exp)".to_owned()),
        Some(ends) => Ok(Some(ends as u64)),
        None => Ok(None),
    }
}

/// A claim, or a member of one: `realm_access.roles`.
fn member<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    // A claim's own name may have dots: an address, as it is usual.
    claims.get(path).or_else(|| member(claims.get(first)?.as_object()?, rest?))
}

/// The words of a claim: a text with spaces, or a list of texts.
fn words(claim: Option<&Value>) -> Box<dyn Iterator<Item = &str> + '_> {
    match claim {
        Some(Value::String(text)) => Box::new(text.split_whitespace()),
        Some(Value::Array(items)) => Box::new(items.iter().filter_map(Value::as_str)),
        _ => Box::new(std::iter::empty()),
    }
}
