#![no_main]
//! Any bytes as an XYZ file.

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = mdrun::structure::parse_xyz(Path::new("fuzz.xyz"), bytes);
});
