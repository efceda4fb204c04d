//! Makes many large groups at once and deletes them, as the test does with few.
//!
//! Does not know what is checked: the test `many_groups_of_twenty_leave_nothing` of the sandbox does
//! that, and prints what it took.

use anyhow::ensure;

use crate::play::play;

/// Makes `groups` group snapshots of `members` volumes.
pub(crate) fn run(groups: u32, members: u32) -> anyhow::Result<()> {
    let settings = [
        ("TINTYPE_TEST_GROUPS", groups.to_string()),
        ("TINTYPE_TEST_MEMBERS", members.to_string()),
    ];
    let passed = play("contract", "many_groups_of_twenty", settings)?;
    ensure!(
        passed,
        "{groups} groups of {members} were not made and deleted as they should"
    );
    println!("{groups} groups of {members}, nothing left");
    Ok(())
}
