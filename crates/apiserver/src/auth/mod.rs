//! Decides who makes a request and whether they may: client certificates, tokens, role-based access control.
//!
//! Knows nothing of how requests are parsed or served.

mod authenticate;
mod authorize;
pub(crate) mod bootstrap;
mod impersonate;
mod peer;
mod rbac;
mod tokens;
mod user;

pub(crate) use authenticate::authenticate;
pub(crate) use authorize::{Attributes, Authorizer, Decision, Granted};
pub(crate) use impersonate::impersonation;
pub use peer::PeerVerifierError;
pub(crate) use peer::{PeerCertificate, PeerVerifier};
pub(crate) use rbac::{Rbac, RoleSource, Rule, aggregated, lacking, listed, quoted};
pub use tokens::KeyError;
pub(crate) use tokens::{ISSUER, Private, Reference, Tokens};
pub(crate) use user::{MASTERS, User, service_account};
