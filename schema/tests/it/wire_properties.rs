//! What holds for all requests: no bytes make decoding panic, and a valid report survives both generations.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use telemetrics_schema::Report;
use telemetrics_schema::record::NOT_AVAILABLE;
use telemetrics_schema::wire::{
    ARCHITECTURES, DEFAULT_TELEMETRY_ID, HARDWARE_LIMIT_CHARS, HOST_TYPE_LIMIT_CHARS, MACHINE_ID_LIMIT_CHARS,
    Rejection, Request, Rules, SYSTEM_NAME_LIMIT_CHARS, decode, decode_json_object,
};

const NAMES: [&str; 19] = [
    "record_format_version",
    "classification",
    "severity",
    "machine_id",
    "creation_timestamp",
    "arch",
    "host_type",
    "build",
    "kernel_version",
    "payload_format_version",
    "system_name",
    "board_name",
    "cpu_model",
    "bios_version",
    "event_id",
    "payload",
    "X-CLR-External",
    "Content-Type",
    "X-Telemetry-TID",
];

/// Texts of up to `limit_chars` characters that a header keeps: without white space at their ends.
fn text(limit_chars: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=limit_chars)
        .prop_map(|chars| chars.into_iter().collect::<String>())
        .prop_map(|text| text.trim_matches(|c: char| c.is_ascii_whitespace()).to_owned())
}

fn hardware() -> impl Strategy<Value = String> {
    text(HARDWARE_LIMIT_CHARS).prop_map(|text| {
        let printable: String = text.chars().filter(|c| !c.is_ascii_control()).collect();
        match printable.trim() {
            "" => NOT_AVAILABLE.to_owned(),
            rest => rest.to_owned(),
        }
    })
}

fn system_name() -> impl Strategy<Value = String> {
    let any_name = text(SYSTEM_NAME_LIMIT_CHARS).prop_map(|name| name.replace(['"', '\''], "").trim().to_owned());
    prop_oneof![Just("clear-linux-os".to_owned()), any_name]
}

prop_compose! {
    fn identity()(
        classification in "[^/]{0,40}/[^/]{0,40}/[^/]{0,40}",
        machine_id in text(MACHINE_ID_LIMIT_CHARS),
        arch in select(&ARCHITECTURES),
        host_type in text(HOST_TYPE_LIMIT_CHARS),
        build in "[0-9]{1,256}",
        kernel_version in "[0-9]{1,3}\\.[0-9]{1,3}[-.a-z0-9]{0,190}",
        event_id in "[0-9a-f]{32}",
    ) -> Report {
        let (classification, arch) = (classification.trim().to_owned(), arch.to_owned());
        Report { classification, machine_id, arch, host_type, build, kernel_version, event_id, ..Report::default() }
    }
}

prop_compose! {
    fn report()(
        identity in identity(),
        record_format_version in 1_i8..=4,
        severity in 1_i8..=4,
        ts_capture_s in 0_i64..=10_413_791_999,
        payload_format_version in 0..=i32::MAX,
        system_name in system_name(),
        (board_name, cpu_model, bios_version) in (hardware(), hardware(), hardware()),
        external in any::<bool>(),
        payload in any::<String>(),
    ) -> Report {
        let report = Report {
            record_format_version, severity, ts_capture_s, payload_format_version, system_name, board_name, cpu_model,
            bios_version, external, payload, ..identity
        };
        as_its_format_has_it(report)
    }
}

fn as_its_format_has_it(mut report: Report) -> Report {
    let na = || NOT_AVAILABLE.to_owned();
    if report.record_format_version < 4 {
        report.event_id = na();
    }
    if report.record_format_version < 3 {
        (report.board_name, report.cpu_model, report.bios_version) = (na(), na(), na());
    }
    if report.record_format_version < 2 {
        (report.system_name, report.payload_format_version) = (na(), 1);
    }
    report
}

/// All fields under their wire names, in the order of [`NAMES`]; formats before the last carry them too.
fn sent(report: &Report) -> Vec<(&'static str, String)> {
    let values = [
        report.record_format_version.to_string(),
        report.classification.clone(),
        report.severity.to_string(),
        report.machine_id.clone(),
        report.ts_capture_s.to_string(),
        report.arch.clone(),
        report.host_type.clone(),
        report.build.clone(),
        report.kernel_version.clone(),
        report.payload_format_version.to_string(),
        report.system_name.clone(),
        report.board_name.clone(),
        report.cpu_model.clone(),
        report.bios_version.clone(),
        report.event_id.clone(),
    ];
    NAMES.into_iter().zip(values).collect()
}

/// Keeps requests with the right telemetry id in the majority, so that the rest of the decoder is reached.
fn request_headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![4 => select(&NAMES).prop_map(str::to_owned), 1 => any::<String>()];
    let value = prop_oneof![
        4 => select(&["1", "4", "a/b/c", "application/json", "12", "x86_64", "5.4", "true"]).prop_map(|v| v.as_bytes().to_vec()),
        2 => vec(any::<u8>(), 0..300),
    ];
    (vec((name, value), 0..30), prop::bool::weighted(0.9)).prop_map(|(mut headers, admitted)| {
        if admitted {
            headers.retain(|(name, _)| name != "X-Telemetry-TID");
            headers.push(("x-telemetry-tid".to_owned(), DEFAULT_TELEMETRY_ID.into()));
        }
        headers
    })
}

/// Bytes that are nearly JSON, and bytes that are not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let pieces =
        select(&["{", "}", "\"", "\\", "\\u", "d83e", ":", ",", "null", "[", "1e9", "\"severity\":\"1\"", "\u{e9}"]);
    let near_json =
        vec(prop_oneof![8 => pieces.prop_map(|p| p.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)], 0..60);
    prop_oneof![vec(any::<u8>(), 0..500), near_json.prop_map(|pieces| pieces.concat())]
}

/// Every refusal names a field, in one sentence.
fn assert_names_a_field(refused: &Rejection) {
    let errors = refused.errors();
    let first = errors.first().expect("at least one field");
    assert!(refused.to_string().starts_with(&first.field), "{refused}");
}

proptest! {
    #[test]
    fn no_request_makes_decoding_panic(headers in request_headers(), body in body(), strict_fields in any::<bool>()) {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let rules = Rules { strict_fields, ..Rules::default() };
        if let Err(refused) = decode(&Request { headers, body: &body }, &rules) {
            assert_names_a_field(&refused);
        }
    }

    #[test]
    fn no_object_makes_decoding_panic(body in body()) {
        if let Err(refused) = decode_json_object(&body, false, &Rules::default()) {
            assert_names_a_field(&refused);
        }
    }

    #[test]
    fn a_report_survives_the_header_generation(report in report(), hyphens in any::<bool>()) {
        let fields = sent(&report);
        let names: Vec<_> = fields.iter().map(|(name, _)| if hyphens { name.replace('_', "-") } else { (*name).to_owned() }).collect();
        let external = report.external.to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![("X-Telemetry-TID", DEFAULT_TELEMETRY_ID.as_bytes()), ("X-CLR-External", external.as_bytes())];
        headers.extend(names.iter().zip(&fields).map(|(name, (_, value))| (name.as_str(), value.as_bytes())));
        let decoded = decode(&Request { headers, body: report.payload.as_bytes() }, &Rules::default());
        prop_assert_eq!(decoded, Ok(report));
    }

    #[test]
    fn a_report_survives_the_json_generation(report in report()) {
        let mut object: serde_json::Map<_, _> = sent(&report).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        object.insert("payload".to_owned(), report.payload.clone().into());
        let body = serde_json::to_vec(&object).expect("JSON");
        prop_assert_eq!(decode_json_object(&body, report.external, &Rules::default()), Ok(report));
    }

    #[test]
    fn latin1_anywhere_in_a_json_body_is_a_character(value in vec(0x80_u8..=0xff, 1..30)) {
        prop_assume!(std::str::from_utf8(&value).is_err());
        let body = [
            &br#"{"record_format_version":"1","classification":"a//","severity":"1","creation_timestamp":"1","arch":"ppc","build":"1","kernel_version":"5.4","host_type":""#[..],
            &value,
            "\",\"machine_id\":\"é\",\"payload\":\"é\"}".as_bytes(),
        ].concat();
        let report = decode_json_object(&body, false, &Rules::default()).expect("accepted");
        prop_assert_eq!(report.host_type, value.iter().map(|&byte| char::from(byte)).collect::<String>());
        prop_assert_eq!((report.machine_id.as_str(), report.payload.as_str()), ("é", "é"));
    }
}
