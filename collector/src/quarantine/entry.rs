//! What is kept aside: one entry, and how it is written into the log and read back.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | identifier |
//! | 8 | kind |
//! | 9..33 | first seen, last seen (microseconds), count |
//! | 33 | 1: a request follows, 2: a record follows, 3: both |
//! | then | number of reasons (4), and for each its field and its sentence |
//! | then | the request: number of headers (4), each header's name and value, the body |
//! | then | the record as the journal writes it |
//!
//! Texts and bytes have their length (4) before them. Numbers are little endian.

use bytes::Bytes;
use serde::Serialize;
use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{Record, RecordId, TimestampUs, codec};

const HAS_REQUEST: u8 = 1;
const HAS_RECORD: u8 = 2;

/// Why something is kept aside, and hence what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A request that broke a rule and was answered 201: nobody else has it. It can be replayed.
    Owed,
    /// A record that was accepted and that the store refuses for good. It can be replayed.
    Refused,
    /// A request that was answered 400: its sender still has it. It is only shown, and the first to go.
    Evidence,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Owed, Self::Refused, Self::Evidence];

    /// Whether the sender was told that it is kept.
    #[must_use]
    pub fn is_promised(self) -> bool {
        self != Self::Evidence
    }

    /// The kind's name in answers and parameters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Refused => "refused",
            Self::Evidence => "evidence",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Owed => 1,
            Self::Refused => 2,
            Self::Evidence => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A request as it came, as far as the record in it depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawRequest {
    /// Names and values of the headers that say something about the record, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
}

/// One entry of the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: a record's identifier, and that of its record once it is replayed.
    pub id: RecordId,
    /// Why it is here.
    pub kind: Kind,
    /// When it came first: the reception time of its record.
    pub first_seen: TimestampUs,
    /// When an equal one came last.
    pub last_seen: TimestampUs,
    /// How many equal ones came, at least 1.
    pub count: u64,
    /// What is wrong with it; for a record that the store refused one reason of the field `store`.
    pub reasons: Vec<FieldError>,
    /// The request; `None` for a record that was valid when it came.
    pub request: Option<RawRequest>,
    /// The record, when it was valid as it came and the store refused it, or when it is being replayed.
    pub record: Option<Record>,
}

impl Entry {
    /// Appends the entry to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.id.0);
        out.push(self.kind.code());
        put_number(out, self.first_seen.0);
        put_number(out, self.last_seen.0);
        out.extend_from_slice(&self.count.to_le_bytes());
        let parts = [self.request.as_ref().map(|_| HAS_REQUEST), self.record.as_ref().map(|_| HAS_RECORD)];
        out.push(parts.into_iter().flatten().sum());
        self.encode_identity(out);
        if let Some(record) = &self.record {
            codec::encode(record, out);
        }
    }

    /// What entries have to have in common to be equal, beside their kind: reasons and request.
    pub(super) fn encode_identity(&self, out: &mut Vec<u8>) {
        put_length(out, self.reasons.len());
        for FieldError { field, reason } in &self.reasons {
            put_bytes(out, field.as_bytes());
            put_bytes(out, reason.as_bytes());
        }
        if let Some(RawRequest { headers, body }) = &self.request {
            put_length(out, headers.len());
            for (name, value) in headers {
                put_bytes(out, name.as_bytes());
                put_bytes(out, value);
            }
            put_bytes(out, body);
        }
    }

    /// Reads the entry that `bytes` are.
    ///
    /// # Errors
    /// When they are none: no writer of this version made them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(bytes);
        let (id, kind) = (RecordId(reader.number()?), Kind::from_code(reader.byte()?).ok_or("an unknown kind")?);
        let (first_seen, last_seen) = (TimestampUs(reader.number()?), TimestampUs(reader.number()?));
        let (count, parts) = (reader.number()?.cast_unsigned(), reader.byte()?);
        let reasons = reader.reasons()?;
        let request = if parts & HAS_REQUEST == 0 { None } else { Some(reader.request()?) };
        let record = if parts & HAS_RECORD == 0 { None } else { Some(reader.record()?) };
        if reader.0.is_empty() && parts <= HAS_REQUEST + HAS_RECORD {
            Ok(Self { id, kind, first_seen, last_seen, count, reasons, request, record })
        } else {
            Err("an entry with something else behind it")
        }
    }
}

/// Appends `id`s behind their number.
pub(super) fn put_ids(out: &mut Vec<u8>, ids: &[RecordId]) {
    put_length(out, ids.len());
    for id in ids {
        put_number(out, id.0);
    }
}

/// Appends a number of eight bytes.
pub(super) fn put_number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // What is kept is limited far below 4 GiB, so that a length always fits.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Takes what a frame says from its front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next eight bytes as a number.
    pub(super) fn number(&mut self) -> Result<i64, &'static str> {
        self.take().map(i64::from_le_bytes)
    }

    /// Identifiers behind their number, up to the end.
    pub(super) fn ids(&mut self) -> Result<Vec<RecordId>, &'static str> {
        let ids = self.many(|reader| reader.number().map(RecordId))?;
        if self.0.is_empty() { Ok(ids) } else { Err("bytes behind a list of identifiers") }
    }

    fn many<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, &'static str>) -> Result<Vec<T>, &'static str> {
        let count = self.length()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or("an end inside a number")?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.length()?;
        let (head, rest) = self.0.split_at_checked(length).ok_or("an end inside a text")?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, &'static str> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "a text that is not UTF-8")
    }

    fn reasons(&mut self) -> Result<Vec<FieldError>, &'static str> {
        self.many(|reader| Ok(FieldError { field: reader.text()?, reason: reader.text()? }))
    }

    fn request(&mut self) -> Result<RawRequest, &'static str> {
        let headers = self.many(|reader| Ok((reader.text()?, reader.bytes()?.to_vec())))?;
        Ok(RawRequest { headers, body: Bytes::copy_from_slice(self.bytes()?) })
    }

    fn record(&mut self) -> Result<Record, &'static str> {
        codec::decode(&mut self.0).map_err(|_| "something that is no record")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use telemetrics_schema::Report;

    use super::*;

    fn any_request() -> impl Strategy<Value = RawRequest> {
        let header = (".{0,9}", prop::collection::vec(any::<u8>(), 0..9));
        (prop::collection::vec(header, 0..3), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(headers, body)| RawRequest { headers, body: body.into() })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let reason = ("[a-z]{0,9}", ".{0,20}").prop_map(|(field, reason)| FieldError { field, reason });
        let record = any::<Option<i64>>().prop_map(|id| {
            id.map(|id| Record { id: RecordId(id), ts_reception: TimestampUs(id / 2), report: Report::default() })
        });
        let numbers = (any::<[i64; 3]>(), any::<u64>(), prop::sample::select(Kind::ALL.to_vec()));
        (numbers, prop::collection::vec(reason, 0..4), prop::option::of(any_request()), record).prop_map(
            |(([id, first, last], count, kind), reasons, request, record)| Entry {
                id: RecordId(id),
                kind,
                first_seen: TimestampUs(first),
                last_seen: TimestampUs(last),
                count,
                reasons,
                request,
                record,
            },
        )
    }

    proptest! {
        #[test]
        fn decode_reads_what_encode_wrote(entry in any_entry()) {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        }

        #[test]
        fn neither_a_prefix_nor_more_is_an_entry(entry in any_entry(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            prop_assert!(Entry::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(Entry::decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&bytes);
            let _ = Reader(&bytes).ids();
        }
    }
}
