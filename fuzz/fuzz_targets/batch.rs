//! The fuzzer over batches of records.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::batch(bytes));
