//! The fuzz corpus and mutations of it through every parser: refused or understood, never a panic.
//!
//! The targets in fuzz/ search much further; this keeps what they found from coming back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mdrun::checkpoint;
use mdrun::config::Config;
use mdrun::random::philox4x32;
use mdrun::structure::parse_xyz;
use mdrun::student::Student;

/// Mutants of each file.
const MUTANTS: u32 = 2000;

/// A mutant of `bytes`: some bytes changed, a part doubled or removed, the end cut off.
fn mutant(bytes: &[u8], number: u32) -> Vec<u8> {
    let mut draw = 0;
    let mut below = |limit: usize| {
        draw += 1;
        philox4x32([number, draw, 0, 0], [7, bytes.len() as u32])[0] as usize % limit.max(1)
    };
    let mut mutant = bytes.to_vec();
    for _ in 0..=below(3) {
        let at = below(mutant.len() + 1);
        let end = (at + 1 + below(20)).min(mutant.len());
        match below(5) {
            0 => mutant.truncate(at),
            1 if at < end => mutant[at] = below(256) as u8,
            2 if at < end => mutant[at] ^= 1 << below(8),
            3 if at < end => drop(mutant.drain(at..end)),
            _ if at < end => mutant.extend_from_within(at..end),
            _ => {}
        }
    }
    mutant
}

fn survives(kind: &str, parse: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(kind);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for number in 0..MUTANTS {
            let bytes = if number == 0 {
                bytes.clone()
            } else {
                mutant(&bytes, number)
            };
            let parsed = catch_unwind(AssertUnwindSafe(|| parse(&bytes)));
            assert!(
                parsed.is_ok(),
                "mutant {number} of {} panics",
                path.display()
            );
        }
        files += 1;
    }
    assert!(files > 0, "no corpus for {kind}");
}

#[test]
fn configs() {
    survives("config", |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = Config::parse(Path::new("config.toml"), text);
        }
    });
}

#[test]
fn structures() {
    survives("structure", |bytes| {
        let _ = parse_xyz(Path::new("a.xyz"), bytes);
    });
}

#[test]
fn students() {
    survives("student", |bytes| {
        let _ = Student::from_bytes(bytes, Path::new("a.safetensors"));
    });
}

#[test]
fn checkpoints() {
    survives("checkpoint", |bytes| {
        let _ = checkpoint::parse(bytes);
    });
}
