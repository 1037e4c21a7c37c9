//! The image and the composition, as far as they can be looked at without a daemon that runs containers.

use std::fs;
use std::process::Command;

use telemetrics_testkit::Process;

use super::tools::{in_repository, installed, output, text};
use crate::servers::PROGRAM;

#[test]
fn hadolint_has_nothing_to_say_about_the_image() {
    output(&in_repository("deploy/docker"), &installed("lint/bin/hadolint"), &["Dockerfile"]);
}

#[test]
fn the_stage_that_compiles_has_what_the_program_needs() {
    let (image, readme) = (text("deploy/docker/Dockerfile"), text("README.md"));
    let needs = readme.lines().find_map(|line| line.strip_prefix("Needs a Rust toolchain ("));
    let (version, others) = needs.and_then(|needs| needs.split_once(" or later), ")).expect("what is needed");
    assert!(image.contains(&format!("\nFROM rust:{version}-slim-")), "the image of Rust {version}");
    assert!(text("Cargo.toml").contains(&format!("rust-version = \"{version}\"")), "{version}");
    assert_eq!(others, "a C compiler and make. From a clone of this repository:");
    let installed = image.lines().find_map(|line| line.split_once("apt-get install -y --no-install-recommends "));
    let installed: Vec<&str> = installed.map(|(_, names)| names.split(' ').collect()).unwrap_or_default();
    for name in ["gcc", "libc6-dev", "make"] {
        assert!(installed.contains(&name), "{name} is not among {installed:?}");
    }
}

/// The composition as docker-compose understands it, with the variables of the server in it.
fn composition() -> serde_json::Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin), default=str))";
    let pipe = format!("docker-compose -f compose.yaml config | PYTHONPATH=\"$1\" python3 -c '{script}'");
    let packages = installed("python");
    let text = output(&in_repository("deploy/docker"), "bash", &["-euo", "pipefail", "-c", &pipe, "bash", &packages]);
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_composition_is_valid_and_its_variables_are_a_valid_configuration() {
    let composition = composition();
    let server = &composition["services"]["telemetrics"];
    let variables = server["environment"].as_object().expect("variables");
    assert!(variables.len() >= 6, "{variables:?}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(PROGRAM);
    command.args(["config", "check"]);
    for (name, value) in variables {
        let value = value.as_str().expect("a text");
        match value.strip_prefix("/run/secrets/") {
            Some(secret) => {
                assert!(composition["secrets"][secret]["file"].is_string(), "{secret}");
                fs::write(dir.path().join(secret), "a password").expect("written");
                command.env(name, dir.path().join(secret));
            }
            None => {
                command.env(name, value);
            }
        }
    }
    let ended = Process::start(command.current_dir(dir.path()), dir.path()).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn nothing_but_this_machine_reaches_the_composition() {
    let composition = composition();
    let services = composition["services"].as_object().expect("services");
    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a text");
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}
