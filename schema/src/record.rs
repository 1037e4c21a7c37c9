//! A record as the program handles it: what a probe reported, plus what the collector added on reception.

use crate::id::RecordId;
use crate::time::TimestampUs;

/// What a value is when the record format does not carry the field, or the machine has no such text.
pub const NOT_AVAILABLE: &str = "N/A";

/// What one probe said in one request, decoded and valid by the rules of the wire contract.
///
/// Every field has been checked by [`crate::wire`]; code that holds a `Report` need not check again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// Generation of the record format, 1 to 4.
    pub record_format_version: i8,
    /// `vendor/class/detail`, at most 140 characters; each part may be empty.
    pub classification: String,
    /// 1 low, 2 medium, 3 high, 4 critical.
    pub severity: i8,
    /// 0 to 32 characters; clients change it every three days.
    pub machine_id: String,
    /// When the machine says that the event happened, Unix seconds; machines' clocks are wrong.
    pub ts_capture_s: i64,
    /// Processor architecture, one of [`crate::wire::ARCHITECTURES`].
    pub arch: String,
    /// `vendor|product|version` of the hardware, under 250 characters.
    pub host_type: String,
    /// Version of the operating system; comparable only within one `system_name`.
    pub build: String,
    /// Version of the running kernel.
    pub kernel_version: String,
    /// Version of the payload's own grammar; 1 where the record format has no such field.
    pub payload_format_version: i32,
    /// Name of the operating system, `N/A` in record format 1.
    pub system_name: String,
    /// Mainboard, `N/A` below record format 3 or when the machine has none.
    pub board_name: String,
    /// Processor model, `N/A` below record format 3 or when the machine has none.
    pub cpu_model: String,
    /// Firmware version, `N/A` below record format 3 or when the machine has none.
    pub bios_version: String,
    /// 32 hexadecimal digits that several records may share, `N/A` below record format 4.
    pub event_id: String,
    /// Whether the request carried `X-CLR-External: true`.
    pub external: bool,
    /// What the probe wrote, as text; may be empty and may hold NUL characters.
    pub payload: String,
}

/// A report that a collector accepted: it has an identifier and a time of reception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Unique, below 2^53, grows with reception on one collector.
    pub id: RecordId,
    /// When the collector accepted it.
    pub ts_reception: TimestampUs,
    /// What the probe said.
    pub report: Report,
}

impl Record {
    /// Size of the record's text in bytes: what queues and batches count against their limits.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let r = &self.report;
        [
            &r.classification,
            &r.machine_id,
            &r.arch,
            &r.host_type,
            &r.build,
            &r.kernel_version,
            &r.system_name,
            &r.board_name,
            &r.cpu_model,
            &r.bios_version,
            &r.event_id,
            &r.payload,
        ]
        .iter()
        .map(|text| text.len())
        .sum()
    }
}
