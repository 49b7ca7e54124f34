//! Copies of a store. The node makes one while it runs ([`super::Storage::backup`]); whoever asked for it seals it with a list of
//! its files and their checksums, without which it is not put into place.
//!
//! A restore copies every file, compares it, and puts `COMMITS` into place last: RocksDB's files without it are no store
//! ([`super::proof`]), so that a node never starts with a part of one.

use super::proof::{self, is_rocksdb};
use super::rocks::{RocksReader, make_private};
use super::{StoreError, inspect};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The list of a copy's files.
pub const LIST: &str = "BACKUP";
/// How the list begins.
const HEAD: &str = "warren backup 1";
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What is being done: bytes done, and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A file of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    bytes: u64,
    crc: u32,
}

/// A copy that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Files in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads every file of a copy that was just made, syncs it and writes the list.
///
/// # Errors
/// [`StoreError::Directory`] when it cannot be read or written.
pub fn seal(dir: &Path, progress: Progress) -> Result<Copied, StoreError> {
    let refused = |error: io::Error| directory(dir, &error);
    let mut names: Vec<(String, u64)> = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().into_string().map_err(|name| {
            StoreError::Directory(dir.display().to_string(), format!("strange name {}", name.display()))
        })?;
        names.push((name, entry.metadata().map_err(refused)?.len()));
    }
    names.sort_unstable();
    let total = names.iter().map(|(_, bytes)| bytes).sum();
    let (mut done, mut entries) = (0, Vec::new());
    for (name, _) in names.into_iter().filter(|(name, _)| name != LIST) {
        let file = File::open(dir.join(&name)).map_err(refused)?;
        file.sync_all().map_err(refused)?;
        let mut each = |bytes: u64| {
            done += bytes;
            progress(done, total);
        };
        let (bytes, crc) = pump(&file, &mut io::sink(), &mut each).map_err(refused)?;
        entries.push(Entry { name, bytes, crc });
    }
    let list = write_list(&entries);
    write_whole(&dir.join(LIST), list.as_bytes()).and_then(|()| sync_dir(dir)).map_err(refused)?;
    Ok(copied(&entries))
}

/// Puts a sealed copy into place as the data directory `to`, which must be empty or not exist, and looks at all of it. On an error
/// nothing of it is left there.
///
/// # Errors
/// [`StoreError::Corrupt`] when the copy is not whole or damaged; [`StoreError::Directory`] when `to` is not empty, or something cannot be read or
/// written.
pub fn restore(from: &Path, to: &Path, progress: Progress) -> Result<(Copied, inspect::Found), StoreError> {
    let entries = read_list(from)?;
    let was_there = prepare(to)?;
    let placed = place(&entries, from, to, progress).and_then(|()| {
        let found = inspect::all(&RocksReader::open(to)?, &mut |_| {})?;
        match found.damage.first() {
            Some(damage) => Err(StoreError::Corrupt(format!("the backup holds damaged data: {damage}"))),
            None => Ok(found),
        }
    });
    placed.map(|found| (copied(&entries), found)).inspect_err(|_| clear(&entries, to, was_there))
}

/// Compares every file of a sealed copy with its checksum. False: the directory is none.
///
/// # Errors
/// [`StoreError::Corrupt`] when a file is not what was copied; [`StoreError::Directory`] when one cannot be read.
pub fn verify(dir: &Path) -> Result<bool, StoreError> {
    if !dir.join(LIST).exists() {
        return Ok(false);
    }
    for entry in read_list(dir)? {
        let path = dir.join(&entry.name);
        let file = File::open(&path).map_err(|error| directory(&path, &error))?;
        let found = pump(&file, &mut io::sink(), &mut |_| {}).map_err(|error| directory(&path, &error))?;
        if found != (entry.bytes, entry.crc) {
            return Err(StoreError::Corrupt(format!("{}: not what was backed up", path.display())));
        }
    }
    Ok(true)
}

/// Makes the directory. True when it was there.
fn prepare(to: &Path) -> Result<bool, StoreError> {
    let refused = |error: io::Error| directory(to, &error);
    match fs::read_dir(to) {
        Ok(mut entries) => {
            // The root of a file system has one of its own.
            let other = entries.find(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "lost+found"));
            let text = "it is not empty: a restore goes into a new or an empty directory";
            other.map_or(Ok(true), |_| Err(StoreError::Directory(to.display().to_string(), text.into())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_private(to).map_err(refused)?;
            to.parent().filter(|parent| *parent != Path::new("")).map_or(Ok(()), sync_dir).map_err(refused)?;
            Ok(false)
        }
        Err(error) => Err(refused(error)),
    }
}

fn place(entries: &[Entry], from: &Path, to: &Path, progress: Progress) -> Result<(), StoreError> {
    let refused = |error: io::Error| directory(to, &error);
    let (total, mut done) = (entries.iter().map(|entry| entry.bytes).sum(), 0);
    // A file that marks the directory as RocksDB's comes first, COMMITS last.
    let mut ordered: Vec<&Entry> = entries.iter().collect();
    ordered.sort_by_key(|entry| (entry.name == proof::NAME, !is_rocksdb(&entry.name)));
    for entry in ordered {
        let source = from.join(&entry.name);
        let source = File::open(&source).map_err(|error| directory(&source, &error))?;
        let path = to.join(&entry.name);
        let target = if entry.name == proof::NAME { to.join(format!("{}.new", proof::NAME)) } else { path.clone() };
        let mut file = File::create(&target).map_err(refused)?;
        let mut each = |bytes: u64| {
            done += bytes;
            progress(done, total);
        };
        let (bytes, crc) = pump(&source, &mut file, &mut each).map_err(refused)?;
        if (bytes, crc) != (entry.bytes, entry.crc) {
            return Err(StoreError::Corrupt(format!("{}: not what was backed up", from.join(&entry.name).display())));
        }
        file.sync_all().map_err(refused)?;
        own_as_directory(&file, to).map_err(refused)?;
        if target != path {
            sync_dir(to).and_then(|()| fs::rename(&target, &path)).map_err(refused)?;
        }
    }
    sync_dir(to).map_err(refused)
}

/// A file that root has made belongs to whom the directory belongs to: the broker does not run as root.
fn own_as_directory(file: &File, dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (own, of) = (file.metadata()?, fs::metadata(dir)?);
    if (own.uid(), own.gid()) == (of.uid(), of.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()))
}

/// Takes away what a restore has made. COMMITS first: what is left without it is no store.
fn clear(entries: &[Entry], to: &Path, was_there: bool) {
    // What cannot be taken away stays without COMMITS, and is told as damaged.
    let _ = fs::remove_file(to.join(proof::NAME));
    let _ = fs::remove_file(to.join(format!("{}.new", proof::NAME)));
    entries.iter().for_each(|entry| drop(fs::remove_file(to.join(&entry.name))));
    if !was_there {
        let _ = fs::remove_dir(to);
    }
}

/// Copies a file to its end. Returns its bytes and their checksum.
fn pump(mut from: &File, to: &mut dyn Write, each: &mut dyn FnMut(u64)) -> io::Result<(u64, u32)> {
    let (mut piece, mut bytes, mut hasher) = (vec![0; PIECE], 0, crc32fast::Hasher::new());
    loop {
        let read = from.read(&mut piece)?;
        let part = piece.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok((bytes, hasher.finalize()));
        }
        hasher.update(part);
        to.write_all(part)?;
        bytes += read as u64;
        each(read as u64);
    }
}

fn write_list(entries: &[Entry]) -> String {
    let mut list = format!("{HEAD}\n");
    for Entry { name, bytes, crc } in entries {
        list.push_str(&format!("{crc:08x} {bytes} {name}\n"));
    }
    let crc = crc32fast::hash(list.as_bytes());
    list + &format!("end {crc:08x}\n")
}

/// Reads the list of a copy.
fn read_list(dir: &Path) -> Result<Vec<Entry>, StoreError> {
    let path = dir.join(LIST);
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            StoreError::Directory(dir.display().to_string(), format!("no {LIST} file: it is no whole backup"))
        }
        _ => directory(dir, &error),
    })?;
    parse_list(&text).ok_or_else(|| StoreError::Corrupt(format!("{} is damaged", path.display())))
}

fn parse_list(text: &str) -> Option<Vec<Entry>> {
    let at = text.rfind("end ")?;
    let (list, end) = text.split_at_checked(at)?;
    let crc = u32::from_str_radix(end.strip_prefix("end ")?.trim_end(), 16).ok()?;
    let mut lines = list.lines();
    if crc != crc32fast::hash(list.as_bytes()) || lines.next()? != HEAD {
        return None;
    }
    let entries: Option<Vec<Entry>> = lines.map(parse_entry).collect();
    entries.filter(|entries| entries.iter().any(|entry| entry.name == proof::NAME))
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut parts = line.splitn(3, ' ');
    let (crc, bytes, name) = (parts.next()?, parts.next()?, parts.next()?);
    // A name is one in the directory itself.
    let plain = Path::new(name).components().count() == 1 && !name.contains(['/', '\\']) && name != "..";
    let entry = Entry { name: name.to_owned(), bytes: bytes.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok()? };
    plain.then_some(entry)
}

fn write_whole(path: &PathBuf, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn directory(dir: &Path, error: &io::Error) -> StoreError {
    StoreError::Directory(dir.display().to_string(), error.to_string())
}

fn copied(entries: &[Entry]) -> Copied {
    Copied { files: entries.len(), bytes: entries.iter().map(|entry| entry.bytes).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let entry = |name: &str, bytes, crc| Entry { name: name.to_owned(), bytes, crc };
        let entries = vec![entry("COMMITS", 36, 7), entry("a b", u64::MAX, u32::MAX)];
        assert_eq!(parse_list(&write_list(&entries)), Some(entries.clone()));
        assert_eq!(parse_list(&write_list(&entries[1..])), None, "there is no COMMITS");
        for name in ["..", "a/b", "", "/etc/passwd"] {
            assert_eq!(parse_list(&write_list(&[entries[0].clone(), entry(name, 1, 1)])), None, "{name}");
        }
    }

    #[test]
    fn a_copy_is_compared_with_its_list() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(verify(dir.path()), Ok(false)), "it is no copy");
        fs::write(dir.path().join("COMMITS"), b"36").unwrap();
        fs::write(dir.path().join("OPTIONS-1"), b"options").unwrap();
        seal(dir.path(), &mut |_, _| {}).unwrap();
        assert!(matches!(verify(dir.path()), Ok(true)));
        fs::write(dir.path().join("OPTIONS-1"), b"Options").unwrap();
        let told = verify(dir.path()).unwrap_err().to_string();
        assert!(told.contains("OPTIONS-1: not what was backed up"), "{told}");
        fs::remove_file(dir.path().join("OPTIONS-1")).unwrap();
        let told = verify(dir.path()).unwrap_err().to_string();
        assert!(told.contains("OPTIONS-1: No such file"), "{told}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(warren backup 1\n)?[a-f0-9 COMITSend\n]{0,80}") {
            prop_assert!(parse_list(&text).is_none_or(|entries| write_list(&entries).contains(proof::NAME)));
            // The same with a checksum that is right.
            let sealed = format!("{text}end {:08x}\n", crc32fast::hash(text.as_bytes()));
            prop_assert!(parse_list(&sealed).is_none_or(|entries| entries.iter().all(|entry| !entry.name.contains('/'))));
        }
    }
}
