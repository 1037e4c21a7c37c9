//! The server's own certificate: whether it can be used, until when, and whether it names anybody.

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use super::report::Finding;
use crate::config::Tls;
use crate::pages::text;
use crate::tls::{Certificate, Leaf};

const CHECK: &str = "certificate";
/// Days before its end from which on somebody should look: what renews by itself does so a month before.
const WARNING_DAYS: i64 = 21;
const US_PER_DAY: i64 = 24 * 3_600 * US_PER_S;
/// Longest list of hosts that is shown.
const HOSTS_CHARS: usize = 100;

/// Looks at what a server would show that begins now.
pub(super) fn check(files: &Tls, now: TimestampUs) -> Finding {
    match Certificate::open(files).and_then(|certificate| certificate.leaf()) {
        Ok(leaf) => judged(&leaf, now),
        Err(reason) => {
            Finding::problem(CHECK, reason, "put both files right; a server that runs keeps the pair that it has")
        }
    }
}

fn judged(leaf: &Leaf, now: TimestampUs) -> Finding {
    let Leaf { begin, end, hosts } = leaf;
    let renew = "renew it; a server that runs takes the new files within half a minute";
    if hosts.is_empty() {
        let advice = "get one with a subjectAltName: no client looks at anything else";
        return Finding::problem(CHECK, "it names no host", advice);
    }
    if now < *begin {
        let advice = "no client accepts it before: look at the clock, or get another one";
        return Finding::problem(CHECK, format!("it begins at {begin}"), advice);
    }
    if now > *end {
        return Finding::problem(CHECK, format!("it ended at {end}: no client accepts it any more"), renew);
    }
    let days = (end.0 - now.0) / US_PER_DAY;
    let hosts = text::line(&hosts.join(", "), HOSTS_CHARS);
    let seen = format!("for {hosts} until {end}, {days} days from now");
    if days < WARNING_DAYS { Finding::warning(CHECK, seen, renew) } else { Finding::ok(CHECK, seen) }
}

#[cfg(test)]
mod tests {
    use super::super::report::Report;
    use super::*;

    const BEGIN: TimestampUs = TimestampUs::from_s(1_795_342_080);
    const END: TimestampUs = TimestampUs(BEGIN.0 + 90 * US_PER_DAY);

    fn said(now: TimestampUs, hosts: &[&str]) -> String {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Report::of(vec![judged(&Leaf { begin: BEGIN, end: END, hosts }, now)]).text()
    }

    #[test]
    fn both_ends_of_its_time_are_part_of_it() {
        let state = |now: TimestampUs| said(now, &["a.example"]).split(' ').next().map(str::to_owned);
        let second = US_PER_S;
        assert_eq!(state(TimestampUs(BEGIN.0 - second)).as_deref(), Some("PROBLEM"));
        assert_eq!(state(BEGIN).as_deref(), Some("ok"));
        assert_eq!(state(TimestampUs(END.0 - WARNING_DAYS * US_PER_DAY)).as_deref(), Some("ok"));
        assert_eq!(state(TimestampUs(END.0 - WARNING_DAYS * US_PER_DAY + second)).as_deref(), Some("warning"));
        assert_eq!(state(END).as_deref(), Some("warning"));
        assert_eq!(state(TimestampUs(END.0 + second)).as_deref(), Some("PROBLEM"));
    }

    #[test]
    fn hosts_are_said_and_have_to_be_there() {
        assert!(said(BEGIN, &["a.example", "192.0.2.7"]).contains("for a.example, 192.0.2.7 until 2027-02-20"));
        assert!(said(BEGIN, &[]).contains("it names no host"));
        assert!(said(BEGIN, &["a.example"; 1_000]).len() < 300);
    }
}
