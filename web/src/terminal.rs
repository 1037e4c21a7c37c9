//! What commands that take a while say on standard output.

use std::io::{self, Write};

/// Says it at once. A reader that is gone is no reason to stop.
pub fn say(text: &str) {
    let mut output = io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// How much is done of it, in percent and at most 100: all of nothing is done.
#[must_use]
pub fn percent(done: u64, total: u64) -> u64 {
    (done.min(total) * 100).checked_div(total).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_nothing_is_all() {
        assert_eq!((percent(0, 0), percent(1, 3), percent(3, 3), percent(4, 3)), (100, 33, 100, 100));
    }
}
