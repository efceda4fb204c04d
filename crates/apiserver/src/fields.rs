//! Knows which manager owns which field of an object: `metadata.managedFields`, and what an apply does.
//!
//! Follows the published semantics of server-side apply: lists are sets, maps by keys or atomic as
//! the schema says; a field that one manager owns and another applies with a different value is a
//! conflict. Does not read requests and does not store.

mod compare;
mod managers;
mod merge;
mod place;
mod set;

pub(crate) use compare::{Changes, changes, owned};
pub(crate) use managers::{Conflict, Manager, Managers, Operation};
pub(crate) use merge::{merged, pruned};
pub(crate) use place::Place;
pub(crate) use set::FieldSet;

#[cfg(test)]
mod tests;
