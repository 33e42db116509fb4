//! Uncertainty: how far the forces on a molecule may be from the teacher's.
//!
//! ```text
//! s_i = silu(q_i W₁ + b₁) · w₂ + b₂        ε = √( Σ_i e^(2 s_i) / N )
//! ```
//!
//! From the scalars q of the last layer, s is the logarithm of the error that a component of the
//! force on atom *i* is expected to have, in eV/Å, and ε that of the molecule. The weights are
//! trained after everything else, on molecules that the rest was not trained on: the error there,
//! not that of the fit, is what a user meets. It is asked for now and then and has no gradient.
//!
//! A student may do without; then none of its tensors is in the file.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde::Deserialize;

use super::format::{Student, clip, text};
use super::readout::{Readout, Tape};
use super::real::Real;

/// What its tensors and its metadata are called.
const NAME: &str = "uncertainty";
/// The most hidden units it may have.
const UNITS_MAX: usize = 1024;

/// What a student says about its own error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Uncertainty {
    /// Expected error, eV/Å, above which a molecule is unlike what the student knows.
    pub flag_above_ev_per_ang: f64,
}

impl Uncertainty {
    /// The file's metadata about it.
    pub(super) fn read(
        file: &SafeTensors<'_>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, String> {
        if !is_in(file) {
            return Ok(None);
        }
        let text = text(metadata, NAME)?;
        let wrong = |what: &str| format!("metadata `{NAME}` is `{}`: {what}", clip(text));
        let read: Self =
            serde_json::from_str(text).map_err(|source| wrong(&clip(&source.to_string())))?;
        if read.flag_above_ev_per_ang > 0.0 && read.flag_above_ev_per_ang.is_finite() {
            Ok(Some(read))
        } else {
            Err(wrong("the error to flag must be above 0"))
        }
    }
}

/// Whether the file has one: any of its tensors calls for all the others.
fn is_in(file: &SafeTensors<'_>) -> bool {
    let names = file.names();
    let mut groups = names.iter().filter_map(|name| name.split_once('.'));
    groups.any(|(group, _)| group == NAME)
}

/// Name and shape of each of its tensors, if the file has one; the file decides on its units H.
pub(super) fn tensors(
    file: &SafeTensors<'_>,
    channels: usize,
) -> Result<Vec<(String, Vec<usize>)>, String> {
    if !is_in(file) {
        return Ok(Vec::new());
    }
    let name = |part: &str| format!("{NAME}.{part}");
    let bias = name("hidden.bias");
    let tensor = file.tensor(&bias);
    let shape = tensor.map_err(|_| format!("there is no tensor `{bias}`"))?;
    let &[units @ 1..=UNITS_MAX] = shape.shape() else {
        let found = shape.shape();
        return Err(format!(
            "tensor `{bias}` has the shape {found:?} instead of one length from 1 to {UNITS_MAX}"
        ));
    };
    Ok(vec![
        (name("hidden.weight"), vec![channels, units]),
        (bias, vec![units]),
        (name("out.weight"), vec![units, 1]),
        (name("out.bias"), vec![1]),
    ])
}

/// The readout, ready to compute.
#[derive(Clone, Debug)]
pub struct ForceError<T> {
    log_error: Readout<T>,
}

impl<T: Real> ForceError<T> {
    /// Takes the weights, if the student has them.
    pub fn new(student: &Student) -> Option<Self> {
        student.uncertainty.as_ref()?;
        let log_error = Readout::new(student, NAME);
        Some(Self { log_error })
    }

    /// s of some atoms; the tape may be any readout's.
    pub fn atoms(&self, tape: &mut Tape<T>, q: &[T]) -> impl Iterator<Item = f64> {
        self.log_error.atoms(tape, q)
    }
}

/// ε in eV/Å from s of all atoms of a molecule that has some.
pub fn of_molecule(log_errors: impl Iterator<Item = f64>) -> f64 {
    let (mut atoms, mut squares) = (0.0, 0.0);
    for s in log_errors {
        atoms += 1.0;
        squares += Real::exp(2.0 * s);
    }
    f64::sqrt(squares / atoms)
}
