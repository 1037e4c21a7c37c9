//! Shell scripts, those of the repository included, as `shellcheck` reads them.

use std::fs;

use super::tools::{files, in_repository, installed, output};

/// Scripts that there are at least: fewer would mean that the test looks in the wrong place.
const SCRIPTS_MIN: usize = 5;

#[test]
fn shellcheck_has_nothing_to_say() {
    let is_script = |path: &std::path::PathBuf| {
        fs::read_to_string(path)
            .is_ok_and(|text| text.starts_with("#!/bin/sh") || text.starts_with("#!/usr/bin/env bash"))
    };
    let scripts: Vec<String> = ["scripts", "deploy", ".ci"]
        .into_iter()
        .flat_map(files)
        .filter(is_script)
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    assert!(scripts.len() >= SCRIPTS_MIN, "{scripts:?}");
    let args: Vec<&str> = scripts.iter().map(String::as_str).collect();
    output(&in_repository("."), &installed("lint/bin/shellcheck"), &args);
}
