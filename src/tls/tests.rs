//! Sessions against the same library's client, in memory, and certificates on disk.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ClientConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fs;
use std::path::Path;

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
struct Pair(String, String);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, names: &[&str], subject: &[(DnType, &str)]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        subject.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        let key = KeyPair::generate().unwrap();
        Pair(params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn settings(dir: &Path, authority: &Authority, clients: ClientCertificates) -> Settings {
    let Pair(certificate, key) = authority.sign(&["localhost"], &[(DnType::CommonName, "broker")]);
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name)
    };
    Settings {
        certificate: write("cert.pem", &certificate),
        key: write("key.pem", &key),
        key_password: KeyPassword::default(),
        authorities: Some(write("ca.pem", &authority.0.pem())),
        clients,
        versions: vec![Version::V12, Version::V13],
        login_from: LoginFrom::DistinguishedName,
    }
}

fn client(authority: &Authority, own: Option<&Pair>, version: Version) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.0.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version.known()]).unwrap().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(Pair(certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    };
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// A session and what it has not used.
struct Side {
    session: Session,
    incomplete: Vec<u8>,
    plain: Vec<u8>,
    answer: Vec<u8>,
}

impl Side {
    fn new(session: Session) -> Side {
        Side { session, incomplete: Vec::new(), plain: Vec::new(), answer: Vec::new() }
    }

    /// Takes bytes from the client, so many at a time.
    fn take(&mut self, bytes: &[u8], step: usize) -> Result<(), TlsError> {
        for part in bytes.chunks(step) {
            self.incomplete.extend_from_slice(part);
            let mut plain = vec![0; self.incomplete.len()];
            let done = self.session.open(&mut self.incomplete, &mut plain, &mut self.answer)?;
            self.plain.extend_from_slice(&plain[..done.plain]);
            self.incomplete.drain(..done.used);
        }
        Ok(())
    }
}

fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn told(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    use std::io::Read;
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets()?;
        // An error is that there is no more for now.
        let _ = client.reader().read_to_end(&mut plain);
    }
    Ok(plain)
}

fn shake_hands(side: &mut Side, client: &mut ClientConnection, step: usize) -> Result<(), TlsError> {
    while side.session.is_handshaking() {
        let bytes = sent(client);
        assert!(!bytes.is_empty(), "the client has nothing to say");
        side.take(&bytes, step)?;
        let answer = std::mem::take(&mut side.answer);
        told(client, &answer).map_err(|error| TlsError::new(error.to_string()))?;
    }
    Ok(())
}

fn seal(side: &mut Side, mut bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut sealed) = (Vec::new(), vec![0; Session::SEALED_BYTES]);
    while !bytes.is_empty() {
        let (taken, written) = side.session.seal(bytes, &mut sealed, &mut side.incomplete).unwrap();
        assert!(taken > 0 && taken <= Session::SEAL_BYTES);
        out.extend_from_slice(&sealed[..written]);
        bytes = &bytes[taken..];
    }
    out
}

#[test]
fn what_goes_in_comes_out_however_it_is_cut() {
    use std::io::Write;
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let server = Server::load(settings(dir.path(), &authority, ClientCertificates::Ignored)).unwrap();
    for version in [Version::V12, Version::V13] {
        for step in [1, 7, 5000, 1_000_000] {
            let (mut side, mut client) = (Side::new(server.session().unwrap()), client(&authority, None, version));
            // What the client says at once may be there before its handshake is over.
            client.writer().write_all(b"early").unwrap();
            shake_hands(&mut side, &mut client, step).unwrap();
            let message: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
            client.set_buffer_limit(None);
            client.writer().write_all(&message).unwrap();
            side.take(&sent(&mut client), step).unwrap();
            assert!(side.plain.starts_with(b"early") && side.plain[5..] == message, "{version:?} {step}");
            let sealed = seal(&mut side, &message);
            assert!(told(&mut client, &sealed).unwrap() == message, "{version:?} {step}");
            assert!(side.incomplete.is_empty() && !side.session.has_ended());
            client.send_close_notify();
            side.take(&sent(&mut client), step).unwrap();
            assert!(side.session.has_ended());
            side.session.end(&mut side.answer, &mut side.incomplete);
            let answer = std::mem::take(&mut side.answer);
            assert!(!answer.is_empty() && told(&mut client, &answer).unwrap().is_empty());
        }
    }
}

#[test]
fn keys_are_changed_on_the_way() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let server = Server::load(settings(dir.path(), &authority, ClientCertificates::Ignored)).unwrap();
    let (mut side, mut client) = (Side::new(server.session().unwrap()), client(&authority, None, Version::V13));
    shake_hands(&mut side, &mut client, 1000).unwrap();
    for _ in 0..3 {
        client.refresh_traffic_keys().unwrap();
        side.take(&sent(&mut client), 100).unwrap();
        let sealed = [std::mem::take(&mut side.answer), seal(&mut side, b"answer")].concat();
        assert_eq!(told(&mut client, &sealed).unwrap(), b"answer");
    }
}

#[test]
fn what_is_no_tls_is_refused_with_an_alert() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let server = Server::load(settings(dir.path(), &authority, ClientCertificates::Ignored)).unwrap();
    let mut side = Side::new(server.session().unwrap());
    assert_eq!(side.take(b"AMQP\0\0\x09\x01", 8).unwrap_err().to_string(), "no TLS: a client without it");
    // An alert record: type 21.
    assert_eq!(side.answer.first(), Some(&21));
    let mut only_13 = settings(dir.path(), &authority, ClientCertificates::Ignored);
    only_13.versions = vec![Version::V13];
    let mut side = Side::new(Server::load(only_13).unwrap().session().unwrap());
    assert!(shake_hands(&mut side, &mut client(&authority, None, Version::V12), 1000).is_err());
}

#[test]
fn a_handshake_that_is_damaged_anywhere_is_refused_and_nothing_else() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let server = Server::load(settings(dir.path(), &authority, ClientCertificates::Required)).unwrap();
    let own = authority.sign(&[], &[(DnType::CommonName, "app")]);
    for place in 0..2000 {
        let (mut side, mut client) =
            (Side::new(server.session().unwrap()), client(&authority, Some(&own), Version::V13));
        let first = sent(&mut client);
        side.take(&first, 1000).unwrap();
        let answer = std::mem::take(&mut side.answer);
        told(&mut client, &answer).unwrap();
        let mut second = sent(&mut client);
        if place >= second.len() {
            return;
        }
        second[place] ^= 1 << (place % 8);
        let refused = side.take(&second, 100);
        // Some bytes are there for old machines on the way, and mean nothing.
        let is_app =
            || side.session.secured(LoginFrom::CommonName).certificate.unwrap().login.as_deref() == Some("app");
        assert!(refused.is_err() || side.session.is_handshaking() || is_app(), "{place}");
    }
    panic!("the handshake has an end");
}

fn agreed(server: &Server, client: &mut ClientConnection) -> Result<Secured, TlsError> {
    let mut side = Side::new(server.session()?);
    shake_hands(&mut side, client, 1000)?;
    Ok(side.session.secured(server.login_from()))
}

#[test]
fn clients_certificates_are_verified_and_name_their_users() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let subject = [
        (DnType::CountryName, "SE"),
        (DnType::OrganizationName, "Acme, Inc"),
        (DnType::CommonName, "app"),
        (DnType::CustomDnType(vec![1, 2, 3, 4]), "x"),
    ];
    let own = authority.sign(&["one.example", "10.0.0.7", "two.example"], &subject);
    let stranger = Authority::new("ca").sign(&[], &[(DnType::CommonName, "app")]);
    for (from, login) in [
        (LoginFrom::DistinguishedName, Some("1.2.3.4=x,CN=app,O=Acme\\, Inc,C=SE")),
        (LoginFrom::CommonName, Some("app")),
        (LoginFrom::AlternativeName(SanType::Dns, 0), Some("one.example")),
        (LoginFrom::AlternativeName(SanType::Dns, 1), Some("two.example")),
        (LoginFrom::AlternativeName(SanType::Dns, 2), None),
        (LoginFrom::AlternativeName(SanType::Ip, 0), Some("10.0.0.7")),
        (LoginFrom::AlternativeName(SanType::Email, 0), None),
    ] {
        let settings = settings(dir.path(), &authority, ClientCertificates::Verified);
        let server = Server::load(Settings { login_from: from, ..settings }).unwrap();
        let secured = agreed(&server, &mut client(&authority, Some(&own), Version::V13)).unwrap();
        let certificate = secured.certificate.unwrap();
        assert_eq!(certificate.login.as_deref(), login, "{from:?}");
        assert_eq!(certificate.issuer, "CN=ca");
    }
    for version in [Version::V12, Version::V13] {
        let settings = settings(dir.path(), &authority, ClientCertificates::Verified);
        let server = Server::load(settings.clone()).unwrap();
        assert_eq!(agreed(&server, &mut client(&authority, None, version)).unwrap().certificate, None);
        assert!(agreed(&server, &mut client(&authority, Some(&stranger), version)).is_err());
        let server = Server::load(Settings { clients: ClientCertificates::Required, ..settings.clone() }).unwrap();
        assert!(agreed(&server, &mut client(&authority, None, version)).is_err());
        assert!(agreed(&server, &mut client(&authority, Some(&own), version)).is_ok());
        // Whoever is not asked shows nothing.
        let server = Server::load(Settings { clients: ClientCertificates::Ignored, ..settings }).unwrap();
        assert_eq!(agreed(&server, &mut client(&authority, Some(&own), version)).unwrap().certificate, None);
    }
}

#[test]
fn files_are_read_again_when_they_change_and_a_wrong_one_changes_nothing() {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), Authority::new("old"), Authority::new("new"));
    let server = Server::load(settings(dir.path(), &old, ClientCertificates::Ignored)).unwrap();
    assert!(server.reload_if_changed().is_none());
    let talks = |authority| agreed(&server, &mut client(authority, None, Version::V13)).is_ok();
    assert!(talks(&old) && !talks(&new));
    let running = Side::new(server.session().unwrap());
    settings(dir.path(), &new, ClientCertificates::Ignored);
    assert!(matches!(server.reload_if_changed(), Some(Ok(()))));
    assert!(talks(&new) && !talks(&old));
    // A session that was begun goes on with what it was begun with.
    assert!(shake_hands(&mut { running }, &mut client(&old, None, Version::V13), 1000).is_ok());
    fs::write(dir.path().join("key.pem"), "nothing").unwrap();
    assert!(matches!(server.reload_if_changed(), Some(Err(_))));
    assert!(server.reload_if_changed().is_none(), "once is enough");
    assert!(talks(&new));
}

#[test]
fn errors_name_the_file_and_what_is_wrong_with_it() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("ca"));
    let right = settings(dir.path(), &authority, ClientCertificates::Required);
    let wrong = |settings: &Settings| Server::load(settings.clone()).unwrap_err().to_string();
    let other = authority.sign(&[], &[]);
    for (file, text, part) in [
        ("cert.pem", "", "no certificate (PEM) in it"),
        ("key.pem", "", "no private key (PEM) in it"),
        ("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "ca.pem: "),
        ("key.pem", &other.1, "key.pem is not the key of the certificate in "),
        ("cert.pem", &other.0[..100], "cert.pem: cut short: a section of it (PEM) has no end"),
    ] {
        let good = fs::read(dir.path().join(file)).unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        let told = wrong(&right);
        assert!(told.contains(part), "{file}: {told}");
        fs::write(dir.path().join(file), good).unwrap();
    }
    assert!(
        wrong(&Settings { certificate: dir.path().join("none"), ..right.clone() }).contains("none: cannot be read")
    );
    assert!(wrong(&Settings { authorities: None, ..right.clone() }).contains("authorities"));
    assert!(Server::load(right).unwrap().not_after() > 1_700_000_000);
}
