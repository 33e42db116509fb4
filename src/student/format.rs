//! Weights on disk: a safetensors file whose metadata says what they are.
//!
//! Whatever the bytes, reading them ends in a student or in one message that names the file and the
//! fault. Every size is checked before memory is asked for: a student takes as much as its file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::architecture::Architecture;
use super::block::LANES;
use super::uncertainty::{self, Uncertainty};
use crate::elements::{Element, element_of};
use crate::error::{Error, Result};
use crate::structure::Domain;

/// The students inside this program: name and file.
const EMBEDDED: [(&str, &[u8]); 2] = [
    (
        "default",
        include_bytes!("../../models/default.safetensors"),
    ),
    ("small", include_bytes!("../../models/small.safetensors")),
];

/// The tensor of the isolated atoms' energies.
const REFERENCE: &str = "reference_energy";

/// A force field: what it is made of and its weights.
#[derive(Clone, Debug)]
pub struct Student {
    /// Its sizes.
    pub architecture: Architecture,
    /// The elements it knows, in the order of its tables.
    pub elements: Vec<Element>,
    /// Energies of the isolated atoms, eV, in the same order.
    pub reference_energies_ev: Vec<f64>,
    /// What it says about its own error; none if it says nothing.
    pub uncertainty: Option<Uncertainty>,
    /// Everything the file says about itself.
    pub metadata: BTreeMap<String, String>,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    tensors: HashMap<String, Vec<f32>>,
}

impl Student {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, &source))?;
        Self::from_bytes(&bytes, path)
    }

    /// A student that is part of this program.
    pub fn embedded(name: &str) -> Result<Self> {
        let found = EMBEDDED.iter().find(|(known, _)| *known == name);
        let (name, bytes) = found.ok_or_else(|| {
            let known: Vec<_> = EMBEDDED.iter().map(|(known, _)| *known).collect();
            Error::input(format!("no built-in force field is called \"{name}\"")).hint(format!(
                "built in: {}; a file is named by its path, as in ./{name}.safetensors",
                known.join(", ")
            ))
        })?;
        Self::from_bytes(bytes, Path::new(&format!("{name}.safetensors")))
    }

    /// The elements it knows, how far it sees, and where it says that it knows no more.
    pub fn domain(&self) -> Domain {
        Domain {
            elements: self.elements.iter().map(|element| element.number).collect(),
            cutoff_ang: self.architecture.cutoff_ang,
            force_error_ev_per_ang: self.uncertainty.as_ref().map(|u| u.flag_above_ev_per_ang),
        }
    }

    /// The index of an element in its tables.
    pub fn species_of(&self, number: u8) -> Option<u8> {
        let found = self
            .elements
            .iter()
            .position(|element| element.number == number)?;
        Some(found as u8)
    }

    /// Reads the contents of a file; `path` is for the messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::read(bytes).map_err(|what| Error::input(what).at(path, 0))
    }

    /// The values of a tensor, row-major.
    ///
    /// The names and sizes are those of [`Architecture::tensors`], and those of the uncertainty
    /// where there is one; there are no others.
    pub(crate) fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }

    /// Puts a student together from tensors that have the right names and sizes.
    pub(super) fn assemble(
        architecture: Architecture,
        elements: Vec<Element>,
        tensors: HashMap<String, Vec<f32>>,
    ) -> Self {
        Self {
            reference_energies_ev: vec![0.0; elements.len()],
            uncertainty: None,
            metadata: BTreeMap::new(),
            sha256: String::new(),
            architecture,
            elements,
            tensors,
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let broken = |source| format!("not a safetensors file: {source}");
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let metadata: BTreeMap<String, String> = head
            .metadata()
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        check_version(&metadata)?;

        let elements = read_elements(&metadata)?;
        let architecture = Description::read(&metadata)?.architecture(elements.len())?;
        let mut expected = architecture.tensors();
        expected.extend(uncertainty::tensors(&file, architecture.channels)?);
        let known = |name: &str| name == REFERENCE || expected.iter().any(|(e, _)| e == name);
        if let Some(name) = file.names().iter().find(|name| !known(name)) {
            return Err(format!(
                "there is a tensor `{}` that a student does not have",
                clip(name)
            ));
        }
        let tensors = expected.into_iter().map(|(name, shape)| {
            let values = read_tensor(&file, &name, &shape)?;
            Ok((name, values))
        });
        let tensors = tensors.collect::<Result<_, String>>()?;
        let reference_energies_ev = read_reference(&file, elements.len())?;
        let uncertainty = Uncertainty::read(&file, &metadata)?;
        check_hash(&file, &metadata)?;
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        Ok(Self {
            architecture,
            elements,
            reference_energies_ev,
            uncertainty,
            metadata,
            sha256,
            tensors,
        })
    }
}

pub(super) fn text<'a>(
    metadata: &'a BTreeMap<String, String>,
    key: &str,
) -> Result<&'a str, String> {
    let found = metadata.get(key).map(String::as_str);
    found.ok_or_else(|| format!("the metadata have no `{key}`"))
}

fn check_version(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    for (key, expected) in [("format", "mdrun-student"), ("format_version", "1")] {
        let found = text(metadata, key)?;
        if found != expected {
            return Err(format!(
                "metadata `{key}` is `{}` instead of `{expected}`",
                clip(found)
            ));
        }
    }
    Ok(())
}

fn read_elements(metadata: &BTreeMap<String, String>) -> Result<Vec<Element>, String> {
    let text = text(metadata, "elements")?;
    let wrong = || {
        format!(
            "metadata `elements` is `{}`: not a list of elements",
            clip(text)
        )
    };
    let numbers: Vec<u8> = serde_json::from_str(text).map_err(|_| wrong())?;
    let repeated = |n: usize| numbers[..n].contains(&numbers[n]);
    if numbers.is_empty() || (0..numbers.len()).any(repeated) {
        return Err(wrong());
    }
    numbers
        .into_iter()
        .map(element_of)
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

/// The metadata `architecture`: what the training pipeline calls its configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "what the file says is not ours to shape"
)]
struct Description {
    channels: usize,
    layers: usize,
    radial: usize,
    cutoff_ang: f64,
    first: String,
    tensor: bool,
    gates: bool,
    tensor_channels: usize,
    norm_epsilon: f64,
    /// Files without it are older than the word.
    #[serde(default)]
    core: bool,
    #[serde(default)]
    dispersion: bool,
}

impl Description {
    fn read(metadata: &BTreeMap<String, String>) -> Result<Self, String> {
        let text = text(metadata, "architecture")?;
        serde_json::from_str(text).map_err(|source| {
            format!(
                "metadata `architecture` is `{}`: {}",
                clip(text),
                clip(&source.to_string())
            )
        })
    }

    fn architecture(self, elements: usize) -> Result<Architecture, String> {
        let lanes = LANES as f64;
        for (name, value, least, most, multiple) in [
            ("channels", self.channels as f64, lanes, 1024.0, lanes),
            ("layers", self.layers as f64, 2.0, 16.0, 1.0),
            ("radial", self.radial as f64, lanes, 128.0, lanes),
            (
                "tensor_channels",
                self.tensor_channels as f64,
                1.0,
                1024.0,
                1.0,
            ),
            ("cutoff_ang", self.cutoff_ang, 1.0, 20.0, 0.0),
            ("norm_epsilon", self.norm_epsilon, 1e-12, 1.0, 0.0),
        ] {
            if !(least..=most).contains(&value) || (multiple > 0.0 && value % multiple != 0.0) {
                let multiple = if multiple > 1.0 {
                    "a multiple of 16 "
                } else {
                    ""
                };
                return Err(format!(
                    "the architecture's `{name}` is {value}, not {multiple}from {least} to {most}"
                ));
            }
        }
        if self.first != "density" {
            return Err(format!(
                "the architecture's `first` is `{}`",
                clip(&self.first)
            ));
        }
        Ok(Architecture {
            elements,
            channels: self.channels,
            layers: self.layers,
            radial: self.radial,
            tensor_channels: if self.tensor { self.tensor_channels } else { 0 },
            gates: self.gates,
            norm_epsilon: self.norm_epsilon,
            cutoff_ang: self.cutoff_ang,
            core: self.core,
            dispersion: self.dispersion,
        })
    }
}

/// The bytes of a tensor of the expected kind.
fn bytes_of<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], String> {
    let tensor = file
        .tensor(name)
        .map_err(|_| format!("there is no tensor `{name}`"))?;
    if tensor.dtype() != dtype {
        return Err(format!(
            "tensor `{name}` is {} instead of {dtype}",
            tensor.dtype()
        ));
    }
    if tensor.shape() != shape {
        let found = tensor.shape();
        return Err(format!(
            "tensor `{name}` has the shape {found:?} instead of {shape:?}"
        ));
    }
    Ok(tensor.data())
}

fn read_tensor(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let numbers = bytes_of(file, name, Dtype::F32, shape)?
        .as_chunks()
        .0
        .iter();
    let values: Vec<f32> = numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(format!(
            "tensor `{name}` has values that are not finite numbers"
        ));
    }
    Ok(values)
}

fn read_reference(file: &SafeTensors<'_>, elements: usize) -> Result<Vec<f64>, String> {
    let numbers = bytes_of(file, REFERENCE, Dtype::F64, &[elements])?
        .as_chunks()
        .0
        .iter();
    let values: Vec<f64> = numbers.map(|bytes| f64::from_le_bytes(*bytes)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(format!(
            "tensor `{REFERENCE}` has values that are not finite numbers"
        ));
    }
    Ok(values)
}

/// Compares the tensors with the hash that was stored with them: names and bytes, in order.
fn check_hash(file: &SafeTensors<'_>, metadata: &BTreeMap<String, String>) -> Result<(), String> {
    let stored = text(metadata, "tensors_sha256")?;
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(name);
        hash.update([0]);
        hash.update(tensor.data());
    }
    let found = hexadecimal(&hash.finalize());
    if found == stored {
        return Ok(());
    }
    Err(format!(
        "the weights are damaged: their SHA-256 is {found} instead of `{}`",
        clip(stored)
    ))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|d| char::from(b"0123456789abcdef"[usize::from(d)]))
        .collect()
}

/// The beginning of a text that may be long or strange.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
