//! The package in a Debian that has nothing else: it is installed, starts, is upgraded, removed and purged.

use std::fs;
use std::path::Path;
use std::process::Command;

use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{Post, Process};
use tempfile::TempDir;

use super::tools::{files, in_repository, installed, output, text};
use crate::servers::PROGRAM;

const UNIT: &str = "deploy/systemd/telemetrics.service";
const CONFIGURATION: &str = "etc/telemetrics/telemetrics.toml";
const DATA: &str = "var/lib/telemetrics";

/// What is before a command that has mounts of its own, and where everybody may be root of a part of the system.
fn unshared() -> Vec<&'static str> {
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").expect("/proc")) == 0;
    let mut command = vec!["unshare", "--mount"];
    if !is_root {
        command.extend(["--map-root-user", "--map-auto"]);
    }
    command
}

/// A system that nothing was installed in; gone when it is dropped.
struct Root {
    dir: TempDir,
}

impl Root {
    fn new() -> Self {
        let root = Self { dir: TempDir::with_prefix("telemetrics-root-").expect("a directory for temporary files") };
        // Devices that the system has are mounted below; making them needs rights that nothing else here needs.
        let tar = installed("root.tar");
        let args = ["tar", "-x", "-p", "--numeric-owner", "--exclude=./dev/*", "-C", root.text(), "-f", &tar];
        let unshared = unshared();
        output(root.path(), unshared[0], &[&unshared[1..], &args].concat());
        root
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn text(&self) -> &str {
        self.path().to_str().expect("a path of temporary files that is text")
    }

    /// A command in it, as root or as `user`.
    fn command(&self, user: &str, directory: &str, args: &[&str]) -> Command {
        const ENTER: &str = "mount --rbind /proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && root=$1 user=$2 dir=$3 && shift 3 && \
                             exec chroot --userspec=\"$user\" \"$root\" sh -c 'cd \"$0\" && exec \"$@\"' \"$dir\" \"$@\"";
        let unshared = unshared();
        let mut command = Command::new(unshared[0]);
        command.args(&unshared[1..]).args(["sh", "-c", ENTER, "sh", self.text(), user, directory]).args(args);
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// What a command of root prints; it has to succeed.
    fn run(&self, args: &[&str]) -> String {
        let ended = Process::start(&mut self.command("root:root", "/", args), Path::new("/nonexistent")).wait();
        assert!(ended.status.success(), "{args:?}\n{}\n{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    fn has(&self, path: &str) -> bool {
        self.path().join(path).exists()
    }

    /// What `stat` says about owner and rights.
    fn rights(&self, path: &str) -> String {
        self.run(&["stat", "--format=%U:%G %a", path])
    }

    /// Starts the server as the installed unit says, does `work` with the address, and stops it.
    fn while_it_runs<T>(&self, work: impl FnOnce(std::net::SocketAddr) -> T) -> T {
        let unit = fs::read_to_string(self.path().join("usr/lib/systemd/system/telemetrics.service")).expect("a unit");
        let value =
            |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
        let words = |key: &str| value(key).split(' ').collect::<Vec<_>>();
        let user = format!("{}:{}", value("User="), value("Group="));
        let directory = value("WorkingDirectory=");
        let mut check = self.command(&user, directory, &words("ExecStartPre="));
        let checked = Process::start(&mut check, Path::new("/nonexistent")).wait();
        assert!(checked.status.success(), "{}", checked.stderr);
        let process =
            Process::start(&mut self.command(&user, directory, &words("ExecStart=")), Path::new("/nonexistent"));
        let address = process.wait_for_output(|line| {
            let (_, rest) = line.split_once("http://")?;
            rest.strip_suffix("/v2/collector")?.parse().ok()
        });
        let result = work(address);
        let ended = process.terminate();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        result
    }
}

/// Packages of two versions with the program under test in them, as cargo-deb makes them.
struct Packages {
    dir: TempDir,
}

const OLD: &str = "0.1.0-1";
const NEW: &str = "0.1.1-1";

impl Packages {
    fn build() -> Self {
        let packages = Self { dir: tempfile::tempdir().expect("a directory") };
        let dir = packages.dir.path();
        fs::create_dir(dir.join("release")).expect("a directory");
        // cargo-deb takes the release build; what is tested here is the one of the tests, without what debuggers need.
        let program = dir.join("release/telemetrics");
        output(dir, "strip", &["-s", "-o", program.to_str().expect("text"), PROGRAM]);
        for version in [OLD, NEW] {
            let mut command = Command::new(installed("cargo/bin/cargo-deb"));
            command.args(["--no-build", "--no-strip", "--fast", "--offline", "--locked", "--deb-version", version]);
            command.arg("--manifest-path").arg(in_repository("web/Cargo.toml")).arg("--output").arg(dir);
            command.env("CARGO_TARGET_DIR", dir).current_dir(in_repository("."));
            let ended = Process::start(&mut command, Path::new("/nonexistent")).wait();
            assert!(ended.status.success() && !ended.stderr.contains("warning"), "{}", ended.stderr);
        }
        packages
    }

    /// Brings it into `root`, and says where it is there.
    fn bring(&self, version: &str, root: &Root) -> String {
        let name = format!("telemetrics_{version}_{}.deb", output(Path::new("/"), "dpkg", &["--print-architecture"]));
        fs::copy(self.dir.path().join(&name), root.path().join("root").join(&name)).expect("copied");
        format!("/root/{name}")
    }
}

/// What documents say is below `/usr/share/doc/telemetrics`: documents, changes, and all examples.
fn documents() -> Vec<String> {
    let names = |folder: &str| {
        let paths = files(folder).into_iter();
        paths.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let below = |folder: &str, names: Vec<String>| {
        names.into_iter().map(move |name| format!("usr/share/doc/telemetrics/{folder}{name}")).collect::<Vec<_>>()
    };
    let alone = ["CHANGELOG.md", "telemetrics.toml", "nginx.conf", "grafana.json"].map(str::to_owned).to_vec();
    let parsers = [names("deploy/parsers"), names("web/parsers")].concat();
    let folders =
        [("views/", names("deploy/views")), ("parsers/", parsers), ("prometheus/", names("deploy/prometheus"))];
    let folders = folders.into_iter().flat_map(|(folder, names)| below(folder, names));
    folders.chain(below("", alone)).chain(below("", names("docs"))).collect()
}

fn posted(address: std::net::SocketAddr) {
    let answer = exchange(address, &Post::default().in_headers()).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// How many records the API shows.
fn shown(address: std::net::SocketAddr) -> usize {
    let request = format!("GET /api/records?fields=id HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let answer = exchange(address, request.as_bytes()).expect("an answer");
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    answer["records"].as_array().expect("records").len()
}

#[test]
fn the_package_is_installed_upgraded_removed_and_purged() {
    let (root, packages) = (Root::new(), Packages::build());
    let install = |version: &str| {
        let package = packages.bring(version, &root);
        root.run(&["dpkg", "-i", &package]);
        assert_eq!(
            root.run(&["dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "telemetrics"]),
            format!("{version} installed")
        );
    };
    // The script for operators does the first installation, and finds no systemd that runs.
    let package = packages.bring(OLD, &root);
    fs::copy(in_repository("deploy/install"), root.path().join("root/install")).expect("copied");
    assert!(root.run(&["/root/install", &package]).contains("nothing was started"));
    assert_eq!(root.rights(&format!("/{DATA}")), "telemetrics:telemetrics 750");
    assert_eq!(root.rights(&format!("/{CONFIGURATION}")), "root:root 644");
    assert_eq!(root.run(&["systemctl", "is-enabled", "telemetrics"]), "enabled");
    assert_eq!(root.run(&["getent", "passwd", "telemetrics"]).split(':').next_back(), Some("/usr/sbin/nologin"));
    root.run(&["systemd-analyze", "verify", "telemetrics.service"]);
    root.run(&["telemetrics", "config", "check", "--config", &format!("/{CONFIGURATION}")]);
    for path in documents() {
        assert!(root.has(&path), "{path}");
    }

    // What an operator changes, so that nothing here needs a port of its own.
    let file = root.path().join(CONFIGURATION);
    let changed = fs::read_to_string(&file).expect("a file").replace("127.0.0.1:8080", "127.0.0.1:0");
    fs::write(&file, &changed).expect("written");
    root.while_it_runs(posted);

    install(NEW);
    assert_eq!(fs::read_to_string(&file).expect("a file"), changed, "the configuration is the operator's");
    assert_eq!(
        root.while_it_runs(|address| {
            posted(address);
            shown(address)
        }),
        2
    );

    root.run(&["dpkg", "--remove", "telemetrics"]);
    assert!(!root.has("usr/bin/telemetrics") && root.has(CONFIGURATION) && root.has(&format!("{DATA}/journal")));
    install(OLD);
    assert_eq!(root.while_it_runs(shown), 2);

    root.run(&["dpkg", "--purge", "telemetrics"]);
    for path in [DATA, "etc/telemetrics", "usr/share/doc/telemetrics", "usr/lib/systemd/system/telemetrics.service"] {
        assert!(!root.has(path), "{path}");
    }
}

#[test]
fn the_unit_is_as_hard_as_it_says() {
    let unit = text(UNIT);
    let stated = unit.split("an exposure level of ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a level");
    let stated: f64 = stated.parse().expect("a number");
    let path = in_repository(UNIT);
    let report = output(
        Path::new("/"),
        "systemd-analyze",
        &["security", "--offline=true", "--no-pager", path.to_str().expect("text")],
    );
    let level = report.lines().find_map(|line| line.split("Overall exposure level for telemetrics.service: ").nth(1));
    let level: f64 = level.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{report}"));
    assert!(level <= stated, "{level} of {stated}: {report}");
}
