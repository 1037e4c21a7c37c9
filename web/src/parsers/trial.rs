//! `telemetrics parsers test`: shows what a parser would make of records that are stored, before it is used.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::ipc::reader::StreamReader;
use telemetrics_analytics::parsers::{Definition, ParserSet, PayloadParsers};
use telemetrics_schema::Record;
use telemetrics_schema::attributes::Attributes;
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::columns::record_schema;
use url::form_urlencoded::Serializer;

use super::file;
use crate::ask;
use crate::cli_ask::ParserTestArgs;
use crate::serve::StartError;

/// Largest answer with records, in bytes.
const RECORDS_BYTES_MAX: u64 = 256 << 20;

/// Prints the attributes of the newest records of the class that is asked for, or of those that the parser names.
///
/// # Errors
/// What is wrong with the parser, or why there are no records.
pub async fn run(args: &ParserTestArgs) -> Result<(), StartError> {
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let definition = file::read(&args.file, &name)?;
    // A file alone is judged alone: whether another one parses the same class is asked at the start of a server.
    ParserSet::compile(std::slice::from_ref(&definition))?;
    let classes = match &args.class {
        Some(class) => vec![class.clone()],
        None => definition.classifications.clone(),
    };
    if classes.is_empty() {
        return Err(format!("{name} names no classification, and --class none").into());
    }
    let mut output = io::stdout();
    ask::with_server(&args.asked, async |server, client| {
        for class in &classes {
            let query = Serializer::new(String::new())
                .append_pair("classification", class)
                .append_pair("limit", &args.limit.to_string())
                .append_pair("format", "arrow")
                .finish();
            let bytes = ask::whole(&client, &server, ("api/records", &query), RECORDS_BYTES_MAX).await?;
            let text = shown(&definition, class, &records(&bytes)?)?;
            output.write_all(text.as_bytes())?;
        }
        Ok(())
    })
    .await
}

fn records(stream: &[u8]) -> Result<Vec<Record>, StartError> {
    let (schema, mut records) = (record_schema(), Vec::new());
    for batch in StreamReader::try_new(stream, None)? {
        let batch = batch?;
        let columns = schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name()).ok_or_else(|| format!("no column {}", field.name()))?;
            Ok::<_, StartError>(cast(column, field.data_type())?)
        });
        let columns = columns.collect::<Result<_, _>>()?;
        records.extend(from_batch(&RecordBatch::try_new(record_schema(), columns)?)?);
    }
    Ok(records)
}

/// What the parser makes of these records of a class, whether its file names that class or not.
fn shown(definition: &Definition, class: &str, records: &[Record]) -> Result<String, StartError> {
    let of_class = Definition { classifications: vec![class.to_owned()], ..definition.clone() };
    let parsers = PayloadParsers::new(ParserSet::compile(&[of_class])?);
    let texts = parsers.for_store().attributes(&records.iter().collect::<Vec<_>>());
    let mut shown = String::new();
    let mut with_some = 0;
    // Writing into a string cannot fail.
    for (record, text) in records.iter().zip(&texts) {
        let attributes = Attributes::of_text(text);
        let _ = writeln!(shown, "{} {}", record.id, quoted(&record.report.classification));
        for (name, value) in attributes.iter() {
            let _ = writeln!(shown, "  {name} = {}", quoted(value));
        }
        if attributes.is_empty() {
            shown.push_str("  nothing\n");
        }
        with_some += usize::from(!attributes.is_empty());
    }
    let failures: u64 = parsers.failures().iter().map(|of| of.failures).sum();
    let _ = writeln!(
        shown,
        "{}: {} records, {with_some} with attributes, {failures} values failed",
        quoted(class),
        records.len()
    );
    Ok(shown)
}

/// What probes sent may hold what terminals act upon.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{RecordId, Report, TimestampUs};

    use super::*;

    #[test]
    fn each_record_is_shown_with_what_is_made_of_it() {
        let record = |id, payload: &str| {
            let report = Report { classification: "a/b/c".into(), payload: payload.into(), ..Report::default() };
            Record { id: RecordId(id), ts_reception: TimestampUs(0), report }
        };
        let fields = vec![("n".to_owned(), "CAST(payload AS INT)".to_owned()), ("t".to_owned(), "payload".to_owned())];
        let definition = Definition { name: "x.toml".into(), classifications: vec!["x/y/z".into()], fields };
        let text =
            shown(&definition, "a/b/*", &[record(2, "7"), record(1, "\u{1b}[2J"), record(0, "")]).expect("shown");
        let expected = "2 \"a/b/c\"\n  n = \"7\"\n  t = \"7\"\n1 \"a/b/c\"\n  t = \"\\u{1b}[2J\"\n0 \"a/b/c\"\n  nothing\n\
                        \"a/b/*\": 3 records, 2 with attributes, 2 values failed\n";
        assert_eq!(text, expected);
    }
}
