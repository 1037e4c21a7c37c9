//! The operator `||` as a function, so that what it makes is counted as what functions make is.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// What it is called; nobody can write that as a call.
pub(crate) const CONCAT_OPERATOR: &str = "||";

/// One text behind the other; NULL when one of them is.
pub(super) fn concat_operator() -> ScalarUDF {
    ScalarUDF::new_from_impl(Concat { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Concat {
    signature: Signature,
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &'static str {
        CONCAT_OPERATOR
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let parts: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(parts.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != 2 || types.iter().any(DataType::is_nested) {
            return plan_err!("|| puts two texts together");
        }
        Ok(vec![DataType::Utf8View; types.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(CONCAT_OPERATOR, DataType::Utf8View, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return plan_err!("|| puts two texts together") };
        let (left, right) = (left.as_string_view(), right.as_string_view());
        let mut texts = StringViewBuilder::with_capacity(left.len());
        let mut text = String::new();
        for row in 0..left.len() {
            if left.is_null(row) || right.is_null(row) {
                texts.append_null();
            } else {
                text.clear();
                text.push_str(left.value(row));
                text.push_str(right.value(row));
                texts.append_value(&text);
            }
        }
        let texts = texts.finish();
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        Ok(if is_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(texts))
        })
    }
}
