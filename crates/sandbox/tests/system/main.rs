//! Tests whole clusters: the real API server, roles and driver, each in its own folder and port.
//! Waits by watching; knows only what a user of the API can know.

#[cfg(test)]
mod deletion;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod transcript;
#[cfg(test)]
mod world;
