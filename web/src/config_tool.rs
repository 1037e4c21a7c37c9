//! `telemetrics config`: what is configured, whether it is valid, and a file to begin with.

use std::fmt::Write as _;

use crate::config::settings::SETTINGS;
use crate::config::{Config, ConfigError, Overrides};

/// A file with every setting, its default and what it does.
pub const EXAMPLE: &str = include_str!("../../deploy/telemetrics.toml");

/// Every setting with its value and where it comes from, one a line. Passwords are in no setting.
///
/// # Errors
/// As [`Config::load`].
pub fn show(file: Option<&std::path::Path>, overrides: Overrides) -> Result<String, ConfigError> {
    let (config, origins) = Config::load_with_origins(file, overrides)?;
    let mut text = String::new();
    for (at, setting) in SETTINGS.iter().enumerate() {
        let value = setting.shown(&config);
        if value.is_empty() {
            continue;
        }
        let origin = origins.get(&at).map_or("default", String::as_str);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{} = {value}  # {origin}", setting.key);
    }
    Ok(text)
}

/// The reference page `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = "# Settings\n\n\
         Made from `web/src/config/settings.rs`, the one list of settings; do not edit.\n\n\
         A setting is given in the file that `--config` names (TOML; a key with a point is in the section before the point),\n\
         in the environment, or on the command line, which go before each other in this order: the command line, the\n\
         environment, the file. `telemetrics config example` prints a file with all of them, `telemetrics config check` says\n\
         whether a configuration is valid, and `telemetrics config show` where each value comes from.\n"
        .to_owned();
    for setting in SETTINGS {
        let default = setting.default_text();
        let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n- Value: {}.\n- Default: {default}.\n- Variable: `{}`.\n",
            setting.key,
            setting.doc,
            setting.allowed(),
            setting.variable()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set it to write the page instead of comparing it.
    const UPDATE_VARIABLE: &str = "TELEMETRICS_UPDATE_DOCS";
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

    #[test]
    fn the_page_is_that_of_the_settings() {
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            std::fs::write(PAGE, reference()).expect("written");
        }
        let page = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            page == reference(),
            "docs/configuration.md is not that of the settings; write it with: \
             {UPDATE_VARIABLE}=1 cargo test --workspace the_page_is_that_of_the_settings"
        );
    }

    #[test]
    fn the_example_is_what_the_program_does_without_a_file() {
        let text = EXAMPLE.lines().filter(|line| !line.starts_with("#|")).collect::<Vec<_>>().join("\n");
        assert_eq!(Config::from_text("example", &text, Vec::new()).expect("valid"), Config::default());
    }

    #[test]
    fn what_is_shown_is_a_file_that_says_the_same() {
        let shown = show(None, Overrides::default()).expect("valid");
        assert!(shown.starts_with("listen = \"127.0.0.1:8080\"  # default\n"), "{shown}");
        let plain = |setting: &&str| !setting.contains('.');
        let top: Vec<&str> = shown.lines().filter(|line| plain(&line.split(' ').next().unwrap_or_default())).collect();
        Config::from_text("shown", &top.join("\n"), Vec::new()).expect("valid");
    }
}
