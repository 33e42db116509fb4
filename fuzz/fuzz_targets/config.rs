#![no_main]
//! Any bytes as a config: understood or refused, never a panic.

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = mdrun::config::Config::parse(Path::new("fuzz.toml"), text);
    }
});
