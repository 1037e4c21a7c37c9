//! How the process allocates, and how little memory it keeps: of what was given back, and of the program's own file.
//!
//! jemalloc takes the place of the C library's allocator, for C code too: under load that one costs a third more
//! processor time for each record, and keeps the holes that batches and merges leave between records that live longer.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::io;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the allocator reads before it starts; whoever runs the program can say otherwise in `MALLOC_CONF`.
///
/// One pool that all threads share behind their own small caches: by default there are four for each processor, and what
/// one thread frees in one of them is of no use to the others. What is free goes back to the system within a quarter of a
/// second, by a thread of the allocator, so that it does when nothing is asked for any more, too.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // the allocator looks for its settings by the name of a symbol
#[allow(non_upper_case_globals)]
// SAFETY: the allocator wants a pointer to text that ends with NUL under this name, and nothing else has the name.
#[unsafe(no_mangle)]
pub static malloc_conf: &std::ffi::c_char = {
    const SETTINGS: &std::ffi::CStr = c"narenas:1,dirty_decay_ms:250,muzzy_decay_ms:0,background_thread:true";
    // SAFETY: the first byte of a text that is never changed and lives as long as the program.
    unsafe { &*SETTINGS.as_ptr() }
};

/// Gives back what only the start needed of the program's own file; to be called once it has started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn forget_start() {
    if let Err(error) = forget_code() {
        tracing::warn!(%error, "the process takes more memory than it needs");
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

/// Other systems do this in their own way.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn forget_start() {}

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
        assert!(
            !code_of(
                &std::env::current_exe().expect("a name").to_string_lossy(),
                &std::fs::read_to_string("/proc/self/maps").expect("maps"),
            )
            .is_empty()
        );
    }
}
