//! Writes out the journal of a new file system, so that all of it lies in one piece.
//!
//! A journal that was never written is a hole in the image, and each commit would take room for a
//! few blocks of it wherever there is some: one more stretch for each snapshot, and a clone takes
//! time for each. It does not know what is in the journal: what was read is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes at a time.
const CHUNK: u64 = 1 << 20;

/// Lets every block of the journal in this image have a place on disk. The caller syncs.
pub(super) fn write_out(image: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(image)?;
    let mut head = [0; 4096];
    file.read_exact_at(&mut head, 0)?;
    for piece in places(&head) {
        rewrite(&file, piece)?;
    }
    Ok(())
}

fn rewrite(file: &File, piece: Range<u64>) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 20];
    let mut at = piece.start;
    while at < piece.end {
        let length = CHUNK.min(piece.end - at);
        let part = &mut bytes[..usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at)?;
        at += length;
    }
    Ok(())
}

/// Where the journal is, in bytes; nowhere, if it is where we do not find it.
fn places(head: &[u8; 4096]) -> Vec<Range<u64>> {
    xfs(head)
        .map(|piece| vec![piece])
        .or_else(|| ext4(head))
        .unwrap_or_default()
}

/// `struct xfs_dsb`, big-endian: a log of `logblocks` from `logstart` on, an address of which the
/// high bits tell the allocation group.
fn xfs(head: &[u8; 4096]) -> Option<Range<u64>> {
    let word = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?));
    if head[..4] != *b"XFSB" {
        return None;
    }
    let (size, start) = (u64::from(word(4)?), long(48)?);
    let (group_blocks, length, group_bits) =
        (u64::from(word(84)?), u64::from(word(96)?), head[124]);
    let group = start.checked_shr(group_bits.into())?;
    let within = start - group.checked_shl(group_bits.into())?;
    let first = group.checked_mul(group_blocks)?.checked_add(within)?;
    bytes(first, length, size)
}

/// `struct ext4_super_block`, 1024 bytes in, little-endian: `s_jnl_blocks` repeats what the inode
/// of the journal says, and that has its extents in it as long as there are few.
fn ext4(head: &[u8; 4096]) -> Option<Vec<Range<u64>>> {
    const MAGIC: usize = 1024 + 0x38;
    const LOG_SIZE: usize = 1024 + 0x18;
    const BACKUP_KIND: usize = 1024 + 0xfd; // EXT3_JNL_BACKUP_BLOCKS
    const TREE: usize = 1024 + 0x10c;
    const ENTRY: usize = 12;
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    // `struct ext4_extent_header`: magic, entries, room, depth, generation.
    let (magic, entries, depth) = (half(TREE)?, half(TREE + 2)?, half(TREE + 6)?);
    let known = half(MAGIC)? == 0xef53 && head[BACKUP_KIND] == 1 && magic == 0xf30a;
    if !known || depth != 0 || entries > 4 {
        return None;
    }
    let size = 1024_u64.checked_shl(word(LOG_SIZE)?)?;
    let piece = |number: u16| {
        // `struct ext4_extent`: logical block, length, high and low part of the place.
        let at = TREE + ENTRY + usize::from(number) * ENTRY;
        let first = u64::from(half(at + 6)?) << 32 | u64::from(word(at + 8)?);
        bytes(first, half(at + 4)?.into(), size)
    };
    (0..entries).map(piece).collect()
}

fn bytes(first: u64, blocks: u64, size: u64) -> Option<Range<u64>> {
    let start = first.checked_mul(size)?;
    let length = blocks.checked_mul(size)?;
    Some(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::super::format::{FileSystem, MIB};
    use super::super::testing::makes;
    use super::*;

    #[test]
    fn the_whole_journal_is_there_and_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        // What mkfs makes by itself: for ext4 4, 16 and, as we ask for it, 16 MiB.
        let cases = [
            (FileSystem::Ext4, 16, 4),
            (FileSystem::Ext4, 500, 16),
            (FileSystem::Ext4, 5000, 16),
            (FileSystem::Xfs, 300, 8),
            (FileSystem::Xfs, 5000, 8),
        ];
        for (number, (kind, size, least)) in cases.into_iter().enumerate() {
            if !makes(kind) {
                continue;
            }
            let image = place.path().join(number.to_string());
            File::create_new(&image)
                .unwrap()
                .set_len(size * MIB)
                .unwrap();
            kind.make(&image).unwrap();
            let file = File::open(&image).unwrap();
            let mut head = [0; 4096];
            file.read_exact_at(&mut head, 0).unwrap();
            let pieces = places(&head);
            let length: u64 = pieces.iter().map(|it| it.end - it.start).sum();
            assert!(length >= least * MIB, "{kind:?} of {size}: {pieces:?}");
            assert!(file.metadata().unwrap().blocks() * 512 >= length);
            if kind == FileSystem::Ext4 {
                assert_eq!(length, least * MIB, "{size}");
                // journal_superblock_s begins with its magic number.
                let mut magic = [0; 4];
                file.read_exact_at(&mut magic, pieces[0].start).unwrap();
                assert_eq!(u32::from_be_bytes(magic), 0xc03b_3998);
            }
        }
    }

    #[test]
    fn what_is_no_file_system_has_no_journal() {
        for byte in [0, 0xff] {
            assert!(places(&[byte; 4096]).is_empty());
        }
        let mut head = [0xff; 4096];
        head[..4].copy_from_slice(b"XFSB");
        assert!(places(&head).is_empty());
    }
}
