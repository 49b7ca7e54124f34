//! A cursor over bytes that were not written by us: every step says whether the bytes are there.

/// The bytes not yet read. Every method returns None, and reads nothing, when too few are left.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// What is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// True when nothing is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    /// One byte.
    #[inline]
    pub fn octet(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    /// 16 bits, big-endian.
    #[inline]
    pub fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// 32 bits, big-endian.
    #[inline]
    pub fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// 64 bits, big-endian.
    #[inline]
    pub fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The content of a short string: one length byte, then that many bytes.
    #[inline]
    pub fn short_string(&mut self) -> Option<&'a [u8]> {
        let (&length, after) = self.0.split_first()?;
        let (taken, rest) = after.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(taken)
    }

    /// The content of a long string, table or array: four length bytes, then that many bytes.
    #[inline]
    pub fn long_string(&mut self) -> Option<&'a [u8]> {
        let (length, after) = self.0.split_first_chunk()?;
        let (taken, rest) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.0 = rest;
        Some(taken)
    }
}
