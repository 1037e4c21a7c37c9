//! The colours that stand in a picture for those of the stylesheet, which has a rule for each of them.

/// Letters, and the lines of axes.
pub const INK: &str = "#57606A";
/// Lines that help the eye.
pub const GRID: &str = "#C6CCD4";
/// The series in their order. People who cannot tell all hues apart can tell these, and each has a contrast of at least
/// 3 to its page.
pub const SERIES: [&str; 8] = ["#0072B2", "#B35900", "#007A5A", "#A8467F", "#6B5BD2", "#8A6D00", "#2F7F95", "#6A737D"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stylesheet_has_a_rule_for_every_colour() {
        let css = include_str!("../../static/style.css");
        for colour in SERIES {
            assert!(css.contains(&format!(".chart [fill=\"{colour}\"]")), "fill {colour}");
            assert!(css.contains(&format!(".chart [stroke=\"{colour}\"]")), "stroke {colour}");
        }
        assert!(css.contains(&format!(".chart [fill=\"{INK}\"]")));
        assert!(css.contains(&format!(".chart [stroke=\"{GRID}\"]")));
    }
}
