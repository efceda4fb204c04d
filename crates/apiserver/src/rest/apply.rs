//! Serves server-side apply, and keeps account of who owns which field with every write.
//!
//! Does not know what ownership means: `fields` does.

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use http::header::USER_AGENT;
use serde_json::{Value, json};

use super::query::{FieldValidation, WriteOptions, refuse};
use super::shape::metadata_mut;
use super::strategy::Part;
use super::{Call, Reply, decode, last_applied, now};
use crate::fields::{
    Conflict, FieldSet, Manager, Managers, Operation, Place, changes, merged, owned, pruned,
};
use crate::schema::error::FieldError;
use crate::status::Failure;

pub(super) const TRIES: usize = 100;
const LONGEST_MANAGER: usize = 128;
/// Who owns what was there before anybody kept account.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that are nobody's: the server sets them, or the path does.
static NOBODYS: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    let step = |name: &str| format!("f:{name}");
    for field in ["apiVersion", "kind", "metadata"] {
        set.insert(&[step(field)]);
    }
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        set.insert(&[step("metadata"), step(field)]);
    }
    set
});

/// What a client sent to be applied.
pub(super) struct Applied {
    pub options: WriteOptions,
    /// As it was sent.
    pub config: Value,
    pub warnings: Vec<String>,
}

impl Call<'_> {
    /// Who writes: what the client calls itself, or the program it is.
    pub(super) fn manager(&self, operation: Operation) -> Manager {
        let agent = self.headers.get(USER_AGENT);
        let agent = agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        let program = agent.split('/').next().unwrap_or_default();
        let name = match (self.query.text("fieldManager"), program) {
            ("", "") => "unknown",
            ("", program) => program,
            (name, _) => name,
        };
        Manager {
            name: name.chars().take(LONGEST_MANAGER).collect(),
            operation,
            api_version: self.target.api_version(),
            subresource: self.info.subresource.clone(),
        }
    }

    /// Takes out the fields that a write of this part does not own.
    fn strip(&self, part: Part, fields: &mut FieldSet) {
        fields.subtract(&NOBODYS);
        let mut ignored = FieldSet::default();
        match part {
            Part::Main if self.target.has("status") => ignored.insert(&["f:status".to_owned()]),
            Part::Status if self.target.custom() => ignored.insert(&["f:spec".to_owned()]),
            Part::Main | Part::Status | Part::Finalize => {}
        }
        fields.cut(&ignored);
    }

    /// Notes the owner of all that a new object has.
    pub(super) fn track_creation(&self, new: &mut Value) {
        let schema = self.target.schema();
        let place = Place::root(self.target, schema.as_deref());
        // Built-in kinds always have these parts, so nobody is the first to set them.
        let old = if self.target.custom() {
            json!({"metadata": {}})
        } else {
            json!({"metadata": {}, "spec": {}, "status": {}})
        };
        let mut found = changes(place, Some(&old), Some(new));
        self.strip(Part::Main, &mut found.set);
        let mut managers = Managers::default();
        managers.update(&self.manager(Operation::Update), &found, &now());
        put(new, &managers);
    }

    /// Notes the owner of all that an update changed. `given` is what the client says of owners.
    pub(super) fn track_update(&self, part: Part, given: &Value, old: &Value, new: &mut Value) {
        let live = Managers::decode(&old["metadata"]["managedFields"]);
        let mut managers = if !self.info.subresource.is_empty() {
            live
        } else if given == &json!([{}]) {
            // How a client says that it wants to start anew.
            Managers::default()
        } else {
            let given = Managers::decode(given);
            if given.is_empty() { live } else { given }
        };
        // Where nobody keeps account, an update does not begin to.
        if managers.is_empty() {
            return put(new, &managers);
        }
        let schema = self.target.schema();
        let place = Place::root(self.target, schema.as_deref());
        let mut found = changes(place, Some(old), Some(new));
        self.strip(part, &mut found.set);
        self.strip(part, &mut found.removed);
        managers.update(&self.manager(Operation::Update), &found, &now());
        put(new, &managers);
    }

    /// Applies a configuration: what it says is set, what it no longer says goes.
    pub(super) async fn apply(&self, part: Part, bytes: &Bytes) -> Result<Reply, Failure> {
        let applied = self.read_applied(bytes)?;
        let (config, fields) = self.read_config(applied.config.clone())?;
        for _ in 0..TRIES {
            match self.apply_once(part, &applied, &config, &fields).await {
                Ok(Some(reply)) => return Ok(reply.with_warnings(applied.warnings)),
                Ok(None) => {}
                Err(failure) => return Err(failure.with_warnings(applied.warnings)),
            }
        }
        Err(Failure::modified(&self.target.about(&self.info.name)))
    }

    /// What the client sent to be applied.
    pub(super) fn read_applied(&self, bytes: &Bytes) -> Result<Applied, Failure> {
        let options = WriteOptions::parse(self.query, "PatchOptions")?;
        if self.query.text("fieldManager").is_empty() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            refuse("PatchOptions", &[error])?;
        }
        let decoded = decode::yaml(bytes)
            .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
        let config = decoded.value;
        let twice: Vec<String> = decoded
            .duplicates
            .iter()
            .map(|path| format!("duplicate field \"{path}\""))
            .collect();
        let warnings = match options.field_validation {
            FieldValidation::Strict if !twice.is_empty() => {
                let why = twice.join(", ");
                return Err(Failure::bad_request(format!(
                    "error strict decoding YAML: {why}"
                )));
            }
            FieldValidation::Warn => twice,
            FieldValidation::Strict | FieldValidation::Ignore => Vec::new(),
        };
        if config["metadata"]
            .get("managedFields")
            .is_some_and(|list| !list.is_null())
        {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        Ok(Applied {
            options,
            config,
            warnings,
        })
    }

    /// The applied object, fit for the pipeline, and all its fields.
    fn read_config(&self, mut config: Value) -> Result<(Value, FieldSet), Failure> {
        self.check_type(&mut config)?;
        let schema = self.target.schema();
        let place = Place::root(self.target, schema.as_deref());
        let fields = owned(place, &config).map_err(|why| {
            let resource = &self.target.resource;
            let message = format!(
                "failed to create typed patch object ({}/{}; {}/{}, Kind={}): {why}",
                self.info.namespace,
                self.info.name,
                resource.group,
                self.target.version.name,
                resource.kind
            );
            // The real server has no better reason for it either.
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
        })?;
        let decoded = decode::Decoded {
            value: config,
            duplicates: Vec::new(),
        };
        let incoming = self.take_in(decoded, FieldValidation::Ignore)?;
        Ok((incoming.object, fields))
    }

    async fn apply_once(
        &self,
        part: Part,
        applied: &Applied,
        config: &Value,
        fields: &FieldSet,
    ) -> Result<Option<Reply>, Failure> {
        let options = &applied.options;
        let manager = self.manager(Operation::Apply);
        let mut stripped = fields.clone();
        self.strip(part, &mut stripped);
        let Some(stored) = self.api.store.get(self.bucket(), &self.key()) else {
            if !self.info.subresource.is_empty() {
                return Err(Failure::not_found(&self.target.about(&self.info.name)));
            }
            self.check_absent(config)?;
            let mut managers = Managers::default();
            managers.set(&manager, stripped, &now());
            let mut new = config.clone();
            last_applied::renew(&manager.name, &mut new, &applied.config);
            let created = self.create_as(new, options.dry_run, Some(&managers));
            return match created.await {
                // Somebody was quicker; what they made is applied to.
                Err(failure) if failure.is_exists() => Ok(None),
                created => created.map(Some),
            };
        };
        let old = self.converter.value(&stored);
        let schema = self.target.schema();
        let place = Place::root(self.target, schema.as_deref());
        let before = Managers::decode(&old["metadata"]["managedFields"]);
        let mut after = if before.is_empty() {
            self.before_first_apply(part, place, &old)
        } else {
            before.clone()
        };
        after.set(&manager, fields.clone(), &now());
        let mut new = pruned(
            place,
            &merged(place, &old, config),
            &before.last(&manager),
            &after.union(),
        );
        after.set(&manager, stripped, &now());
        let mut found = changes(place, Some(&old), Some(&new));
        self.strip(part, &mut found.set);
        self.strip(part, &mut found.removed);
        let version = self.target.api_version();
        let mut contested = found.set.clone();
        contested.subtract(&last_applied::inherited(
            &manager.name,
            place,
            &version,
            &old,
        ));
        let conflicts = after.conflicts(&manager, &contested);
        if !conflicts.is_empty() && !self.query.flag("force") {
            return Err(conflict(&conflicts));
        }
        after.yield_to(&manager, &found);
        if after.same_but_for_times(&before) {
            after = before;
        }
        last_applied::renew(&manager.name, &mut new, &applied.config);
        self.write_once(part, options, &stored, &old, new, Some(&after))
            .await
    }

    /// The owner of all that is there, where nobody kept account.
    fn before_first_apply(&self, part: Part, place: Place<'_>, live: &Value) -> Managers {
        let mut found = changes(place, Some(&json!({"metadata": {}})), Some(live));
        self.strip(part, &mut found.set);
        let mut managers = Managers::default();
        let manager = Manager {
            name: BEFORE_FIRST_APPLY.into(),
            subresource: String::new(),
            ..self.manager(Operation::Update)
        };
        managers.update(&manager, &found, &now());
        managers
    }

    /// Who names a version or a uid means an object that is there.
    fn check_absent(&self, config: &Value) -> Result<(), Failure> {
        let text = |field: &str| config["metadata"][field].as_str().unwrap_or_default();
        let about = self.target.about(&self.info.name);
        if !text("uid").is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                text("uid")
            );
            return Err(Failure::conflict(&about, &why));
        }
        if !text("resourceVersion").is_empty() {
            return Err(Failure::not_found(&about));
        }
        Ok(())
    }
}

/// Writes the owners into an object.
pub(super) fn put(object: &mut Value, managers: &Managers) {
    let metadata = metadata_mut(object);
    if managers.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), managers.encode());
    }
}

/// Refuses an apply of fields that are others'.
pub(super) fn conflict(conflicts: &[Conflict]) -> Failure {
    let message = match conflicts {
        [one] => format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            one.manager, one.path
        ),
        several => {
            let mut managers: Vec<&str> = several.iter().map(|one| one.manager.as_str()).collect();
            managers.sort_unstable();
            managers.dedup();
            let lines = managers.iter().flat_map(|manager| {
                let theirs = several.iter().filter(move |one| one.manager == *manager);
                std::iter::once(format!("conflicts with {manager}:"))
                    .chain(theirs.map(|one| format!("- {}", one.path)))
            });
            let lines: Vec<String> = lines.collect();
            format!(
                "Apply failed with {} conflicts: {}",
                several.len(),
                lines.join("\n")
            )
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|one| {
            let message = format!("conflict with {}", one.manager);
            json!({"reason": "FieldManagerConflict", "message": message, "field": one.path})
        })
        .collect();
    Failure::new(StatusCode::CONFLICT, "Conflict", message).with_causes(&json!(causes))
}
