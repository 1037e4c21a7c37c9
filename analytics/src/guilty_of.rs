//! Which guilty a stack belongs to, as a function of both engines: a table of numbers goes along with each query, so that
//! records are grouped by guilties where they are, and an edit of the filters rewrites nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

/// Name of the function in plans.
pub(crate) const GUILTY_OF: &str = "guilty_of";

/// The function of `stack_id`: its guilty by `guilties`, 0 for a stack that is not there.
pub(crate) fn guilty_of(stack_id: Expr, guilties: HashMap<i64, i64>) -> Expr {
    // For the server the table has to stand in the plan, for this process it is at hand.
    let text = text(&guilties);
    ScalarUDF::new_from_impl(GuiltyOf::new(guilties)).call(vec![stack_id, lit(text)])
}

/// `stack:guilty` with commas between, by stack: equal tables are equal texts.
fn text(guilties: &HashMap<i64, i64>) -> String {
    let mut pairs: Vec<(&i64, &i64)> = guilties.iter().collect();
    pairs.sort_unstable();
    pairs.iter().enumerate().fold(String::new(), |mut text, (place, (stack, guilty))| {
        let comma = if place == 0 { "" } else { "," };
        // Writing into a string cannot fail.
        let _ = write!(text, "{comma}{stack}:{guilty}");
        text
    })
}

/// Stacks and guilties of such a text as two lists with commas between; `None` when it is none.
pub(crate) fn lists(text: &str) -> Option<(String, String)> {
    let (mut stacks, mut guilties) = (Vec::new(), Vec::new());
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (stack, guilty) = pair.split_once(':')?;
        stacks.push(stack.parse::<i64>().ok()?.to_string());
        guilties.push(guilty.parse::<i64>().ok()?.to_string());
    }
    Some((stacks.join(","), guilties.join(",")))
}

/// The name of the function that gives a part of a guilty's name; the texts are data of users, so that they go along as
/// JSON.
pub(crate) const GUILTY_TEXT: &str = "guilty_text";

/// The function of a guilty: its text in `texts`, empty for one that is not there.
pub(crate) fn guilty_text(guilty: Expr, texts: HashMap<i64, String>) -> Expr {
    let sorted: std::collections::BTreeMap<&i64, &String> = texts.iter().collect();
    // Texts and numbers can always be written.
    let json = serde_json::to_string(&sorted).unwrap_or_default();
    ScalarUDF::new_from_impl(GuiltyText::new(texts)).call(vec![guilty, lit(json)])
}

/// Guilties and texts of such a text, by guilty; `None` when it is none.
pub(crate) fn texts(json: &str) -> Option<std::collections::BTreeMap<i64, String>> {
    serde_json::from_str(json).ok()
}

#[derive(Debug)]
struct GuiltyText {
    signature: Signature,
    texts: Arc<HashMap<i64, String>>,
}

impl PartialEq for GuiltyText {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for GuiltyText {}

impl Hash for GuiltyText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts.len().hash(state);
    }
}

impl GuiltyText {
    fn new(texts: HashMap<i64, String>) -> Self {
        let signature = Signature::exact(vec![DataType::Int64, DataType::Utf8], Volatility::Immutable);
        Self { signature, texts: Arc::new(texts) }
    }
}

impl ScalarUDFImpl for GuiltyText {
    fn name(&self) -> &'static str {
        GUILTY_TEXT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wrong = || DataFusionError::Execution("not a column of guilties".into());
        let guilties: ArrayRef = args.args.first().ok_or_else(wrong)?.to_array(args.number_rows)?;
        let guilties = guilties.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let text = |guilty: &i64| self.texts.get(guilty).map_or("", String::as_str);
        let texts = StringViewArray::from_iter_values(guilties.values().iter().map(text));
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

#[derive(Debug)]
struct GuiltyOf {
    signature: Signature,
    guilties: Arc<HashMap<i64, i64>>,
}

impl PartialEq for GuiltyOf {
    fn eq(&self, other: &Self) -> bool {
        self.guilties == other.guilties
    }
}

impl Eq for GuiltyOf {}

impl Hash for GuiltyOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Tables of one size are told apart by the text beside them.
        self.guilties.len().hash(state);
    }
}

impl GuiltyOf {
    fn new(guilties: HashMap<i64, i64>) -> Self {
        let signature = Signature::exact(vec![DataType::Int64, DataType::Utf8], Volatility::Immutable);
        Self { signature, guilties: Arc::new(guilties) }
    }
}

impl ScalarUDFImpl for GuiltyOf {
    fn name(&self) -> &'static str {
        GUILTY_OF
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wrong = || DataFusionError::Execution("not a column of stacks".into());
        let stacks: ArrayRef = args.args.first().ok_or_else(wrong)?.to_array(args.number_rows)?;
        let stacks = stacks.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let guilty = |stack: &i64| self.guilties.get(stack).copied().unwrap_or(0);
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(stacks.values().iter().map(guilty)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_their_way_whatever_they_hold() {
        let odd = HashMap::from([(7, "a\"',\\\0".to_owned()), (3, String::new())]);
        let Expr::ScalarFunction(call) = guilty_text(lit(7_i64), odd.clone()) else { panic!("no call") };
        let Expr::Literal(json, _) = &call.args[1] else { panic!("no text") };
        let read = texts(json.try_as_str().flatten().expect("a text")).expect("texts");
        assert_eq!(read.into_iter().collect::<HashMap<_, _>>(), odd);
        assert_eq!(texts("x"), None);
    }

    #[test]
    fn a_table_is_a_text_and_two_lists() {
        let table = HashMap::from([(7, 1), (3, 2)]);
        assert_eq!(text(&table), "3:2,7:1");
        assert_eq!(lists("3:2,7:1"), Some(("3,7".to_owned(), "2,1".to_owned())));
        assert_eq!(lists(""), Some((String::new(), String::new())));
        for wrong in ["x", "1:", "1:2)", "1:2,3"] {
            assert_eq!(lists(wrong), None, "{wrong}");
        }
    }
}
