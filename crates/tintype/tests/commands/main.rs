//! Tests the program as a person runs it: real processes, real signals, real exit codes.
//! Knows nothing that cannot be seen from outside.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod fsck;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod mount;
#[cfg(test)]
mod plugin;
#[cfg(test)]
mod process;
#[cfg(test)]
mod up;
#[cfg(test)]
mod versions;
