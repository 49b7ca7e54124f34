//! Whether a directory's file system takes writes past the system's page cache.

use rustix::fs::{Mode, OFlags, open, unlink};
use rustix::io::write;
use std::path::Path;

/// What direct writes are made of: no file system asks for more.
const BLOCK: usize = 4096;

/// Name of the file with which it is tried.
const NAME: &str = "DIRECT";

/// Whether files in `dir` can be written past the page cache. It is tried: many file systems accept the flag, and some of
/// them refuse the write.
pub(super) fn is_possible(dir: &Path) -> bool {
    let path = dir.join(NAME);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::DIRECT;
    let Ok(file) = open(&path, flags, Mode::RUSR | Mode::WUSR) else {
        // Some create the file and refuse the flag then.
        let _ = unlink(&path);
        return false;
    };
    let buffer = vec![0; BLOCK * 2];
    let aligned = buffer.as_ptr().align_offset(BLOCK);
    let block = buffer.get(aligned..aligned + BLOCK).unwrap_or_default();
    let written = write(&file, block);
    let _ = unlink(&path);
    written == Ok(BLOCK)
}
