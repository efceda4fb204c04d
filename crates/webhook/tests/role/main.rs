//! Tests the webhook as an API server meets it: over real TLS, with real certificates, and in the embedded server with
//! the manifests that are shipped.

#[cfg(test)]
mod caller;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod self_signed;
#[cfg(test)]
mod serving;
