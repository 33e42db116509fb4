//! Whether the replicas of a campaign fit into memory, asked before any is made.

use super::compounds::Compound;
use crate::error::{Error, Result};
use crate::replica::Replica;

/// The state exists in the plan, where it is stepped, before its last step, and where it is
/// observed; a checkpoint copies and encodes it once more.
const STATE_COPIES: u64 = 6;

/// Positions, velocities and forces of one atom.
const ATOM_BYTES: u64 = 3 * size_of::<[f64; 3]>() as u64;

/// Memory for the state of one replica, bytes.
pub fn state_bytes(atoms: usize) -> u64 {
    STATE_COPIES * (size_of::<Replica>() as u64 + ATOM_BYTES * atoms as u64)
}

/// The number of all replicas, if their state fits.
pub fn check(compounds: &[Compound]) -> Result<usize> {
    let mut total: u64 = 0;
    let mut bytes: u64 = 0;
    for compound in compounds {
        let replicas = u64::from(compound.copies) * compound.temperatures_k.len() as u64;
        let each = state_bytes(compound.molecule.len());
        total = total.saturating_add(replicas);
        bytes = bytes.saturating_add(replicas.saturating_mul(each));
    }
    let too_many = |limit: String| {
        Error::input(format!(
            "{total} replicas need {} of memory, and {limit}",
            words(bytes)
        ))
        .hint("run fewer replicas at a time: results do not depend on how a campaign is divided")
    };
    match available_bytes() {
        Some(available) if bytes > available => {
            return Err(too_many(format!("{} are free", words(available))));
        }
        _ => {}
    }
    // Slots are counted in 32 bits.
    if total > u64::from(u32::MAX) {
        return Err(too_many(format!("{} replicas are the most", u32::MAX)));
    }
    Ok(total as usize)
}

/// Memory that this process could still get; nothing where the system does not say.
fn available_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = machine
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)?;
    Some(machine.min(container_bytes().unwrap_or(u64::MAX)))
}

/// What the limit of a container leaves.
fn container_bytes() -> Option<u64> {
    let read = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let cache = std::fs::read_to_string("/sys/fs/cgroup/memory.stat").ok();
    let cache = cache.as_deref().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok())
    });
    Some(
        read("memory.max")?
            .saturating_sub(read("memory.current")?)
            .saturating_add(cache.unwrap_or(0)),
    )
}

/// An amount of memory in words.
fn words(bytes: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    format!("{:.1} GiB", bytes as f64 / GIB)
}
