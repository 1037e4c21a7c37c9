//! Views that operators add: a file `NAME.toml` in one directory is a page, with a statement in SQL behind it.
//!
//! `file.rs` reads a file, `parameter.rs` what people may ask, `columns.rs` says which columns are drawn how. `watch.rs`
//! looks at the directory and plans each statement that is new, so that a view that cannot work says so before anybody
//! asks. `cells.rs` and `picture.rs` make a picture of an answer. What is wrong with a file is told in its own page, and
//! nothing else depends on it.

mod cells;
mod columns;
mod file;
mod parameter;
mod picture;
pub mod shipped;
mod watch;

use std::sync::Arc;

pub use cells::{Answer, CELL_CHARS, CHART_ROWS_MAX, Cell, TABLE_ROWS_MAX, read};
pub use columns::{Columns, Order, Shape, TABLE_COLUMNS_MAX};
pub use file::{
    CHOICE_CHARS, CHOICES_MAX, DESCRIPTION_CHARS, Definition, FILE_BYTES_MAX, LABEL_CHARS, PARAMETERS_MAX, TITLE_CHARS,
};
pub use parameter::{DAYS_MAX, INTEGER_MAX, Kind, NAME_CHARS, Parameter, VALUE_CHARS};
pub use picture::{Picture, Shown, Table};
pub use watch::{LOOK_INTERVAL, Views, look};

/// Most views: each has a tab in every page.
pub const VIEWS_MAX: usize = 24;

/// A file of the directory.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name in addresses: that of the file without `.toml`, as small letters, digits, `-` and `_`.
    pub name: String,
    /// The name of the file, as it is.
    pub file: String,
    /// The view, or what is wrong with the file.
    pub view: Result<Arc<Definition>, String>,
}

impl Listed {
    /// What its tab says.
    #[must_use]
    pub fn label(&self) -> &str {
        self.view.as_ref().map_or(self.file.as_str(), |view| view.title.as_str())
    }
}

/// What is in the directory.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By the name of the file, at most [`VIEWS_MAX`].
    pub views: Vec<Listed>,
    /// How many files are beyond that.
    pub left_out: usize,
}

impl Catalog {
    /// The view of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.views.iter().find(|listed| listed.name == name)
    }
}
