//! Rows of a rollup without some of its keys: those that became equal are one row, with the sum of their records.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use telemetrics_schema::rollups::RECORDS_COUNT;

/// The rows, each combination of keys once, in the order of their first one. Without a column that counts, those that
/// there are.
pub(super) fn summed(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let counted = schema.index_of(RECORDS_COUNT).ok();
    let keys: Vec<usize> = (0..batch.num_columns()).filter(|place| Some(*place) != counted).collect();
    if keys.is_empty() {
        return Ok(batch.clone());
    }
    let fields = keys.iter().map(|place| SortField::new(schema.field(*place).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let rows =
        converter.convert_columns(&keys.iter().map(|place| Arc::clone(batch.column(*place))).collect::<Vec<_>>())?;
    let counts = counted.and_then(|place| batch.column(place).as_primitive_opt::<Int64Type>());
    let (mut places, mut firsts, mut sums) = (HashMap::new(), Vec::new(), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        let place = *places.entry(row).or_insert_with(|| {
            firsts.push(row);
            sums.push(0);
            sums.len() - 1
        });
        sums[place] += counts.filter(|counts| counts.is_valid(at)).map_or(0, |counts| counts.value(at));
    }
    let mut columns = converter.convert_rows(firsts)?;
    if let Some(counted) = counted {
        let sums: ArrayRef = Arc::new(Int64Array::from(sums));
        columns.insert(counted, sums);
    }
    RecordBatch::try_new(schema, columns)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int8Array, StringViewArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn rows(classes: Vec<&str>, records: Vec<i64>, rollups: Vec<i8>) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("classification", DataType::Utf8View, false),
            Field::new(RECORDS_COUNT, DataType::Int64, false),
            Field::new("rollup", DataType::Int8, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(classes)),
            Arc::new(Int64Array::from(records)),
            Arc::new(Int8Array::from(rollups)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).expect("rows")
    }

    #[test]
    fn equal_rows_are_one() {
        let long = "a class whose name is longer than a view holds";
        let all = rows(vec![long, "b", long, "", long], vec![1, 2, 3, 4, 5], vec![0, 0, 0, 0, 1]);
        assert_eq!(summed(&all).expect("sums"), rows(vec![long, "b", "", long], vec![4, 2, 4, 5], vec![0, 0, 0, 1]));
        let none = all.slice(0, 0);
        assert_eq!(summed(&none).expect("sums"), none);
    }

    #[test]
    fn without_a_count_or_without_keys_there_is_nothing_to_sum() {
        let all = rows(vec!["a", "b", "a"], vec![1, 2, 3], vec![0, 0, 0]);
        let keys = summed(&all.project(&[0, 2]).expect("columns")).expect("rows");
        assert_eq!(keys, rows(vec!["a", "b"], vec![0, 0], vec![0, 0]).project(&[0, 2]).expect("columns"));
        let counts = all.project(&[1]).expect("a column");
        assert_eq!(summed(&counts).expect("rows"), counts);
    }
}
