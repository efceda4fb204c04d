//! Kills a real `up`, and pulls the plug under it, at random moments; then looks whether it kept
//! its word.
//!
//! What was promised is in `ledger`, who asks for things in `workers`, what must be true when all
//! is quiet again in `peace`. Knows only what a user of the API and of the driver can know.

#[cfg(test)]
mod killed;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod letter;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod peace;
#[cfg(test)]
mod power;
#[cfg(test)]
mod workers;
