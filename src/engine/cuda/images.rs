//! The compiled kernels inside this program, and which of them a GPU runs.

use super::abi::Sizes;

/// Kernels for one set of sizes.
#[derive(Debug)]
pub struct Image {
    /// What they are compiled for.
    pub sizes: Sizes,
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

/// All sets; one for another student needs a line here and one in `kernels/build.py`.
const IMAGES: [Image; 2] = [
    image!("f128_k16_t64", 128, 16, 64),
    image!("f64_k16_t32", 64, 16, 32),
];

/// The smallest kernels that a student of these sizes fits into when it is widened; any where there
/// is no student.
pub fn image_for(student: Option<Sizes>) -> Option<&'static Image> {
    let Some(of) = student else {
        return IMAGES.first();
    };
    let fits = |image: &&Image| {
        let Sizes {
            channels,
            radial,
            tensor_channels,
        } = image.sizes;
        channels >= of.channels && radial == of.radial && tensor_channels >= of.tensor_channels
    };
    let fitting = IMAGES.iter().filter(fits);
    fitting.min_by_key(|image| image.sizes.channels)
}

impl Image {
    /// Machine code for a GPU of this compute capability, if there is: code of one major version
    /// runs on all later minor ones.
    pub fn cubin(&self, (major, minor): (i32, i32)) -> Option<Vec<u8>> {
        let runs = |of: &&((i32, i32), &[u8])| of.0.0 == major && of.0.1 <= minor;
        let (_, packed) = self.cubins.iter().rev().find(runs)?;
        unpack(packed)
    }

    /// The text that the driver compiles for any GPU from 8.0 on.
    pub fn ptx(&self) -> Option<String> {
        let mut text = unpack(self.ptx)?;
        text.pop(); // the zero byte that ends it
        String::from_utf8(text).ok()
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib(packed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::student::Student;

    #[test]
    fn built_in_students_have_kernels() {
        for (name, channels) in [("default", 128), ("small", 64)] {
            let student = Student::embedded(name).unwrap();
            let image = image_for(Some(Sizes::of(&student))).unwrap();
            assert_eq!(image.sizes.channels, channels, "{name}");
        }
    }

    #[test]
    fn a_student_gets_the_smallest_kernels_that_it_fits_into() {
        let sizes = |channels, radial, tensor_channels| Sizes {
            channels,
            radial,
            tensor_channels,
        };
        let channels = |of| image_for(Some(of)).map(|image| image.sizes.channels);
        assert_eq!(channels(sizes(16, 16, 0)), Some(64));
        assert_eq!(channels(sizes(64, 16, 32)), Some(64));
        assert_eq!(channels(sizes(64, 16, 33)), Some(128));
        assert_eq!(channels(sizes(80, 16, 16)), Some(128));
        assert_eq!(channels(sizes(144, 16, 16)), None);
        assert_eq!(channels(sizes(48, 32, 16)), None);
        assert!(image_for(None).is_some());
    }

    #[test]
    fn every_gpu_from_8_0_on_gets_code_that_it_can_run() {
        for image in &IMAGES {
            assert!(image.cubin((7, 5)).is_none());
            let codes =
                [(8, 0), (8, 6), (8, 9), (9, 0)].map(|capability| image.cubin(capability).unwrap());
            for (n, code) in codes.iter().enumerate() {
                assert!(code.starts_with(b"\x7fELF"));
                assert!(codes[..n].iter().all(|other| other != code));
            }
            assert_eq!(image.cubin((8, 7)).unwrap(), codes[1]);
            assert!(image.cubin((12, 0)).is_none());
            let ptx = image.ptx().unwrap();
            // 8.2 is what drivers from 535 on read.
            assert!(ptx.contains(".version 8.2") && ptx.contains(".target sm_80"));
        }
    }
}
