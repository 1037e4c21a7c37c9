//! Requests of probes, rendered before the clock starts; to make one of them a new record, digits are changed in place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use telemetrics_schema::wire::DEFAULT_TELEMETRY_ID;

/// Bytes of every request, head and body together.
pub const REQUEST_BYTES: usize = 1_200;
/// Different texts that the requests have; each is used in turn.
const VARIANTS: u64 = 256;
/// Machines of the fleet that seems to report.
const MACHINES: u64 = 20_000;

/// Marks stand where digits come, are as long as these, and look like nothing else in a request.
const EVENT_MARK: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";
const MACHINE_MARK: &str = "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%";
const PID_MARK: &str = "<pid>";

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

/// One request and where its digits are.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    bytes: Vec<u8>,
    event_id: usize,
    machine_id: usize,
    pids: Vec<usize>,
}

impl Requests {
    /// Requests of `generation`; two with different `salt` have no record in common.
    #[must_use]
    pub fn new(generation: Generation, salt: u64) -> Self {
        let variants = (0..VARIANTS).map(|variant| Template::new(generation, variant)).collect();
        Self { variants: Arc::new(variants), numbers: Arc::new(AtomicU64::new(salt << 40)) }
    }

    /// Replaces what is in `request` by the next one.
    pub fn next(&self, request: &mut [u8; REQUEST_BYTES]) {
        let number = self.numbers.fetch_add(1, Relaxed);
        let variants = self.variants.len() as u64;
        let variant = usize::try_from(number % variants).unwrap_or(0);
        self.variants[variant].render(number, request);
    }
}

impl Template {
    fn new(generation: Generation, variant: u64) -> Self {
        let mut random = Random(variant);
        let mut payload = payload_head(&mut random);
        let bytes = |payload: &str| request(generation, payload, variant).len();
        while bytes(&payload) < REQUEST_BYTES {
            payload.push_str(&frame(&mut random));
        }
        while bytes(&payload) > REQUEST_BYTES {
            payload.pop();
        }
        // A line end takes two bytes in JSON: the last one may have left a byte too little.
        while bytes(&payload) < REQUEST_BYTES {
            payload.push('.');
        }
        Self::find(request(generation, &payload, variant))
    }

    fn find(text: String) -> Self {
        let at = |mark: &str| text.find(mark).unwrap_or(0);
        let (event_id, machine_id) = (at(EVENT_MARK), at(MACHINE_MARK));
        let pids = text.match_indices(PID_MARK).map(|(at, _)| at).collect();
        Self { event_id, machine_id, pids, bytes: text.into_bytes() }
    }

    fn render(&self, number: u64, request: &mut [u8; REQUEST_BYTES]) {
        request.copy_from_slice(&self.bytes);
        // Mixing is one to one: two numbers never make the same event.
        write_hex(&mut request[self.event_id..][..EVENT_MARK.len()], [mix(number), number]);
        let machine = mix(mix(number) % MACHINES);
        write_hex(&mut request[self.machine_id..][..MACHINE_MARK.len()], [machine, mix(machine)]);
        for at in &self.pids {
            write_decimal(&mut request[*at..][..PID_MARK.len()], mix(number));
        }
    }
}

fn request(generation: Generation, payload: &str, variant: u64) -> String {
    match generation {
        Generation::V2 => header_request(payload, variant),
        Generation::V3 => json_request(payload, variant),
    }
}

/// The fields in the order of the probes, with the marks in place of what changes.
fn fields(variant: u64) -> [(&'static str, &'static str); 15] {
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
    let fields: String = fields(variant).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
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
fn json_object(fields: &[(&str, &str)], payload: &str) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("\"{name}\":\"{value}\",")).collect();
    format!("{{{fields}\"payload\":{}}}", serde_json::Value::from(payload))
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
    use telemetrics_schema::wire::{self, Rules};

    use super::*;

    fn decode(request: &[u8]) -> Report {
        let text = std::str::from_utf8(request).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let headers: Vec<_> = head.lines().skip(1).map(|line| line.split_once(": ").expect("a header")).collect();
        let length = headers.iter().find(|(name, _)| *name == "Content-Length").expect("a length").1;
        assert_eq!(length, body.len().to_string());
        let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes())).collect();
        wire::decode(&wire::Request { headers, body: body.as_bytes() }, &Rules::default()).expect("a valid record")
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
            assert!(reports.iter().all(|report| !report.payload.contains('<') || report.payload.contains("<int>")));
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
