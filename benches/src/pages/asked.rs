//! What is asked: every page, and what scripts ask the API for most, about things that are in both stores.

use serde_json::Value;

use crate::Failure;
use crate::client::Client;

/// What an address is, which decides what its answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A page for people.
    Page,
    /// The default page of the records API.
    DefaultPage,
    /// A page of the records API with filters.
    Filtered,
    /// Anything else.
    Other,
}

/// One address.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// What it is called in tables and in names of figures.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) path: String,
}

/// The page of causes over all that is kept.
pub(super) const ALL_CRASHES: &str = "Crashes, 35 days";
/// Its address.
pub(super) const ALL_CRASHES_PATH: &str = "/telemetryui/crashes?days=35";

/// Records of a page: as many as the page Records shows.
const LIMIT: &str = "limit=50";
/// In no payload.
const NOWHERE: &str = "payload=zyzzyva%20quux%20[0-9]{7}";

/// Things to ask about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// A record in the middle of the newest, and what it says.
    id: String,
    machine: String,
    build: String,
    /// The most frequent cause of crashes.
    pub(super) guilty: Guilty,
}

/// A cause of crashes.
#[derive(Debug, Clone)]
pub(super) struct Guilty {
    pub(super) id: String,
    pub(super) function: String,
    pub(super) module: String,
}

impl Subject {
    /// What this server knows of.
    ///
    /// # Errors
    /// When it has no records, or no crashes.
    pub(super) fn of(client: &mut Client) -> Result<Self, Failure> {
        let records = json(client, "/api/records?limit=1001")?;
        let records = records["records"].as_array().ok_or("no records")?;
        let record = records.get(records.len() / 2).ok_or("the store is empty")?;
        let causes = json(client, "/api/crashes?created_in_days=35&limit=1")?;
        let cause = causes["rows"].get(0).ok_or("there are no crashes")?;
        let guilty = Guilty {
            id: text(cause, "guilty_id")?,
            function: text(cause, "function")?,
            module: text(cause, "module")?,
        };
        Ok(Self {
            id: text(record, "id")?,
            machine: text(record, "machine_id")?,
            build: text(record, "build")?,
            guilty,
        })
    }

    /// Every address.
    #[must_use]
    pub(super) fn all(&self) -> Vec<Asked> {
        self.pages().into_iter().chain(self.questions()).collect()
    }

    fn pages(&self) -> Vec<Asked> {
        let page = |name, path: String| Asked { name, kind: Kind::Page, path: format!("/telemetryui/{path}") };
        let fixed = [
            ("Start page", ""),
            ("Overview", "overview"),
            ("Records", "records"),
            ("Builds", "builds"),
            ("Stats", "stats"),
            ("Crashes", "crashes"),
            ("Filters", "crashes/guilty_edit/"),
            ("History", "crashes/history"),
            ("MCE", "mce"),
            ("Thermal", "thermal"),
            ("Updates", "update_matrix"),
            ("Population", "population"),
            ("Quarantine", "quarantine"),
            ("Status", "status"),
        ];
        let mut pages: Vec<Asked> = fixed.into_iter().map(|(name, path)| page(name, path.to_owned())).collect();
        let guilty = format!("crashes/guilty_details/{}", self.guilty.id);
        let machine = encoded(&self.machine);
        pages.extend([
            page("Crashes of a build", format!("crashes/{}", encoded(&self.build))),
            page("Details of a guilty", guilty.clone()),
            page("Backtraces of a guilty", format!("{guilty}/backtraces")),
            page("Record", format!("records/record_details/{}", self.id)),
            page("Records of a machine", format!("records?machine_id={machine}")),
            page("Records of a class", "records?classification=org.clearlinux/crash/*".to_owned()),
        ]);
        pages.push(Asked { name: ALL_CRASHES, kind: Kind::Page, path: ALL_CRASHES_PATH.to_owned() });
        pages
    }

    fn questions(&self) -> Vec<Asked> {
        let api = |name, kind, path: String| Asked { name, kind, path: format!("/api/{path}") };
        let filtered = |name, filter: String| api(name, Kind::Filtered, format!("records?{LIMIT}&{filter}"));
        let other = |name, path: &str| api(name, Kind::Other, path.to_owned());
        let (machine, build) = (encoded(&self.machine), encoded(&self.build));
        let function = encoded(&escaped(&self.guilty.function));
        vec![
            api("records", Kind::DefaultPage, "records".to_owned()),
            api("records, 50", Kind::Filtered, format!("records?{LIMIT}")),
            filtered("records of a class", "classification=org.clearlinux/crash/*".to_owned()),
            filtered("records of a machine", format!("machine_id={machine}")),
            filtered("records of a build", format!("build={build}")),
            filtered("records of a week", "created_in_days=7".to_owned()),
            filtered(
                "crashes of a build in a week",
                format!("classification=org.clearlinux/crash/*&build={build}&created_in_days=7"),
            ),
            api("one record", Kind::Filtered, format!("records/{}", self.id)),
            other("payload search, frequent", &format!("records?{LIMIT}&payload={function}")),
            other("payload search, in vain", &format!("records?{LIMIT}&{NOWHERE}")),
            other("causes", "crashes?created_in_days=7"),
            other("regressions", "regressions"),
            other("counts by build", "builds"),
            other("trend by day and class", "trends?interval=day&by=classification"),
        ]
    }
}

fn json(client: &mut Client, path: &str) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(&client.body(path)?)?)
}

/// A field as text, whether it is a number or a text.
fn text(object: &Value, name: &str) -> Result<String, Failure> {
    match &object[name] {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("no {name} in {object}").into()),
    }
}

/// As a regular expression that finds this text.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|letter| (!letter.is_alphanumeric() && letter != '_').then_some('\\').into_iter().chain([letter]))
        .collect()
}

/// As a part of an address.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_arrives_as_it_is() {
        assert_eq!(encoded(&escaped("a::b<c>(d) é_1")), "a%5C%3A%5C%3Ab%5C%3Cc%5C%3E%5C%28d%5C%29%5C%20%C3%A9_1");
    }

    #[test]
    fn numbers_and_texts_are_read_alike() {
        let object = serde_json::json!({"a": 7, "b": "x"});
        assert_eq!((text(&object, "a").ok(), text(&object, "b").ok()), (Some("7".to_owned()), Some("x".to_owned())));
        assert!(text(&object, "c").is_err());
    }
}
