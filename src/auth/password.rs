//! Passwords as RabbitMQ stores them (compat.md 2.13), four bytes of salt and the hash of salt and password; and by Argon2id,
//! in the form that its libraries share (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`).

use crate::broker::access::{HashAlgorithm, PasswordHash};
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use std::io;

const SALT_BYTES: usize = 4;

/// What a hash by Argon2id costs: memory in KiB, and passes over it (OWASP's recommendation).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Characters of a salt of 16 bytes and of a hash of 32, in base64.
const ARGON2_SALT_CHARS: usize = 22;
const ARGON2_OUTPUT_CHARS: usize = 43;
/// What a hash from elsewhere may cost at most.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;

/// Hashes a password with a new salt.
///
/// # Errors
/// The system gives no randomness.
pub fn hash(password: &[u8], algorithm: HashAlgorithm) -> io::Result<PasswordHash> {
    if algorithm == HashAlgorithm::Argon2id {
        let failed = |fault: String| io::Error::other(fault);
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|fault| failed(fault.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let text = argon2.hash_password(password).map_err(|fault| failed(fault.to_string()))?.to_string();
        return Ok(PasswordHash { algorithm, salted: text.into_bytes() });
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
    let mut salted = salt.to_vec();
    salted.extend(digest(algorithm, &salt, password));
    Ok(PasswordHash { algorithm, salted })
}

/// A hash for users who do not exist: nobody is let in by it, and it takes as long to compare with as others of its kind.
///
/// # Errors
/// The system gives no randomness.
pub fn of_nobody(algorithm: HashAlgorithm) -> io::Result<PasswordHash> {
    if algorithm != HashAlgorithm::Argon2id {
        return hash(&[], algorithm);
    }
    let (salt, output) = ("A".repeat(ARGON2_SALT_CHARS), "A".repeat(ARGON2_OUTPUT_CHARS));
    let text = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${output}");
    Ok(PasswordHash { algorithm, salted: text.into_bytes() })
}

/// Whether this is the password. It takes the same time wherever the difference is.
pub fn matches(stored: &PasswordHash, password: &[u8]) -> bool {
    if stored.algorithm == HashAlgorithm::Argon2id {
        return matches_argon2(&stored.salted, password);
    }
    let Some((salt, hash)) = stored.salted.split_first_chunk::<SALT_BYTES>() else { return false };
    let given = digest(stored.algorithm, salt, password);
    let difference = hash.iter().zip(&given).fold(0, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0 && hash.len() == given.len()
}

/// Whether hashing takes so long that it is not to be done in passing.
pub fn is_slow(stored: &PasswordHash) -> bool {
    stored.algorithm == HashAlgorithm::Argon2id
}

fn matches_argon2(stored: &[u8], password: &[u8]) -> bool {
    let Some(stored) = std::str::from_utf8(stored).ok().and_then(|text| Phc::new(text).ok()) else { return false };
    let bounded = Params::try_from(&stored)
        .is_ok_and(|params| params.m_cost() <= MEMORY_KIB_MAX && params.t_cost() <= PASSES_MAX);
    bounded && Argon2::default().verify_password(password, &stored).is_ok()
}

fn digest(algorithm: HashAlgorithm, salt: &[u8], password: &[u8]) -> Vec<u8> {
    match algorithm {
        HashAlgorithm::Sha256 => Sha256::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        HashAlgorithm::Sha512 => Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        HashAlgorithm::Md5 => Md5::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        HashAlgorithm::Argon2id => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn only_the_password_matches() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512, HashAlgorithm::Md5, HashAlgorithm::Argon2id] {
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
    fn hashes_of_other_argon2_libraries_are_understood() {
        // Of the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1`.
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let stored = PasswordHash { algorithm: HashAlgorithm::Argon2id, salted: text.into() };
        assert!(matches(&stored, b"password") && !matches(&stored, b"Password"));
        // One that would take all memory is not tried.
        let huge = text.replace("m=65536", "m=4194304");
        assert!(!matches(&PasswordHash { algorithm: HashAlgorithm::Argon2id, salted: huge.into() }, b"password"));
    }

    #[test]
    fn a_stranger_is_not_told_by_the_time_it_takes() {
        let shape = |hash: &PasswordHash| {
            let text = std::str::from_utf8(&hash.salted).unwrap();
            let parsed = Phc::new(text).unwrap();
            (Params::try_from(&parsed).unwrap(), text.len())
        };
        let nobody = of_nobody(HashAlgorithm::Argon2id).unwrap();
        assert_eq!(shape(&nobody), shape(&hash(b"hunter", HashAlgorithm::Argon2id).unwrap()));
        assert!(!matches(&nobody, b"") && !matches(&nobody, b"x"));
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for salted in [&b""[..], b"$argon2id$", b"\xff", b"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ"] {
            let stored = PasswordHash { algorithm: HashAlgorithm::Argon2id, salted: salted.to_vec() };
            assert!(!matches(&stored, b"") && !matches(&stored, b"x"), "{salted:?}");
        }
        for salted in [&b""[..], b"abc", b"abcd", b"abcdx"] {
            let stored = PasswordHash { algorithm: HashAlgorithm::Sha256, salted: salted.to_vec() };
            assert!(!matches(&stored, b"") && !matches(&stored, b"x"), "{salted:?}");
        }
    }
}
