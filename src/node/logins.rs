//! Who decides about logins, as the settings say.

use crate::auth::outside::Outside;
use crate::auth::service::{Service, ServiceSettings};
use crate::auth::token::{KeyPlace, TokenSettings, Tokens};
use crate::auth::{Anonymous, Authenticator, Backend, Mechanism};
use crate::broker::access::HashAlgorithm;
use crate::config::{AuthHttpConfig, AuthOauth2Config, Config, HttpMethod, PasswordHashing};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Time for a server of keys to answer.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);

/// The authenticator of the settings.
pub(super) fn authenticator(config: &Config) -> io::Result<Authenticator> {
    let auth = &config.auth;
    let password = || auth.anonymous_login_password.reveal().to_owned();
    let anonymous = auth.anonymous_login_user.clone().map(|user| Anonymous { user, password: password() });
    let mechanisms = auth.mechanisms.iter().filter_map(|name| Mechanism::parse(name)).collect();
    let backends = auth.backends.iter().map(|name| match *name {
        "http" => service(&config.auth_http, true),
        "http_login" => service(&config.auth_http, false),
        "oauth2" => tokens(&config.auth_oauth2),
        _ => Ok(Backend::Internal),
    });
    let authenticator = Authenticator::new(&auth.loopback_users)?.with_hashing(hashing(config))?;
    let authenticator = authenticator.with_anonymous(anonymous).with_mechanisms(mechanisms);
    Ok(authenticator.with_backends(backends.collect::<io::Result<_>>()?))
}

fn service(settings: &AuthHttpConfig, rights: bool) -> io::Result<Backend> {
    let outside = Outside::new(settings.timeout, settings.authorities.as_deref())?;
    let settings = ServiceSettings {
        user_url: settings.user_url.clone(),
        vhost_url: settings.vhost_url.clone(),
        resource_url: settings.resource_url.clone(),
        topic_url: settings.topic_url.clone(),
        post: settings.method == HttpMethod::Post,
        remember: settings.cache_ttl,
        remember_logins: settings.cache_logins,
    };
    Ok(Backend::Service { service: Arc::new(Service::new(settings, outside)), rights })
}

fn tokens(settings: &AuthOauth2Config) -> io::Result<Backend> {
    let outside = Outside::new(KEYS_TIMEOUT, settings.authorities.as_deref())?;
    let is_url = settings.keys.starts_with("http://") || settings.keys.starts_with("https://");
    let keys = match settings.keys.as_str() {
        "" if settings.issuer.is_empty() => {
            return Err(io::Error::other("auth.backends has oauth2, which needs auth_oauth2.keys"));
        }
        "" => KeyPlace::Issuer(settings.issuer.clone()),
        url if is_url => KeyPlace::Url(url.to_owned()),
        path => KeyPlace::File(path.into()),
    };
    let resource_server = settings.resource_server_id.clone();
    let settings = TokenSettings {
        keys,
        verify_audience: settings.verify_audience,
        issuer: Some(settings.issuer.clone()).filter(|issuer| !issuer.is_empty()),
        scope_prefix: match settings.scope_prefix.as_str() {
            "" => format!("{resource_server}."),
            prefix => prefix.to_owned(),
        },
        more_scopes: settings.more_scopes.iter().map(|claim| claim.as_str().to_owned()).collect(),
        scope_aliases: settings.scope_aliases.clone(),
        user_claims: settings.user_claims.iter().map(|claim| claim.as_str().to_owned()).collect(),
        resource_server,
    };
    Ok(Backend::Tokens(Arc::new(Tokens::new(settings, outside))))
}

/// How new passwords are hashed.
pub(super) fn hashing(config: &Config) -> HashAlgorithm {
    match config.auth.password_hashing {
        PasswordHashing::Argon2id => HashAlgorithm::Argon2id,
        PasswordHashing::Sha256 => HashAlgorithm::Sha256,
        PasswordHashing::Sha512 => HashAlgorithm::Sha512,
    }
}
