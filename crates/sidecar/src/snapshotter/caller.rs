//! Holds what calls for a content and calls for a group content have in common: the driver, the
//! names, the secrets, and how a failure is put into the machine's words.
//!
//! Does not know when a call is due, nor what follows from its outcome.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use kube::Client;
use tintype_core::Seen;
use tintype_core::content::{self, CallFailure, Cause, Outcome, create_parameters};
use tintype_core::group_content;
use tintype_core::object::{Class, Key, Meta, SecretRef};
use tintype_core::retry::Schedule;
use tintype_csi::CallError;
use tintype_runtime::Clock;
use tonic::Code;
use tracing::warn;

use crate::driver::Driver;
use crate::memory::Remembered;
use crate::secrets::{self, Held, Operation, SecretError};

/// How snapshots are named on storage.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) prefix: String,
    pub(crate) length: Option<usize>,
    pub(crate) extra_metadata: bool,
}

impl Names {
    /// As the flags have it: a negative length leaves uids whole.
    pub(crate) fn new(prefix: String, length: i8, extra_metadata: bool) -> Self {
        Self {
            prefix,
            length: usize::try_from(length).ok(),
            extra_metadata,
        }
    }
}

/// Everything a call needs besides the content it is made for.
pub(crate) struct Caller {
    pub(crate) driver: Driver,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) schedule: Schedule,
    pub(crate) names: Names,
    pub(crate) secrets: Remembered<Held>,
}

/// What a call is made for: a content or a group content.
pub(super) trait Subject {
    /// Where it is; none if it is gone.
    fn key(&self) -> Option<Key>;
    /// What the call was made with.
    fn cause(&self) -> Option<Cause>;
    /// What is remembered of calls for it.
    fn calls(&mut self) -> &mut content::Memory;
}

impl Subject for content::Sighting {
    fn key(&self) -> Option<Key> {
        self.content.present().map(|it| it.meta.key.clone())
    }

    fn cause(&self) -> Option<Cause> {
        self.cause()
    }

    fn calls(&mut self) -> &mut content::Memory {
        &mut self.memory
    }
}

impl Subject for group_content::Sighting {
    fn key(&self) -> Option<Key> {
        self.content.present().map(|it| it.meta.key.clone())
    }

    fn cause(&self) -> Option<Cause> {
        self.cause()
    }

    fn calls(&mut self) -> &mut content::Memory {
        &mut self.memory.calls
    }
}

impl Caller {
    /// For another kind, whose snapshots have other names.
    pub(crate) fn naming(&self, names: Names) -> Self {
        Self {
            driver: self.driver.clone(),
            client: self.client.clone(),
            clock: self.clock,
            schedule: self.schedule,
            names,
            secrets: Remembered::default(),
        }
    }

    /// The class's parameters, and who the snapshot is for if the driver is to know.
    pub(super) fn parameters(
        &self,
        class: Option<&Seen<std::sync::Arc<Class>>>,
        metadata: [(&str, &str); 3],
    ) -> BTreeMap<String, String> {
        let class = class.and_then(Seen::present);
        let mut parameters = class
            .and_then(|it| create_parameters(it).ok())
            .unwrap_or_default();
        if self.names.extra_metadata {
            parameters.extend(metadata.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        parameters
    }

    /// Secrets for one operation: read once, and again only when the driver turns them down.
    pub(super) async fn secrets(
        &self,
        key: &Key,
        operation: Operation,
        reference: Option<&SecretRef>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        let Some(reference) = reference else {
            return Ok(BTreeMap::new());
        };
        if let Some(values) = self.secrets.recall(key).values(operation, reference) {
            return Ok(values);
        }
        let values = secrets::read(&self.client, reference).await?;
        let held = Held::new(operation, reference.clone(), values.clone());
        self.secrets.keep(key, held);
        Ok(values)
    }

    /// The same for something that has to come to an end (D6, D32): without secrets that do not
    /// exist it would wait for ever, and the driver may not need them.
    async fn secrets_if_any(
        &self,
        key: &Key,
        operation: Operation,
        reference: Option<&SecretRef>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        match self.secrets(key, operation, reference).await {
            Err(error @ (SecretError::Missing(_) | SecretError::Unnamed)) => {
                warn!(content = %key.name, %error, "calls the driver without secrets");
                Ok(BTreeMap::new())
            }
            read => read,
        }
    }

    /// Secrets to make or delete something with; none if they cannot be had, which is folded in.
    pub(super) async fn secrets_for(
        &self,
        seen: &mut impl Subject,
        operation: Operation,
        (content, reference): (&Meta, Option<&SecretRef>),
        what: &str,
    ) -> Option<BTreeMap<String, String>> {
        let deletes = operation == Operation::Delete;
        let read = if deletes || content.deleting {
            self.secrets_if_any(&content.key, operation, reference)
                .await
        } else {
            self.secrets(&content.key, operation, reference).await
        };
        let outcome = if deletes {
            Outcome::DeleteFailed
        } else {
            Outcome::NotCalled
        };
        read.inspect_err(|why| self.not_called(seen, outcome, what, &why.to_string()))
            .ok()
    }

    /// The driver said no, or nothing.
    pub(super) fn failed(
        &self,
        seen: &mut impl Subject,
        outcome: Outcome,
        what: &str,
        error: &CallError,
    ) {
        // These may mean that a Secret was changed meanwhile.
        let doubtful = matches!(
            error.code,
            Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
        );
        if let Some(key) = seen.key().filter(|_| doubtful) {
            self.secrets.forget(&key);
        }
        let failure = CallFailure {
            what: what.into(),
            code: format!("{:?}", error.code).into(),
            message: error.message.as_str().into(),
            busy: matches!(error.code, Code::Aborted | Code::ResourceExhausted),
        };
        self.fold(seen, outcome, failure);
    }

    /// Something was missing before the call could be made.
    pub(super) fn not_called(
        &self,
        seen: &mut impl Subject,
        outcome: Outcome,
        what: &str,
        why: &str,
    ) {
        let failure = CallFailure {
            what: what.into(),
            code: "".into(),
            message: why.into(),
            busy: false,
        };
        self.fold(seen, outcome, failure);
    }

    fn fold(&self, seen: &mut impl Subject, outcome: Outcome, failure: CallFailure) {
        warn!(driver = %self.driver.name, code = %failure.code, "{}: {}", failure.what, failure.message);
        let tried = seen.cause().map(Into::into);
        let calls = seen.calls();
        calls.tried = tried;
        calls.folded_failure(
            outcome,
            failure,
            self.clock.now(),
            self.schedule,
            rand::random(),
        );
    }
}

/// What a call that failed came to.
pub(super) fn outcome(error: &CallError) -> Outcome {
    if error.is_uncertain() {
        Outcome::Uncertain
    } else {
        Outcome::Refused
    }
}

/// The same of a create call: a name that is taken says that something was made under it.
pub(super) fn create_outcome(error: &CallError) -> Outcome {
    if error.code == Code::AlreadyExists {
        Outcome::Uncertain
    } else {
        outcome(error)
    }
}

/// As objects have times: nanoseconds since 1970.
pub(super) fn nanos(time: Option<SystemTime>) -> Option<i64> {
    let since = time?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}
