//! Replaces and patches objects, their status, their scale.
//!
//! Every write is made from the object as it was read and stored only if it is still that. Does
//! not know single kinds: the strategy does.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::decode::Decoded;
use super::query::{FieldValidation, WriteOptions, refuse};
use super::strategy::{self, Part};
use super::{Call, Reply, apply, body, decode, present};
use crate::admission;
use crate::fields::Managers;
use crate::patch::{self, PatchError, PatchKind};
use crate::schema::error::FieldError;
use crate::status::Failure;
use crate::store::{Expect, Object, Write, WriteError};

/// A patch that always meets a newer object gives up in the end.
const TRIES: usize = 100;
const CUSTOM_PATCHES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
const BUILTIN_PATCHES: &str = "application/json-patch+json, application/merge-patch+json, \
                               application/strategic-merge-patch+json, \
                               application/apply-patch+yaml";

/// What a client wants the object to be, made from what it is.
pub(super) struct Wanted {
    pub object: Value,
    pub warnings: Vec<String>,
}

impl Call<'_> {
    fn part(&self) -> Part {
        match self.info.subresource.as_str() {
            "status" => Part::Status,
            "finalize" => Part::Finalize,
            _ => Part::Main,
        }
    }

    pub(super) async fn replace(&self, bytes: Bytes) -> Result<Reply, Failure> {
        let options = WriteOptions::parse(self.query, "UpdateOptions")?;
        let expected = if self.info.subresource == "scale" {
            "Scale"
        } else {
            &self.target.resource.kind
        };
        let decoded = body::decode(self.headers, &bytes, expected)?;
        if self.info.subresource == "scale" {
            return self
                .write_scale(&options, |_| Ok(decoded.value.clone()))
                .await;
        }
        let incoming = self.take_in(decoded, options.field_validation)?;
        if self.api.store.get(self.bucket(), &self.key()).is_none()
            && strategy::created_by_update(self.target)
            && self.info.subresource.is_empty()
        {
            return match self.create_object(incoming.object, options.dry_run).await {
                Ok(reply) => Ok(reply.with_warnings(incoming.warnings)),
                Err(failure) => Err(failure.with_warnings(incoming.warnings)),
            };
        }
        let (object, warnings) = (incoming.object, incoming.warnings);
        let wanted = |_: &Value| {
            Ok(Wanted {
                object: object.clone(),
                warnings: warnings.clone(),
            })
        };
        self.write(self.part(), &options, wanted).await
    }

    pub(super) async fn patch(&self, bytes: Bytes) -> Result<Reply, Failure> {
        let options = WriteOptions::parse(self.query, "PatchOptions")?;
        let kind = match body::media_type(self.headers) {
            "application/json-patch+json" => PatchKind::Json,
            "application/merge-patch+json" => PatchKind::Merge,
            "application/strategic-merge-patch+json" if !self.target.custom() => {
                PatchKind::Strategic
            }
            "application/apply-patch+yaml" if self.info.subresource == "scale" => {
                return self.apply_scale(&bytes).await;
            }
            "application/apply-patch+yaml" => {
                return self.apply(self.part(), &bytes).await;
            }
            _ if self.target.custom() => {
                return Err(Failure::unsupported_media_type(CUSTOM_PATCHES));
            }
            _ => return Err(Failure::unsupported_media_type(BUILTIN_PATCHES)),
        };
        if self.query.get("force").is_some() {
            let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
            refuse("PatchOptions", &[error])?;
        }
        if self.info.subresource == "scale" {
            let wanted = |scale: &Value| patched(kind, scale, &bytes, None);
            return self.write_scale(&options, wanted).await;
        }
        let schema = if self.target.custom() {
            None
        } else {
            self.target.schema()
        };
        self.write(self.part(), &options, |current| {
            let value = patched(kind, current, &bytes, schema.as_deref())?;
            let decoded = Decoded {
                value,
                duplicates: Vec::new(),
            };
            self.take_in_patched(decoded, options.field_validation)
        })
        .await
    }

    fn take_in_patched(
        &self,
        decoded: Decoded,
        validation: FieldValidation,
    ) -> Result<Wanted, Failure> {
        let incoming = self.take_in(decoded, validation)?;
        Ok(Wanted {
            object: incoming.object,
            warnings: incoming.warnings,
        })
    }

    /// Writes what `wanted` makes of the object, again if somebody else wrote meanwhile and the
    /// client did not say which version it means.
    pub(super) async fn write(
        &self,
        part: Part,
        options: &WriteOptions,
        wanted: impl Fn(&Value) -> Result<Wanted, Failure>,
    ) -> Result<Reply, Failure> {
        for _ in 0..TRIES {
            let stored = self.stored(&self.key())?;
            self.prepare([&stored]).await?;
            let old = self.converter.value(&stored);
            let Wanted { object, warnings } = wanted(&old)?;
            match self
                .write_once(part, options, &stored, &old, object, None)
                .await
            {
                Ok(Some(reply)) => return Ok(reply.with_warnings(warnings)),
                Ok(None) => {}
                Err(failure) => return Err(failure.with_warnings(warnings)),
            }
        }
        Err(Failure::modified(&self.target.about(&self.info.name)))
    }

    /// Writes `new` over what was read; none if it is no longer that.
    pub(super) async fn write_once(
        &self,
        part: Part,
        options: &WriteOptions,
        stored: &Object,
        old: &Value,
        mut new: Value,
        managers: Option<&Managers>,
    ) -> Result<Option<Reply>, Failure> {
        self.check_preconditions(&new, stored, old)?;
        let given = new["metadata"]["managedFields"].take();
        strategy::carry_over(self.target, part, &mut new, old);
        admission::admit(self, &mut new, Some(old))?;
        let errors = self.complete(part, &mut new, Some(old));
        if !errors.is_empty() {
            return Err(Failure::invalid(
                &self.target.about_kind(&self.info.name),
                &errors,
            ));
        }
        self.check_grants(&new, Some(old))?;
        match managers {
            Some(managers) => apply::put(&mut new, managers),
            None => self.track_update(part, &given, old, &mut new),
        }
        Box::pin(self.admit_update(&new, old, options.dry_run)).await?;
        if options.dry_run {
            return present::value(self, StatusCode::OK, &new).map(Some);
        }
        let _room = self.quota(&new, Some(old)).await?;
        match self.store_changed(stored, &new).await {
            Ok(reply) => reply.map(Some),
            Err(WriteError::Changed | WriteError::Missing | WriteError::Exists) => Ok(None),
            Err(error @ WriteError::Disk(_)) => Err(Failure::internal(error)),
        }
    }

    fn check_preconditions(
        &self,
        new: &Value,
        stored: &Object,
        old: &Value,
    ) -> Result<(), Failure> {
        let about = self.target.about(&self.info.name);
        let version = new["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        if version.is_empty() {
            if strategy::must_name_version(self.target) && self.info.verb == "update" {
                let path = "metadata.resourceVersion";
                let error = FieldError::invalid(path, &json!(0), "must be specified for an update");
                return Err(Failure::invalid(&about, &[error]));
            }
        } else if version != stored.rv.to_string() {
            return Err(Failure::modified(&about));
        }
        let (uid, old_uid) = (&new["metadata"]["uid"], &old["metadata"]["uid"]);
        if !uid.is_null() && uid != &json!("") && uid != old_uid {
            let shown = |uid: &Value| uid.as_str().unwrap_or_default().to_owned();
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object \
                 meta: {}",
                self.target.resource.plural,
                stored.key,
                shown(uid),
                shown(old_uid),
            );
            return Err(Failure::conflict(&about, &why));
        }
        Ok(())
    }

    /// Stores the new state, or lets the object go if nothing holds it any more.
    pub(super) async fn store_changed(
        &self,
        stored: &Object,
        new: &Value,
    ) -> Result<Result<Reply, Failure>, WriteError> {
        let draft = match self.converter.draft(&self.api.store, new).await {
            Ok(draft) => draft,
            Err(failure) => return Ok(Err(failure)),
        };
        let gone = super::delete::released(self.target, new);
        if !gone && draft.same_as(stored) {
            return Ok(present::object(self, StatusCode::OK, stored));
        }
        let write = Write {
            resource: self.bucket().clone(),
            key: stored.key.clone(),
            expect: Expect::Unchanged(stored.rv),
            draft: (!gone).then_some(draft),
        };
        let written = self.api.store.commit(write).await?;
        self.after_write(written.name()).await;
        if gone {
            let mut last = new.clone();
            last["metadata"]["resourceVersion"] = json!(written.rv.to_string());
            return Ok(present::value(self, StatusCode::OK, &last));
        }
        if let Err(failure) = self.prepare([&written]).await {
            return Ok(Err(failure));
        }
        Ok(present::object(self, StatusCode::OK, &written))
    }
}

fn patched(
    kind: PatchKind,
    current: &Value,
    bytes: &[u8],
    schema: Option<&crate::schema::Schema>,
) -> Result<Value, Failure> {
    // The same reading of numbers as in whole objects; JSON only, as Kubernetes has it.
    decode::json(bytes)
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    patch::apply(kind, current, bytes, schema).map_err(|error| match error {
        PatchError::Malformed(why) => Failure::bad_request(why),
        PatchError::Rejected(_) => Failure::rejected_patch(),
        error @ (PatchError::TooMany { .. } | PatchError::CopiesTooMuch { .. }) => {
            Failure::too_large(error.to_string())
        }
    })
}
