//! Files with secrets: short texts that nobody may read but their owner and his group.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// What others than the owner and his group may do with a file.
const MODE_OF_OTHERS: u32 = 0o007;

/// The text of a file that others cannot reach.
///
/// # Errors
/// Why it cannot be used and what to do, as the rest of a sentence about it.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & MODE_OF_OTHERS != 0 {
        let path = path.display();
        return Err(format!("is open to every user of this machine: take that away with `chmod o= {path}`"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn refusal(path: &Path) -> String {
        read(path).expect_err("not refused")
    }

    #[test]
    fn what_others_can_reach_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        assert!(refusal(&path).starts_with("cannot be read: No such file"));
        fs::write(&path, "text").expect("written");
        for (mode, is_taken) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false), (0o601, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(read(&path).is_ok(), is_taken, "{mode:o}");
        }
        assert!(refusal(&path).contains(&format!("`chmod o= {}`", path.display())));
    }

    #[test]
    fn a_file_is_limited_at_its_edge() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        let with = |bytes: u64| {
            fs::write(&path, vec![b'x'; usize::try_from(bytes).expect("few")]).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            read(&path)
        };
        assert!(with(FILE_BYTES_MAX).is_ok());
        assert!(with(FILE_BYTES_MAX + 1).expect_err("large").contains("1048576 bytes"));
    }
}
