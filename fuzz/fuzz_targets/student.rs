#![no_main]
//! Any bytes as a force field.

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = mdrun::student::Student::from_bytes(bytes, Path::new("fuzz.safetensors"));
});
