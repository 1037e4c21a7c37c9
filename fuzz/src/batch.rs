//! Batches of records, compressed or not: however the network cuts them, the same comes out.

use arbitrary::{Arbitrary, Unstructured};
use telemetrics_collector::http::fuzzing::{Encoding, Form, decoded};

/// A batch, and where the network cuts it.
#[derive(Debug, Arbitrary)]
struct Batch<'a> {
    is_array: bool,
    encoding: Encoded,
    cuts: [u8; 3],
    body: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Encoded {
    Not,
    Gzip,
    Zstd,
}

/// A batch of records.
///
/// # Panics
/// When it depends on the cuts which records come out.
pub fn batch(bytes: &[u8]) {
    let Ok(batch) = Batch::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let form = if batch.is_array { Form::Array } else { Form::Lines };
    let encoding = match batch.encoding {
        Encoded::Not => Encoding::Identity,
        Encoded::Gzip => Encoding::Gzip,
        Encoded::Zstd => Encoding::Zstd,
    };
    let whole = decoded(form, encoding, &[batch.body]);
    let cut = decoded(form, encoding, &parts(batch.body, batch.cuts));
    if whole.stop.is_none() || cut.stop.is_none() {
        return assert_eq!(whole, cut, "cuts make a difference");
    }
    // How much of a damaged body is read before the damage is seen may depend on them; what is read may not.
    assert!(begins(&whole.reports, &cut.reports), "{whole:?} and {cut:?}");
    assert!(begins(&whole.rejected, &cut.rejected), "{whole:?} and {cut:?}");
}

/// Whether one list is the beginning of the other.
fn begins<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

fn parts(mut body: &[u8], cuts: [u8; 3]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    for cut in cuts {
        let (part, rest) = body.split_at(usize::from(cut).min(body.len()));
        parts.push(part);
        body = rest;
    }
    parts.push(body);
    // An empty part would say that the body is over.
    parts.retain(|part| !part.is_empty());
    parts
}
