//! The writable memory of another process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Failure;

/// One writable mapping as it was when it was read.
pub(crate) struct Region {
    /// The file behind it, `[heap]`, `[stack]`, or nothing.
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

/// All that a process can write to.
pub(crate) fn writable_memory(id: u32) -> Result<Vec<Region>, Failure> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps"))?;
    let memory = File::open(format!("/proc/{id}/mem")).map_err(|error| forbidden(&error))?;
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        if !permissions.contains('w') {
            continue;
        }
        let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start))?];
        match memory.read_exact_at(&mut bytes, start) {
            Ok(()) => regions.push(Region { name: words.nth(3).unwrap_or_default().to_owned(), start, bytes }),
            // A thread ended in between, and its stack with it.
            Err(error) if matches!(error.raw_os_error(), Some(EIO)) => {}
            Err(error) => return Err(forbidden(&error)),
        }
    }
    if regions.iter().all(|region| region.name != "[heap]") {
        return Err("the child's heap was not among its mappings".into());
    }
    Ok(regions)
}

const EIO: i32 = 5;

fn forbidden(error: &io::Error) -> Failure {
    format!(
        "the child's memory cannot be read: {error}. A parent may do that unless the system forbids it \
         (kernel.yama.ptrace_scope above 1, a container's seccomp profile)"
    )
    .into()
}
