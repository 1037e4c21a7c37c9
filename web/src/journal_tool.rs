//! `telemetrics journal inspect|verify|repair`: for people with a damaged directory.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use telemetrics_collector::journal::tool::{self, Damage, HeaderState, Inspection, Lost, Repaired, SegmentReport};
use telemetrics_collector::journal::{JournalError, TornTail};
use telemetrics_schema::layout::DataDir;

use crate::cli::JournalCommand;

/// What a person types to have a journal repaired.
const CONSENT: &str = "yes";

/// Does what is asked and tells it on standard output. 1 when the journal is damaged and was not repaired.
///
/// # Errors
/// When the journal cannot be read, or may not be changed.
pub fn run(command: &JournalCommand) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    match command {
        JournalCommand::Inspect(args) => {
            let directory = journal_in(&args.directory);
            say(&described(&directory, &tool::inspect(&directory)?))?;
            Ok(ExitCode::SUCCESS)
        }
        JournalCommand::Verify(args) => {
            let found = tool::inspect(&journal_in(&args.directory))?;
            say(&summary(&found))?;
            Ok(code(&found))
        }
        JournalCommand::Repair(args) => repair(&journal_in(&args.directory), args.yes),
    }
}

/// People have a data directory in mind; the journal is in it.
fn journal_in(directory: &Path) -> PathBuf {
    let inside = DataDir::new(directory).journal();
    if inside.is_dir() { inside } else { directory.to_owned() }
}

fn repair(directory: &Path, may: bool) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let found = tool::inspect(directory)?;
    say(&described(directory, &found))?;
    if found.is_sound() {
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_in_use {
        return Err(JournalError::Locked(directory.display().to_string()).into());
    }
    if !may && !asked()? {
        say("nothing was changed\n")?;
        return Ok(ExitCode::FAILURE);
    }
    match tool::repair(directory)? {
        Some(done) => say(&told(&done))?,
        None => say("there is nothing to repair any more\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a person at the terminal agrees; where there is none, `--yes` is missing.
fn asked() -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::other("a repair changes the journal: say --yes"));
    }
    say(&format!("Type {CONSENT} to repair it; changed segments are copied first: "))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == CONSENT)
}

/// Writes to standard output. Who stopped reading, as `head` does, has read enough.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn code(found: &Inspection) -> ExitCode {
    if found.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All that was found, segment by segment. Writing into a string cannot fail.
fn described(directory: &Path, found: &Inspection) -> String {
    let mut text = format!("journal {}\n", directory.display());
    if let Some(collector) = found.collector {
        let _ = writeln!(text, "collector {}", collector.get());
    }
    for segment in &found.segments {
        text += &segment_text(segment);
    }
    for missing in &found.missing {
        let _ = writeln!(text, "segments {:016x} to {:016x} are missing", missing.start(), missing.end());
    }
    if let Some(last) = found.missing_up_to {
        let _ = writeln!(text, "segments before the oldest are missing, with unconfirmed records up to {last}");
    }
    text + &summary(found)
}

fn segment_text(segment: &SegmentReport) -> String {
    let SegmentReport { sequence, file_bytes, frames, records, seals, confirmations, .. } = segment;
    let mut text = format!(
        "segment {sequence:016x}: {file_bytes} bytes, {frames} frames, {records} records, {seals} seals, \
         {confirmations} confirmations\n"
    );
    if let Some([(first, since), (last, until)]) = segment.range {
        let _ = writeln!(text, "  records {first} ({since}) to {last} ({until})");
    }
    match segment.header {
        HeaderState::Whole => {}
        HeaderState::Mended => text += "  damage: one byte of the header is wrong and can be put right\n",
        HeaderState::Lost(reason) => _ = writeln!(text, "  damage: {reason}"),
        HeaderState::Unused => text += "  it was being created and holds nothing\n",
    }
    for damage in &segment.damage {
        let Damage { offset, bytes, reason, lost } = damage;
        let _ = writeln!(text, "  damage: {bytes} bytes from byte {offset}: {reason}; {} lost", count(*lost));
    }
    if let Some(TornTail { offset, bytes, reason, .. }) = &segment.torn {
        let _ = writeln!(text, "  unfinished: {bytes} bytes from byte {offset}: {reason}; none of it was acknowledged");
    }
    text
}

fn summary(found: &Inspection) -> String {
    let mut text = String::new();
    if found.is_in_use {
        text += "a process uses the journal: what it is writing now may look like damage\n";
    }
    let (records, pending) = (found.records(), found.pending);
    let _ = writeln!(text, "{records} records are readable, {pending} of them not confirmed by the store");
    match &found.fault {
        None => text += "sound: nothing that was acknowledged is missing\n",
        Some(fault) => {
            let unknown = !found.missing.is_empty() || found.missing_up_to.is_some();
            let more = if unknown { ", and those of the missing segments" } else { "" };
            let _ = writeln!(text, "damaged: {fault}\n{} lost{more}", count(found.lost()));
        }
    }
    text
}

fn told(done: &Repaired) -> String {
    let mut text = String::new();
    for name in &done.set_aside {
        let _ = writeln!(text, "copied to {name}");
    }
    let Repaired { before, resealed, .. } = done;
    let _ = writeln!(text, "repaired: {} records are kept, {} lost", before.records(), count(before.lost()));
    if *resealed > 0 {
        let _ = writeln!(text, "at the next start the store is asked which of the pending records it has");
    }
    text
}

fn count(lost: Lost) -> String {
    let plural = if lost.records == 1 { "record is" } else { "records are" };
    if lost.is_at_most { format!("at most {} {plural}", lost.records) } else { format!("{} {plural}", lost.records) }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{RecordId, TimestampUs};

    use super::*;

    fn damaged() -> Inspection {
        let damage = Damage {
            offset: 68,
            bytes: 500,
            reason: "a frame with a wrong checksum",
            lost: Lost { records: 3, is_at_most: true },
        };
        let at = |id| (RecordId(id), TimestampUs::from_s(1_795_342_080));
        let segment = SegmentReport {
            sequence: 31,
            file_bytes: 1_000,
            header: HeaderState::Mended,
            frames: 4,
            records: 9,
            range: Some([at(7), at(15)]),
            seals: 1,
            confirmations: 0,
            damage: vec![damage],
            torn: Some(TornTail { segment: 31, offset: 900, bytes: 5, reason: "a piece of a frame".to_owned() }),
        };
        Inspection {
            is_in_use: false,
            collector: None,
            segments: vec![segment],
            missing: vec![29..=30],
            missing_up_to: None,
            confirmed: None,
            pending: 9,
            fault: Some("segment 000000000000001f at byte 68: a frame with a wrong checksum".to_owned()),
        }
    }

    #[test]
    fn everything_that_was_found_is_said() {
        let text = described(Path::new("/j"), &damaged());
        for line in [
            "journal /j",
            "segment 000000000000001f: 1000 bytes, 4 frames, 9 records, 1 seals, 0 confirmations",
            "  records 7 (2026-11-22 10:08:00 UTC) to 15 (2026-11-22 10:08:00 UTC)",
            "  damage: one byte of the header is wrong and can be put right",
            "  damage: 500 bytes from byte 68: a frame with a wrong checksum; at most 3 records are lost",
            "  unfinished: 5 bytes from byte 900: a piece of a frame; none of it was acknowledged",
            "segments 000000000000001d to 000000000000001e are missing",
            "9 records are readable, 9 of them not confirmed by the store",
            "damaged: segment 000000000000001f at byte 68: a frame with a wrong checksum",
            "at most 3 records are lost, and those of the missing segments",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_sound_journal_is_called_so() {
        let sound = Inspection { fault: None, segments: Vec::new(), missing: Vec::new(), is_in_use: true, ..damaged() };
        let text = summary(&sound);
        assert!(text.ends_with("sound: nothing that was acknowledged is missing\n"), "{text}");
        assert!(text.starts_with("a process uses the journal"), "{text}");
    }

    #[test]
    fn one_record_is_one() {
        assert_eq!(count(Lost { records: 1, is_at_most: false }), "1 record is");
        assert_eq!(count(Lost { records: 2, is_at_most: true }), "at most 2 records are");
    }

    #[test]
    fn the_journal_of_a_data_directory_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(journal_in(directory.path()), directory.path());
        let inside = DataDir::new(directory.path()).journal();
        std::fs::create_dir(&inside).expect("made");
        assert_eq!(journal_in(directory.path()), inside);
        assert_eq!(journal_in(&inside), inside);
    }
}
