//! Checks the fields that many replies share.
//!
//! It does not know which call a field came with, except to name it in the error.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use prost_types::Timestamp;

use crate::client::Rpc;
use crate::{CallError, v1};

/// A message that must be there.
pub(crate) fn present<T>(rpc: Rpc, field: &str, value: Option<T>) -> Result<T, CallError> {
    value.ok_or_else(|| CallError::malformed(rpc.name, format_args!("`{field}` is missing")))
}

/// A text that must not be empty.
pub(crate) fn named(rpc: Rpc, field: &str, value: String) -> Result<String, CallError> {
    if value.is_empty() {
        return Err(CallError::malformed(
            rpc.name,
            format_args!("`{field}` is empty"),
        ));
    }
    Ok(value)
}

/// A size: the wire has signed numbers for what can never be negative.
pub(crate) fn size(rpc: Rpc, field: &str, value: i64) -> Result<u64, CallError> {
    u64::try_from(value)
        .map_err(|_| CallError::malformed(rpc.name, format_args!("`{field}` is negative: {value}")))
}

/// The years 1 to 9999, which is what the protobuf type can hold.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A time. Unset is not the epoch, and the epoch is not unset.
pub(crate) fn moment(
    rpc: Rpc,
    field: &str,
    value: Option<Timestamp>,
) -> Result<Option<SystemTime>, CallError> {
    let Some(stamp) = value else { return Ok(None) };
    let wrong = || CallError::malformed(rpc.name, format_args!("`{field}` is no time: {stamp:?}"));
    if !SECONDS.contains(&stamp.seconds) || !(0..1_000_000_000).contains(&stamp.nanos) {
        return Err(wrong());
    }
    SystemTime::try_from(stamp).map(Some).map_err(|_| wrong())
}

/// An id or token for which empty means none.
pub(crate) fn optional(value: String) -> Option<String> {
    Some(value).filter(|text| !text.is_empty())
}

/// The abnormal condition of a volume, in words.
pub(crate) fn trouble(condition: Option<v1::VolumeCondition>) -> Option<String> {
    condition
        .filter(|condition| condition.abnormal)
        .map(|condition| condition.message)
}
