//! Trajectories as CHARMM DCD: binary, single precision, little-endian.
//!
//! ```text
//! record 1   "CORD", 20 words: NSET ISTART NSAVC NSTEP 0 0 0 0 0 DELTA(f32) 0 … 0 24
//! record 2   titles of 80 characters
//! record 3   number of atoms N
//! per frame  x (N f32), y (N f32), z (N f32), one record each, in Å
//! ```
//! A record is its length in bytes as a 32-bit word, its contents, and its length again. The time
//! of frame k is (ISTART + k · NSAVC) · DELTA, in units of [`AKMA_FS`]. Readers count frames from the
//! size of the file or from NSET; both are right here after every write.
//!
//! There is no unit cell: molecules are free. Text output is [`super::extxyz`].

use std::io::Read;

/// CHARMM's unit of time, √(u Å²/(kcal/mol)), in fs: as readers of the format have it.
pub const AKMA_FS: f64 = 48.888_21;

/// Where the four counters start that change as the file grows.
pub const COUNTERS_AT: u64 = 8;

/// Bytes before the first frame.
const HEADER_BYTES: u64 = 92 + 172 + 12;

/// CHARMM's version, which says how the header is laid out.
const VERSION: u32 = 24;

const TITLE_BYTES: usize = 80;

/// What all frames of a file have in common.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Number of atoms N.
    pub atoms: usize,
    /// Steps between frames; the first is step 0.
    pub interval_steps: u64,
    /// Time step, fs.
    pub timestep_fs: f64,
}

/// A coordinate is not finite, or too large for single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite;

impl Axis {
    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> u64 {
        3 * (4 * self.atoms as u64 + 8)
    }

    /// Bytes of a file.
    pub fn file_bytes(&self, frames: u64) -> u64 {
        HEADER_BYTES.saturating_add(frames.saturating_mul(self.frame_bytes()))
    }

    /// How many frames a file of a length has; `None` if it ends within a frame or the header.
    pub fn frames(&self, file_bytes: u64) -> Option<u64> {
        let frames_bytes = file_bytes.checked_sub(HEADER_BYTES)?;
        frames_bytes
            .is_multiple_of(self.frame_bytes())
            .then(|| frames_bytes / self.frame_bytes())
    }

    /// The words at [`COUNTERS_AT`]: NSET, ISTART, NSAVC, NSTEP.
    pub fn counters(&self, frames: u64) -> [u8; 16] {
        let last_step = frames.saturating_sub(1).saturating_mul(self.interval_steps);
        let mut words = [0; 16];
        let values = [frames, 0, self.interval_steps, last_step];
        for (word, value) in words.chunks_exact_mut(4).zip(values) {
            word.copy_from_slice(&saturated(value).to_le_bytes());
        }
        words
    }

    /// Appends all that comes before the first frame.
    pub fn push_header(&self, buffer: &mut Vec<u8>, label: &str) {
        let start = buffer.len();
        let delta = (self.timestep_fs / AKMA_FS) as f32;
        push_word(buffer, 84);
        buffer.extend_from_slice(b"CORD");
        buffer.extend_from_slice(&self.counters(0));
        buffer.extend_from_slice(&[0; 5 * 4]);
        buffer.extend_from_slice(&delta.to_le_bytes());
        buffer.extend_from_slice(&[0; 9 * 4]);
        push_word(buffer, VERSION);
        push_word(buffer, 84);

        push_word(buffer, 4 + 2 * TITLE_BYTES as u32);
        push_word(buffer, 2);
        push_title(buffer, &format!("mdrun {}", env!("CARGO_PKG_VERSION")));
        push_title(buffer, label);
        push_word(buffer, 4 + 2 * TITLE_BYTES as u32);

        push_word(buffer, 4);
        push_word(buffer, self.atoms as u32);
        push_word(buffer, 4);
        debug_assert_eq!((buffer.len() - start) as u64, HEADER_BYTES);
    }

    /// Appends a frame of positions − `origin_ang`; leaves the buffer as it was if it cannot.
    pub fn push_frame(
        &self,
        buffer: &mut Vec<u8>,
        positions_ang: &[[f64; 3]],
        origin_ang: [f64; 3],
    ) -> Result<(), NotFinite> {
        let start = buffer.len();
        let record_bytes = 4 * self.atoms + 8;
        buffer.resize(start + 3 * record_bytes, 0);
        let (x, rest) = buffer[start..].split_at_mut(record_bytes);
        let (y, z) = rest.split_at_mut(record_bytes);
        let [x, y, z] = [x, y, z].map(|record| self.mark(record));
        let mut finite = true;
        for (((position, x), y), z) in positions_ang.iter().zip(x).zip(y).zip(z) {
            for (axis, word) in [x, y, z].into_iter().enumerate() {
                let value = (position[axis] - origin_ang[axis]) as f32;
                finite &= value.is_finite();
                *word = value.to_le_bytes();
            }
        }
        if finite {
            return Ok(());
        }
        buffer.truncate(start);
        Err(NotFinite)
    }

    /// Reads all that comes before the first frame, and says what is not as this axis has it.
    pub fn read_header(&self, file: &mut impl Read) -> Result<(), String> {
        let mut expected = Vec::new();
        self.push_header(&mut expected, "");
        let mut found = vec![0; expected.len()];
        file.read_exact(&mut found)
            .map_err(|source| source.to_string())?;
        // The counters change as the file grows; the titles are version and label.
        let fixed = |bytes: &[u8]| [&bytes[..8], &bytes[24..100], &bytes[260..]].concat();
        if fixed(&found) == fixed(&expected) && found[16..20] == expected[16..20] {
            Ok(())
        } else {
            Err("has a header of another time axis or another number of atoms".to_owned())
        }
    }

    /// Reads the next frame into (N,) positions, Å.
    pub fn read_frame(
        &self,
        file: &mut impl Read,
        positions_ang: &mut [[f32; 3]],
    ) -> Result<(), String> {
        let marker = (4 * self.atoms as u32).to_le_bytes();
        let mut word = [0; 4];
        for axis in 0..3 {
            let mut read = |word: &mut [u8; 4]| file.read_exact(word).map_err(|e| e.to_string());
            read(&mut word)?;
            let before = word;
            for position in &mut *positions_ang {
                read(&mut word)?;
                position[axis] = f32::from_le_bytes(word);
                if !position[axis].is_finite() {
                    return Err("a coordinate is not a number".to_owned());
                }
            }
            read(&mut word)?;
            if before != marker || word != marker {
                return Err("a record has another length".to_owned());
            }
        }
        Ok(())
    }

    /// Puts the length on both sides of a record, and gives the words between.
    fn mark<'a>(&self, record: &'a mut [u8]) -> &'a mut [[u8; 4]] {
        let marker = (4 * self.atoms as u32).to_le_bytes();
        let words = record.as_chunks_mut().0;
        words[0] = marker;
        words[self.atoms + 1] = marker;
        &mut words[1..=self.atoms]
    }
}

/// Steps are counted further than the format can: it then says its largest number.
fn saturated(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn push_word(buffer: &mut Vec<u8>, word: u32) {
    buffer.extend_from_slice(&word.to_le_bytes());
}

/// Titles are ASCII of a fixed width.
fn push_title(buffer: &mut Vec<u8>, text: &str) {
    let end = buffer.len() + TITLE_BYTES;
    let ascii = |c: char| if c.is_ascii() { c as u8 } else { b'?' };
    buffer.extend(text.chars().map(ascii).take(TITLE_BYTES));
    buffer.resize(end, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis {
        atoms: 2,
        interval_steps: 5,
        timestep_fs: 0.5,
    };

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn what_was_written_is_read_back_and_damage_is_seen() {
        let positions = [[1.0, -2.0, 3.0], [4.0, 5.5, -6.25]];
        let mut bytes = Vec::new();
        AXIS.push_header(&mut bytes, "label");
        AXIS.push_frame(&mut bytes, &positions, [0.0; 3]).unwrap();
        let read = |bytes: &[u8], axis: Axis| {
            let (mut file, mut found) = (bytes, vec![[0.0; 3]; axis.atoms]);
            axis.read_header(&mut file)?;
            axis.read_frame(&mut file, &mut found)?;
            Ok::<_, String>(found)
        };
        let found = read(&bytes, AXIS).unwrap();
        assert_eq!(found, positions.map(|x| x.map(|x| x as f32)));
        for axis in [
            Axis { atoms: 3, ..AXIS },
            Axis {
                interval_steps: 6,
                ..AXIS
            },
            Axis {
                timestep_fs: 0.25,
                ..AXIS
            },
        ] {
            assert!(read(&bytes, axis).is_err(), "{axis:?}");
        }
        // Markers of records, an infinite coordinate, a torn end.
        for at in [0, 88, 92, 272, 276, 288, 292] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(read(&bytes, AXIS).is_err(), "byte {at}");
        }
        let mut infinite = bytes.clone();
        infinite[280..284].copy_from_slice(&f32::INFINITY.to_le_bytes());
        assert!(read(&infinite, AXIS).is_err());
        assert!(read(&bytes[..bytes.len() - 1], AXIS).is_err());
    }

    #[test]
    fn the_header_is_charmm_s() {
        let mut bytes = Vec::new();
        AXIS.push_header(&mut bytes, "é-T0-0000");
        assert_eq!(bytes.len(), 276);
        assert_eq!(&bytes[4..8], b"CORD");
        bytes[8..24].copy_from_slice(&AXIS.counters(3));
        assert_eq!([8, 12, 16, 20].map(|at| word(&bytes, at)), [3, 0, 5, 10]);
        let delta = (0.5 / AKMA_FS) as f32;
        assert_eq!(word(&bytes, 44), delta.to_bits());
        assert_eq!(word(&bytes, 84), 24);
        assert_eq!(&bytes[180..191], b"?-T0-0000  ");
        assert_eq!(word(&bytes, 268), 2);
        // Each record's length stands on both of its sides.
        for (head, length) in [(0, 84), (92, 164), (264, 4)] {
            assert_eq!(word(&bytes, head), length);
            assert_eq!(word(&bytes, head + 4 + length as usize), length);
        }
    }

    #[test]
    fn frames_are_planes_of_single_precision() {
        let mut bytes = Vec::new();
        let positions_ang = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        AXIS.push_frame(&mut bytes, &positions_ang, [1.0, 0.0, 0.0])
            .unwrap();
        assert_eq!(bytes.len() as u64, AXIS.frame_bytes());
        let expected = [[0.0, 3.0], [2.0, 5.0], [3.0, 6.0]];
        for (record, plane) in bytes.chunks_exact(16).zip(expected) {
            assert_eq!((word(record, 0), word(record, 12)), (8, 8));
            let found = [4, 8].map(|at| word(record, at));
            assert_eq!(found, plane.map(f32::to_bits));
        }
    }

    #[test]
    fn what_is_not_finite_is_not_a_frame() {
        for value in [f64::NAN, f64::INFINITY, 1e39] {
            let mut bytes = vec![7];
            let positions_ang = [[0.0; 3], [0.0, value, 0.0]];
            let written = AXIS.push_frame(&mut bytes, &positions_ang, [0.0; 3]);
            assert_eq!(written, Err(NotFinite));
            assert_eq!(bytes, [7]);
        }
    }

    #[test]
    fn lengths_count_frames() {
        assert_eq!(AXIS.frames(AXIS.file_bytes(7)), Some(7));
        assert_eq!(AXIS.frames(AXIS.file_bytes(7) + 1), None);
        assert_eq!(AXIS.frames(100), None);
        assert_eq!(AXIS.file_bytes(u64::MAX), u64::MAX);
    }

    #[test]
    fn more_steps_than_the_format_counts_saturate() {
        let axis = Axis {
            interval_steps: 1 << 40,
            ..AXIS
        };
        let counters = axis.counters(3);
        assert_eq!(word(&counters, 8), i32::MAX as u32);
    }
}
