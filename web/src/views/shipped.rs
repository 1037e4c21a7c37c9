//! The views that are shipped as files: those of the original service, as far as a file can say them, and an example of
//! each other kind.

/// The name and the text of each file.
pub const FILES: [(&str, &str); 9] = [
    ("builds.toml", include_str!("../../../deploy/views/builds.toml")),
    ("crash-days.toml", include_str!("../../../deploy/views/crash-days.toml")),
    ("machine-checks.toml", include_str!("../../../deploy/views/machine-checks.toml")),
    ("mce.toml", include_str!("../../../deploy/views/mce.toml")),
    ("newest.toml", include_str!("../../../deploy/views/newest.toml")),
    ("population.toml", include_str!("../../../deploy/views/population.toml")),
    ("stats.toml", include_str!("../../../deploy/views/stats.toml")),
    ("thermal.toml", include_str!("../../../deploy/views/thermal.toml")),
    ("updates.toml", include_str!("../../../deploy/views/updates.toml")),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::Definition;
    use super::super::file::KINDS;
    use super::*;

    #[test]
    fn each_kind_has_an_example() {
        for kind in KINDS {
            let line = format!("\nkind = \"{kind}\"\n");
            assert!(FILES.iter().any(|(_, text)| text.contains(&line)), "{kind}");
        }
    }

    #[test]
    fn every_file_is_shipped_and_is_a_view() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/views");
        let files = std::fs::read_dir(folder).expect("the views");
        let files: BTreeSet<_> =
            files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(files, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
        for (name, text) in FILES {
            Definition::read(text).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        }
    }
}
