//! Which format and which compression an answer has: what the parameter `format` and the headers `Accept` and
//! `Accept-Encoding` ask for.
//!
//! A header that asks for nothing that there is gets the default format, not an error: scripts of the original service
//! send whatever their library sends, and were always answered in JSON.

use axum::http::{HeaderMap, HeaderName, header};
use telemetrics_schema::answer::Fields;

use crate::error::InvalidParameter;

/// A format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object with a list of records.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a row of names.
    Csv,
    /// The streaming format of Apache Arrow.
    Arrow,
    /// A file of Apache Parquet.
    Parquet,
}

/// How the bytes of an answer are compressed on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its format.
    pub format: Format,
    /// Its compression.
    pub coding: Coding,
}

impl Format {
    /// Every format; where a client likes several equally, the first one wins.
    pub const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow, Self::Parquet];

    /// Its name in the parameter `format`, which is also the end of a file's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// Which keys of a record it has when nobody says otherwise: the record object of JSON is that of every other answer.
    #[must_use]
    pub const fn fields(self) -> Fields {
        match self {
            Self::Json | Self::Ndjson => Fields::all(),
            Self::Csv | Self::Arrow | Self::Parquet => Fields::with_derived(),
        }
    }

    /// Reads the parameter `format`, of which `allowed` are the values.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(name: &str, value: &str, allowed: &[Self]) -> Result<Self, InvalidParameter> {
        let found = allowed.iter().find(|format| format.name() == value);
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = allowed.iter().map(|format| format.name()).collect();
            InvalidParameter::new(name, format!("must be one of {}", names.join(", ")))
        })
    }

    /// The names of media types that mean it.
    const fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json", "text/json"],
            Self::Ndjson => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
            Self::Csv => &["text/csv"],
            Self::Arrow => &["application/vnd.apache.arrow.stream"],
            Self::Parquet => &["application/vnd.apache.parquet", "application/x-parquet"],
        }
    }

    /// How much a client likes it, 0 for not at all, by the most specific part of its header that is about it.
    fn liking(self, accepted: &[(String, u16)]) -> u16 {
        let of = |pattern: &str| accepted.iter().find(|(name, _)| name == pattern).map(|(_, liking)| *liking);
        let exact = self.media_types().iter().filter_map(|name| of(name)).max();
        let ranges =
            || self.media_types().iter().filter_map(|name| of(&format!("{}/*", name.split_once('/')?.0))).max();
        exact.or_else(ranges).or_else(|| of("*/*")).unwrap_or(0)
    }
}

impl Coding {
    /// The value of `Content-Encoding`; `None` without compression.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let accepted = preferences(headers, &header::ACCEPT_ENCODING);
        let of = |names: &[&str]| accepted.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, l)| *l);
        let any = of(&["*"]).unwrap_or(0);
        let identity = of(&["identity"]).unwrap_or(0);
        let zstd = of(&["zstd"]).unwrap_or(any);
        let gzip = of(&["gzip", "x-gzip"]).unwrap_or(any);
        match zstd.max(gzip) {
            0 => Self::Identity,
            // A client that says so likes it best as it is.
            best if identity > best => Self::Identity,
            best if best == zstd => Self::Zstd,
            _ => Self::Gzip,
        }
    }
}

impl Choice {
    /// What a request asks for: `parameter` where it is given, else what the client likes best among `allowed`, else the
    /// first of them.
    #[must_use]
    pub fn of(parameter: Option<Format>, allowed: &[Format], headers: &HeaderMap) -> Self {
        let format = parameter.unwrap_or_else(|| liked_best(allowed, headers));
        // It is compressed inside, column by column, and is read at places of its own.
        let coding = if format == Format::Parquet { Coding::Identity } else { Coding::of(headers) };
        Self { format, coding }
    }
}

fn liked_best(allowed: &[Format], headers: &HeaderMap) -> Format {
    let accepted = preferences(headers, &header::ACCEPT);
    let mut best = (0, allowed.first().copied().unwrap_or(Format::Json));
    for format in allowed {
        let liking = format.liking(&accepted);
        if liking > best.0 {
            best = (liking, *format);
        }
    }
    best.1
}

/// The parts of a header with their weights in thousandths, in lower case and without other parameters; what cannot be
/// read is left out.
fn preferences(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, u16)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(preference).collect()
}

fn preference(part: &str) -> Option<(String, u16)> {
    let mut pieces = part.split(';').map(str::trim);
    let name = pieces.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or_else(|| piece.strip_prefix("Q=")));
    Some((name, weight.map_or(Some(1_000), thousandths)?))
}

/// A weight from 0 to 1 with at most three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = matches!(whole, "0" | "1") && rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_digit());
    let number: u16 = format!("{whole}{rest:0<3}").parse().ok().filter(|_| is_valid)?;
    (number <= 1_000).then_some(number)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn choice(accept: Option<&'static str>, coding: Option<&'static str>) -> Choice {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::ACCEPT, accept), (header::ACCEPT_ENCODING, coding)] {
            if let Some(value) = value {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        Choice::of(None, &Format::ALL, &headers)
    }

    #[test]
    fn the_client_gets_what_it_likes_best() {
        for (accept, format) in [
            ("application/json", Format::Json),
            ("text/csv", Format::Csv),
            ("TEXT/CSV;charset=utf-8", Format::Csv),
            ("text/*", Format::Json),
            ("text/*, application/json;q=0.5", Format::Csv),
            ("application/x-ndjson", Format::Ndjson),
            ("application/jsonl", Format::Ndjson),
            ("application/vnd.apache.arrow.stream", Format::Arrow),
            ("application/vnd.apache.parquet;q=0.9, text/csv;q=0.8", Format::Parquet),
            ("application/vnd.apache.parquet;q=0.8, text/csv;q=0.9", Format::Csv),
            ("text/csv, */*;q=0.1", Format::Csv),
            ("text/csv;q=0, */*", Format::Json),
            ("application/json;q=0, application/x-ndjson;q=0, */*;q=0.1", Format::Csv),
            ("text/csv;q=0.001", Format::Csv),
        ] {
            assert_eq!(choice(Some(accept), None).format, format, "{accept}");
        }
    }

    #[test]
    fn what_asks_for_nothing_that_there_is_gets_the_default() {
        for accept in
            ["", "text/html", "image/*", "text/csv;q=0", "text/csv;q=2", "text/csv;q=x", ",;,", "application/json;q=0"]
        {
            assert_eq!(choice(Some(accept), None).format, Format::Json, "{accept}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(choice(Some(browser), None).format, Format::Json);
        assert_eq!(choice(None, None).format, Format::Json);
        let export = Choice::of(None, &[Format::Parquet, Format::Csv], &HeaderMap::new());
        assert_eq!(export.format, Format::Parquet);
    }

    #[test]
    fn the_parameter_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        assert_eq!(Choice::of(Some(Format::Arrow), &Format::ALL, &headers).format, Format::Arrow);
        for format in Format::ALL {
            assert_eq!(Format::parse("format", format.name(), &Format::ALL), Ok(format));
        }
        let refused = Format::parse("format", "json", &[Format::Parquet, Format::Csv]).expect_err("not allowed");
        assert_eq!(refused.to_string(), "format must be one of parquet, csv.");
        for wrong in ["", "CSV", "xlsx"] {
            assert!(Format::parse("format", wrong, &Format::ALL).is_err(), "{wrong}");
        }
    }

    #[test]
    fn compression_is_what_the_client_can_read() {
        for (accepted, coding) in [
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("zstd", Coding::Zstd),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip;q=1, zstd;q=0.5", Coding::Gzip),
            ("gzip;q=0, *", Coding::Zstd),
            ("zstd;q=0, *;q=0.5", Coding::Gzip),
            ("identity", Coding::Identity),
            ("identity, gzip;q=0.5", Coding::Identity),
            ("gzip;q=0", Coding::Identity),
            ("br", Coding::Identity),
            ("", Coding::Identity),
            ("*;q=0", Coding::Identity),
        ] {
            assert_eq!(choice(None, Some(accepted)).coding, coding, "{accepted}");
        }
        let parquet = choice(Some("application/vnd.apache.parquet"), Some("gzip"));
        assert_eq!(parquet.coding, Coding::Identity);
    }

    #[test]
    fn weights_have_three_digits() {
        for (text, weight) in
            [("1", 1_000), ("0", 0), ("1.", 1_000), ("0.5", 500), ("0.05", 50), ("0.005", 5), ("1.000", 1_000)]
        {
            assert_eq!(thousandths(text), Some(weight), "{text}");
        }
        for wrong in ["", "2", "1.001", "0.0005", "-1", ".5", "0.x"] {
            assert_eq!(thousandths(wrong), None, "{wrong}");
        }
    }
}
