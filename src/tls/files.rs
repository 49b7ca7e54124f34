//! Certificates and keys on disk.

use super::{Settings, TlsError};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Larger files are not read, in bytes: the certificates of all public authorities together have a fifth of it.
const FILE_BYTES: u64 = 1024 * 1024;

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
        Err(error) => Err(wrong(path, &error.to_string())),
    }
}

/// The private key in a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if bytes.windows(9).any(|part| part == b"ENCRYPTED") => {
            Err(wrong(path, "the key is encrypted: take its password off, and protect the file instead"))
        }
        Err(PemError::NoItemsFound) => Err(wrong(path, "no private key (PEM) in it")),
        Err(error) => Err(wrong(path, &error.to_string())),
    }
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
