//! Where records come from, read on a thread of its own in pieces that follow from the source alone.
//!
//! A run after a broken one makes the same pieces, and so the same batches: see [`super`].

use std::path::PathBuf;

use telemetrics_schema::{Record, TimestampUs};
use tokio::sync::mpsc;

use super::files::FileSource;
use super::postgres::Original;
use super::row::Row;
use crate::serve::StartError;

/// Most rows of a piece.
const PIECE_ROWS: usize = 32_768;
/// Text of a piece in bytes at which it ends.
const PIECE_BYTES: usize = 16 << 20;
/// Pieces that are read ahead.
const PIECES_AHEAD: usize = 1;

/// See the module.
pub(super) enum Source {
    /// The database of the original.
    Original(Box<Original>),
    /// A file.
    File(FileSource),
}

/// Where a row stands in its source, as people find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The line of a file, counted from 1.
    Line(u64),
    /// The row of a file that has no lines, counted from 1.
    Row(u64),
    /// The identifier in the original's table.
    Id(i64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
            Self::Id(id) => write!(f, "id {id}"),
        }
    }
}

/// Rows that are imported together.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// What can be imported.
    pub(super) records: Vec<(Place, Record)>,
    /// What cannot, and why.
    pub(super) refused: Vec<(Place, String)>,
    /// How far the source is read behind it, in the unit of [`Source::size`].
    pub(super) position: u64,
    bytes: usize,
}

impl Piece {
    /// How many rows it was made of.
    pub(super) fn rows(&self) -> usize {
        self.records.len() + self.refused.len()
    }
}

/// A row that was read, or why a place holds none.
pub(super) type Read = Result<Row, String>;

/// Takes what is read; `false` when nobody wants more.
pub(super) type Take<'a> = &'a mut dyn FnMut(Place, Read, u64) -> bool;

impl Source {
    /// A file, by what it is: see [`FileSource::open`].
    pub(super) fn file(path: &std::path::Path) -> Result<Self, StartError> {
        Ok(Self::File(FileSource::open(path)?))
    }

    /// How it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Original(original) => original.name(),
            Self::File(file) => file.path().display().to_string(),
        }
    }

    /// How much there is to read: rows, or bytes of a file of lines.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Original(original) => original.rows(),
            Self::File(file) => file.size(),
        }
    }

    fn read(self, take: Take<'_>) -> Result<(), StartError> {
        match self {
            Self::Original(original) => original.read(take),
            Self::File(file) => file.read(take),
        }
    }

    /// Reads all of it. What stops it comes last.
    pub(super) fn pieces(self, now: TimestampUs) -> mpsc::Receiver<Result<Piece, StartError>> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut piece = Piece::default();
            let outcome = self.read(&mut |place, row, position| {
                piece.add(place, row, position, now);
                let is_full = piece.rows() >= PIECE_ROWS || piece.bytes >= PIECE_BYTES;
                !is_full || sender.blocking_send(Ok(std::mem::take(&mut piece))).is_ok()
            });
            // Nobody listens any more only where the import has ended with an error of its own.
            let _ = if piece.rows() > 0 { sender.blocking_send(Ok(piece)) } else { Ok(()) };
            if let Err(error) = outcome {
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }
}

impl Piece {
    fn add(&mut self, place: Place, row: Read, position: u64, now: TimestampUs) {
        self.position = position;
        match row.and_then(|row| row.record(now)) {
            Ok(record) => {
                self.bytes += record.text_bytes();
                self.records.push((place, record));
            }
            Err(reason) => {
                self.bytes += reason.len();
                self.refused.push((place, reason));
            }
        }
    }
}

/// The sources that a command names, in their order.
pub(super) fn of_files(paths: &[PathBuf]) -> Result<Vec<Source>, StartError> {
    paths.iter().map(|path| Source::file(path)).collect()
}
