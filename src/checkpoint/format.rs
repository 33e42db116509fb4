//! A checkpoint as bytes, the same on every machine.
//!
//! ```text
//! magic            8 bytes
//! format version   u32
//! header           length u32, then JSON: step, origin, which outputs there are
//! log offset       u64
//! replicas         count u64, then for each a record of 112 bytes and 9 N f64:
//!   molecule, name hash, copy (u32 each), temperature, status (u8 each), 2 zeros
//!   step u64, time step, temperature, friction, energy, kinetic energy, bath heat (f64 each)
//!   fault: 2 atoms (u32 each) and a value (f64)
//!   offsets of its DCD and its extended XYZ (u64 each), N u64
//!   positions, velocities, forces (N × 3 f64 each)
//! hash             SHA-256 of all before it
//! ```
//! All numbers are little-endian. The reader takes any bytes without panicking, needs no more
//! memory than twice their length (and a few MiB), and believes nothing that the hash does not
//! cover. Which file is read is the business of `store`.

use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Checkpoint, Origin};
use crate::error::{Error, Result};
use crate::replica::{Fault, Parameters, Replica, ReplicaId, Status};
use crate::write::Offsets;

const MAGIC: [u8; 8] = *b"mdrun\0cp";
const FORMAT_VERSION: u32 = 1;
const HASH_BYTES: u64 = 32;

/// Bytes of a replica before its vectors.
const RECORD_BYTES: u64 = 112;
/// Bytes of an atom's position, velocity and force.
const ATOM_BYTES: u64 = 72;

const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Strings in the header: short ones take far more memory than file.
const HEADER_STRINGS_MAX: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Header {
    step: u64,
    origin: Origin,
    dcd: bool,
    extxyz: bool,
}

/// The file of a checkpoint.
pub fn encode(
    step: u64,
    origin: &Origin,
    offsets: &Offsets,
    replicas: &[Replica],
) -> Result<Vec<u8>> {
    let header = Header {
        step,
        origin: origin.clone(),
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

/// Reads a checkpoint from the bytes of its file.
pub fn parse(bytes: &[u8]) -> Result<Checkpoint> {
    parse_from(bytes, bytes.len() as u64)
}

/// Reads a checkpoint of `length` bytes as they come, so that they need not be in memory.
pub(super) fn parse_from(source: impl Read, length: u64) -> Result<Checkpoint> {
    let mut source = Source {
        inner: source,
        hash: Sha256::new(),
        left: length.saturating_sub(HASH_BYTES),
    };
    if source.array()? != MAGIC {
        return Err(Error::run("this is no checkpoint"));
    }
    let version = source.u32()?;
    if version != FORMAT_VERSION {
        return Err(Error::run(format!(
            "the checkpoint has format version {version}, and this program reads {FORMAT_VERSION}"
        )));
    }
    let header = source.header()?;
    let log = source.u64()?;
    let count = source.u64()?;
    // Each replica has at least one atom: what the file can hold bounds what is made room for.
    if count > source.left / (RECORD_BYTES + ATOM_BYTES) {
        return Err(damaged("it is too short for its replicas"));
    }
    let count = count as usize;
    let room = |wanted: bool| Vec::with_capacity(if wanted { count } else { 0 });
    let mut offsets = Offsets {
        log,
        dcd: room(header.dcd),
        extxyz: room(header.extxyz),
    };
    let mut replicas = Vec::with_capacity(count);
    for _ in 0..count {
        let (replica, [dcd, extxyz]) = source.replica()?;
        replicas.push(replica);
        if header.dcd {
            offsets.dcd.push(dcd);
        }
        if header.extxyz {
            offsets.extxyz.push(extxyz);
        }
    }
    source.finish()?;
    Ok(Checkpoint {
        step: header.step,
        origin: header.origin,
        offsets,
        replicas,
    })
}

/// Bytes that are counted and hashed as they are read.
struct Source<R> {
    inner: R,
    hash: Sha256,
    /// Bytes up to the hash.
    left: u64,
}

impl<R: Read> Source<R> {
    /// Fills a buffer whose length has been taken off `left`.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.inner
            .read_exact(buffer)
            .map_err(|source| damaged(&source.to_string()))?;
        self.hash.update(buffer);
        Ok(())
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| damaged("it ends too early"))?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut buffer = [0; N];
        self.take(N as u64)?;
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn f64(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn header(&mut self) -> Result<Header> {
        let length = u64::from(self.u32()?);
        if length > HEADER_BYTES_MAX {
            return Err(damaged("its header is too long"));
        }
        self.take(length)?;
        let mut text = vec![0; length as usize];
        self.fill(&mut text)?;
        if strings(&text) > HEADER_STRINGS_MAX {
            return Err(damaged("its header has too many entries"));
        }
        serde_json::from_slice(&text).map_err(|source| damaged(&format!("its header: {source}")))
    }

    fn replica(&mut self) -> Result<(Replica, [u64; 2])> {
        let [molecule, name_hash, copy] = [self.u32()?, self.u32()?, self.u32()?];
        let [temperature, status, _, _] = self.array()?;
        let step = self.u64()?;
        let parameters = Parameters {
            timestep_fs: self.f64()?,
            temperature_k: self.f64()?,
            friction_per_fs: self.f64()?,
        };
        let [energy_ev, kinetic_ev, bath_heat_ev] = [self.f64()?, self.f64()?, self.f64()?];
        let [i, j] = [self.u32()?, self.u32()?];
        let value = self.f64()?;
        let offsets = [self.u64()?, self.u64()?];
        let atoms = self.u64()?;
        if atoms == 0 || atoms > self.left / ATOM_BYTES {
            return Err(damaged("a replica has no atoms, or more than the file"));
        }
        let status = match status {
            0 => Status::Running,
            1 => Status::Failed(Fault::NotFinite),
            2 => Status::Failed(Fault::TooHot(value)),
            3 => Status::Failed(Fault::TooClose(i, j, value)),
            4 => Status::Failed(Fault::BrokeApart(i, j)),
            _ => return Err(damaged("a replica has no known status")),
        };
        let replica = Replica {
            id: ReplicaId {
                molecule,
                name_hash,
                temperature,
                copy,
            },
            step,
            parameters,
            positions_ang: self.vectors(atoms)?,
            velocities_ang_per_fs: self.vectors(atoms)?,
            forces_ev_per_ang: self.vectors(atoms)?,
            energy_ev,
            kinetic_ev,
            bath_heat_ev,
            status,
        };
        Ok((replica, offsets))
    }

    /// As many vectors as the caller has found room for in the file.
    fn vectors(&mut self, count: u64) -> Result<Vec<[f64; 3]>> {
        let mut vectors = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let bytes: [u8; 24] = self.array()?;
            let mut vector = [0.0; 3];
            for (number, bytes) in vector.iter_mut().zip(bytes.as_chunks().0) {
                *number = f64::from_le_bytes(*bytes);
            }
            vectors.push(vector);
        }
        Ok(vectors)
    }

    /// Compares the hash; nothing may be left before it.
    fn finish(mut self) -> Result<()> {
        if self.left != 0 {
            return Err(damaged("it is longer than its contents"));
        }
        let mut expected = [0; HASH_BYTES as usize];
        self.inner
            .read_exact(&mut expected)
            .map_err(|source| damaged(&source.to_string()))?;
        if self.hash.finalize().as_slice() != expected {
            return Err(damaged("its contents do not match its hash"));
        }
        Ok(())
    }
}

/// How many strings a JSON text can have at most.
fn strings(json: &[u8]) -> usize {
    json.split(|byte| *byte == b'"').count() / 2
}

fn damaged(how: &str) -> Error {
    Error::run(format!("the checkpoint is damaged: {how}"))
}
