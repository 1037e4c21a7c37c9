//! How little memory the process keeps: of what was given back to the allocator, and of the program's own file.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::{io, thread, time::Duration};

/// Pools that all threads share. By default there are eight for each processor, and what one thread frees in one of them
/// is of no use to the others: under load that is a third of the resident memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const POOLS: libc::c_int = 2;

/// Bytes from which on a piece of memory is the system's own and goes back to it at once. By default the limit grows with
/// every large piece that is freed, up to 32 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 256 << 10;

/// How often what is free inside of the pools goes back to the system. By itself only their ends do: under load three
/// quarters of them are holes that batches and merges leave between records. It costs a few milliseconds each time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_INTERVAL: Duration = Duration::from_secs(2);

/// Sets the limits; to be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // the C library offers no other way than this call and the environment of the process
pub fn limit() {
    // SAFETY: `mallopt` takes two numbers, touches nothing of ours, and no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, POOLS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}

/// Gives back what only the start needed, and from now on regularly what is free; to be called once it has started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_low() {
    let forgotten = forget_code();
    let trimming = thread::Builder::new().name("memory".to_owned()).spawn(|| {
        loop {
            trim();
            thread::sleep(TRIM_INTERVAL);
        }
    });
    if let Err(error) = forgotten.and(trimming.map(drop)) {
        tracing::warn!(%error, "the process takes more memory than it needs");
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // as above
fn trim() {
    // SAFETY: it takes a number, locks the pools one after the other, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the pages of the program's code; those that are run come back from the system's file cache by themselves. The
/// start runs through much of the query engine that is not needed to take records.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // nothing in the standard library speaks of mapped pages
fn forget_code() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for (from, bytes) in code_of(&program.to_string_lossy(), &maps) {
        // SAFETY: the pages are a private mapping of the program's file that cannot be written to, so that their content
        // comes from that file whenever they are read; it cannot change while it runs.
        let outcome = unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(from), bytes, libc::MADV_DONTNEED) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Address and length of what is mapped to be run of the file `program`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn code_of(program: &str, maps: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let line = line.strip_suffix(program)?;
        let mut fields = line.split_ascii_whitespace();
        let (from, end) = fields.next()?.split_once('-')?;
        let (from, end) = (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        // Not what could be written to, now or while the program was loaded: such pages are not those of the file.
        (fields.next()? == "r-xp").then_some((from, end.checked_sub(from)?))
    };
    maps.lines().filter_map(range).collect()
}

/// Other C libraries have limits of their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn limit() {}

/// Other C libraries and systems do this in their own way.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_low() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_the_program_is_forgotten() {
        let maps = "\
            1000-2000 r--p 00000000 fe:00 7                          /bin/program\n\
            2000-5000 r-xp 00001000 fe:00 7                          /bin/program\n\
            5000-6000 r--p 00004000 fe:00 7                          /bin/program\n\
            6000-7000 rw-p 00005000 fe:00 7                          /bin/program\n\
            8000-9000 r-xp 00000000 fe:00 8                          /lib/libc.so.6\n\
            a000-b000 r-xp 00000000 00:00 0                          [vdso]\n";
        assert_eq!(code_of("/bin/program", maps), [(0x2000, 0x3000)]);
    }

    #[test]
    fn code_that_was_forgotten_runs_on() {
        forget_code().expect("forgotten");
        trim();
        assert!(
            !code_of(
                &std::env::current_exe().expect("a name").to_string_lossy(),
                &std::fs::read_to_string("/proc/self/maps").expect("maps"),
            )
            .is_empty()
        );
    }
}
