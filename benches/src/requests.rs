//! Requests of probes, rendered before the clock starts; to make one of them a new record, digits are changed in place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telemetrics_schema::wire::{self, DEFAULT_TELEMETRY_ID};

/// Bytes of every request, head and body together.
pub const REQUEST_BYTES: usize = 1_200;
/// Different texts that the requests have; each is used in turn.
pub(crate) const VARIANTS: u64 = 256;
/// Machines of the fleet that seems to report.
const MACHINES: u64 = 20_000;

/// Where the salt stands in the number of a request: above what any run reaches.
const SALT_SHIFT: u32 = 40;
const EVENT_MARK: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";
const MACHINE_MARK: &str = "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%";
const PID_MARK: &str = "<pid>";
/// Stands for the digits of an identifier that the store would have got from the server.
pub(crate) const ID_MARK: &str = "<identifier...>";

const FUNCTIONS: [&str; 12] = [
    "deref()",
    "parse_item()",
    "run_plugin()",
    "g_main_context_dispatch()",
    "std::vector<int>::_M_realloc_insert()",
    "core::option::unwrap_failed()",
    "handle_event()",
    "__libc_start_call_main()",
    "on_timeout()",
    "cache_lookup()",
    "main()",
    "_start()",
];
const FILES: [&str; 6] = [
    "crash/crasher.c",
    "../sysdeps/nptl/libc_start_call_main.h",
    "src/plugin.cpp",
    "lib/cache.c",
    "glib/gmain.c",
    "src/main.rs",
];
const OBJECTS: [&str; 4] = ["/opt/example/bin/crasher", "libc.so.6", "libglib-2.0.so.0", "/usr/lib64/libexample.so.3"];
const BUILDS: [&str; 4] = ["33010", "33020", "33100", "33110"];

/// In which of its two forms a record is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Generation {
    /// The fields are headers, the body is the payload.
    V2,
    /// The body is one JSON object.
    V3,
}

/// Requests that never repeat; clones go on with the same numbers.
#[derive(Debug, Clone)]
pub struct Requests {
    variants: Arc<Vec<Template>>,
    numbers: Arc<AtomicU64>,
}

/// A text in which some places are digits that make it another record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    marks: Vec<(usize, Mark)>,
}

/// What a place holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Event,
    Machine,
    Pid,
    Id,
}

impl Requests {
    /// Requests of `generation`; two with different `salt` have no record in common.
    #[must_use]
    pub fn new(generation: Generation, salt: u64) -> Self {
        let variants = (0..VARIANTS).map(|variant| template(generation, variant)).collect();
        Self { variants: Arc::new(variants), numbers: Arc::new(AtomicU64::new(salt << SALT_SHIFT)) }
    }

    /// How many requests were made, of all clones together.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed) & ((1 << SALT_SHIFT) - 1)
    }

    /// Replaces what is in `request` by the next one.
    pub fn next(&self, request: &mut [u8; REQUEST_BYTES]) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let template = Template::of(&self.variants, number);
        request.copy_from_slice(&template.bytes);
        template.fill(number, request);
    }
}

impl Template {
    /// Finds the marks in `text`.
    pub(crate) fn new(text: String) -> Self {
        let of = |mark: Mark| text.match_indices(mark.text()).map(move |(at, _)| (at, mark));
        let marks = [Mark::Event, Mark::Machine, Mark::Pid, Mark::Id].into_iter().flat_map(of).collect();
        Self { marks, bytes: text.into_bytes() }
    }

    /// The one of `templates` whose turn it is.
    pub(crate) fn of(templates: &[Self], number: u64) -> &Self {
        &templates[usize::try_from(number % templates.len() as u64).unwrap_or(0)]
    }

    /// Appends the text of record `number` to `out`.
    pub(crate) fn append(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        self.fill(number, &mut out[begin..]);
    }

    /// Makes `text`, a copy of the template, that of record `number`.
    fn fill(&self, number: u64, text: &mut [u8]) {
        for (at, mark) in &self.marks {
            mark.write(number, &mut text[*at..][..mark.text().len()]);
        }
    }
}

impl Mark {
    /// Stands where the digits come, is as long as these, and looks like nothing else in a record.
    const fn text(self) -> &'static str {
        match self {
            Self::Event => EVENT_MARK,
            Self::Machine => MACHINE_MARK,
            Self::Pid => PID_MARK,
            Self::Id => ID_MARK,
        }
    }

    fn write(self, number: u64, digits: &mut [u8]) {
        match self {
            // Mixing is one to one: two numbers never make the same event.
            Self::Event => write_hex(digits, [mix(number), number]),
            Self::Machine => {
                let machine = mix(mix(number) % MACHINES);
                write_hex(digits, [machine, mix(machine)]);
            }
            Self::Pid => write_decimal(digits, mix(number)),
            Self::Id => write_decimal(digits, number),
        }
    }
}

/// Salt and number of the request whose record has this `event_id`; `None` for any other record.
#[must_use]
pub fn number_of(event_id: &str) -> Option<(u64, u64)> {
    let number = u64::from_str_radix(event_id.get(16..32)?, 16).ok()?;
    let mixed = u64::from_str_radix(event_id.get(..16)?, 16).ok()?;
    (mixed == mix(number)).then_some((number >> SALT_SHIFT, number & ((1 << SALT_SHIFT) - 1)))
}

/// Head and body of a request as a server sees them; `None` when it is none.
#[must_use]
pub fn parts(request: &[u8]) -> Option<wire::Request<'_>> {
    let (head, body) = std::str::from_utf8(request).ok()?.split_once("\r\n\r\n")?;
    let headers = head.lines().skip(1).map(|line| line.split_once(": "));
    let headers = headers.map(|header| header.map(|(name, value)| (name, value.as_bytes()))).collect::<Option<_>>()?;
    Some(wire::Request { headers, body: body.as_bytes() })
}

/// A payload that makes the text of `bytes_of` as long as requests are.
pub(crate) fn payload(variant: u64, bytes_of: impl Fn(&str) -> usize) -> String {
    let mut random = Random(variant);
    let mut payload = payload_head(&mut random);
    while bytes_of(&payload) < REQUEST_BYTES {
        payload.push_str(&frame(&mut random));
    }
    while bytes_of(&payload) > REQUEST_BYTES {
        payload.pop();
    }
    // A line end takes two bytes in JSON: the last one may have left a byte too little.
    while bytes_of(&payload) < REQUEST_BYTES {
        payload.push('.');
    }
    payload
}

fn template(generation: Generation, variant: u64) -> Template {
    let payload = payload(variant, |payload| request(generation, payload, variant).len());
    Template::new(request(generation, &payload, variant))
}

fn request(generation: Generation, payload: &str, variant: u64) -> String {
    match generation {
        Generation::V2 => header_request(payload, variant),
        Generation::V3 => json_request(payload, variant),
    }
}

/// The fields in the order of the probes, with the marks in place of what changes.
pub(crate) fn fields(variant: u64) -> [(&'static str, &'static str); 15] {
    let mut random = Random(!variant);
    [
        ("record_format_version", "4"),
        ("classification", "org.clearlinux/crash/clr"),
        ("severity", "3"),
        ("machine_id", MACHINE_MARK),
        ("creation_timestamp", "1795342096"),
        ("arch", "x86_64"),
        ("host_type", "no_sv_file|no_pn_file|no_pvr_file"),
        ("build", random.one_of(&BUILDS)),
        ("kernel_version", "6.18.44-native1"),
        ("payload_format_version", "1"),
        ("system_name", "clear-linux-os"),
        ("board_name", "no_bn_file|no_bv_file"),
        ("cpu_model", "AMD"),
        ("bios_version", "no_bv_file"),
        ("event_id", EVENT_MARK),
    ]
}

fn header_request(payload: &str, variant: u64) -> String {
    let fields = fields(variant).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    format!(
        "POST /v2/collector HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n{fields}\
         X-Telemetry-TID: {DEFAULT_TELEMETRY_ID}\r\nContent-Type: application/text\r\nContent-Length: {}\r\n\r\n{payload}",
        payload.len()
    )
}

fn json_request(payload: &str, variant: u64) -> String {
    let body = json_object(&fields(variant), payload);
    format!(
        "POST /v3/collector HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\n\
         X-Telemetry-TID: {DEFAULT_TELEMETRY_ID}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One JSON object with all `fields` as texts, and the payload.
pub(crate) fn json_object(fields: &[(&str, &str)], payload: &str) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    format!("{{{},\"payload\":{}}}", fields.join(","), serde_json::Value::from(payload))
}

fn payload_head(random: &mut Random) -> String {
    let object = random.one_of(&OBJECTS);
    format!("Process: {object}\nPID: {PID_MARK}\nSignal: 11\n\nBacktrace (TID {PID_MARK}):\n")
}

fn frame(random: &mut Random) -> String {
    let (function, object, file) = (random.one_of(&FUNCTIONS), random.one_of(&OBJECTS), random.one_of(&FILES));
    format!("#{} {function} - [{object}] - {file}:{}\n", random.below(10), random.below(2_000))
}

fn write_hex(digits: &mut [u8], numbers: [u64; 2]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (half, mut number) in digits.chunks_exact_mut(16).zip(numbers) {
        for digit in half.iter_mut().rev() {
            *digit = DIGITS[(number & 15) as usize];
            number >>= 4;
        }
    }
}

fn write_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Spreads a number over all 64 bits, one to one.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[usize::try_from(index).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use telemetrics_schema::Report;
    use telemetrics_schema::wire::Rules;

    use super::*;

    fn decode(request: &[u8]) -> Report {
        let parts = parts(request).expect("a request");
        let length = parts.headers.iter().find(|(name, _)| *name == "Content-Length").expect("a length").1;
        assert_eq!(length, parts.body.len().to_string().as_bytes());
        wire::decode(&parts, &Rules::default()).expect("a valid record")
    }

    fn some(generation: Generation, count: usize) -> Vec<Report> {
        let requests = Requests::new(generation, 1);
        let mut request = [0; REQUEST_BYTES];
        let next = |_| {
            requests.next(&mut request);
            decode(&request)
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn every_request_is_a_valid_record_and_no_two_are_the_same() {
        for generation in [Generation::V2, Generation::V3] {
            let reports = some(generation, 2_000);
            let different = |of: fn(&Report) -> &String| reports.iter().map(of).collect::<HashSet<_>>().len();
            assert_eq!(different(|report| &report.event_id), reports.len());
            assert!(different(|report| &report.machine_id) > 1_500);
            assert!(different(|report| &report.payload) > 1_500);
            assert!(reports.iter().all(|report| report.record_format_version == 4));
            assert!(reports.iter().all(|report| !report.payload.contains(PID_MARK)));
        }
    }

    #[test]
    fn a_record_tells_which_request_it_came_from() {
        let requests = Requests::new(Generation::V3, 7);
        let mut request = [0; REQUEST_BYTES];
        for number in 0..300 {
            assert_eq!(requests.issued(), number);
            requests.next(&mut request);
            assert_eq!(number_of(&decode(&request).event_id), Some((7, number)));
        }
        for other in ["", "N/A", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }

    #[test]
    fn other_salts_make_other_records() {
        let first = |salt| {
            let mut request = [0; REQUEST_BYTES];
            Requests::new(Generation::V3, salt).next(&mut request);
            decode(&request).event_id
        };
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }

    #[test]
    fn digits_are_written_from_the_right() {
        let mut text = *b"................................";
        write_hex(&mut text, [0x0123_4567_89ab_cdef, 1]);
        assert_eq!(&text, b"0123456789abcdef0000000000000001");
        let mut text = *b".....";
        write_decimal(&mut text, 9_012_345);
        assert_eq!(&text, b"12345");
    }
}
