//! Requests as probes send them, field by field, so that a test can change one thing and leave the rest valid.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Map, Value};

/// The telemetry id that clients are shipped with.
pub const TELEMETRY_ID: &str = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";

/// Posts that were made in this process.
static POSTS: AtomicU64 = AtomicU64::new(1);

/// The fields of a valid record of format 4 but its `event_id`.
const VALID: [(&str, &str); 14] = [
    ("record_format_version", "4"),
    ("classification", "org.example/hello/world"),
    ("severity", "1"),
    ("machine_id", "5f2cd4f5e1f34f1f8d0f5a8a5f1b2c3d"),
    ("creation_timestamp", "1795342080"),
    ("arch", "x86_64"),
    ("host_type", "vendor|product|version"),
    ("build", "33010"),
    ("kernel_version", "6.18.44-native1"),
    ("payload_format_version", "1"),
    ("system_name", "clear-linux-os"),
    ("board_name", "board|vendor"),
    ("cpu_model", "A processor"),
    ("bios_version", "1.0"),
];

/// One record as a request; it begins valid, with an `event_id` that no other one has: to send a record again, clone it.
#[derive(Debug, Clone)]
pub struct Post {
    /// Path and perhaps query.
    pub path: String,
    /// The record's fields in their order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// All other headers but the length.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What the probe wrote.
    pub payload: Vec<u8>,
}

impl Default for Post {
    fn default() -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        let event_id = format!("{:032x}", POSTS.fetch_add(1, Relaxed));
        Self {
            path: "/".to_owned(),
            fields: VALID.into_iter().chain([("event_id", event_id.as_str())]).map(owned).collect(),
            headers: vec![owned(("Host", "127.0.0.1")), owned(("X-Telemetry-TID", TELEMETRY_ID))],
            payload: b"hello\n".to_vec(),
        }
    }
}

impl Post {
    /// With the field `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
        self
    }

    /// Without the field `name`.
    ///
    /// # Panics
    /// When there is no such field: the test would test nothing.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let before = self.fields.len();
        self.fields.retain(|(field, _)| field != name);
        assert!(self.fields.len() < before, "there is no field {name}");
        self
    }

    /// With one header more, or another value of one that is there.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(header, _)| !header.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With another payload.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// To another path.
    #[must_use]
    pub fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The request of the header generation, with a length.
    #[must_use]
    pub fn in_headers(&self) -> Vec<u8> {
        let mut request = self.header_head();
        request.extend(format!("Content-Length: {}\r\n\r\n", self.payload.len()).as_bytes());
        request.extend(&self.payload);
        request
    }

    /// The request of the header generation in chunks, without a length.
    #[must_use]
    pub fn in_chunks(&self, chunk_bytes: usize) -> Vec<u8> {
        let mut request = self.header_head();
        request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in self.payload.chunks(chunk_bytes) {
            request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        request
    }

    /// The beginning of the header generation's request, up to and without a header that says how long its body is.
    #[must_use]
    pub fn header_head(&self) -> Vec<u8> {
        self.head(self.fields.iter().chain(&self.headers))
    }

    /// The request of the JSON generation, with every value a text.
    ///
    /// # Panics
    /// When a value is not UTF-8, which no JSON writer writes: see [`Post::json_request`].
    #[must_use]
    pub fn in_json(&self) -> Vec<u8> {
        self.json_request(self.object().as_bytes())
    }

    /// The body of that request: an object of a batch.
    ///
    /// # Panics
    /// As [`Post::in_json`].
    #[must_use]
    pub fn object(&self) -> String {
        let texts = self.fields.iter().map(|(name, value)| (name.clone(), text(value)));
        let object: Map<String, Value> = texts.chain([("payload".to_owned(), text(&self.payload))]).collect();
        serde_json::to_string(&object).expect("JSON")
    }

    /// A request of the JSON generation with any body.
    #[must_use]
    pub fn json_request(&self, body: &[u8]) -> Vec<u8> {
        let mut request = self.head(self.headers.iter());
        let rest = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        request.extend(rest.as_bytes());
        request.extend(body);
        request
    }

    fn head<'a>(&self, headers: impl Iterator<Item = &'a (String, Vec<u8>)>) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\n", self.path).into_bytes();
        for (name, value) in headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(std::str::from_utf8(bytes).expect("a JSON text of UTF-8").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_changed() {
        let post = Post { fields: Vec::new(), headers: Vec::new(), ..Post::default() };
        let post =
            post.with("build", "1").with("build", "2").header("A", "b").header("a", b"\xff").payload("xyz").to("/p");
        assert_eq!(post.in_headers(), b"POST /p HTTP/1.1\r\nbuild: 2\r\na: \xff\r\nContent-Length: 3\r\n\r\nxyz");
        assert!(post.in_chunks(2).ends_with(b"chunked\r\n\r\n2\r\nxy\r\n1\r\nz\r\n0\r\n\r\n"));
        let post = Post { headers: Vec::new(), ..post };
        let json = b"Content-Type: application/json\r\nContent-Length: 29\r\n\r\n{\"build\":\"2\",\"payload\":\"xyz\"}";
        assert!(post.in_json().ends_with(json), "{}", String::from_utf8_lossy(&post.in_json()));
        assert!(post.without("build").fields.is_empty());
    }

    #[test]
    fn no_two_posts_are_equal_unless_one_is_a_clone() {
        let post = Post::default();
        assert_ne!(post.in_headers(), Post::default().in_headers());
        assert_eq!(post.in_json(), post.clone().in_json());
    }

    #[test]
    #[should_panic(expected = "there is no field buidl")]
    fn a_field_that_is_not_there_cannot_be_left_out() {
        let _ = Post::default().without("buidl");
    }
}
