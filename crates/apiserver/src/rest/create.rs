//! Creates objects.
//!
//! Does not know single kinds: the strategy does.

use bytes::Bytes;
use http::StatusCode;
use rand::Rng;
use serde_json::{Value, json};

use super::info::key_of;
use super::query::WriteOptions;
use super::shape::{metadata_mut, text};
use super::strategy::{self, Part};
use super::{Api, Call, Inside, Reply, apply, body, present};
use crate::admission;
use crate::fields::Managers;
use crate::status::Failure;
use crate::store::{Expect, Write, WriteError};

/// What random names are made of: no vowels, nothing that looks alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// So that base and suffix fit in a label.
const LONGEST_BASE: usize = 63 - SUFFIX;
const NAME_TRIES: usize = 8;

impl Call<'_> {
    pub(super) async fn create(&self, bytes: Bytes) -> Result<Reply, Failure> {
        let options = WriteOptions::parse(self.query, "CreateOptions")?;
        let decoded = body::decode(self.headers, &bytes, &self.target.resource.kind)?;
        let incoming = self.take_in(decoded, options.field_validation)?;
        match self.create_object(incoming.object, options.dry_run).await {
            Ok(reply) => Ok(reply.with_warnings(incoming.warnings)),
            Err(failure) => Err(failure.with_warnings(incoming.warnings)),
        }
    }

    /// Creates an object that was taken in.
    pub(super) async fn create_object(
        &self,
        object: Value,
        dry_run: bool,
    ) -> Result<Reply, Failure> {
        self.create_as(object, dry_run, None).await
    }

    /// The same, of an object whose fields have owners already.
    pub(super) async fn create_as(
        &self,
        mut object: Value,
        dry_run: bool,
        managers: Option<&Managers>,
    ) -> Result<Reply, Failure> {
        if self.target.resource.is_terminating() {
            return Err(Failure::terminating_definition());
        }
        let base = base_of_name(&object);
        for attempt in 1.. {
            if let Some(base) = &base {
                metadata_mut(&mut object).insert("name".into(), json!(random_name(base)));
            }
            let mut new = object.clone();
            strategy::begin(self.target, &mut new);
            admission::admit(self, &mut new, None)?;
            let errors = self.complete(Part::Main, &mut new, None);
            let name = text(metadata_mut(&mut new), "name").to_owned();
            if !errors.is_empty() {
                return Err(Failure::invalid(&self.target.about_kind(&name), &errors));
            }
            self.check_grants(&new, None)?;
            match managers {
                Some(managers) => apply::put(&mut new, managers),
                None => self.track_creation(&mut new),
            }
            Box::pin(self.admit_creation(&new, dry_run)).await?;
            let room = self.quota(&new, None).await?;
            let stored = self.store_new(&new, &name, dry_run).await;
            drop(room);
            match stored {
                Err(WriteError::Exists) if base.is_some() && attempt < NAME_TRIES => {}
                Err(WriteError::Exists) => {
                    return Err(Failure::already_exists(&self.target.about(&name)));
                }
                Err(error) => return Err(Failure::internal(error)),
                Ok(reply) => return reply,
            }
        }
        unreachable!("the loop returns by its last attempt")
    }

    async fn store_new(
        &self,
        new: &Value,
        name: &str,
        dry_run: bool,
    ) -> Result<Result<Reply, Failure>, WriteError> {
        let namespace = text_of(new, "namespace");
        let key = key_of(namespace, name);
        if dry_run {
            return match self.api.store.get(self.bucket(), &key) {
                Some(_) => Err(WriteError::Exists),
                None => Ok(present::value(self, StatusCode::CREATED, new)),
            };
        }
        let draft = match self.converter.draft(&self.api.store, new).await {
            Ok(draft) => draft,
            Err(failure) => return Ok(Err(failure)),
        };
        let write = Write {
            resource: self.bucket().clone(),
            key: key.into(),
            expect: Expect::Absent,
            draft: Some(draft),
        };
        let stored = self.api.store.commit(write).await?;
        self.after_write(stored.name()).await;
        if let Err(failure) = self.prepare([&stored]).await {
            return Ok(Err(failure));
        }
        Ok(present::object(self, StatusCode::CREATED, &stored))
    }
}

pub(super) fn text_of<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// What a name is generated from, if it is.
fn base_of_name(object: &Value) -> Option<String> {
    let base = text_of(object, "generateName");
    (text_of(object, "name").is_empty() && !base.is_empty()).then(|| base.to_owned())
}

fn random_name(base: &str) -> String {
    let mut random = rand::rng();
    let suffix: String = (0..SUFFIX)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect();
    let base: String = base.chars().take(LONGEST_BASE).collect();
    format!("{base}{suffix}")
}

/// Makes sure that a namespace exists.
pub(super) async fn namespace(api: &Api, name: &str) -> Result<(), Failure> {
    if api.store.get("namespaces", name).is_some() {
        return Ok(());
    }
    let inside = Inside::new(api, "create", "", "v1", "namespaces")?;
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    inside
        .call(api)
        .create_object(object, false)
        .await
        .map(|_| ())
}
