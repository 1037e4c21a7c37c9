//! Functions whose result may be much larger than their arguments, within a limit.
//!
//! The query engine counts the memory of what operators hold, not of what one call makes of one batch: without this,
//! `repeat('x', 1000000000)` takes all there is before anybody looks. Here the size of a result is known before it is
//! made: from the arguments when that is enough, else by making it for fewer rows at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, resources_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Bytes of a value that is no text, written as one.
const OTHER_VALUE_BYTES: u64 = 64;
/// Bytes that a part of two characters of a format for instants becomes, for each of its bytes.
const FORMAT_FACTOR: u64 = 32;
/// Bytes of a character, at most.
const CHARACTER_BYTES: u64 = 4;

/// How large a result can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// All arguments together.
    Joined,
    /// All arguments together, with the first one between them.
    Separated,
    /// The first argument so many times.
    Repeated,
    /// So many characters.
    Padded,
    /// The last text, for each byte of the first one and once more.
    Replaced,
    /// What instants become in a format.
    Formatted,
}

/// Bytes that one call may make of one batch; set when the statement is known, which says how many calls there are.
#[derive(Debug, Default)]
pub(super) struct Budget {
    call_bytes: AtomicU64,
}

impl Budget {
    pub(super) fn set(&self, call_bytes: u64) {
        self.call_bytes.store(call_bytes, Relaxed);
    }

    fn call_bytes(&self) -> u64 {
        self.call_bytes.load(Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Growing {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    budget: Arc<Budget>,
}

impl PartialEq for Growing {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner && self.growth == other.growth
    }
}

impl Eq for Growing {}

impl std::hash::Hash for Growing {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
        self.growth.hash(state);
    }
}

impl Growing {
    pub(super) fn new(inner: Arc<ScalarUDF>, growth: Growth, budget: Arc<Budget>) -> Self {
        Self { inner, growth, budget }
    }

    /// Makes the result of all rows at once where it cannot be too large, else of half of them and of the other half.
    fn invoke(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (bytes, limit) = (self.growth.bytes(&args), self.budget.call_bytes());
        if bytes <= limit {
            return self.inner.invoke_with_args(args);
        }
        let rows = args.number_rows;
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        if is_constant || rows <= 1 {
            return self.too_large(limit);
        }
        let middle = rows / 2;
        let first = self.invoke(slice(&args, 0, middle))?.into_array(middle)?;
        let second = self.invoke(slice(&args, middle, rows - middle))?.into_array(rows - middle)?;
        let made = (first.get_array_memory_size() + second.get_array_memory_size()) as u64;
        if made > limit {
            return self.too_large(limit);
        }
        Ok(ColumnarValue::Array(concat(&[first.as_ref(), second.as_ref()])?))
    }
}

impl Growing {
    fn too_large<T>(&self, limit: u64) -> Result<T> {
        resources_err!("{} would make more than {limit} bytes of text at once", self.name())
    }
}

impl ScalarUDFImpl for Growing {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.inner().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    // No `simplify`: it would put the function itself in the place of this one.

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.invoke(args)
    }
}

impl Growth {
    /// What the result cannot exceed, in bytes.
    fn bytes(self, args: &ScalarFunctionArgs) -> u64 {
        let rows = args.number_rows as u64;
        let texts: Vec<Texts> = args.args.iter().map(|arg| Texts::of(arg, rows)).collect();
        let total = |place: usize| texts.get(place).map_or(0, |texts| texts.total);
        let all = texts.iter().map(|texts| texts.total).fold(0, u64::saturating_add);
        let number = |place: usize| args.args.get(place).map_or(0, largest);
        match self {
            Self::Joined => all,
            Self::Separated => total(0).saturating_mul(texts.len() as u64).saturating_add(all),
            Self::Repeated => total(0).saturating_mul(number(1)),
            Self::Padded => rows.saturating_mul(number(1)).saturating_mul(CHARACTER_BYTES).saturating_add(all),
            Self::Replaced => {
                let longest = texts.get(2).map_or(0, |texts| texts.longest);
                total(0).saturating_add(rows).saturating_mul(longest.saturating_add(1))
            }
            Self::Formatted => total(1).saturating_mul(FORMAT_FACTOR),
        }
    }
}

/// Sizes of the texts of an argument, in bytes.
struct Texts {
    total: u64,
    longest: u64,
}

impl Texts {
    fn of(value: &ColumnarValue, rows: u64) -> Self {
        match value {
            ColumnarValue::Scalar(value) => {
                let longest = match value.try_as_str() {
                    Some(text) => text.map_or(0, str::len) as u64,
                    None => OTHER_VALUE_BYTES,
                };
                Self { total: longest.saturating_mul(rows), longest }
            }
            ColumnarValue::Array(array) => Self::of_lengths(array, rows),
        }
    }

    fn of_lengths(array: &ArrayRef, rows: u64) -> Self {
        let summed = |lengths: &mut dyn Iterator<Item = usize>| {
            lengths.fold(Self { total: 0, longest: 0 }, |sum, length| {
                let length = length as u64;
                Self { total: sum.total + length, longest: sum.longest.max(length) }
            })
        };
        match array.data_type() {
            DataType::Utf8View => summed(&mut array.as_string_view().lengths().map(|length| length as usize)),
            DataType::Utf8 => summed(&mut array.as_string::<i32>().iter().map(|text| text.map_or(0, str::len))),
            DataType::LargeUtf8 => summed(&mut array.as_string::<i64>().iter().map(|text| text.map_or(0, str::len))),
            _ => Self { total: OTHER_VALUE_BYTES.saturating_mul(rows), longest: OTHER_VALUE_BYTES },
        }
    }
}

/// The largest of the numbers, 0 when none is above that; what is no number counts as the largest there is.
fn largest(value: &ColumnarValue) -> u64 {
    let array = match value {
        ColumnarValue::Scalar(value) => value.to_array(),
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
    };
    let numbers = array.and_then(|array| Ok(cast(&array, &DataType::Int64)?));
    let Ok(numbers) = numbers else { return u64::MAX };
    let largest = numbers.as_primitive::<Int64Type>().iter().flatten().max().unwrap_or(0);
    u64::try_from(largest).unwrap_or(0)
}

/// The arguments of some rows.
fn slice(args: &ScalarFunctionArgs, offset: usize, rows: usize) -> ScalarFunctionArgs {
    let sliced = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(offset, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(sliced).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::DataFusionError;
    use datafusion::common::config::ConfigOptions;
    use datafusion::functions::string::{concat as concat_texts, repeat, replace};
    use datafusion::scalar::ScalarValue;

    use super::*;

    fn text(texts: &[&str]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(StringArray::from(texts.to_vec())))
    }

    fn constant(text: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(text))
    }

    fn number(number: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(number))
    }

    fn call((function, growth): (Arc<ScalarUDF>, Growth), limit: u64, args: Vec<ColumnarValue>) -> Result<Vec<String>> {
        let budget = Arc::new(Budget::default());
        budget.set(limit);
        let rows = args.iter().find_map(|arg| match arg {
            ColumnarValue::Array(array) => Some(array.len()),
            ColumnarValue::Scalar(_) => None,
        });
        let number_rows = rows.unwrap_or(1);
        let fields = args.iter().map(|arg| Arc::new(Field::new("x", arg.data_type(), true))).collect();
        let args = ScalarFunctionArgs {
            args,
            arg_fields: fields,
            number_rows,
            return_field: Arc::new(Field::new("x", DataType::Utf8, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let made = Growing::new(function, growth, budget).invoke_with_args(args)?.into_array(number_rows)?;
        let made = cast(&made, &DataType::Utf8)?;
        Ok(made.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()).collect())
    }

    fn is_refused(made: &Result<Vec<String>>) -> bool {
        matches!(made, Err(DataFusionError::ResourcesExhausted(_)))
    }

    #[test]
    fn a_result_that_is_too_large_is_not_made() {
        let repeated = || (repeat(), Growth::Repeated);
        assert!(is_refused(&call(repeated(), 1 << 20, vec![constant("x"), number(1_000_000_000)])));
        assert!(is_refused(&call(repeated(), 1 << 20, vec![text(&["x", "y"]), number(i64::MAX)])));
        assert_eq!(call(repeated(), 3, vec![constant("x"), number(3)]).expect("small"), ["xxx"]);
        assert!(is_refused(&call(repeated(), 3, vec![constant("x"), number(4)])), "one more");
        assert_eq!(call(repeated(), 0, vec![constant("x"), number(-1)]).expect("nothing"), [""]);
    }

    #[test]
    fn what_may_be_large_is_made_for_fewer_rows_at_a_time() {
        let replaced = || (replace(), Growth::Replaced);
        let texts: Vec<String> = (0..100).map(|row| format!("{row} a")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let long = "x".repeat(1_000);
        let none = call(replaced(), 20_000, vec![text(&texts), constant("b"), constant(&long)]).expect("nothing to do");
        assert_eq!(none, texts);
        let all = call(replaced(), 20_000, vec![text(&texts), constant("a"), constant(&long)]);
        assert!(is_refused(&all), "{all:?}");
    }

    #[test]
    fn texts_are_joined_row_by_row() {
        let joined = call((concat_texts(), Growth::Joined), 100, vec![text(&["a", "b"]), constant("-")]);
        assert_eq!(joined.expect("small"), ["a-", "b-"]);
    }
}
