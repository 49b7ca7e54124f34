//! Small changes to bytes: bits, extreme values, lengths, tokens of AMQP, pieces moved, doubled, and taken from others.

/// Xorshift64: the same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // A seed of few bits gives numbers of few bits at first; 0 would give nothing else.
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What AMQP is made of.
const TOKENS: &[&[u8]] = &[
    b"AMQP\0\0\x09\x01",
    b"\xCE",
    b"\xCE\x01\0\x01\0\0\0",
    b"\x01\0\0\0\0\0\x04",
    b"\x02\0\x01\0\0\0\x0E\0\x3C\0\0",
    b"\x03\0\x01\0\0\0",
    b"\x08\0\0\0\0\0\0\xCE",
    b"\0\x0A\0\x0B",
    b"\0\x0A\0\x1F",
    b"\0\x0A\0\x32",
    b"\0\x14\0\x0A",
    b"\0\x14\0\x28",
    b"\0\x32\0\x0A",
    b"\0\x3C\0\x28",
    b"\0\x3C\0\x50",
    b"\0\x3C\0\x78",
    b"\x05PLAIN",
    b"\x08AMQPLAIN",
    b"\x07x-match",
    b"\x12alternate-exchange",
    b"amq.",
    b"F\0\0\0\x05\x01aF\0\0\0\0",
    b"A\0\0\0\x05A\0\0\0\0",
    b"S\xFF\xFF\xFF\xFF",
    b"x\0\0\0\0",
    b"\xF8\0",
    b"\xFF\xFC",
    b"\0\0\0\0\0\0\0\0",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
];

const EXTREMES: [u8; 8] = [0, 1, 2, 0x7F, 0x80, 0xCE, 0xFE, 0xFF];

/// A changed `seed`, at most `longest` bytes; `other` lends pieces.
pub fn mutate(random: &mut Random, seed: &[u8], other: &[u8], longest: usize) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 << random.below(5) {
        change(random, &mut bytes, other);
    }
    bytes.truncate(longest);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    let length = (1 + random.below(32)).min(bytes.len() - at);
    match random.below(13) {
        0 | 1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random.pick(&EXTREMES)),
        3 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random.next() as u8),
        4 => drop(bytes.drain(at..at + length)),
        5 => bytes.extend_from_within(at..at + length),
        6 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
        7 => bytes.truncate(at),
        8 => edit_length(random, bytes, at),
        9 => drop(bytes.splice(at..at, (0..length).map(|_| random.next() as u8).collect::<Vec<_>>())),
        // A piece of itself, or of another, somewhere else.
        10 => {
            let piece = bytes[at..at + length].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        11 if !other.is_empty() => {
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(64)).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ if !other.is_empty() => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len())..]);
        }
        _ => bytes.push(random.next() as u8),
    }
}

/// Takes one, two or four bytes as a length and makes it wrong.
fn edit_length(random: &mut Random, bytes: &mut [u8], at: usize) {
    let width = random.pick(&[1, 2, 4]);
    let left = bytes.len() - at;
    let Some(field) = bytes.get_mut(at..at + width) else { return };
    let value = field.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    let wrong = match random.below(7) {
        0 => 0,
        1 => u32::MAX,
        2 => i32::MAX as u32,
        3 => value.wrapping_add(1),
        4 => value.wrapping_sub(1),
        5 => left as u32,
        _ => random.next() as u32 % 300,
    };
    field.copy_from_slice(&wrong.to_be_bytes()[4 - width..]);
}
