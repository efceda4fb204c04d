//! Lets CustomResourceDefinitions take effect, and lets them go with their objects.
//!
//! Does not check definitions and does not know what they define.

use std::sync::Arc;

use serde_json::{Value, json};

use super::delete::{Options, Outcome};
use super::{Api, Call, Inside, definitions_bucket, now};
use crate::registry::crd;
use crate::status::Failure;
use crate::store::{Draft, Expect, Object, Write, WriteError};

impl Call<'_> {
    /// What follows from a write before its client hears of it.
    pub(super) async fn after_write(&self, name: &str) {
        self.recount().await;
        if self.target.is(crd::GROUP, crd::PLURAL) {
            self.api.settle(name).await;
        } else if self.target.resource.is_terminating()
            && self.api.store.list(self.bucket(), "").objects.is_empty()
        {
            self.api.settle(&self.target.resource.qualified()).await;
        }
    }
}

impl Api {
    /// Takes the resources of all definitions as they are stored now.
    pub(super) fn take_up_definitions(&self) {
        let listing = self.store.list(&definitions_bucket(), "");
        let definitions: Vec<Value> = listing
            .objects
            .iter()
            .map(|object| object.value())
            .collect();
        self.registry.refresh(&definitions, listing.rv);
    }

    /// Finishes what was begun for any definition.
    pub(super) async fn settle_definitions(&self) {
        for object in self.store.list(&definitions_bucket(), "").objects {
            self.settle(object.name()).await;
        }
    }

    /// Brings one definition to where it should be: established, or gone.
    async fn settle(&self, name: &str) {
        let _one = self.settling.lock().await;
        loop {
            let Some(stored) = self.store.get(&definitions_bucket(), name) else {
                break;
            };
            let mut definition = stored.value();
            let going = definition["metadata"].get("deletionTimestamp").is_some();
            if going {
                crd::set_terminating(&mut definition, &now());
            } else {
                crd::update_status(&mut definition, &self.registry.catalog(), &now());
                add_cleanup(&mut definition);
            }
            match self.store_definition(&stored, &definition).await {
                Ok(()) => {}
                Err(WriteError::Disk(error)) => {
                    tracing::error!(name, %error, "cannot keep the status of a definition");
                    break;
                }
                Err(WriteError::Changed | WriteError::Missing | WriteError::Exists) => continue,
            }
            self.take_up_definitions();
            if !going || !self.delete_objects(&definition).await || self.release(name).await {
                break;
            }
        }
        self.take_up_definitions();
    }

    async fn store_definition(&self, old: &Object, new: &Value) -> Result<(), WriteError> {
        let draft = Draft::encode(new);
        if draft.same_as(old) {
            return Ok(());
        }
        self.write_definition(old, Some(draft)).await
    }

    async fn write_definition(&self, old: &Object, draft: Option<Draft>) -> Result<(), WriteError> {
        let write = Write {
            resource: definitions_bucket().into(),
            key: old.key.clone(),
            expect: Expect::Unchanged(old.rv),
            draft,
        };
        self.store.commit(write).await.map(|_| ())
    }

    /// Deletes the objects of a definition; true once none is left.
    async fn delete_objects(&self, definition: &Value) -> bool {
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        let plural = definition["spec"]["names"]["plural"]
            .as_str()
            .unwrap_or_default();
        let bucket = crate::registry::bucket(group, plural);
        let objects = self.store.list(&bucket, "").objects;
        if objects.is_empty() {
            return true;
        }
        if let Err(failure) = self.delete_each(group, plural, &objects).await {
            tracing::error!(
                bucket,
                error = failure.message(),
                "cannot delete the objects"
            );
        }
        self.store.list(&bucket, "").objects.is_empty()
    }

    async fn delete_each(
        &self,
        group: &str,
        plural: &str,
        objects: &[Arc<Object>],
    ) -> Result<(), Failure> {
        let catalog = self.registry.catalog();
        let version = catalog
            .resource(group, plural)
            .map(|resource| resource.storage.clone());
        let version = version.ok_or_else(Failure::no_such_resource)?;
        let served = catalog.versions(group).unwrap_or_default();
        let version = if served.contains(&version) {
            &version
        } else {
            served.first().unwrap_or(&version)
        };
        let inside = Inside::new(self, "delete", group, version, plural)?;
        let call = inside.call(self);
        for object in objects {
            match call.delete_quietly(&object.key, &Options::default()).await {
                Ok(Outcome::Gone(_) | Outcome::Held(_)) => {}
                Err(failure) if failure.code == http::StatusCode::NOT_FOUND => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Takes the cleanup finalizer off; true unless it has to be tried again.
    async fn release(&self, name: &str) -> bool {
        let Some(stored) = self.store.get(&definitions_bucket(), name) else {
            return true;
        };
        let mut definition = stored.value();
        let mut left = false;
        if let Some(finalizers) = definition["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != &json!(crd::CLEANUP_FINALIZER));
            left = !finalizers.is_empty();
        }
        let draft = left.then(|| Draft::encode(&definition));
        if draft.as_ref().is_some_and(|draft| draft.same_as(&stored)) {
            return true;
        }
        match self.write_definition(&stored, draft).await {
            Ok(()) | Err(WriteError::Missing | WriteError::Exists) => true,
            Err(WriteError::Changed) => false,
            Err(WriteError::Disk(error)) => {
                tracing::error!(name, %error, "cannot let a definition go");
                true
            }
        }
    }
}

fn add_cleanup(definition: &mut Value) {
    let finalizers = &mut definition["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.contains(&json!(crd::CLEANUP_FINALIZER)) => {}
        Some(list) => list.push(json!(crd::CLEANUP_FINALIZER)),
        None => *finalizers = json!([crd::CLEANUP_FINALIZER]),
    }
}
