//! What the table's log says about the rows of a file: what lets a reader leave a whole file out.

use arrow::array::{ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::kernels::aggregate::{max, max_string_view, min, min_string_view};
use arrow::datatypes::{Int8Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use serde_json::{Map, Value, json};
use telemetrics_schema::TimestampUs;

/// Smallest and greatest value of a column.
type Range<T> = Option<(T, T)>;

/// Number of rows, and smallest and greatest values of the columns that questions narrow down.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// Rows of the file.
    pub(super) rows: usize,
    id: Range<i64>,
    ts_reception: Range<i64>,
    ts_capture: Range<i64>,
    severity: Range<i8>,
    classification: Range<String>,
}

impl Summary {
    /// Counts the rows of a batch in.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.rows += batch.num_rows();
        widen(&mut self.id, numbers::<Int64Type>(batch, "id")?);
        widen(&mut self.ts_reception, numbers::<TimestampMicrosecondType>(batch, "ts_reception")?);
        widen(&mut self.ts_capture, numbers::<TimestampMicrosecondType>(batch, "ts_capture")?);
        widen(&mut self.severity, numbers::<Int8Type>(batch, "severity")?);
        widen(&mut self.classification, texts(batch, "classification")?);
        Ok(())
    }

    /// When the newest record was received.
    pub(super) fn last_reception(&self) -> TimestampUs {
        TimestampUs(self.ts_reception.map_or(0, |(_, last)| last))
    }

    /// In Delta's JSON form.
    pub(super) fn to_json(&self) -> String {
        let (mut low, mut high) = (Map::new(), Map::new());
        let mut put = |name: &str, range: Range<Value>| {
            if let Some((least, greatest)) = range {
                low.insert(name.into(), least);
                high.insert(name.into(), greatest);
            }
        };
        put("id", both(self.id.as_ref(), |v| Value::from(*v)));
        put("ts_reception", both(self.ts_reception.as_ref(), |v| instant(*v)));
        put("ts_capture", both(self.ts_capture.as_ref(), |v| instant(*v)));
        put("severity", both(self.severity.as_ref(), |v| Value::from(*v)));
        put("classification", both(self.classification.as_ref(), |v| Value::from(v.as_str())));
        json!({"numRecords": self.rows, "minValues": low, "maxValues": high, "nullCount": {}}).to_string()
    }
}

fn both<T>(range: Option<&(T, T)>, json: impl Fn(&T) -> Value) -> Range<Value> {
    range.map(|(low, high)| (json(low), json(high)))
}

fn widen<T: Ord>(range: &mut Range<T>, more: Range<T>) {
    *range = match (range.take(), more) {
        (Some((low, high)), Some((other_low, other_high))) => Some((low.min(other_low), high.max(other_high))),
        (one, other) => one.or(other),
    };
}

fn numbers<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Result<Range<T::Native>, ArrowError>
where
    T::Native: Ord,
{
    let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<T>()).ok_or_else(|| missing(name))?;
    Ok(min(column).zip(max(column)))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Range<String>, ArrowError> {
    let column = batch.column_by_name(name).and_then(|c| c.as_string_view_opt()).ok_or_else(|| missing(name))?;
    Ok(min_string_view(column).map(str::to_owned).zip(max_string_view(column).map(str::to_owned)))
}

fn missing(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("no column {name} of the type that the schema says"))
}

fn instant(us: i64) -> Value {
    let text = chrono::DateTime::from_timestamp_micros(us).map(|t| t.format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    text.map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::{Record, RecordId, Report};

    use super::*;

    #[test]
    fn covers_every_row_of_every_batch() {
        let record = |id, class: &str| Record {
            id: RecordId(id),
            ts_reception: TimestampUs(id),
            report: Report { classification: class.into(), severity: 2, ..Report::default() },
        };
        let mut summary = Summary::default();
        for records in [vec![record(5, "b"), record(3, "c")], vec![record(4, "a")]] {
            summary.add(&to_batch(&records).expect("a batch")).expect("columns");
        }
        let json: Value = serde_json::from_str(&summary.to_json()).expect("JSON");
        assert_eq!(json["numRecords"], 3);
        assert_eq!((&json["minValues"]["id"], &json["maxValues"]["id"]), (&json!(3), &json!(5)));
        assert_eq!(json["minValues"]["classification"], "a");
        assert_eq!(json["maxValues"]["classification"], "c");
        assert_eq!(json["maxValues"]["ts_reception"], "1970-01-01T00:00:00.000005");
        assert_eq!(summary.last_reception(), TimestampUs(5));
    }

    #[test]
    fn says_nothing_about_no_rows() {
        let json: Value = serde_json::from_str(&Summary::default().to_json()).expect("JSON");
        assert_eq!(json, json!({"numRecords": 0, "minValues": {}, "maxValues": {}, "nullCount": {}}));
    }
}
