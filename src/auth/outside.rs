//! Requests to other servers, made so that a slow, greedy or wrong one costs little: one time for all of it, small answers, no
//! redirects, certificates verified.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Where systems keep the certificates of public authorities.
const SYSTEM_AUTHORITIES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Makes requests.
#[derive(Clone)]
pub struct Outside(Agent);

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outside")
    }
}

impl Outside {
    /// Requests that may take `timeout`. `authorities`: who signs the servers' certificates, PEM; None: whom the system
    /// trusts.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn new(timeout: Duration, authorities: Option<&Path>) -> std::io::Result<Outside> {
        let found = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
        let roots = match authorities.or(found) {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path)
                    .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                let items = parse_pem(&pem).filter_map(Result::ok);
                items
                    .filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None })
                    .collect()
            }
        };
        if let Some(path) = authorities.filter(|_| roots.is_empty()) {
            return Err(std::io::Error::other(format!("{}: no certificate (PEM) in it", path.display())));
        }
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("warren")
            .tls_config(tls)
            .build();
        Ok(Outside(Agent::new_with_config(config)))
    }

    /// What makes the requests, for who asks in other ways.
    pub fn agent(&self) -> &Agent {
        &self.0
    }

    /// The answer to GET, of at most `most` bytes; anything but 200 and 201 is an error.
    ///
    /// # Errors
    /// There is no such answer. The text does not name the parameters.
    pub fn get(&self, url: &str, parameters: &[(&str, &str)], most: u64) -> Result<String, String> {
        let request = parameters.iter().fold(self.0.get(url), |request, (name, value)| request.query(*name, *value));
        answer(url, request.call(), most)
    }

    /// The same to POST, with the parameters as a form.
    ///
    /// # Errors
    /// The same.
    pub fn post(&self, url: &str, parameters: &[(&str, &str)], most: u64) -> Result<String, String> {
        answer(url, self.0.post(url).send_form(parameters.iter().copied()), most)
    }
}

fn answer(
    url: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    most: u64,
) -> Result<String, String> {
    let mut response = response.map_err(|fault| format!("{url}: {}", without_parameters(&fault)))?;
    let status = response.status().as_u16();
    if status != 200 && status != 201 {
        return Err(format!("{url}: status {status}"));
    }
    response.body_mut().with_config().limit(most).read_to_string().map_err(|fault| format!("{url}: {fault}"))
}

/// What went wrong; some errors hold the whole address, with a password in it.
fn without_parameters(fault: &ureq::Error) -> String {
    match fault {
        ureq::Error::BadUri(_) => "no address of a server".to_owned(),
        fault => fault.to_string(),
    }
}
