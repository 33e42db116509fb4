//! A checkpoint from bytes that may be anything.
//!
//! It takes any bytes without panicking, needs no more memory than twice their length (and 16 MiB),
//! and gives nothing back that the hash does not cover. The layout is in `format`.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::Checkpoint;
use super::format::{
    ATOM_BYTES, FORMAT_VERSION, HASH_BYTES, HEADER_BYTES_MAX, HEADER_STRINGS_MAX, Header, MAGIC,
    RECORD_BYTES, strings,
};
use crate::error::{Error, Result};
use crate::replica::{Fault, Parameters, Replica, ReplicaId, Status};
use crate::write::Offsets;

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
        settings: header.settings.into_owned(),
        student_hash: header.student_hash.into_owned(),
        version: header.version.into_owned(),
        device: header.device.into_owned(),
        breaks: header.breaks.into_owned(),
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

    fn header(&mut self) -> Result<Header<'static>> {
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

fn damaged(how: &str) -> Error {
    Error::run(format!("the checkpoint is damaged: {how}"))
}
