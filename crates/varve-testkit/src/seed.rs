//! Random numbers that can be had again.

use std::time::SystemTime;

/// Set this to see the same numbers again.
const VARIABLE: &str = "VARVE_TEST_SEED";

/// Numbers from a seed (splitmix64).
#[derive(Debug)]
pub struct Seeded(u64);

impl From<u64> for Seeded {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Seeded {
    /// From the seed in the environment, else from the clock; prints it.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let seed = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(of_the_clock);
        println!("{VARIABLE}={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 on, less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// A number from 0 on, less than 1.
    pub fn part(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A seed that nobody chose.
fn of_the_clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now");
    u64::from(now.subsec_nanos())
}
