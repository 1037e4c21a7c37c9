//! What the fuzzer kept, and requests of real probes, go through every target.

use std::fs;
use std::path::Path;

// What is compiled for the fuzzer calls it, in tests too.
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys as _;
use telemetrics_fuzz::TARGETS;
use telemetrics_testkit::captures;

#[test]
fn what_the_fuzzer_kept_holds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.expect("a file").path())
            .collect();
        assert!(!files.is_empty(), "nothing in {}", folder.display());
        files.sort();
        for file in files {
            let bytes = fs::read(&file).expect("a file");
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} fails with {}", file.display());
        }
    }
}

#[test]
fn requests_of_real_probes_hold() {
    for capture in captures() {
        let end = capture.bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the end of the head");
        let begin = capture.bytes.iter().position(|byte| *byte == b'\n').expect("a request line") + 1;
        telemetrics_fuzz::headers(&capture.bytes[begin..]);
        telemetrics_fuzz::payload(&capture.bytes[end + 4..]);
    }
}
