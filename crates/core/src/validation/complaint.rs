//! Says what is wrong with an object: field, value, cure.

use std::fmt;

use serde_json::Value;

use super::set;

/// Longest value that is shown whole, in bytes.
const SHOWN: usize = 120;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The path of the field, with dots.
    pub field: String,
    /// Its value as JSON, or that it is not set.
    pub value: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Two fields are set of which one must be.
    Both([&'static str; 2]),
    /// Of two fields none is set.
    Neither([&'static str; 2]),
    /// A class is named by nothing.
    EmptyClass,
    /// A reference lacks its name or namespace.
    NoReference,
    /// A field that stays was this, as JSON.
    Changed(String),
    /// Another class is the default already.
    SecondDefault {
        /// The driver of both.
        driver: String,
        /// The name of the other.
        other: String,
    },
}

impl Complaint {
    pub(super) fn of(object: &Value, field: &str, problem: Problem) -> Self {
        let value = set(object, field).map_or_else(|| "not set".to_owned(), Value::to_string);
        Self {
            field: field.to_owned(),
            value,
            problem,
        }
    }

    /// About the same field for the same reason, whatever its value.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.field == other.field && self.problem == other.problem
    }
}

fn short(value: &str) -> String {
    if value.len() <= SHOWN {
        return value.to_owned();
    }
    let end = (0..=SHOWN).rev().find(|at| value.is_char_boundary(*at));
    format!("{}…", &value[..end.unwrap_or(0)])
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.field, short(&self.value))?;
        match &self.problem {
            Problem::Both([one, other]) => {
                write!(f, "only one of {one} and {other} can be set; take one out")
            }
            Problem::Neither([one, other]) => write!(f, "set one of {one} and {other}"),
            Problem::EmptyClass => {
                f.write_str("must name a class; leave the field out to get the default class")
            }
            Problem::NoReference => {
                f.write_str("must be set: name and namespace say which object this one is for")
            }
            Problem::Changed(before) => write!(
                f,
                "cannot be changed, it is {}; make a new object instead",
                short(before)
            ),
            Problem::SecondDefault { driver, other } => write!(
                f,
                "the class {other} is already the default of driver {driver}; take the annotation off that one first"
            ),
        }
    }
}
