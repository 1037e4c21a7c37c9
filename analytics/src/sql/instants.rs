//! The present of a statement: that of its view, and not whenever a batch happens to be computed.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

/// The present instant, of the type that instants of records have.
pub(super) const NOW: &str = "now";
/// The present day, UTC.
pub(super) const CURRENT_DATE: &str = "current_date";

/// The function `now()`.
pub(super) fn now(at: TimestampUs) -> ScalarUDF {
    let value = ScalarValue::TimestampMicrosecond(Some(at.0), None);
    Present::function(NOW, &["current_timestamp"], value)
}

/// The function `current_date()`.
pub(super) fn current_date(at: TimestampUs) -> ScalarUDF {
    let day = i32::try_from(at.0.div_euclid(US_PER_DAY)).unwrap_or(i32::MAX);
    Present::function(CURRENT_DATE, &["today"], ScalarValue::Date32(Some(day)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Present {
    name: &'static str,
    aliases: Vec<String>,
    value: ScalarValue,
    signature: Signature,
}

impl Present {
    fn function(name: &'static str, aliases: &[&str], value: ScalarValue) -> ScalarUDF {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        // One statement sees one present.
        let signature = Signature::nullary(Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { name, aliases, value, signature })
    }
}

impl ScalarUDFImpl for Present {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;

    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn the_day_before_1970_is_below_zero() {
        assert_eq!(current_date(TimestampUs(-1)).name(), CURRENT_DATE);
        let inner = current_date(TimestampUs(-1));
        let present = (inner.inner().as_ref() as &dyn Any).downcast_ref::<Present>().expect("ours");
        assert_eq!(present.value, ScalarValue::Date32(Some(-1)));
        let at = now(TimestampUs(7));
        let types = at.return_type(&[]).expect("a type");
        assert_eq!(types, DataType::Timestamp(TimeUnit::Microsecond, None));
    }
}
