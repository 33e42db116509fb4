//! All replicas of a campaign, at their starting positions and at rest.

use super::compounds::Compound;
use super::memory;
use crate::error::Result;
use crate::replica::{Parameters, Replica, ReplicaId};

/// The hash of a molecule's name in the identity of its replicas: FNV-1a, 32 bits.
pub fn name_hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The replicas of all compounds: by molecule, then temperature, then copy.
pub fn all(compounds: &[Compound], timestep_fs: f64) -> Result<Vec<Replica>> {
    let total = memory::check(compounds)?;
    let mut replicas = Vec::with_capacity(total);
    for (molecule, compound) in compounds.iter().enumerate() {
        let name_hash = name_hash(&compound.molecule.name);
        for (temperature, temperature_k) in compound.temperatures_k.iter().enumerate() {
            let parameters = Parameters {
                timestep_fs,
                temperature_k: *temperature_k,
                friction_per_fs: compound.friction_per_ps / 1000.0,
            };
            for copy in 0..compound.copies {
                let id = ReplicaId {
                    molecule: molecule as u32,
                    name_hash,
                    temperature: temperature as u8,
                    copy,
                };
                replicas.push(start(compound, id, parameters));
            }
        }
    }
    Ok(replicas)
}

fn start(compound: &Compound, id: ReplicaId, parameters: Parameters) -> Replica {
    let starts_ang = &compound.molecule.starts_ang;
    let positions_ang = starts_ang[id.copy as usize % starts_ang.len()].clone();
    Replica::at_rest(id, parameters, positions_ang)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability_of_name_hashes() {
        // The published vectors of FNV-1a: "" and "foobar".
        assert_eq!(
            (name_hash(""), name_hash("foobar")),
            (0x811c_9dc5, 0xbf9c_f968)
        );
    }
}
