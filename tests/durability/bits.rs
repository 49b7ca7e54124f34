//! A set of message numbers: one bit each, in blocks that exist only where something is set.

const BLOCK_BITS: u64 = 4096;

type Block = [u64; BLOCK_BITS as usize / 64];

#[derive(Clone, Debug, Default)]
pub struct Bits {
    blocks: Vec<Option<Box<Block>>>,
    count: u64,
}

impl Bits {
    /// Whether the number was not in the set before.
    pub fn insert(&mut self, number: u64) -> bool {
        let (block, word, bit) = place(number);
        if self.blocks.len() <= block {
            self.blocks.resize(block + 1, None);
        }
        let words = self.blocks[block].get_or_insert_with(|| Box::new([0; BLOCK_BITS as usize / 64]));
        let fresh = words[word] & bit == 0;
        words[word] |= bit;
        self.count += u64::from(fresh);
        fresh
    }

    pub fn contains(&self, number: u64) -> bool {
        let (block, word, bit) = place(number);
        self.blocks.get(block).and_then(Option::as_ref).is_some_and(|words| words[word] & bit != 0)
    }

    pub fn len(&self) -> u64 {
        self.count
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The numbers in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().enumerate().flat_map(|(block, words)| {
            words.iter().flat_map(move |words| {
                words.iter().enumerate().flat_map(move |(word, bits)| {
                    let first = block as u64 * BLOCK_BITS + word as u64 * 64;
                    (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| first + bit)
                })
            })
        })
    }
}

fn place(number: u64) -> (usize, usize, u64) {
    let block = usize::try_from(number / BLOCK_BITS).expect("a message number fits");
    (block, (number % BLOCK_BITS / 64) as usize, 1 << (number % 64))
}

#[test]
fn a_set_of_numbers() {
    let mut bits = Bits::default();
    let numbers = [0, 1, 63, 64, 4095, 4096, 1_000_000];
    assert!(numbers.iter().all(|number| bits.insert(*number)));
    assert!(!bits.insert(64));
    assert_eq!(bits.iter().collect::<Vec<_>>(), numbers);
    assert_eq!(bits.len(), 7);
    assert!(!bits.contains(2) && !bits.contains(5_000_000));
}
