//! A line of the log as an object: when, how bad, from which part, what, about what, and of which request.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use telemetrics_schema::time::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SystemClock;
use crate::request_id;

/// Name of the field that holds the words of a line.
const MESSAGE: &str = "message";

/// Writes each line as an object. The library's own form of JSON has the words among the fields, and the request's id in
/// an object of spans.
pub(super) struct Lines;

#[derive(Serialize)]
struct Line<'a> {
    /// UTC, as RFC 3339 writes it.
    time: String,
    level: &'static str,
    target: &'a str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let line = Line {
            time: SystemClock.now().rfc3339_us(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: said.message,
            request_id: request_of(context),
            fields: said.fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// The id in the innermost span that has one.
fn request_of<S, N>(context: &FmtContext<'_, S, N>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let of_span = |span: tracing_subscriber::registry::SpanRef<'_, S>| {
        span.extensions().get::<FormattedFields<N>>().map(|id| id.fields.clone()).filter(|id| !id.is_empty())
    };
    context.event_scope()?.find_map(of_span)
}

/// Of all fields of a span, keeps the request's id, without its name.
pub(super) fn request_id_alone() -> impl for<'a> FormatFields<'a> + 'static {
    RequestIdAlone(format::debug_fn(|writer, field, value| match field.name() {
        request_id::FIELD => write!(writer, "{value:?}"),
        _ => Ok(()),
    }))
}

/// Fields that are added to a span later would be set apart by spaces; an id is whole from the beginning.
struct RequestIdAlone<F>(F);

impl<'a, F: FormatFields<'a>> FormatFields<'a> for RequestIdAlone<F> {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'a>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }

    fn add_fields(&self, _: &'a mut FormattedFields<Self>, _: &tracing::span::Record<'_>) -> fmt::Result {
        Ok(())
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            MESSAGE => self.message = text,
            _ => self.put(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            MESSAGE => value.clone_into(&mut self.message),
            _ => self.put(field, value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use telemetrics_schema::TimestampUs;
    use tracing::{error_span, info, warn};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are written while `work` is done, each of which has to be an object.
    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().event_format(Lines).fmt_fields(request_id_alone());
        tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), work);
        let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    #[test]
    fn a_line_is_one_object_whatever_is_in_it() {
        let found = lines(|| {
            let odd = "two\nlines \"quoted\" \u{1b}[31m \\ \u{1f980}";
            warn!(target: "audit", count = 7_u64, below = -1, share = 0.5, is_new = true, odd, error = %odd, list = ?["a"], "{odd}");
        });
        let [line] = found.as_slice() else { panic!("{found:?}") };
        let odd = "two\nlines \"quoted\" \u{1b}[31m \\ \u{1f980}";
        assert_eq!((&line["level"], &line["target"], &line["message"]), (&"WARN".into(), &"audit".into(), &odd.into()));
        let fields = serde_json::json!({"count": 7, "below": -1, "share": 0.5, "is_new": true, "odd": odd, "error": odd,
                                        "list": "[\"a\"]"});
        assert_eq!(line["fields"], fields);
        let time = line["time"].as_str().expect("a time");
        assert!(time.ends_with('Z') && TimestampUs::from_rfc3339(time).is_some(), "{time}");
        assert!(line.get("request_id").is_none());
    }

    #[test]
    fn lines_of_a_request_have_its_id_also_in_other_spans() {
        let found = lines(|| {
            let _request = error_span!("request", other = 1, request_id = %"ab-1").entered();
            info!("one");
            let _inner = error_span!("inner", path = "/x").entered();
            info!("two");
        });
        let ids: Vec<_> = found.iter().map(|line| line["request_id"].as_str()).collect();
        assert_eq!(ids, [Some("ab-1"), Some("ab-1")]);
    }
}
