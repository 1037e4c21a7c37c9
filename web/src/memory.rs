//! What the system's allocator may keep of the memory that was given back to it.

/// Pools that all threads share. By default there are eight for each processor, and what one thread frees in one of them
/// is of no use to the others: under load that is a third of the resident memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const POOLS: libc::c_int = 2;

/// Bytes from which on a piece of memory is the system's own and goes back to it at once. By default the limit grows with
/// every large piece that is freed, up to 32 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 256 << 10;

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

/// Other C libraries have limits of their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn limit() {}
