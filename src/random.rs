//! Random numbers that belong to a replica, not to a run.
//!
//! Philox4x32-10 (10.1145/2063384.2063405) turns a counter into four words; there is no state to
//! save or share.  The counter names the replica, the step, the atom and the purpose, the key is
//! the campaign's seed: so a replica draws the same numbers alone or among ten thousand, in any
//! order, on any number of devices, and after any number of restarts.

use crate::math;
use crate::replica::ReplicaId;

/// Every purpose that draws random numbers; two purposes never share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Maxwell–Boltzmann velocities at the start.
    Velocities = 0,
    /// The Ornstein–Uhlenbeck bath.
    Bath = 1,
}

/// Steps are counted in 40 bits: 1.1e12 of them, half a millisecond of dynamics.
pub const STEPS_MAX: u64 = (1 << 40) - 1;
/// Atoms are counted in 16 bits.
pub const ATOMS_MAX: usize = 1 << 16;
/// Copies are counted in 24 bits.
pub const COPIES_MAX: u32 = 1 << 24;

/// The width of one of 2³² equal intervals of [0, 1).
const UNIT: f64 = 1.0 / 4_294_967_296.0;

/// Ten rounds of Philox4x32.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let product = [
            MULTIPLIERS[0] * counter[0] as u64,
            MULTIPLIERS[1] * counter[2] as u64,
        ];
        counter = [
            (product[1] >> 32) as u32 ^ counter[1] ^ key[0],
            product[1] as u32,
            (product[0] >> 32) as u32 ^ counter[3] ^ key[1],
            product[0] as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Three independent standard normal numbers for one atom in one step.
///
/// Box and Muller (10.1214/aoms/1177706645): r = √(−2 ln u₁) at the angle 2π u₂, with u₁ in the
/// middle of one of 2³² equal intervals of (0, 1), which reaches 6.7 standard deviations.
pub fn normal3(seed: u64, id: &ReplicaId, step: u64, atom: usize, stream: Stream) -> [f64; 3] {
    let counter = [
        step as u32,
        (step >> 32) as u32 & 0xFF | (atom as u32 & 0xFFFF) << 8 | (stream as u32) << 24,
        id.name_hash,
        id.copy | u32::from(id.temperature) << 24,
    ];
    let words = philox4x32(counter, [seed as u32, (seed >> 32) as u32]);
    let radius = |word: u32| (-2.0 * math::ln((f64::from(word) + 0.5) * UNIT)).sqrt();
    let (sin0, cos0) = math::sin_cos_turns(f64::from(words[1]) * UNIT);
    let (_, cos1) = math::sin_cos_turns(f64::from(words[3]) * UNIT);
    let (r0, r1) = (radius(words[0]), radius(words[2]));
    [r0 * cos0, r0 * sin0, r1 * cos1]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ReplicaId = ReplicaId {
        molecule: 0,
        name_hash: 0xDEAD_BEEF,
        temperature: 3,
        copy: 9,
    };

    /// The known answers of the Random123 distribution (file `kat_vectors`).
    #[test]
    fn philox_gives_the_known_answers() {
        let cases = [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [!0; 4],
                [!0; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, answer) in cases {
            assert_eq!(philox4x32(counter, key), answer);
        }
    }

    #[test]
    fn every_part_of_the_name_changes_the_numbers() {
        let reference = normal3(1, &ID, 5, 2, Stream::Bath);
        let others = [
            normal3(2, &ID, 5, 2, Stream::Bath),
            normal3(1 << 40, &ID, 5, 2, Stream::Bath),
            normal3(1, &ReplicaId { name_hash: 1, ..ID }, 5, 2, Stream::Bath),
            normal3(
                1,
                &ReplicaId {
                    temperature: 2,
                    ..ID
                },
                5,
                2,
                Stream::Bath,
            ),
            normal3(1, &ReplicaId { copy: 8, ..ID }, 5, 2, Stream::Bath),
            normal3(1, &ID, 6, 2, Stream::Bath),
            normal3(1, &ID, 5 + (1 << 33), 2, Stream::Bath),
            normal3(1, &ID, 5, 3, Stream::Bath),
            normal3(1, &ID, 5, 2, Stream::Velocities),
        ];
        let bits = |numbers: [f64; 3]| numbers.map(f64::to_bits);
        assert!(others.iter().all(|other| bits(*other) != bits(reference)));
        let moved = ReplicaId { molecule: 7, ..ID };
        assert_eq!(
            bits(normal3(1, &moved, 5, 2, Stream::Bath)),
            bits(reference)
        );
    }

    /// The numbers are part of what a campaign means: they must never change.
    #[test]
    fn value_stability() {
        let bits = normal3(42, &ID, 123_456_789_012, 77, Stream::Bath).map(f64::to_bits);
        assert_eq!(
            bits,
            [
                13_833_956_629_000_768_107,
                4_604_617_778_224_414_668,
                13_826_899_982_731_990_803
            ]
        );
    }

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let n = 200_000_u64;
        let mut sums = [0.0; 4];
        for step in 0..n {
            for x in normal3(7, &ID, step, 0, Stream::Bath) {
                for (power, sum) in sums.iter_mut().enumerate() {
                    *sum += x.powi(power as i32 + 1);
                }
            }
        }
        let count = 3.0 * n as f64;
        // Variances of x, x², x³, x⁴ are 1, 2, 15, 96; five standard errors.
        for (sum, (mean, variance)) in
            sums.iter()
                .zip([(0.0, 1.0), (1.0, 2.0), (0.0, 15.0), (3.0, 96.0_f64)])
        {
            assert!((sum / count - mean).abs() < 5.0 * (variance / count).sqrt());
        }
    }
}
