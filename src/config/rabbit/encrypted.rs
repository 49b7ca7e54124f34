//! Values of `rabbitmq.conf` that are encrypted, as `rabbitmqctl encode` makes them: behind `encrypted:`, base64 of a salt, an
//! initialisation vector and AES-256-CBC's blocks of an Erlang term; the key is derived from a passphrase by PBKDF2 with
//! HMAC-SHA-512. Those are RabbitMQ's defaults, and the only ones that are read.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::num::NonZeroU32;

/// What such a value begins with.
pub(super) const MARK: &str = "encrypted:";
/// The variable that holds the passphrase, and the one that names a file whose first line it is.
pub(super) const PASSPHRASE: &str = "WARREN_CONFIG_PASSPHRASE";
pub(super) const PASSPHRASE_FILE: &str = "WARREN_CONFIG_PASSPHRASE_FILE";

/// RabbitMQ's default.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(1000) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};

/// The text in an encrypted value, without its mark. None: another passphrase, or not of this form.
pub(super) fn decrypt(value: &str, passphrase: &str) -> Option<String> {
    let bytes = STANDARD.decode(value.trim()).ok()?;
    let (salt, rest) = bytes.split_first_chunk::<16>()?;
    let (vector, blocks) = rest.split_first_chunk::<16>()?;
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ITERATIONS, salt, passphrase.as_bytes(), &mut key);
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key).ok()?).ok()?;
    let mut blocks = blocks.to_vec();
    let term = key.decrypt(&mut blocks, DecryptionContext::Iv128(FixedLength::from(*vector))).ok()?;
    text(term).map(str::to_owned)
}

/// The text of an Erlang term in its external format: a binary, or a string.
fn text(term: &[u8]) -> Option<&str> {
    let bytes = match term {
        [131, 109, a, b, c, d, rest @ ..] => rest.get(..u32::from_be_bytes([*a, *b, *c, *d]) as usize)?,
        [131, 107, a, b, rest @ ..] => rest.get(..usize::from(u16::from_be_bytes([*a, *b])))?,
        _ => return None,
    };
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bunny-1` under `mypassphrase`, made by another implementation of both algorithms: as a binary, and as a string.
    const BINARY: &str = "AAECAwQFBgcICQoLDA0OD2RlZmdoaWprbG1ub3BxcnPpDPlHcbq1+rSuviQ8D+SO";
    const STRING: &str = "AAECAwQFBgcICQoLDA0OD2RlZmdoaWprbG1ub3BxcnNL+0rPePcAXsWFcWWa2gkR";

    #[test]
    fn values_are_decrypted_by_the_right_passphrase_only() {
        for value in [BINARY, STRING] {
            assert_eq!(decrypt(value, "mypassphrase").as_deref(), Some("bunny-1"));
            assert_eq!(decrypt(value, "mypassphrasf"), None);
        }
        for nonsense in ["", "?", "AAAA", &BINARY[..44], &BINARY[..60]] {
            assert_eq!(decrypt(nonsense, "mypassphrase"), None, "{nonsense}");
        }
    }

    #[test]
    fn terms_are_binaries_or_strings() {
        assert_eq!(text(&[131, 109, 0, 0, 0, 2, b'a', b'b']), Some("ab"));
        assert_eq!(text(&[131, 107, 0, 1, b'a']), Some("a"));
        for other in [&[131, 109, 0, 0, 0, 3, b'a'][..], &[131, 97, 1], &[130], &[]] {
            assert_eq!(text(other), None, "{other:?}");
        }
    }
}
