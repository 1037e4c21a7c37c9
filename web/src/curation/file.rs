//! The history in a file of this process: a line of JSON for each entry, synced before the edit is answered.
//!
//! What a kill leaves of a line that was being written has never been answered: it is cut off at the next start. Only the
//! last line can be torn, because each one is on disk before the next is begun.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use telemetrics_collector::directory;
use telemetrics_schema::curation::{ENTRY_BYTES_MAX, Entry, HISTORY_BYTES_MAX, HISTORY_ENTRIES_MAX, History};
use tracing::warn;

/// Name of the file in its directory.
const NAME: &str = "history.jsonl";
/// Largest file that is read: a full history with the ends of its lines, and a torn line.
const FILE_BYTES_MAX: u64 = (HISTORY_BYTES_MAX + HISTORY_ENTRIES_MAX + ENTRY_BYTES_MAX) as u64;

/// Why the history cannot be opened, by what has to be done.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Look at the disk and the rights.
    #[error("the history of curation {file}: {reason}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        reason: io::Error,
    },
    /// Start a newer program, or mend the line; or put the file aside and import an export.
    #[error("the history of curation {file} cannot be read at line {line}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// Number of the line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// See the module.
pub(super) struct HistoryFile {
    file: File,
    /// Length of what is synced.
    bytes: u64,
    /// Whether the file has that length: not after a write that failed.
    is_settled: bool,
}

/// What a file holds.
struct Reading {
    history: History,
    /// Length of its whole lines.
    bytes: usize,
    /// Where the last of them begins.
    last_line: usize,
}

impl HistoryFile {
    /// Reads the history below `directory`, which is made when it is missing.
    pub(super) fn open(directory: &Path) -> Result<(Self, History), FileError> {
        let path = directory.join(NAME);
        let failed = |reason| FileError::Io { file: path.display().to_string(), reason };
        directory::durable(directory).map_err(failed)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(failed)?;
        let content = read(&mut file).map_err(failed)?;
        let Reading { history, bytes, last_line } = parse(&content, &path)?;
        if bytes < content.len() {
            let torn_bytes = content.len() - bytes;
            warn!(torn_bytes, "the history of curation ended in an unfinished write, which had not been answered");
        }
        settle(&file, directory, &content[..bytes], last_line).map_err(failed)?;
        Ok((Self { file, bytes: bytes as u64, is_settled: true }, history))
    }

    /// Adds a line, which has its end. After an error the history is what it was.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.is_settled {
            self.file.set_len(self.bytes)?;
            self.file.sync_all()?;
        }
        self.is_settled = false;
        let written = self.file.write_all_at(line, self.bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What was not answered must not be there after a restart. When this fails, the next write begins with it.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += line.len() as u64;
        self.is_settled = true;
        Ok(())
    }
}

/// The history below `directory` as it is, without a torn last line; an empty one where there is none. Changes nothing.
pub(super) fn read_only(directory: &Path) -> Result<History, FileError> {
    let path = directory.join(NAME);
    let content = match File::open(&path).and_then(|mut file| read(&mut file)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(reason) => return Err(FileError::Io { file: path.display().to_string(), reason }),
    };
    Ok(parse(&content, &path)?.history)
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than a history can be ({FILE_BYTES_MAX} bytes)")));
    }
    Ok(content)
}

fn parse(content: &[u8], path: &Path) -> Result<Reading, FileError> {
    let mut reading = Reading { history: History::default(), bytes: 0, last_line: 0 };
    for (i, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let is_last = reading.bytes + line.len() == content.len();
        if is_last && is_torn(line) {
            break;
        }
        take(&mut reading.history, line).map_err(|reason| {
            let file = path.display().to_string();
            FileError::Unreadable { file, line: i + 1, reason }
        })?;
        reading.last_line = reading.bytes;
        reading.bytes += line.len();
    }
    Ok(reading)
}

/// Whether the last line was never finished: it has no end, or a part of it never reached the disk and it is no JSON. One
/// that is JSON and no entry comes from a newer program.
fn is_torn(line: &[u8]) -> bool {
    line.last() != Some(&b'\n') || serde_json::from_slice::<serde_json::Value>(line).is_err()
}

fn take(history: &mut History, line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let entry = Entry::from_line(text).map_err(|error| error.to_string())?;
    let found = entry.sequence;
    history.push(entry).map_err(|next| format!("entry {next} is missing before {found}"))
}

/// Cuts off what is torn and makes durable what was read: a sync that failed before the restart may have left a last line
/// that is read but would never be on disk, so it is written again.
fn settle(file: &File, directory: &Path, whole: &[u8], last_line: usize) -> io::Result<()> {
    file.set_len(whole.len() as u64)?;
    file.write_all_at(&whole[last_line..], last_line as u64)?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use telemetrics_schema::TimestampUs;
    use telemetrics_schema::curation::{Change, Frame, What};

    use super::*;

    fn entry(sequence: u64) -> Entry {
        let frame = Frame::new(format!("f{sequence}()"), "m");
        let what = What::Changes(vec![Change::CommentSet(frame, "a text with ä".to_owned())]);
        Entry { sequence, time: TimestampUs(5), who: None, nonce: sequence, what }
    }

    fn line(sequence: u64) -> String {
        format!("{}\n", entry(sequence).line().expect("a line"))
    }

    fn reopened(directory: &Path) -> (HistoryFile, u64) {
        let (file, history) = HistoryFile::open(directory).expect("opened");
        (file, history.sequence())
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let below = directory.path().join("a/b");
        for sequence in 1..=3 {
            let (mut file, before) = reopened(&below);
            assert_eq!(before, sequence - 1);
            file.append(line(sequence).as_bytes()).expect("written");
        }
        let (_, history) = HistoryFile::open(&below).expect("opened");
        assert_eq!(history.entries(), (1..=3).map(entry).collect::<Vec<_>>());
        assert_eq!(fs::read_to_string(below.join(NAME)).expect("text"), (1..=3).map(line).collect::<String>());
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        let (whole, torn) = (line(1), line(2));
        for end in 0..torn.len() {
            fs::write(&path, [whole.as_bytes(), &torn.as_bytes()[..end]].concat()).expect("written");
            let (mut file, sequence) = reopened(directory.path());
            assert_eq!(sequence, 1, "{end} bytes of the second line");
            file.append(torn.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("text"), format!("{whole}{torn}"));
        }
        // Of a power cut: the file has its length, and a part of it never reached the disk.
        let mut holed = [whole.as_bytes(), torn.as_bytes()].concat();
        let middle = whole.len() + torn.len() / 2;
        holed[middle..middle + 8].fill(0);
        fs::write(&path, &holed).expect("written");
        assert_eq!(reopened(directory.path()).1, 1);
        assert_eq!(fs::read_to_string(&path).expect("text"), whole);
    }

    #[test]
    fn what_cannot_be_read_and_is_not_torn_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        let newer = line(2).replace("comment_set", "renamed");
        for (content, at) in [
            (format!("{}x\n{}", line(1), line(2)), "line 2"),
            (format!("{}{}", line(1), line(3)), "line 2: entry 2 is missing"),
            (format!("{}{newer}", line(1)), "line 2: not an entry that this program knows"),
            (line(2), "line 1"),
        ] {
            fs::write(&path, &content).expect("written");
            let error = HistoryFile::open(directory.path()).err().expect("refused").to_string();
            assert!(error.contains(at), "{at}: {error}");
            assert_eq!(fs::read_to_string(&path).expect("text"), content);
        }
    }

    #[test]
    fn a_failed_write_leaves_what_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut file, _) = reopened(directory.path());
        file.append(line(1).as_bytes()).expect("written");
        let path = directory.path().join(NAME);
        let writable = std::mem::replace(&mut file.file, File::open(&path).expect("for reading"));
        file.append(line(2).as_bytes()).expect_err("not writable");
        file.file = writable;
        // As if the failed write had got as far as this.
        file.file.write_all_at(b"{\"seq", file.bytes).expect("written");
        file.append(line(2).as_bytes()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("text"), line(1) + &line(2));
    }
}
