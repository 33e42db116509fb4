#![no_main]
//! Any bytes as a checkpoint.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = mdrun::checkpoint::parse(bytes);
});
