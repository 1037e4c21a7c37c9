//! Reads pages as a browser would.

use scraper::{ElementRef, Html, Selector};
use telemetrics_testkit::http::Answer;

/// The page in an answer, which has to be HTML with the headers that every page has.
pub(crate) fn page(answer: &Answer, status: u16) -> Html {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    Html::parse_document(&answer.text())
}

/// All elements that `selector` selects.
pub(crate) fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

/// The texts of all elements that `selector` selects.
pub(crate) fn texts(page: &Html, selector: &str) -> Vec<String> {
    select(page, selector).iter().map(text).collect()
}

/// The text of the one element that `selector` selects.
pub(crate) fn one_text(page: &Html, selector: &str) -> String {
    let found = texts(page, selector);
    let [text] = found.as_slice() else { panic!("not one {selector} but {}", found.len()) };
    text.clone()
}

/// The attribute of the first element that `selector` selects.
pub(crate) fn attribute(page: &Html, selector: &str, name: &str) -> Option<String> {
    select(page, selector).first().and_then(|element| element.attr(name)).map(str::to_owned)
}

fn text(element: &ElementRef<'_>) -> String {
    element.text().collect()
}
