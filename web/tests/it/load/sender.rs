//! One sender: makes records, posts them in its style until each is acknowledged, and notes what was answered.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value};
use telemetrics_testkit::http::{Answer, Connection};
use telemetrics_testkit::{Chance, Post};

use super::ledger::{Answered, Sent};
use super::{Faults, Shared, pause};
use crate::servers::json;

/// Of so many records one is below format 4.
const OLD_FORMAT_ODDS: u64 = 8;
/// Of so many payloads one is large, so that segments of the journal fill up.
const LARGE_ODDS: u64 = 10;
const LARGE_BYTES: u64 = 60_000;
const USUAL_BYTES: u64 = 1_500;
const BATCH_LINES_MAX: u64 = 40;
/// Of so many requests the answer to one gets lost: its sender hangs up, and posts it again at once or later.
const HANG_UP_ODDS: u64 = 20;
/// Of so many requests that get no answer one is posted again at once.
const AT_ONCE_ODDS: u64 = 2;
/// Of so many turns one is for what waits to be posted again.
const LATER_ODDS: u64 = 30;
/// Of so many requests that failed one is the last of its sender.
const GIVE_UP_ODDS: u64 = 12;
/// Longest pause between two requests.
const PAUSE_MS: u64 = 8;

/// How a sender posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A connection for each record, the fields in headers: most probes.
    Headers,
    /// A connection for each record, all of it JSON: new probes.
    Json,
    /// One record after the other on one connection.
    KeptAlive,
    /// Many records in one request.
    Batches,
}

impl Style {
    pub(super) const ALL: [Self; 4] = [Self::Headers, Self::Json, Self::KeptAlive, Self::Batches];
}

/// A record on its way.
struct Parcel {
    sent: Sent,
    /// The whole request, or the line of a batch.
    bytes: Vec<u8>,
}

/// What came of one request.
enum Reply {
    Answer(Answer),
    /// It may have arrived.
    Lost,
    /// It was never sent.
    Unsent,
}

/// See the module.
pub(super) struct Sender {
    shared: Arc<Shared>,
    style: Style,
    chance: Chance,
    connection: Option<(SocketAddr, Connection)>,
    /// The id in the last answer.
    last_id: u64,
    /// Got no answer, and are posted again later: perhaps to another process, which has delivered them long ago.
    later: Vec<Vec<Parcel>>,
    done: Vec<Sent>,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, style: Style, chance: Chance) -> Self {
        Self { shared, style, chance, connection: None, last_id: 0, later: Vec::new(), done: Vec::new() }
    }

    /// Sends until the load is to finish, then what is left, and gives everything that was sent.
    pub(super) fn run(mut self) -> Vec<Sent> {
        while !self.shared.is_finishing() {
            let parcels = self.next();
            self.deliver(parcels);
            pause(&mut self.chance, 0, PAUSE_MS);
        }
        while let Some(parcels) = self.later.pop() {
            self.deliver(parcels);
        }
        self.done
    }

    fn next(&mut self) -> Vec<Parcel> {
        if self.chance.one_in(LATER_ODDS)
            && let Some(parcels) = self.later.pop()
        {
            return parcels;
        }
        let count = if self.style == Style::Batches { self.chance.between(1, BATCH_LINES_MAX) } else { 1 };
        (0..count).map(|_| self.parcel()).collect()
    }

    fn parcel(&mut self) -> Parcel {
        let number = self.shared.number();
        let (machine_id, payload) = (format!("record-{number}"), self.payload(number));
        let payload_crc = crc32fast::hash(payload.as_bytes());
        // Records of different machines may share one.
        let event_id = format!("{:032x}", number / 2);
        let post = Post::default().with("machine_id", &machine_id).payload(&payload);
        let post = post.header("X-Telemetry-TID", &self.shared.telemetry_id);
        let (post, event_id) = if self.chance.one_in(OLD_FORMAT_ODDS) {
            (post.with("record_format_version", "3").without("event_id"), None)
        } else {
            (post.with("event_id", &event_id), Some(event_id))
        };
        let bytes = match self.style {
            Style::Headers | Style::KeptAlive => post.in_headers(),
            Style::Json => post.to("/v3/collector").in_json(),
            Style::Batches => line(&post),
        };
        Parcel { sent: Sent { machine_id, event_id, payload_crc, unanswered: 0, answer: Answered::Not }, bytes }
    }

    fn payload(&mut self, number: u64) -> String {
        let large = self.chance.one_in(LARGE_ODDS);
        let length = self.chance.between(0, if large { LARGE_BYTES } else { USUAL_BYTES });
        let words = format!("{number} ");
        let filler = words.repeat(usize::try_from(length).expect("a small number") / words.len());
        format!("record {number}\n{filler}\n")
    }

    /// Posts until everything is acknowledged, given up, or left for later.
    fn deliver(&mut self, mut parcels: Vec<Parcel>) {
        loop {
            let address = self.shared.address();
            let reply = self.request(address, &parcels);
            self.note(&reply, &mut parcels);
            if parcels.is_empty() {
                return;
            }
            if self.shared.faults == Faults::Expected && self.chance.one_in(GIVE_UP_ODDS) {
                self.done.extend(parcels.into_iter().map(|parcel| parcel.sent));
                return;
            }
            if !self.chance.one_in(AT_ONCE_ODDS) {
                self.later.push(parcels);
                return;
            }
            pause(&mut self.chance, 0, PAUSE_MS);
        }
    }

    fn request(&mut self, address: SocketAddr, parcels: &[Parcel]) -> Reply {
        let request = match self.style {
            Style::Batches => self.batch(parcels),
            _ => parcels[0].bytes.clone(),
        };
        if self.chance.one_in(HANG_UP_ODDS) {
            return hang_up(address, &request);
        }
        let answer = match self.style {
            Style::Headers | Style::Json => match Connection::open(address) {
                Ok(mut connection) => post_on(&mut connection, &request),
                Err(_) => return self.unsent(),
            },
            Style::KeptAlive | Style::Batches => match self.kept(address) {
                Some(mut connection) => {
                    let answer = post_on(&mut connection, &request);
                    self.connection = answer.is_ok().then_some((address, connection));
                    answer
                }
                None => return self.unsent(),
            },
        };
        match answer {
            Ok(answer) => Reply::Answer(answer),
            Err(error) => {
                assert_eq!(self.shared.faults, Faults::Expected, "no answer: {error}");
                Reply::Lost
            }
        }
    }

    fn unsent(&self) -> Reply {
        assert_eq!(self.shared.faults, Faults::Expected, "nobody listens");
        Reply::Unsent
    }

    /// The connection that is open to that address, or a new one.
    fn kept(&mut self, address: SocketAddr) -> Option<Connection> {
        match self.connection.take() {
            Some((to, connection)) if to == address => Some(connection),
            _ => Connection::open(address).ok(),
        }
    }

    fn batch(&self, parcels: &[Parcel]) -> Vec<u8> {
        let body: Vec<u8> = parcels.iter().flat_map(|parcel| parcel.bytes.iter().chain(b"\n")).copied().collect();
        let head = format!(
            "POST /v3/collector HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Telemetry-TID: {}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            self.shared.telemetry_id,
            body.len()
        );
        [head.into_bytes(), body].concat()
    }

    /// Moves what is acknowledged out of `parcels`.
    fn note(&mut self, reply: &Reply, parcels: &mut Vec<Parcel>) {
        let acknowledged = match reply {
            Reply::Unsent => return,
            Reply::Lost => 0,
            Reply::Answer(answer) => self.acknowledged(answer, parcels),
        };
        let rest = parcels.split_off(acknowledged);
        self.shared.acknowledged.fetch_add(acknowledged as u64, Relaxed);
        self.done.extend(mem::replace(parcels, rest).into_iter().map(|parcel| parcel.sent));
        for parcel in parcels {
            parcel.sent.unanswered += 1;
        }
    }

    /// How many, from the first on, are acknowledged by that answer, which they keep.
    fn acknowledged(&mut self, answer: &Answer, parcels: &mut [Parcel]) -> usize {
        if answer.status == 503 {
            assert_eq!(self.shared.faults, Faults::Expected, "{}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{}", answer.text());
            self.shared.unavailable.fetch_add(1, Relaxed);
        }
        let body = json(answer);
        match (self.style, answer.status) {
            (Style::Batches, 200 | 503) if body["accepted"].is_u64() => counted(&body, answer.status, parcels),
            (_, 503) => 0,
            (Style::Headers | Style::Json | Style::KeptAlive, 201) => {
                let id = body["id"].as_u64().expect("an id");
                // One that was posted before may have its id since then.
                let grows = id > self.last_id || parcels[0].sent.unanswered > 0;
                assert!(grows, "ids grow with reception: {}, then {id}", self.last_id);
                self.last_id = self.last_id.max(id);
                parcels[0].sent.answer = Answered::Named(id);
                1
            }
            (style, status) => panic!("{style:?}: {status} {body}"),
        }
    }
}

/// The acknowledged lines of a batch.
fn counted(body: &Value, status: u16, parcels: &mut [Parcel]) -> usize {
    let accepted = usize::try_from(body["accepted"].as_u64().expect("a number")).expect("a small number");
    assert_eq!(body["rejected"], 0, "{body}");
    if status == 200 {
        assert_eq!(accepted, parcels.len(), "{body}");
    } else {
        assert_eq!(body["next_line"], accepted + 1, "{body}");
    }
    for parcel in &mut parcels[..accepted] {
        parcel.sent.answer = Answered::Counted;
    }
    accepted
}

fn post_on(connection: &mut Connection, request: &[u8]) -> io::Result<Answer> {
    let sent = connection.send(request);
    connection.receive().map_err(|error| sent.err().unwrap_or(error))
}

fn hang_up(address: SocketAddr, request: &[u8]) -> Reply {
    match Connection::open(address) {
        Ok(mut connection) => {
            // Whether it was sent whole is not known to its sender.
            let _ = connection.send(request);
            Reply::Lost
        }
        Err(_) => Reply::Unsent,
    }
}

/// The record as a JSON object on one line.
fn line(post: &Post) -> Vec<u8> {
    let text = |bytes: &[u8]| Value::String(String::from_utf8(bytes.to_vec()).expect("a text"));
    let fields = post.fields.iter().map(|(name, value)| (name.clone(), text(value)));
    let object: Map<String, Value> = fields.chain([("payload".to_owned(), text(&post.payload))]).collect();
    serde_json::to_vec(&object).expect("JSON")
}
