//! Where the bytes of an answer go: compressed, in pieces, no faster than the client takes them.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use tokio::sync::mpsc::Sender;

use super::choice::Coding;
use super::counts::Tally;
use super::fault::Fault;

/// Bytes of a piece, from which on it is handed over. What is shorter in all is answered with its length.
pub(super) const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the client.
pub(super) const PIECES_WAITING: usize = 2;
/// Level of gzip: what higher ones save costs several times as much.
const GZIP_LEVEL: u32 = 4;
/// Level of zstd, which is about as fast as the network.
const ZSTD_LEVEL: i32 = 1;

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Piece {
    /// More will follow.
    More(Bytes),
    /// The end.
    Last(Bytes),
}

pub(super) type Pieces = Sender<Result<Piece, Fault>>;

/// See the module.
pub(super) struct Sink {
    coder: Coder,
    pieces: Pieces,
    stall_limit: Duration,
    tally: Tally,
}

enum Coder {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Sink {
    /// A client that takes nothing for `stall_limit` counts as gone.
    pub(super) fn new(coding: Coding, pieces: Pieces, stall_limit: Duration, tally: Tally) -> Result<Self, Fault> {
        let coder = match coding {
            Coding::Identity => Coder::Plain(Vec::new()),
            Coding::Gzip => Coder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Zstd => Coder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        };
        Ok(Self { coder, pieces, stall_limit, tally })
    }

    /// Adds bytes to the answer; waits for the client when a piece is full.
    ///
    /// # Errors
    /// [`Fault::Left`] and [`Fault::Stalled`].
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        match &mut self.coder {
            Coder::Plain(waiting) if waiting.is_empty() => *waiting = bytes,
            Coder::Plain(waiting) => waiting.extend_from_slice(&bytes),
            Coder::Gzip(encoder) => encoder.write_all(&bytes)?,
            Coder::Zstd(encoder) => encoder.write_all(&bytes)?,
        }
        let ready = match &mut self.coder {
            Coder::Plain(ready) => ready,
            Coder::Gzip(encoder) => encoder.get_mut(),
            Coder::Zstd(encoder) => encoder.get_mut(),
        };
        if ready.len() < PIECE_BYTES {
            return Ok(());
        }
        let piece = Piece::More(std::mem::take(ready).into());
        self.send(piece).await
    }

    /// Ends the answer: from here on it is whole.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(super) async fn finish(mut self) -> Result<(), Fault> {
        let coder = std::mem::replace(&mut self.coder, Coder::Plain(Vec::new()));
        let rest = match coder {
            Coder::Plain(rest) => rest,
            Coder::Gzip(encoder) => encoder.finish()?,
            Coder::Zstd(encoder) => encoder.finish()?,
        };
        self.send(Piece::Last(rest.into())).await
    }

    async fn send(&self, piece: Piece) -> Result<(), Fault> {
        let (Piece::More(bytes) | Piece::Last(bytes)) = &piece;
        let length = bytes.len();
        match tokio::time::timeout(self.stall_limit, self.pieces.send(Ok(piece))).await {
            Ok(sent) => sent.map_err(|_| Fault::Left)?,
            Err(_) => return Err(Fault::Stalled(self.stall_limit.as_secs())),
        }
        self.tally.bytes(length);
        Ok(())
    }
}
