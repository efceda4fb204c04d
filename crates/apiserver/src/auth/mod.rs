//! Decides who makes a request and whether they may: client certificates and role-based access control.
//!
//! Knows nothing of how requests are parsed or served.

mod authenticate;
mod authorize;
pub(crate) mod bootstrap;
mod impersonate;
mod peer;
mod rbac;
mod user;

pub(crate) use authenticate::authenticate;
pub(crate) use authorize::{Attributes, Authorizer, Decision};
pub(crate) use impersonate::impersonation;
pub use peer::PeerVerifierError;
pub(crate) use peer::{PeerCertificate, PeerVerifier};
pub(crate) use rbac::{Rbac, RoleSource};
pub(crate) use user::{User, service_account};
