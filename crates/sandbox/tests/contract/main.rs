//! Holds the roles to their contract where the driver, the clock or the rights are against them:
//! the real API server and the real driver, with a proxy between driver and sidecar that makes
//! calls fail as a network and a bad driver do.

#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the machines, which are fed claims and volumes too"
)]
#[path = "../../../core/tests/odd/documents.rs"]
mod documents;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod group_faults;
#[cfg(test)]
mod group_roles;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod many;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod secrets;
