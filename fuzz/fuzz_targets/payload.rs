//! The fuzzer over payloads of crashes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| telemetrics_fuzz::payload(bytes));
