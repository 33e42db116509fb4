//! A checkpoint as bytes, the same on every machine.
//!
//! ```text
//! magic            8 bytes
//! format version   u32
//! header           length u32, then JSON: settings, versions and which outputs there are
//! log offset       u64
//! replicas         count u64, then for each a record of 112 bytes and 9 N f64:
//!   molecule, name hash, copy (u32 each), temperature, status (u8 each), 2 zeros
//!   step u64, time step, temperature, friction, energy, kinetic energy, bath heat (f64 each)
//!   fault: 2 atoms (u32 each) and a value (f64)
//!   offsets of its DCD and its extended XYZ (u64 each), N u64
//!   positions, velocities, forces (N × 3 f64 each)
//! hash             SHA-256 of all before it
//! ```
//! All numbers are little-endian. `parse` reads it; which file it is, is the business of `store`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::replica::{Fault, Replica, Status};

pub(super) const MAGIC: [u8; 8] = *b"mdrun\0cp";
pub(super) const FORMAT_VERSION: u32 = 1;
pub(super) const HASH_BYTES: u64 = 32;

/// Bytes of a replica before its vectors.
pub(super) const RECORD_BYTES: u64 = 112;
/// Bytes of an atom's position, velocity and force.
pub(super) const ATOM_BYTES: u64 = 72;

pub(super) const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Strings in the header: short ones take far more memory than file.
pub(super) const HEADER_STRINGS_MAX: usize = 1 << 18;

#[derive(Serialize, Deserialize)]
pub(super) struct Header<'a> {
    pub(super) step: u64,
    pub(super) settings: Cow<'a, [(String, String)]>,
    pub(super) student_hash: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) device: Cow<'a, str>,
    pub(super) breaks: Cow<'a, [String]>,
    /// Which outputs there are.
    pub(super) dcd: bool,
    pub(super) extxyz: bool,
}

/// The file of a checkpoint.
pub fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let Checkpoint {
        offsets, replicas, ..
    } = checkpoint;
    let header = Header {
        step: checkpoint.step,
        settings: Cow::Borrowed(&checkpoint.settings),
        student_hash: Cow::Borrowed(&checkpoint.student_hash),
        version: Cow::Borrowed(&checkpoint.version),
        device: Cow::Borrowed(&checkpoint.device),
        breaks: Cow::Borrowed(&checkpoint.breaks),
        dcd: !offsets.dcd.is_empty(),
        extxyz: !offsets.extxyz.is_empty(),
    };
    let header = serde_json::to_vec(&header)
        .map_err(|source| Error::run(format!("cannot save the settings: {source}")))?;
    if header.len() as u64 > HEADER_BYTES_MAX || strings(&header) > HEADER_STRINGS_MAX {
        return Err(Error::run("there are too many settings for a checkpoint"));
    }
    let atoms = |replica: &Replica| replica.positions_ang.len() as u64;
    let vectors: u64 = replicas
        .iter()
        .map(|replica| ATOM_BYTES * atoms(replica))
        .sum();
    let length = 100 + header.len() as u64 + RECORD_BYTES * replicas.len() as u64 + vectors;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&offsets.log.to_le_bytes());
    bytes.extend_from_slice(&(replicas.len() as u64).to_le_bytes());
    for (index, replica) in replicas.iter().enumerate() {
        let offset = |offsets: &[u64]| offsets.get(index).copied().unwrap_or(0);
        push_replica(
            &mut bytes,
            replica,
            [offset(&offsets.dcd), offset(&offsets.extxyz)],
        );
    }
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    Ok(bytes)
}

fn push_replica(bytes: &mut Vec<u8>, replica: &Replica, offsets: [u64; 2]) {
    let (status, atoms, value) = match replica.status {
        Status::Running => (0, [0, 0], 0.0),
        Status::Failed(Fault::NotFinite) => (1, [0, 0], 0.0),
        Status::Failed(Fault::TooHot(temperature_k)) => (2, [0, 0], temperature_k),
        Status::Failed(Fault::TooClose(i, j, distance_ang)) => (3, [i, j], distance_ang),
        Status::Failed(Fault::BrokeApart(i, j)) => (4, [i, j], 0.0),
    };
    let id = &replica.id;
    for word in [id.molecule, id.name_hash, id.copy] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&[id.temperature, status, 0, 0]);
    bytes.extend_from_slice(&replica.step.to_le_bytes());
    for number in [
        replica.parameters.timestep_fs,
        replica.parameters.temperature_k,
        replica.parameters.friction_per_fs,
        replica.energy_ev,
        replica.kinetic_ev,
        replica.bath_heat_ev,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for atom in atoms {
        bytes.extend_from_slice(&atom.to_le_bytes());
    }
    bytes.extend_from_slice(&value.to_le_bytes());
    for offset in offsets {
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&(replica.positions_ang.len() as u64).to_le_bytes());
    for vectors in [
        &replica.positions_ang,
        &replica.velocities_ang_per_fs,
        &replica.forces_ev_per_ang,
    ] {
        for number in vectors.as_flattened() {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// How many strings a JSON text can have at most.
pub(super) fn strings(json: &[u8]) -> usize {
    json.split(|byte| *byte == b'"').count() / 2
}
