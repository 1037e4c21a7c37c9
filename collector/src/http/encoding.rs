//! Content encodings: which one a request's body has, and how it is read through.

use std::io::{self, BufRead, BufReader};

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::bufread::MultiGzDecoder;

use super::answer::Refusal;

/// Decoded bytes that are handed on at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// Largest window of a zstd frame, as a power of two: 8 MiB, what every decoder has to support. `zstd --long` makes
/// larger ones, and each would be memory that a sender chooses.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, several members behind each other included.
    Gzip,
    /// RFC 8878, several frames behind each other included.
    Zstd,
}

impl Encoding {
    /// What `Content-Encoding` says.
    ///
    /// # Errors
    /// [`Refusal::Encoding`] when it names one that is not known, or more than one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut names = headers.get_all(header::CONTENT_ENCODING).iter().flat_map(names).filter(|name| !is_none(name));
        let first = names.next();
        match (first, names.next()) {
            (None, _) => Ok(Self::Identity),
            (Some(name), None) if is(name, "gzip") || is(name, "x-gzip") => Ok(Self::Gzip),
            (Some(name), None) if is(name, "zstd") => Ok(Self::Zstd),
            (Some(name), None) => Err(refused(&[name])),
            (Some(name), Some(other)) => Err(refused(&[name, other])),
        }
    }

    /// The decoded bytes of `encoded`; no bytes at all are also a valid empty body of each encoding.
    pub(super) fn reader<'a>(self, mut encoded: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
        if encoded.fill_buf()?.is_empty() {
            return Ok(Box::new(io::empty()));
        }
        Ok(match self {
            Self::Identity => Box::new(encoded),
            Self::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(encoded))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
            }
        })
    }
}

fn names(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

fn is_none(name: &[u8]) -> bool {
    name.is_empty() || is(name, "identity")
}

fn refused(names: &[&[u8]]) -> Refusal {
    Refusal::Encoding(String::from_utf8_lossy(&names.join(&b", "[..])).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn of(values: &[&'static str]) -> Result<Encoding, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Encoding::of(&headers).map_err(|refusal| match refusal {
            Refusal::Encoding(name) => name,
            other => panic!("another refusal: {other:?}"),
        })
    }

    fn read(encoding: Encoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        encoding.reader(bytes)?.read_to_end(&mut decoded)?;
        Ok(decoded)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("compressed");
        encoder.finish().expect("compressed")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("compressed")
    }

    #[test]
    fn known_encodings_in_any_case_and_none() {
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&[""]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        assert_eq!(of(&["x-gzip"]), Ok(Encoding::Gzip));
        assert_eq!(of(&[" zstd "]), Ok(Encoding::Zstd));
        assert_eq!(of(&["identity, zstd"]), Ok(Encoding::Zstd));
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert_eq!(of(&["br"]), Err("br".to_owned()));
        assert_eq!(of(&["gzip, gzip"]), Err("gzip, gzip".to_owned()));
        assert_eq!(of(&["gzip", "zstd"]), Err("gzip, zstd".to_owned()));
    }

    #[test]
    fn several_members_or_frames_are_one_body() {
        assert_eq!(read(Encoding::Gzip, &[gzip(b"one "), gzip(b"two")].concat()).expect("decoded"), b"one two");
        assert_eq!(read(Encoding::Zstd, &[zstd(b"one "), zstd(b"two")].concat()).expect("decoded"), b"one two");
        assert_eq!(read(Encoding::Identity, b"one two").expect("read"), b"one two");
    }

    #[test]
    fn nothing_is_an_empty_body_and_a_piece_is_an_error() {
        for (encoding, whole) in [(Encoding::Gzip, gzip(b"hello")), (Encoding::Zstd, zstd(b"hello"))] {
            assert_eq!(read(encoding, b"").expect("empty"), b"");
            assert_eq!(read(encoding, &whole).expect("whole"), b"hello");
            for cut in 1..whole.len() {
                assert!(read(encoding, &whole[..cut]).is_err(), "{encoding:?} of {cut} bytes");
            }
        }
    }

    #[test]
    fn a_window_is_limited_at_its_edge() {
        let with_window = |log| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(log).expect("a window");
            encoder.write_all(&[7; 100]).expect("compressed");
            encoder.finish().expect("compressed")
        };
        assert_eq!(read(Encoding::Zstd, &with_window(ZSTD_WINDOW_LOG_MAX)).expect("decoded").len(), 100);
        assert!(read(Encoding::Zstd, &with_window(ZSTD_WINDOW_LOG_MAX + 1)).is_err());
    }
}
