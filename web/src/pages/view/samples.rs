//! Samples of the page of a view: of every kind, as large as it may be, and broken.

use std::fmt::Write as _;
use std::sync::Arc;

use telemetrics_analytics::sql::STATEMENT_BYTES_MAX;

use super::{Asked, Problem, ViewPage};
use crate::charts;
use crate::pages::query::QUERY_LIMIT_BYTES;
use crate::pages::samples::{HOSTILE, Sample, sample};
use crate::pages::tabs;
use crate::views::{
    Answer, CELL_CHARS, CHOICE_CHARS, CHOICES_MAX, Catalog, Cell, Columns, DESCRIPTION_CHARS, Definition, LABEL_CHARS,
    Listed, NAME_CHARS, Order, PARAMETERS_MAX, Shape, Shown, TABLE_COLUMNS_MAX, TABLE_ROWS_MAX, TITLE_CHARS, VIEWS_MAX,
};

const TEMPLATE: &str = "view.html";
/// Name of the view that the samples show.
const NAME: &str = "view-0";

/// As many tabs as there may be, each as long as it may be.
pub(crate) fn most_tabs() -> Arc<[tabs::ViewTab]> {
    let listed =
        |number: usize| Listed { name: format!("view-{number}"), file: String::new(), view: Err(String::new()) };
    let views =
        (0..VIEWS_MAX).map(|number| Listed { file: format!("{number}{}", HOSTILE.repeat(5)), ..listed(number) });
    tabs::tabs(&Catalog { views: views.collect(), left_out: 0 })
}

pub(crate) fn all() -> Vec<Sample> {
    let (plain, hostile) = (definition("Records", 2), definition(&HOSTILE.repeat(200), PARAMETERS_MAX));
    let of =
        |what, view: &Definition, shape: &Shape, answer: &Answer| sample(TEMPLATE, what, &found(view, shape, answer));
    let chart = |kind| Shape::Chart(kind, columns());
    let (few, many) = (grid("43", 3), grid(&HOSTILE.repeat(20), 100));
    let wide = Answer {
        names: (0..TABLE_COLUMNS_MAX).map(|at| format!("{HOSTILE}{at}")).collect(),
        rows: vec![vec![cell(&"<".repeat(CELL_CHARS)); TABLE_COLUMNS_MAX]; TABLE_ROWS_MAX],
        has_more: true,
    };
    let problem = Problem { parameter: Some("p0".to_owned()), message: HOSTILE.repeat(100) };
    vec![
        of("ordinary", &plain, &chart(charts::Kind::Stacked), &few),
        of("matrix", &plain, &Shape::Matrix(columns()), &few),
        of("table", &plain, &Shape::Table, &few),
        of("nothing", &plain, &chart(charts::Kind::Lines), &grid("", 0)),
        of("no rows", &plain, &Shape::Table, &grid("", 0)),
        of("no matrix", &plain, &Shape::Matrix(columns()), &grid("", 0)),
        of("hostile columns", &hostile, &chart(charts::Kind::Columns), &many),
        of("hostile stack", &hostile, &chart(charts::Kind::Stacked), &many),
        of("hostile lines", &hostile, &chart(charts::Kind::Lines), &many),
        of("hostile share", &hostile, &Shape::Share(Columns { series: None, ..columns() }), &many),
        of("hostile matrix", &hostile, &Shape::Matrix(columns()), &many),
        of("hostile table", &hostile, &Shape::Table, &wide),
        sample(TEMPLATE, "refused", &ViewPage::refused(&listed(&hostile), &hostile, &asked(&hostile), &problem)),
        sample(TEMPLATE, "broken", &ViewPage::broken(&listed(&plain), &HOSTILE.repeat(1_000))),
    ]
}

fn found(view: &Definition, shape: &Shape, answer: &Answer) -> ViewPage {
    let asked = asked(view);
    let bound = asked.bind(view).expect("bound");
    let shown = Shown::new(&view.title, shape, answer).expect("shown");
    ViewPage { pending: Some("3 records".to_owned()), ..ViewPage::found(&listed(view), view, &asked, &bound, shown) }
}

fn listed(view: &Definition) -> Listed {
    Listed { name: NAME.to_owned(), file: HOSTILE.repeat(5), view: Ok(Arc::new(view.clone())) }
}

/// As much as an address can say, and many systems.
fn asked(view: &Definition) -> Asked {
    let long = "<".repeat(QUERY_LIMIT_BYTES / 3 / view.parameters.len());
    let value = |parameter: &crate::views::Parameter| match parameter.kind {
        crate::views::Kind::Text => long.chars().take(crate::views::VALUE_CHARS).collect(),
        _ => parameter.default.clone().unwrap_or_default(),
    };
    Asked {
        values: view.parameters.iter().map(|of| (of.name.clone(), value(of))).collect(),
        systems: (0..1_000).map(|at| format!("{at}{}", HOSTILE.replace('\0', ""))).collect(),
        is_filtered: true,
    }
}

fn columns() -> Columns {
    let name = |name: &str| name.to_owned();
    Columns { label: name("label"), series: Some(name("series")), values: vec![name("n")], order: Order::Rows }
}

/// Rows for `side` categories and as many series.
fn grid(name: &str, side: usize) -> Answer {
    let row = |at: usize| vec![cell(&format!("{}{name}", at / side)), cell(&format!("{}{name}", at % side)), cell("7")];
    let names = ["label", "series", "n"].map(str::to_owned).to_vec();
    Answer { names, rows: (0..side * side).map(row).collect(), has_more: false }
}

fn cell(text: &str) -> Cell {
    Cell { text: Some(text.to_owned()), number: text.parse().ok(), instant: None }
}

/// A view with texts as long as they may be, parameters of which the first has all choices, and a long statement.
fn definition(text: &str, parameters: usize) -> Definition {
    let cut = |chars: usize| toml::Value::String(text.chars().take(chars).collect()).to_string();
    let gaps: Vec<String> = (0..parameters).map(|at| format!("${} AS c{at}", name(at))).collect();
    let statement = format!("SELECT {} -- {}", gaps.join(", "), text.replace(['\n', '\0'], ""));
    let statement: String = statement.chars().take(STATEMENT_BYTES_MAX / 2).collect();
    let mut file = format!(
        "title = {}\ndescription = {}\nkind = \"table\"\nsql = {}\n",
        cut(TITLE_CHARS),
        cut(DESCRIPTION_CHARS),
        toml::Value::String(statement)
    );
    for at in 0..parameters {
        let _ = write!(file, "[[parameters]]\nname = \"{}\"\nlabel = {}\n", name(at), cut(LABEL_CHARS));
        let kind = match at {
            0 => {
                let choice = |at: usize| {
                    let text: String = "<&".repeat(CHOICE_CHARS).chars().take(CHOICE_CHARS - 2).collect();
                    format!("\"{at:02}{text}\"")
                };
                let choices: Vec<String> = (0..CHOICES_MAX).map(choice).collect();
                format!("type = \"choice\"\nchoices = [{}]\ndefault = {}\n", choices.join(", "), choices[1])
            }
            1 => "type = \"integer\"\nmin = 1\ndefault = 7\n".to_owned(),
            2 => "type = \"system\"\n".to_owned(),
            3 => "type = \"date\"\ndefault = \"2026-11-22\"\n".to_owned(),
            _ => "type = \"text\"\ndefault = \"\"\n".to_owned(),
        };
        file.push_str(&kind);
    }
    Definition::read(&file).unwrap_or_else(|reason| panic!("{reason}: {file}"))
}

/// The longest name of a parameter.
fn name(at: usize) -> String {
    format!("p{at}{}", "_".repeat(NAME_CHARS - 1 - at.to_string().len()))
}
