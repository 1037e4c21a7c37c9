//! The description of the API is true: Schemathesis finds no answer that does not fit it, every example is answered, and
//! every endpoint is in it.

use std::collections::BTreeSet;

use serde_json::Value;
use telemetrics_testkit::python::Python;
use telemetrics_testkit::{Post, Server};

use crate::html::{page, select, texts};
use crate::servers::PROGRAM;

const DESCRIPTION: &str = "/api/openapi.json";
/// Names another number of generated requests for each operation.
const CASES_VARIABLE: &str = "TELEMETRICS_TEST_SCHEMATHESIS_CASES";
const CASES_DEFAULT: &str = "8";

fn demo() -> Server {
    let server = Server::start_plain(PROGRAM, &["demo", "--records", "600", "--listen", "127.0.0.1:0"]);
    let refused = Post::default().with("severity", "9").header("User-Agent", "curl");
    assert_eq!(server.send(&refused.in_headers()).status, 400);
    server
}

#[test]
fn every_answer_that_counts_fits_the_description() {
    answers_fit(&["--include-tag", "aggregations"]);
}

#[test]
fn every_other_answer_fits_the_description() {
    answers_fit(&["--exclude-tag", "aggregations"]);
}

/// What is left out: values that no schema can tell from good ones are refused (a regular expression that is none, `top`
/// without `by`), as they have to be. Two halves, because no program that tests start may take minutes.
fn answers_fit(which: &[&str]) {
    let server = demo();
    let which: String = which.iter().map(|word| format!("'{word}', ")).collect::<Vec<_>>().concat();
    let cases = std::env::var(CASES_VARIABLE).unwrap_or_else(|_| CASES_DEFAULT.to_owned());
    let url = server.url(DESCRIPTION);
    let script = format!(
        "import runpy, sys\n\
         sys.argv = ['st', 'run', '{url}', {which}'--phases', 'examples,coverage,fuzzing', '--checks', 'all', '--exclude-checks', 'positive_data_acceptance',\n\
                     '--max-examples', '{cases}', '--seed', '1', '--generation-database', 'none', '--no-color']\n\
         runpy.run_module('schemathesis.cli', run_name='__main__')"
    );
    let said = Python::new().output(server.dir(), &script);
    assert!(said.contains("Tested:") && !said.contains("nresolvable"), "{said}");
    assert_eq!(server.get("/healthz").status, 200);
}

/// Method, path, and the parameters of each operation.
fn operations(description: &Value) -> Vec<(String, String, Vec<Value>)> {
    let paths = description["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let operations = item.as_object().expect("operations").clone().into_iter();
        let path = path.clone();
        operations.map(move |(method, operation)| {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            (method, path.clone(), parameters)
        })
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_example_is_answered() {
    let server = demo();
    let mut examples = 0;
    for (method, path, parameters) in operations(&server.get_json(DESCRIPTION)) {
        if method != "get" || path.contains('{') {
            continue;
        }
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            let value = match &parameter["example"] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
            let answer = server.get(&format!("{path}?{query}"));
            assert_eq!(answer.status, 200, "{path}?{query}: {}", answer.text());
            examples += 1;
        }
    }
    assert!(examples > 200, "{examples}");
}

#[test]
fn every_endpoint_is_described() {
    let server = demo();
    let routes = include_str!("../../src/routes.rs");
    let written = regex_paths(routes);
    let described: BTreeSet<String> =
        operations(&server.get_json(DESCRIPTION)).into_iter().map(|(_, path, _)| path).collect();
    let missing: Vec<&String> = written.iter().filter(|path| !described.contains(*path)).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

/// The literal paths below `/api/` in the table of routes.
fn regex_paths(routes: &str) -> BTreeSet<String> {
    let parts = routes.split("route(\"/api/").skip(1);
    let paths = parts.filter_map(|part| part.split('"').next()).map(|rest| format!("/api/{rest}"));
    paths.filter(|path| path != DESCRIPTION).collect()
}

#[test]
fn people_read_and_try_it() {
    let server = demo();
    let shown = page(&server.get("/telemetryui/api"), 200);
    let described = operations(&server.get_json(DESCRIPTION)).len();
    assert_eq!(texts(&shown, "details summary").len(), described);
    let forms = select(&shown, "details form[method=get]");
    assert!(forms.len() > 10);
    for endpoint in select(&shown, "details form [name=endpoint]") {
        let path = endpoint.attr("value").expect("a path");
        let asked = server.get(&format!("/telemetryui/api/ask?endpoint={path}&severity=&limit=3"));
        assert_eq!((asked.status, asked.header("location")), (303, Some(format!("{path}?limit=3").as_str())));
    }
    assert_eq!(server.get("/telemetryui/api/ask?endpoint=//example.org/").status, 404);
}
