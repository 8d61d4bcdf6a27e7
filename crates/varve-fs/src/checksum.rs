//! Sums that are made in no time, and tell where one bit has fallen over.
//!
//! CRC-32 is no digest: it finds what a disk does to bytes, not what somebody does. That it is
//! linear makes it correct as well: a single wrong bit leaves a difference that only this bit leaves.

use flate2::Crc;

/// The polynomial of CRC-32 (ISO 3309, as in gzip), reflected.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// CRC-32 of bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Turns the one bit back that makes bytes have this sum. Returns whether there is such a bit;
/// without one nothing is changed. Takes time in proportion to the bytes.
pub fn turn_bit_back(bytes: &mut [u8], sum: u32) -> bool {
    let difference = crc32(bytes) ^ sum;
    if difference == 0 {
        return false;
    }
    // What a wrong bit leaves, from the last bit on: its polynomial times x, reduced, for each bit
    // that follows it. The bits of a byte count from the lowest one.
    let mut left = POLYNOMIAL;
    for byte in bytes.iter_mut().rev() {
        for bit in (0..8).rev() {
            if left == difference {
                *byte ^= 1 << bit;
                return true;
            }
            left = if left & 1 == 1 { (left >> 1) ^ POLYNOMIAL } else { left >> 1 };
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_bit_is_found_and_turned_back() {
        let text: Vec<u8> = (0..300_u32).map(|at| (at * 7 % 251) as u8).collect();
        let sum = crc32(&text);
        for bit in 0..text.len() * 8 {
            let mut wrong = text.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(turn_bit_back(&mut wrong, sum), "bit {bit}");
            assert_eq!(wrong, text, "bit {bit}");
        }
    }

    #[test]
    fn what_is_right_or_wrong_in_more_places_stays() {
        let text = b"{\"manifests\":[]}".to_vec();
        let sum = crc32(&text);
        assert!(!turn_bit_back(&mut text.clone(), sum));
        for (one, other) in [(0, 1), (3, 70), (8, 127)] {
            let mut wrong = text.clone();
            for bit in [one, other] {
                wrong[bit / 8] ^= 1 << (bit % 8);
            }
            let before = wrong.clone();
            assert!(!turn_bit_back(&mut wrong, sum), "{one} {other}");
            assert_eq!(wrong, before);
        }
    }
}
