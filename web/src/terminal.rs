//! What commands that take a while say on standard output.

use std::io::{self, Write};

/// Width of a bar in characters.
const BAR_CHARS: u64 = 30;

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

/// How much is done of it as a bar and in percent.
#[must_use]
pub fn bar(done: u64, total: u64) -> String {
    let percent = percent(done, total);
    let filled = percent * BAR_CHARS / 100;
    let bar: String = (0..BAR_CHARS).map(|place| if place < filled { '#' } else { '.' }).collect();
    format!("[{bar}] {percent:>3} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_it_is_far() {
        assert_eq!(bar(0, 9), "[..............................]   0 %");
        assert_eq!(bar(1, 2), "[###############...............]  50 %");
        assert_eq!(bar(299, 300), "[#############################.]  99 %", "it is full when all is done");
        assert_eq!((bar(0, 0), bar(u64::MAX, 3)), (bar(3, 3), bar(3, 3)));
        assert_eq!(bar(3, 3), "[##############################] 100 %");
    }

    #[test]
    fn all_of_nothing_is_all() {
        assert_eq!((percent(0, 0), percent(1, 3), percent(3, 3), percent(4, 3)), (100, 33, 100, 100));
    }
}
