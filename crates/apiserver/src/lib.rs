//! Serves the Kubernetes API from one process: JSON documents, durable, watched.
//!
//! Knows resources from a table or from a CustomResourceDefinition; has never heard of snapshots.

mod admission;
mod audit;
mod auth;
mod body;
mod builtin;
mod controllers;
mod discovery;
mod door;
mod fields;
mod kubeconfig;
mod local;
mod metrics;
mod names;
mod openapi;
mod patch;
mod pki;
mod protobuf;
mod quantity;
mod registry;
mod rest;
mod schema;
mod selector;
mod server;
mod status;
mod store;
mod table;
mod tls;
mod watch;
mod webhook;

pub use auth::{KeyError, PeerVerifierError};
pub use body::{Body, BoxError};
pub use local::LocalService;
pub use pki::PkiError;
pub use server::{Config, OpenError, PartEnded, Server};
pub use store::OpenError as StoreError;
