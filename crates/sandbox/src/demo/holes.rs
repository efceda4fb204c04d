//! Finds which parts of a file are stored and which are holes.
//! A file system without holes reports one stored part; that is no error.

use std::{fs::File, ops::Range, os::unix::fs::MetadataExt as _};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

/// The stored parts in order. Everything between them reads as zero and takes no room.
pub(crate) fn stored(file: &File) -> std::io::Result<Vec<Range<u64>>> {
    let metadata = file.metadata()?;
    let size = metadata.len();
    // `st_blocks` counts 512 bytes whatever the file system's block is. A file that takes as much
    // room as its length has no hole worth a system call.
    if metadata.blocks() * 512 >= size {
        return Ok(whole(size));
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break, // Only a hole is left.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(whole(size)),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        parts.push(start..end);
        at = end;
    }
    seek(file, SeekFrom::Start(0))?;
    Ok(parts)
}

fn whole(size: u64) -> Vec<Range<u64>> {
    std::iter::once(0..size)
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::FileExt as _};

    use super::*;

    #[test]
    fn tells_stored_parts_from_holes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        assert!(stored(&file).unwrap().is_empty());
        file.write_all_at(b"middle", 4 << 20).unwrap();
        let parts = stored(&file).unwrap();
        assert_eq!(parts.len(), 1);
        assert!(parts[0].contains(&(4 << 20)));
        assert!(parts[0].end - parts[0].start <= 1 << 20);
    }

    #[test]
    fn a_full_file_is_one_part() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(stored(&file).unwrap().is_empty());
        file.write_all(&[7; 10_000]).unwrap();
        file.sync_all().unwrap();
        assert_eq!(stored(&file).unwrap(), whole(10_000));
    }
}
