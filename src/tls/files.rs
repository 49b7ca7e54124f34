//! Certificates and keys on disk.

use super::{KeyPassword, Settings, TlsError};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Larger files are not read, in bytes: the certificates of all public authorities together have a fifth of it.
const FILE_BYTES: u64 = 1024 * 1024;

/// How an encrypted key begins and ends.
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// What tells one version of the files from another, without reading them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    /// The files as they are now; one that is not there has a stamp, too.
    pub fn of(settings: &Settings) -> Stamp {
        let paths: [Option<&PathBuf>; 3] =
            [Some(&settings.certificate), Some(&settings.key), settings.authorities.as_ref()];
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        };
        Stamp(paths.into_iter().flatten().map(stamp).collect())
    }
}

/// The certificates in a file: at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(path, "no certificate (PEM) in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(path, &no_pem(&error))),
    }
}

/// The private key in a file, decrypted if it has to be.
pub(super) fn key(path: &Path, password: &KeyPassword) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    if let Some(encrypted) = std::str::from_utf8(&bytes).ok().and_then(|text| text.get(text.find(ENCRYPTED)?..)) {
        return decrypted(encrypted, password).map_err(|problem| wrong(path, problem));
    }
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(_) | Err(_) if bytes.windows(15).any(|part| part == b"Proc-Type: 4,EN") => {
            Err(wrong(path, "the key is encrypted in an old form: openssl pkcs8 -topk8 writes one that is read"))
        }
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(wrong(path, "no private key (PEM) in it")),
        Err(error) => Err(wrong(path, &no_pem(&error))),
    }
}

/// What is wrong with PEM, where the library's words are for its users only.
fn no_pem(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "cut short: a section of it (PEM) has no end".to_owned(),
        PemError::IllegalSectionStart { .. } => "a section of it (PEM) has no proper beginning".to_owned(),
        PemError::Base64Decode(_) => "a section of it (PEM) is no base64".to_owned(),
        error => error.to_string(),
    }
}

/// A key in PKCS #8's encrypted form.
fn decrypted(pem: &str, KeyPassword(password): &KeyPassword) -> Result<PrivateKeyDer<'static>, &'static str> {
    if password.is_empty() {
        return Err("the key is encrypted, and there is no password for it");
    }
    // What stands behind it in the file is none of it.
    let end = pem.find(ENCRYPTED_END).map_or(pem.len(), |at| at + ENCRYPTED_END.len());
    let (_, document) =
        SecretDocument::from_pem(pem.get(..end).unwrap_or(pem)).map_err(|_| "no private key (PEM) in it")?;
    let encrypted: EncryptedPrivateKeyInfoRef<'_> =
        document.decode_msg().map_err(|_| "no private key in it that is known")?;
    let key = encrypted
        .decrypt(password)
        .map_err(|_| "the key cannot be decrypted: another password, or an algorithm that is not known")?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let size = fs::metadata(path).map_err(|error| wrong(path, &format!("cannot be read: {error}")))?.len();
    if size > FILE_BYTES {
        return Err(wrong(path, &format!("larger than {FILE_BYTES} bytes")));
    }
    fs::read(path).map_err(|error| wrong(path, &format!("cannot be read: {error}")))
}

fn wrong(path: &Path, problem: &str) -> TlsError {
    TlsError::new(format!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjOw0Afu16vlvdgeG
uiCQuM2yEpd8fcGC/8S5vMj5z+OhRANCAATSKwpD+quIvqwJ3Iyf25FTm7noEjP8
8HWBqiGfFnlU2UQBpIDUpBeU4zCVnZNvSQSvNslQySp92DL2LUUYXwLC
-----END PRIVATE KEY-----
";
    /// The same key under the password `secret`, as `openssl pkcs8 -topk8` writes it: by PBKDF2, and by scrypt.
    const BY_PBKDF2: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjuYhl6LtarAAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFZRRTyBUUCuxG+vG1x6EXYEgZCX
sE+roKtrMZaHeIGB7JH44KVxPY+4uC0BM5uOh2sNq1VknCq5Bm47KamfjXb0/HPS
XvikLxxCBG86WiOzeyDemeDqkC0Bc1YopukJG8Rl02C0N7/9wh//4HDLIf01B+49
wddzvkLvXtX1aH2eOT5kUX9ZMV+Y4DTUcFshrImqU/Es3EhQjYRHaspbxlE9hhQ=
-----END ENCRYPTED PRIVATE KEY-----
";
    const BY_SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAg9BcMdgkXQ9gICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBAGmDkHkZLPpu+pw7gkPzZNBIGQUTLxYzSkQWh3
LcX2AoCxDqHLOxMcIenz8IMLpmfVJKd+U9kUI5G3v1V6crVEycNQtVxKQY5wsSJM
VQ1zvZkXKSus5eM7mRPdxlWy4gnpRvAExMQZyX/deAZBuKGeFfKU/SxmvM6osaSD
NtnA4EHrMP7LvZEVgcYTgxQRp7YGtiJb5rlrT+8UUaXgwM0y695J
-----END ENCRYPTED PRIVATE KEY-----
";

    #[test]
    fn a_key_with_a_password_is_read_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let read = |text: &str, password: &str| {
            fs::write(&path, text).unwrap();
            key(&path, &KeyPassword(password.to_owned())).map_err(|error| error.to_string())
        };
        let plain = read(PLAIN, "").unwrap();
        for text in [BY_PBKDF2, BY_SCRYPT] {
            assert_eq!(read(text, "secret").unwrap().secret_der(), plain.secret_der());
            assert!(read(text, "guess").unwrap_err().contains("another password"));
            assert!(read(text, "").unwrap_err().contains("there is no password"));
        }
        let behind = format!("before\n{BY_PBKDF2}{PLAIN}");
        assert_eq!(read(&behind, "secret").unwrap().secret_der(), plain.secret_der());
        assert!(read(&PLAIN[..100], "").unwrap_err().ends_with("cut short: a section of it (PEM) has no end"));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        assert!(read(old, "secret").unwrap_err().contains("openssl pkcs8"));
    }
}
