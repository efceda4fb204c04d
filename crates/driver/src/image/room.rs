//! Refuses what there is no room for.

use super::Image;
use super::format::MIB;
use crate::refusal::Refusal;

/// With less than this, what is there already needs it.
pub(super) const RESERVE: u64 = 64 * MIB;

impl Image {
    /// Refuses what needs room while there is next to none, and none can be got back.
    pub(super) fn require_room(&self) -> Result<(), Refusal> {
        if self.room_left().is_err() {
            self.pool.reclaim()?;
        }
        self.room_left()
    }

    /// Refuses while there is next to no room. Cheaper: nothing is tried to get some back.
    pub(super) fn room_left(&self) -> Result<(), Refusal> {
        let space = self.pool.space()?;
        if space.available >= RESERVE {
            return Ok(());
        }
        Err(Refusal::NoRoom(format!(
            "the pool at {} has {} MiB left, which existing volumes need; delete snapshots or \
             volumes, free space on the file system of {}, or raise --pool-size",
            self.pool.folder().display(),
            space.available / MIB,
            self.root.display()
        )))
    }

    /// Refuses a size that can never be filled.
    pub(super) fn require_size(&self, size: u64) -> Result<(), Refusal> {
        let total = self.pool.space()?.total;
        if size <= total {
            return Ok(());
        }
        Err(Refusal::NoRoom(format!(
            "{size} bytes are more than the whole pool at {} has, which is {total}; raise \
             --pool-size, or ask for less",
            self.pool.folder().display()
        )))
    }
}
