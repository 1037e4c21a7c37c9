//! The fuzzer over requests of probes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::headers(bytes));
