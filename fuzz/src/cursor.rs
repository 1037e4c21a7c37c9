//! Cursors: what is read is what is written.

use telemetrics_analytics::questions::cursor::Cursor;

/// The text of a cursor.
///
/// # Panics
/// When a cursor that was read is not the one that its own text names.
pub fn cursor(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(cursor) = Cursor::parse(text) {
        let written = cursor.to_string();
        assert_eq!(Cursor::parse(&written), Some(cursor), "{text} became {written}");
    }
}
