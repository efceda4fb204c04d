//! Visits every state the machines can reach in a small world, and holds each to the laws.
//!
//! Does not test one decision at a time: the tables beside each machine do.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod controller;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod lockstep;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod orphan;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shrink;
#[cfg(test)]
mod sidecar;
#[cfg(test)]
mod sight;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod walks;
