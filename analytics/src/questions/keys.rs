//! What records are counted by: the columns that make up a key, and keys as values.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int8Type;
use datafusion::logical_expr::{Expr, SortExpr, col, lit};

use crate::error::Error;
use crate::filter::text;

/// What a count is kept for each of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Build of a system: builds of different systems may have equal names.
    Build,
    /// Classification.
    Classification,
    /// Hardware, the column `host_type`.
    Platform,
    /// Severity.
    Severity,
    /// Operating system.
    System,
}

impl Dimension {
    /// The columns that make up a key, in their order.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Build => &["system_name", "build"],
            Self::Classification => &["classification"],
            Self::Platform => &["host_type"],
            Self::Severity => &["severity"],
            Self::System => &["system_name"],
        }
    }

    pub(super) fn groups(self) -> Vec<Expr> {
        self.columns().iter().map(|column| col(*column)).collect()
    }

    /// In the order of keys, which settles what is equal otherwise.
    pub(super) fn order(self) -> impl Iterator<Item = SortExpr> {
        self.groups().into_iter().map(|column| column.sort(true, false))
    }

    /// The key of each row, out of the columns of `batch` from the first one on.
    pub(super) fn keys(self, batch: &RecordBatch) -> Result<Vec<Key>, Error> {
        let keys = (0..batch.num_rows()).map(|row| self.key(batch, row));
        keys.collect::<Option<_>>().ok_or_else(|| Error::Internal(format!("not the columns of {self:?}")))
    }

    fn key(self, batch: &RecordBatch, row: usize) -> Option<Key> {
        let text = |column: usize| text_at(batch, column, row);
        Some(match self {
            Self::Build => Key::Build { system_name: text(0)?, build: text(1)? },
            Self::Classification => Key::Classification(text(0)?),
            Self::Platform => Key::Platform(text(0)?),
            Self::Severity => Key::Severity(batch.columns().first()?.as_primitive_opt::<Int8Type>()?.value(row)),
            Self::System => Key::System(text(0)?),
        })
    }
}

/// The text of one cell; `None` where the column has another type.
pub(super) fn text_at(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let texts = batch.columns().get(column)?.as_string_view_opt()?;
    (row < texts.len()).then(|| texts.value(row).to_owned())
}

/// One value of a [`Dimension`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A build and the system that it is a version of.
    Build {
        /// Name of the operating system.
        system_name: String,
        /// Version of the operating system.
        build: String,
    },
    /// A classification.
    Classification(String),
    /// A host type.
    Platform(String),
    /// A severity.
    Severity(i8),
    /// Name of an operating system.
    System(String),
}

impl Key {
    /// Whether a row has this key.
    pub(super) fn predicate(&self) -> Expr {
        match self {
            Self::Build { system_name, build } => {
                col("system_name").eq(text(system_name)).and(col("build").eq(text(build)))
            }
            Self::Classification(class) => col("classification").eq(text(class)),
            Self::Platform(host_type) => col("host_type").eq(text(host_type)),
            Self::Severity(severity) => col("severity").eq(lit(*severity)),
            Self::System(name) => col("system_name").eq(text(name)),
        }
    }
}
