//! What settings ask of each other.

use super::error::ConfigError;
use super::sources::Given;
use super::{ClientCertificates, Config};

/// Whether this build sends logs and traces.
const HAS_OTLP: bool = cfg!(feature = "otlp");

/// # Errors
/// The first setting that is wrong beside the others, where it was given.
pub(super) fn check(config: &Config, given: &Given) -> Result<(), ConfigError> {
    let needs = |key: &'static str, other: &str| Err(ConfigError::needs(given.origin(key), key, other));
    let Config { listener, tls, management, auth, auth_oauth2, otlp, .. } = config;
    let has_certificate = tls.certificate.is_some() && tls.key.is_some();
    if listener.address.is_empty() && listener.tls_address.is_empty() {
        return needs("listener.address", "an address, here or in listener.tls_address");
    }
    if !listener.tls_address.is_empty() && !has_certificate {
        return needs("listener.tls_address", "tls.certificate and tls.key");
    }
    if management.tls_certificate.is_some() != management.tls_key.is_some() {
        return match management.tls_key {
            None => needs("management.tls_certificate", "management.tls_key"),
            Some(_) => needs("management.tls_key", "management.tls_certificate"),
        };
    }
    if !management.tls_address.is_empty() && !has_certificate && management.tls_certificate.is_none() {
        return needs("management.tls_address", "management.tls_certificate and tls_key, or tls.certificate and key");
    }
    if has_certificate && tls.clients != ClientCertificates::Ignored && tls.authorities.is_none() {
        return needs("tls.clients", "tls.authorities");
    }
    let authorities = management.tls_authorities.as_ref().or(tls.authorities.as_ref());
    if !management.tls_address.is_empty()
        && management.tls_clients != ClientCertificates::Ignored
        && authorities.is_none()
    {
        return needs("management.tls_clients", "management.tls_authorities, or tls.authorities");
    }
    let issuer_is_url = ["https://", "http://"].iter().any(|scheme| auth_oauth2.issuer.starts_with(scheme));
    if auth.backends.contains(&"oauth2") && auth_oauth2.keys.is_empty() && !issuer_is_url {
        let place = "auth_oauth2.keys (RabbitMQ's auth_oauth2.jwks_uri), or a URL in auth_oauth2.issuer, for oauth2";
        return needs("auth.backends", place);
    }
    let endpoints = [("otlp.logs_endpoint", &otlp.logs_endpoint), ("otlp.traces_endpoint", &otlp.traces_endpoint)];
    match endpoints.iter().find(|(_, endpoint)| !HAS_OTLP && !endpoint.is_empty()) {
        Some((key, _)) => needs(key, "a build with the cargo feature otlp"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, String> {
        let environment = variables.iter().map(|(name, value)| (format!("WARREN_{name}"), value.to_string())).collect();
        Config::load(&Sources { environment, ..Sources::default() }).map_err(|error| error.to_string())
    }

    const CERTIFICATE: [(&str, &str); 2] = [("TLS_CERTIFICATE", "c.pem"), ("TLS_KEY", "k.pem")];

    #[test]
    fn a_setting_that_needs_another_is_told_where_it_was_given() {
        let wrong = |variables: &[(&str, &str)]| load(variables).unwrap_err();
        let address = "127.0.0.1:1";
        assert_eq!(
            wrong(&[("LISTENER_TLS_ADDRESS", address)]),
            "WARREN_LISTENER_TLS_ADDRESS: needs tls.certificate and tls.key"
        );
        assert_eq!(
            wrong(&[("LISTENER_ADDRESS", "")]),
            "WARREN_LISTENER_ADDRESS: needs an address, here or in listener.tls_address"
        );
        assert!(wrong(&[("MANAGEMENT_TLS_ADDRESS", address)]).contains("needs management.tls_certificate and tls_key"));
        assert!(wrong(&[("MANAGEMENT_TLS_KEY", "k")]).ends_with("TLS_KEY: needs management.tls_certificate"));
        assert!(wrong(&[("MANAGEMENT_TLS_CERTIFICATE", "c")]).ends_with("needs management.tls_key"));
        assert!(wrong(&[("AUTH_BACKENDS", "oauth2")]).starts_with("WARREN_AUTH_BACKENDS: needs auth_oauth2.keys"));
        let [certificate, key] = CERTIFICATE;
        assert_eq!(wrong(&[certificate, key, ("TLS_CLIENTS", "verify")]), "WARREN_TLS_CLIENTS: needs tls.authorities");
        let served = ("MANAGEMENT_TLS_ADDRESS", address);
        let told = wrong(&[certificate, key, served, ("MANAGEMENT_TLS_CLIENTS", "require")]);
        assert_eq!(told, "WARREN_MANAGEMENT_TLS_CLIENTS: needs management.tls_authorities, or tls.authorities");
        let otlp = load(&[("OTLP_TRACES_ENDPOINT", "http://localhost:4318/v1/traces")]);
        assert_eq!(otlp.is_ok(), HAS_OTLP, "{otlp:?}");
    }

    #[test]
    fn what_goes_together_is_taken() {
        let [certificate, key] = CERTIFICATE;
        assert!(load(&[certificate, key, ("LISTENER_TLS_ADDRESS", "127.0.0.1:1"), ("LISTENER_ADDRESS", "")]).is_ok());
        assert!(load(&[certificate, key, ("MANAGEMENT_TLS_ADDRESS", "127.0.0.1:1")]).is_ok());
        let own = [("MANAGEMENT_TLS_CERTIFICATE", "c"), ("MANAGEMENT_TLS_KEY", "k")];
        assert!(load(&[own[0], own[1], ("MANAGEMENT_TLS_ADDRESS", "127.0.0.1:1")]).is_ok());
        assert!(load(&[("AUTH_BACKENDS", "oauth2"), ("AUTH_OAUTH2_KEYS", "/keys.json")]).is_ok());
        assert!(load(&[("AUTH_BACKENDS", "oauth2"), ("AUTH_OAUTH2_ISSUER", "https://a/realm")]).is_ok());
        assert!(load(&[("AUTH_BACKENDS", "oauth2"), ("AUTH_OAUTH2_ISSUER", "a")]).is_err());
    }
}
