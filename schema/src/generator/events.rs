//! What happens to machines besides heartbeats, updates and crashes with a backtrace, and how often.

/// Which machines something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strikes {
    /// Every machine alike.
    Any,
    /// Machines that crash more often than others.
    Unstable,
    /// Machines whose memory or processor is bad.
    BadHardware,
    /// Machines that run hot.
    Hot,
    /// Machines with an updater that reports.
    Updating,
}

/// What a payload is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Journal,
    Hello,
    ThirdPartyCrash,
    BuildCrash,
    KernelWarning,
    KernelBug,
    KernelStackOverflow,
    KernelPanic,
    BootErrors,
    MachineCheck,
    Thermal,
    UpdateFailure,
    UpdateCheck,
}

/// One kind of event.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) classification: &'static str,
    pub(super) severity: i8,
    /// Of 1,000 events in [`KINDS`], how many are of this kind.
    pub(super) share: u32,
    pub(super) strikes: Strikes,
    pub(super) topic: Topic,
}

const fn kind(classification: &'static str, severity: i8, share: u32, strikes: Strikes, topic: Topic) -> Kind {
    Kind { classification, severity, share, strikes, topic }
}

/// All kinds; the shares add up to 1,000.
pub(super) const KINDS: &[Kind] = &[
    kind("org.clearlinux/journal/error", 2, 250, Strikes::Any, Topic::Journal),
    kind("org.clearlinux/hello/world", 1, 140, Strikes::Any, Topic::Hello),
    kind("org.clearlinux/crash/unknown", 2, 60, Strikes::Unstable, Topic::ThirdPartyCrash),
    kind("org.clearlinux/crash/clr-build", 2, 40, Strikes::Updating, Topic::BuildCrash),
    kind("org.clearlinux/kernel/warning", 2, 140, Strikes::Unstable, Topic::KernelWarning),
    kind("org.clearlinux/kernel/bug", 4, 50, Strikes::Unstable, Topic::KernelBug),
    kind("org.clearlinux/kernel/stackoverflow", 4, 12, Strikes::Unstable, Topic::KernelStackOverflow),
    kind("org.clearlinux/kernel/panic", 4, 24, Strikes::Unstable, Topic::KernelPanic),
    kind("crash/kernel/bug", 2, 20, Strikes::Unstable, Topic::KernelBug),
    kind("crash/kernel/warning", 2, 40, Strikes::Unstable, Topic::KernelWarning),
    kind("org.clearlinux/bert/debug", 2, 24, Strikes::BadHardware, Topic::BootErrors),
    kind("org.clearlinux/mce/corrected", 2, 70, Strikes::BadHardware, Topic::MachineCheck),
    kind("org.clearlinux/mce/SRAO", 3, 12, Strikes::BadHardware, Topic::MachineCheck),
    kind("org.clearlinux/mce/SRAR", 4, 8, Strikes::BadHardware, Topic::MachineCheck),
    kind("org.clearlinux/mce/UCNA", 3, 10, Strikes::BadHardware, Topic::MachineCheck),
    kind("org.clearlinux/mce/thermal", 2, 60, Strikes::Hot, Topic::Thermal),
    kind("org.clearlinux/swupd-client/update-failure", 2, 20, Strikes::Updating, Topic::UpdateFailure),
    kind("org.clearlinux/swupd-client/update", 1, 20, Strikes::Updating, Topic::UpdateCheck),
];

pub(super) const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";
pub(super) const UPDATE: &str = "org.clearlinux/swupd-client/update";
pub(super) const CRASH: &str = "org.clearlinux/crash/clr";
pub(super) const CRASH_ERROR: &str = "org.clearlinux/crash/error";

/// How busy each hour of a UTC day is.
pub(super) const HOURS: [u32; 24] =
    [14, 11, 9, 8, 9, 13, 24, 42, 60, 68, 66, 62, 57, 62, 68, 66, 60, 53, 47, 43, 39, 33, 26, 19];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        assert_eq!(KINDS.iter().map(|kind| kind.share).sum::<u32>(), 1_000);
    }

    #[test]
    fn classifications_have_three_parts() {
        for class in KINDS.iter().map(|kind| kind.classification).chain([HEARTBEAT, UPDATE, CRASH, CRASH_ERROR]) {
            assert_eq!(class.split('/').count(), 3, "{class}");
        }
    }
}
