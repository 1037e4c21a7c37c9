//! The data files of one version of the table, with the statistics that let a query leave them out.

use std::path::Path as FilePath;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::scalar::ScalarValue;
use deltalake::kernel::EagerSnapshot;
use deltalake::logstore::LogStore;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde_json::Value;
use telemetrics_schema::columns::record_schema;
use telemetrics_schema::layout::PARTITION;

use crate::error::Error;
use crate::sizes::DaySizes;

/// One Parquet file of the table.
pub(super) struct DataFile {
    pub(super) object: ObjectMeta,
    pub(super) statistics: Arc<Statistics>,
}

impl DataFile {
    /// Adds the file to the sizes of its day, which stands in its path.
    pub(super) fn count_into(&self, sizes: &mut DaySizes) {
        let prefix = format!("{PARTITION}=");
        let day = self.object.location.parts().find_map(|part| {
            let date = part.as_ref().strip_prefix(&prefix)?.parse::<NaiveDate>().ok()?;
            i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
        });
        if let (Some(day), Some(rows)) = (day, self.statistics.num_rows.get_value()) {
            sizes.add(day, *rows as u64, self.object.size);
        }
    }
}

/// The files that make up `snapshot`, newest first.
pub(super) async fn list(
    snapshot: &EagerSnapshot,
    log: &dyn LogStore,
    directory: &FilePath,
) -> Result<Vec<Arc<DataFile>>, Error> {
    let schema = record_schema();
    let mut views = snapshot.file_views(log, None);
    let mut files = Vec::new();
    while let Some(view) = views.try_next().await? {
        let path = Path::from_absolute_path(directory.join(view.path().as_ref()))
            .map_err(|error| Error::Internal(error.to_string()))?;
        let size = u64::try_from(view.size()).unwrap_or(0);
        let object = ObjectMeta {
            location: path,
            last_modified: view.modification_datetime()?,
            size,
            e_tag: None,
            version: None,
        };
        files.push(Arc::new(DataFile { object, statistics: Arc::new(statistics(view.stats().as_deref(), &schema)) }));
    }
    Ok(files)
}

/// Statistics of the log (Delta's JSON) as the query engine's; what is missing or unreadable counts as unknown.
fn statistics(json: Option<&str>, schema: &SchemaRef) -> Statistics {
    let json: Value = json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let rows = json["numRecords"].as_u64().and_then(|rows| usize::try_from(rows).ok());
    let columns = schema.fields().iter().map(|field| ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: bound(&json["minValues"][field.name()], field.data_type()),
        max_value: bound(&json["maxValues"][field.name()], field.data_type()),
        ..ColumnStatistics::new_unknown()
    });
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

fn bound(value: &Value, kind: &DataType) -> Precision<ScalarValue> {
    let scalar = match kind {
        DataType::Int64 => value.as_i64().map(|v| ScalarValue::Int64(Some(v))),
        DataType::Int8 => value.as_i64().and_then(|v| i8::try_from(v).ok()).map(|v| ScalarValue::Int8(Some(v))),
        DataType::Utf8View => value.as_str().map(|v| ScalarValue::Utf8View(Some(v.to_owned()))),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            value.as_str().and_then(instant).map(|us| ScalarValue::TimestampMicrosecond(Some(us), None))
        }
        _ => None,
    };
    scalar.map_or(Precision::Absent, Precision::Exact)
}

fn instant(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_collector_writes() {
        let json = r#"{"numRecords":2,"minValues":{"id":1,"severity":2,"ts_capture":"1970-01-01T00:00:00.000001","classification":"a/b/c"},"maxValues":{"id":9},"nullCount":{}}"#;
        let schema = record_schema();
        let statistics = statistics(Some(json), &schema);
        let minimum = |name: &str| {
            let index = schema.index_of(name).expect("a column");
            statistics.column_statistics[index].min_value.clone()
        };
        assert_eq!(statistics.num_rows, Precision::Exact(2));
        assert_eq!(minimum("id"), Precision::Exact(ScalarValue::Int64(Some(1))));
        assert_eq!(minimum("severity"), Precision::Exact(ScalarValue::Int8(Some(2))));
        assert_eq!(minimum("ts_capture"), Precision::Exact(ScalarValue::TimestampMicrosecond(Some(1), None)));
        assert_eq!(minimum("classification"), Precision::Exact(ScalarValue::Utf8View(Some("a/b/c".into()))));
        assert_eq!(minimum("payload"), Precision::Absent);
    }

    #[test]
    fn broken_statistics_are_unknown() {
        assert_eq!(statistics(Some("{"), &record_schema()).num_rows, Precision::Absent);
        assert_eq!(statistics(None, &record_schema()).num_rows, Precision::Absent);
    }
}
