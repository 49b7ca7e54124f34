//! Hashes that are the same on every node and in every version: what they decide outlives a restart.

/// A number for these bytes: FNV-1a, mixed, since its high bits alone are poor.
pub fn hash(bytes: &[u8]) -> u64 {
    mix(extend(FNV_BASIS, bytes))
}

/// A number for a list of byte strings; the place where one ends and the next begins counts.
pub fn hash_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let add = |state, part: &[u8]| extend(extend(state, &(part.len() as u64).to_be_bytes()), part);
    mix(parts.into_iter().fold(FNV_BASIS, add))
}

/// Spreads a number over all 64 bits; no two numbers become one.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn extend(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(b"warren"), 0x561c_27c8_2959_aee2);
        assert_ne!(hash_all([&b"ab"[..], b"c"]), hash_all([&b"a"[..], b"bc"]));
        assert_ne!(hash_all([&b""[..]]), hash_all([]));
    }
}
