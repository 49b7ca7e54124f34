//! Passwords as RabbitMQ stores them (compat.md 2.13): four bytes of salt, and the hash of salt and password.

use crate::broker::access::{HashAlgorithm, PasswordHash};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use std::io;

const SALT_BYTES: usize = 4;

/// Hashes a password with a new salt.
///
/// # Errors
/// The system gives no randomness.
pub fn hash(password: &[u8], algorithm: HashAlgorithm) -> io::Result<PasswordHash> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
    let mut salted = salt.to_vec();
    salted.extend(digest(algorithm, &salt, password));
    Ok(PasswordHash { algorithm, salted })
}

/// Whether this is the password. It takes the same time wherever the difference is.
pub fn matches(stored: &PasswordHash, password: &[u8]) -> bool {
    let Some((salt, hash)) = stored.salted.split_first_chunk::<SALT_BYTES>() else { return false };
    let given = digest(stored.algorithm, salt, password);
    let difference = hash.iter().zip(&given).fold(0, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0 && hash.len() == given.len()
}

fn digest(algorithm: HashAlgorithm, salt: &[u8], password: &[u8]) -> Vec<u8> {
    match algorithm {
        HashAlgorithm::Sha256 => Sha256::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        HashAlgorithm::Sha512 => Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        HashAlgorithm::Md5 => Md5::new().chain_update(salt).chain_update(password).finalize().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn only_the_password_matches() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512, HashAlgorithm::Md5] {
            let stored = hash(b"hunter", algorithm).unwrap();
            assert!(matches(&stored, b"hunter"));
            assert!(!matches(&stored, b"hunter2") && !matches(&stored, b""));
            assert_ne!(stored, hash(b"hunter", algorithm).unwrap(), "another salt");
        }
    }

    #[test]
    fn hashes_of_rabbitmq_are_understood() {
        // The example of RabbitMQ's documentation, and the same salt and password with the other algorithms.
        let cases = [
            (HashAlgorithm::Sha256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
            (HashAlgorithm::Md5, "kI3GChNpte2FApYFXScl+0dIluk="),
            (
                HashAlgorithm::Sha512,
                "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=",
            ),
        ];
        for (algorithm, text) in cases {
            let stored = PasswordHash { algorithm, salted: STANDARD.decode(text).unwrap() };
            assert!(matches(&stored, b"test12"), "{text}");
            assert!(!matches(&stored, b"test13"), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for salted in [&b""[..], b"abc", b"abcd", b"abcdx"] {
            let stored = PasswordHash { algorithm: HashAlgorithm::Sha256, salted: salted.to_vec() };
            assert!(!matches(&stored, b"") && !matches(&stored, b"x"), "{salted:?}");
        }
    }
}
