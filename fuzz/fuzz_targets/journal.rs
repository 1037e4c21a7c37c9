//! The fuzzer over journals that anything may have happened to.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::journal(bytes));
