//! Serves the HTTP interface of a real ClickHouse on 127.0.0.1 for tests: `clickhouse-testserver LIBRARY DIR PORT`.
//!
//! LIBRARY is `libchdb.so`, the whole engine; DIR keeps the data, and may have a configuration (`config.xml`). It runs until it is killed, or until its standard
//! input ends: the parent is gone then, and the directory is removed.

// Calling into a C library has no safe form.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io, ptr, thread};

unsafe extern "C" {
    /// Ends the process without the engine's clean-up, which may wait for running queries.
    fn _exit(code: c_int) -> !;
}

type CommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> c_int;

/// Keeps the command line busy for ever while the listener serves.
const QUERY: &str = "SYSTEM START LISTEN HTTP; SELECT sleepEachRow(3) FROM system.numbers FORMAT Null \
                     SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [library, dir, port] = arguments.as_slice() else {
        eprintln!("usage: clickhouse-testserver LIBRARY DIR PORT");
        return ExitCode::from(2);
    };
    end_with_parent(dir.clone());
    let mut words = vec![
        "clickhouse-local".to_owned(),
        format!("--path={dir}"),
        "--listen_host=127.0.0.1".to_owned(),
        format!("--http_port={port}"),
        format!("--query={QUERY}"),
    ];
    let config = Path::new(dir).join("config.xml");
    if config.is_file() {
        words.push(format!("--config-file={}", config.display()));
    }
    match run(library, &words) {
        Ok(code) => eprintln!("clickhouse-testserver: the server ended with {code}"),
        Err(error) => eprintln!("clickhouse-testserver: {library}: {error}"),
    }
    ExitCode::FAILURE
}

/// Ends this process when standard input does: nobody else would, when a test is killed.
fn end_with_parent(dir: String) {
    thread::spawn(move || {
        let mut rest = Vec::new();
        // An error means the same as the end: nobody is there any more.
        let _ = io::stdin().read_to_end(&mut rest);
        let _ = fs::remove_dir_all(dir);
        // SAFETY: ends the process at once; nothing of it is used afterwards.
        unsafe { _exit(0) }
    });
}

fn run(library: &str, words: &[String]) -> Result<c_int, libloading::Error> {
    let words: Vec<CString> = words.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
    let count = c_int::try_from(words.len()).unwrap_or(c_int::MAX);
    let mut pointers: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    // SAFETY: the library is the engine that scripts/setup-tests installed; its initialisers may run in any process.
    let library = unsafe { libloading::Library::new(library)? };
    // SAFETY: the function has this signature in every version of the library.
    let command_line: libloading::Symbol<'_, CommandLine> = unsafe { library.get(b"chdb_query_cmdline\0")? };
    // SAFETY: like main's arguments: `count` strings that end with NUL, then a null pointer, alive during the call.
    Ok(unsafe { command_line(count, pointers.as_mut_ptr()) })
}
