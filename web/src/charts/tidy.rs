//! What the library draws, without what our pages do not allow or need.

/// What marks the texts that the library shows on hover: the titles of shapes do that too, and are read aloud.
const TIP: &str = "class=\"ct-tip\"";
/// Attributes of shapes that repeat what their titles say.
const REPEATED: [&str; 3] = [" data-series=\"", " data-category=\"", " data-value=\""];

/// The picture as part of a page: with a name for those who do not see it, and in the size that the page gives it;
/// without a style of its own (the content security policy forbids it) and without what is there twice.
pub(super) fn tidy(svg: &str, name: &str) -> String {
    let (root, content) = svg.split_at(svg.find('>').map_or(0, |at| at + 1));
    let view_box = root.split_once("viewBox=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
    let name = escaped(name);
    let head = format!("<svg class=\"chart\" role=\"img\" aria-label=\"{name}\" viewBox=\"{view_box}\">");
    without_tips(without_style(content)).into_iter().map(without_repeats).fold(head, |out, part| out + &part)
}

fn without_style(content: &str) -> &str {
    let style = content.trim_start().strip_prefix("<style>");
    style.and_then(|style| style.split_once("</style>")).map_or(content, |(_, rest)| rest)
}

/// What stands between the tips. Texts of data are escaped, so that what looks like a tag is one.
fn without_tips(content: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = content;
    while let Some(at) = rest.find(TIP) {
        let begin = rest[..at].rfind("<text").unwrap_or(at);
        let end = rest[at..].find("</text>").map_or(rest.len(), |end| at + end + "</text>".len());
        parts.push(&rest[..begin]);
        rest = rest[end..].trim_start();
    }
    parts.push(rest);
    parts
}

fn without_repeats(part: &str) -> String {
    REPEATED.into_iter().fold(part.to_owned(), |text, attribute| {
        let mut pieces = text.split(attribute);
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |out, piece| out + piece.split_once('"').map_or("", |(_, rest)| rest))
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_name_and_no_style() {
        let svg = "<svg width=\"9\" height=\"3\" viewBox=\"0 0 9 3\" xmlns=\"x\">\n<style>.a{}</style><g>1</g></svg>";
        assert_eq!(
            tidy(svg, "a \"<b>\""),
            "<svg class=\"chart\" role=\"img\" aria-label=\"a &quot;&lt;b&gt;&quot;\" viewBox=\"0 0 9 3\"><g>1</g></svg>"
        );
        assert!(tidy("", "x").contains("<svg"));
    }

    #[test]
    fn what_is_there_twice_goes() {
        let rect = "<rect x=\"1\" class=\"ct-trigger\" data-series=\"s\" data-category=\"c &lt;\" data-value=\"3\">";
        let svg = format!(
            "<svg viewBox=\"v\">{rect}<title>t</title></rect>\n<text x=\"1\" class=\"ct-tip\">\nt\n</text>\n<g/></svg>"
        );
        let tidied = tidy(&svg, "n");
        assert!(tidied.ends_with("<rect x=\"1\" class=\"ct-trigger\"><title>t</title></rect>\n<g/></svg>"), "{tidied}");
    }
}
