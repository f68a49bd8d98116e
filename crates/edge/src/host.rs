//! What the host allows and tells: file descriptors, memory, buffer limits.

use std::fs;
use std::io;

/// Raises the number of file descriptors to the host's hard limit; the limit in force.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = file_limit()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid `rlimit` that the kernel only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(file_limit()?.rlim_cur)
}

/// The number of file descriptors allowed now and at most.
pub fn file_limits() -> io::Result<(u64, u64)> {
    file_limit().map(|limit| (limit.rlim_cur, limit.rlim_max))
}

fn file_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the kernel to write one `rlimit` to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// Resident memory of this process in bytes; 0 when the host does not tell.
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| {
            text.split_whitespace()
                .nth(1)
                .and_then(|pages| pages.parse::<u64>().ok())
        });
    pages.unwrap_or_default() * page_bytes()
}

/// Largest receive buffer that an ordinary process gets (`net.core.rmem_max`), in bytes.
pub fn receive_buffer_max() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/core/rmem_max")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Free bytes that this process may use on the file system of `path`.
pub fn free_bytes(path: &std::path::Path) -> io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `statvfs` is plain integers; all zero is valid.
    let mut info: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte, `info` is valid for the kernel to write to.
    if unsafe { libc::statvfs(path.as_ptr(), &mut info) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.f_bavail.saturating_mul(info.f_frsize))
}

/// Whether a time service keeps the host's clock in step; `None` when the host does not tell.
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: `timex` is plain integers; all zero is valid and asks for nothing to be changed.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `clock` is valid for the kernel to read and write.
    let state = unsafe { libc::adjtimex(&mut clock) };
    (state >= 0).then_some(clock.status & libc::STA_UNSYNC == 0)
}

/// Processor time that all threads of this process have used; zero when the host does not tell.
pub fn processor_time() -> std::time::Duration {
    // SAFETY: `timespec` is plain integers; all zero is valid.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is valid for the kernel to write to.
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } < 0 {
        return std::time::Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    std::time::Duration::new(seconds, nanos)
}

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn page_bytes() -> u64 {
    // SAFETY: no pointer is passed.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_its_limits() {
        let raised = raise_file_limit().unwrap();
        assert_eq!(file_limits().unwrap(), (raised, raised));
        assert!(resident_bytes() > 1 << 20);
        assert!(free_bytes(&std::env::temp_dir()).unwrap() > 0);
        assert!(cores() >= 1);
    }
}
