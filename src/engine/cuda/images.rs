//! The compiled kernels inside this program, and which of them a GPU runs.

use super::abi::Sizes;

/// Kernels for one set of sizes.
struct Image {
    sizes: Sizes,
    /// Compute capability that the machine code is for, and the compressed code.
    cubins: &'static [((i32, i32), &'static [u8])],
    /// For newer GPUs, which the driver compiles for.
    ptx: &'static [u8],
}

macro_rules! compiled {
    ($name:literal, $rest:literal) => {
        include_bytes!(concat!(
            "../../../kernels/compiled/",
            $name,
            ".",
            $rest,
            ".z"
        ))
    };
}

macro_rules! image {
    ($name:literal, $channels:literal, $radial:literal, $tensor_channels:literal) => {
        Image {
            sizes: Sizes {
                channels: $channels,
                radial: $radial,
                tensor_channels: $tensor_channels,
            },
            cubins: &[
                ((8, 0), compiled!($name, "sm_80.cubin")),
                ((8, 6), compiled!($name, "sm_86.cubin")),
                ((8, 9), compiled!($name, "sm_89.cubin")),
                ((9, 0), compiled!($name, "sm_90a.cubin")),
            ],
            ptx: compiled!($name, "compute_80.ptx"),
        }
    };
}

/// Kernels of all students.
const IMAGES: &[Image] = &[image!("f128_k16_t64", 128, 16, 64)];

/// The sizes of the first of them.
pub const FIRST: Sizes = IMAGES[0].sizes;

/// Machine code for a GPU of this compute capability, if there is: code of one major version runs
/// on all later minor ones.
pub fn cubin(sizes: Sizes, (major, minor): (i32, i32)) -> Option<Vec<u8>> {
    let image = IMAGES.iter().find(|image| image.sizes == sizes)?;
    let runs = |of: &&((i32, i32), &[u8])| of.0.0 == major && of.0.1 <= minor;
    let (_, packed) = image.cubins.iter().rev().find(runs)?;
    unpack(packed)
}

/// The text that the driver compiles for any GPU from 8.0 on.
pub fn ptx(sizes: Sizes) -> Option<String> {
    let image = IMAGES.iter().find(|image| image.sizes == sizes)?;
    let mut text = unpack(image.ptx)?;
    text.pop(); // the zero byte that ends it
    String::from_utf8(text).ok()
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib(packed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::student::Student;

    #[test]
    fn the_built_in_student_has_kernels() {
        let student = Student::embedded("default").unwrap();
        assert!(ptx(Sizes::of(&student)).is_some());
    }

    #[test]
    fn every_gpu_from_8_0_on_gets_code_that_it_can_run() {
        for sizes in IMAGES.iter().map(|image| image.sizes) {
            assert!(cubin(sizes, (7, 5)).is_none());
            let codes = [(8, 0), (8, 6), (8, 9), (9, 0)]
                .map(|capability| cubin(sizes, capability).unwrap());
            for (n, code) in codes.iter().enumerate() {
                assert!(code.starts_with(b"\x7fELF"));
                assert!(codes[..n].iter().all(|other| other != code));
            }
            assert_eq!(cubin(sizes, (8, 7)).unwrap(), codes[1]);
            assert!(cubin(sizes, (12, 0)).is_none());
            let ptx = ptx(sizes).unwrap();
            // 8.2 is what drivers from 535 on read.
            assert!(ptx.contains(".version 8.2") && ptx.contains(".target sm_80"));
        }
    }
}
