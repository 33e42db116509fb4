//! Weights from damaged, foreign and hostile files: always one message, never a panic.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use mdrun::student::Student;
use mdrun::student::random::SplitMix;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

const TINY: &[u8] = include_bytes!("../data/tiny.safetensors");

fn read(bytes: &[u8]) -> Result<Student, String> {
    Student::from_bytes(bytes, Path::new("some.safetensors")).map_err(|error| error.to_string())
}

/// A file while it is being spoilt.
struct Parts {
    metadata: HashMap<String, String>,
    tensors: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

/// The tiny student after a change.
fn changed(change: impl Fn(&mut Parts)) -> Vec<u8> {
    let (_, head) = SafeTensors::read_metadata(TINY).unwrap();
    let file = SafeTensors::deserialize(TINY).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let (shape, data) = (view.shape().to_vec(), view.data().to_vec());
        (name, (view.dtype(), shape, data))
    });
    let mut parts = Parts {
        metadata: head.metadata().clone().unwrap(),
        tensors: tensors.collect(),
    };
    change(&mut parts);
    let views = parts.tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views, Some(parts.metadata)).unwrap()
}

#[test]
fn a_good_file_is_read_as_it_was_written() {
    let student = read(TINY).unwrap();
    let architecture = &student.architecture;
    assert_eq!((architecture.channels, architecture.layers), (16, 3));
    assert_eq!(student.elements.len(), 9);
    assert_eq!(student.metadata["name"], "tiny");
    assert_eq!(student.sha256.len(), 64);
    assert!(read(&changed(|_| ())).is_ok());
}

#[test]
fn students_are_built_in_under_their_names() {
    for name in ["default", "small"] {
        let student = Student::embedded(name).unwrap();
        assert_eq!(student.metadata["name"], name);
        // One for the other in a campaign, whatever its molecules.
        assert_eq!(student.elements.len(), 9);
    }
    let error = Student::embedded("smal").unwrap_err().to_string();
    assert!(
        error.contains("no built-in force field is called \"smal\"")
            && error.contains("built in: default, small;"),
        "{error}"
    );
}

#[test]
fn a_core_is_there_if_the_file_says_so() {
    assert!(!read(TINY).unwrap().architecture.core);
    let with = |value: &str| {
        let to = format!("\"core\": {value}, \"channels\"");
        read(&changed(|p| set(p, "architecture", "\"channels\"", &to)))
    };
    assert!(!with("false").unwrap().architecture.core);
    assert!(with("true").unwrap().architecture.core);
    let error = with("1").unwrap_err();
    assert!(error.contains("expected a boolean"), "{error}");
    // As the training code writes it.
    let written = read(include_bytes!("../data/tiny-core.safetensors")).unwrap();
    assert!(written.architecture.core);
}

#[test]
fn dispersion_is_there_if_the_file_says_so() {
    assert!(!read(TINY).unwrap().architecture.dispersion);
    let with = |value: &str| {
        let to = format!("\"dispersion\": {value}, \"channels\"");
        read(&changed(|p| set(p, "architecture", "\"channels\"", &to)))
    };
    assert!(!with("false").unwrap().architecture.dispersion);
    assert!(with("true").unwrap().architecture.dispersion);
    let error = with("\"D4\"").unwrap_err();
    assert!(error.contains("expected a boolean"), "{error}");
    // As the training code writes it.
    let written = read(include_bytes!("../data/tiny-dispersion.safetensors")).unwrap();
    assert!(written.architecture.core && written.architecture.dispersion);
}

#[test]
fn a_student_may_say_nothing_about_its_error() {
    let known = read(TINY).unwrap();
    assert_eq!(known.domain().force_error_ev_per_ang, Some(2.0));
    let silent = read(&changed(|parts| {
        parts
            .tensors
            .retain(|name, _| !name.starts_with("uncertainty."));
        let tensors: BTreeMap<_, _> = parts.tensors.iter().collect();
        let mut hash = Sha256::new();
        for (name, (_, _, data)) in tensors {
            hash.update(name);
            hash.update([0]);
            hash.update(data);
        }
        let digest = hash.finalize();
        let digits = digest.iter().fold(String::new(), |digits, byte| {
            digits + &format!("{byte:02x}")
        });
        parts.metadata.insert("tensors_sha256".to_owned(), digits);
    }));
    assert_eq!(silent.unwrap().uncertainty, None);
}

type Change = fn(&mut Parts);

fn set(parts: &mut Parts, key: &str, from: &str, to: &str) {
    let value = parts.metadata.get_mut(key).unwrap();
    assert!(value.contains(from), "{value}");
    *value = value.replace(from, to);
}

#[test]
fn every_fault_is_named() {
    let faults: [(&str, Change); 16] = [
        ("there is no tensor `update2.mix`", |p| {
            p.tensors.remove("update2.mix");
        }),
        ("there is no tensor `reference_energy`", |p| {
            p.tensors.remove("reference_energy");
        }),
        (
            "there is a tensor `extra` that a student does not have",
            |p| {
                let tensor = p.tensors["embedding"].clone();
                p.tensors.insert("extra".to_owned(), tensor);
            },
        ),
        (
            "tensor `embedding` has the shape [16, 9] instead of [9, 16]",
            |p| {
                p.tensors.get_mut("embedding").unwrap().1 = vec![16, 9];
            },
        ),
        ("tensor `embedding` is I32 instead of F32", |p| {
            p.tensors.get_mut("embedding").unwrap().0 = Dtype::I32;
        }),
        (
            "tensor `embedding` has values that are not finite numbers",
            |p| {
                p.tensors.get_mut("embedding").unwrap().2[..4].copy_from_slice(&[0, 0, 0xc0, 0x7f]);
            },
        ),
        ("the weights are damaged: their SHA-256 is", |p| {
            p.tensors.get_mut("readout.out.weight").unwrap().2[0] ^= 1;
        }),
        ("the metadata have no `architecture`", |p| {
            p.metadata.remove("architecture");
        }),
        (
            "metadata `format` is `\\u{1b}[2J` instead of `mdrun-student`",
            |p| {
                p.metadata
                    .insert("format".to_owned(), "\u{1b}[2J".to_owned());
            },
        ),
        ("metadata `format_version` is `2` instead of `1`", |p| {
            p.metadata
                .insert("format_version".to_owned(), "2".to_owned());
        }),
        (
            "metadata `elements` is `[6, 1, 6]`: not a list of elements",
            |p| {
                p.metadata
                    .insert("elements".to_owned(), "[6, 1, 6]".to_owned());
            },
        ),
        (
            "metadata `elements` is `[1, 2]`: not a list of elements",
            |p| {
                p.metadata
                    .insert("elements".to_owned(), "[1, 2]".to_owned());
            },
        ),
        (
            "the architecture's `channels` is 24, not a multiple of 16 from 16 to 1024",
            |p| {
                set(p, "architecture", "\"channels\": 16", "\"channels\": 24");
            },
        ),
        (
            "the architecture's `cutoff_ang` is 1000, not from 1 to 20",
            |p| {
                set(
                    p,
                    "architecture",
                    "\"cutoff_ang\": 5.0",
                    "\"cutoff_ang\": 1e3",
                );
            },
        ),
        ("the architecture's `first` is `painn`", |p| {
            set(p, "architecture", "density", "painn");
        }),
        ("unknown field `chanels`", |p| {
            set(p, "architecture", "channels", "chanels");
        }),
    ];
    expect(&faults);
}

#[test]
fn every_fault_of_the_uncertainty_is_named() {
    expect(&[
        ("there is no tensor `uncertainty.out.bias`", |p| {
            p.tensors.remove("uncertainty.out.bias");
        }),
        ("there is no tensor `uncertainty.hidden.bias`", |p| {
            p.tensors.remove("uncertainty.hidden.bias");
        }),
        (
            "tensor `uncertainty.hidden.bias` has the shape [2, 4] instead of one length",
            |p| {
                p.tensors.get_mut("uncertainty.hidden.bias").unwrap().1 = vec![2, 4];
            },
        ),
        ("the metadata have no `uncertainty`", |p| {
            p.metadata.remove("uncertainty");
        }),
        ("the error to flag must be above 0", |p| {
            set(p, "uncertainty", "2.0", "-1");
        }),
    ]);
}

/// Every change leads to a refusal with its message.
fn expect(faults: &[(&str, Change)]) {
    for (message, change) in faults {
        let error = read(&changed(change)).unwrap_err();
        assert!(error.contains(message), "{error}");
        assert!(error.contains("some.safetensors"), "{error}");
    }
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    for length in (0..TINY.len())
        .step_by(101)
        .chain([0, 1, 7, 8, 9, TINY.len() - 1])
    {
        assert!(read(&TINY[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn no_change_of_a_byte_leads_to_a_panic() {
    let mut generator = SplitMix(1);
    for _ in 0..2000 {
        let mut bytes = TINY.to_vec();
        // Most faults in the head, where the structure is.
        let range = if generator.uniform() < 0.9 {
            6000
        } else {
            bytes.len()
        };
        for _ in 0..=(3.0 * generator.uniform()) as usize {
            bytes[(range as f64 * generator.uniform()) as usize] =
                (256.0 * generator.uniform()) as u8;
        }
        let _ = read(&bytes);
    }
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    assert!(read(&bytes).is_err());
    let huge = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    let mut bytes = (huge.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(huge);
    assert!(read(&bytes).is_err());
}
