//! Tells which objects a label selector and a field selector choose.
//!
//! Does not parse selectors.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Call;
use super::form::Converter;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Failure;
use crate::store::Object;

#[derive(Debug, Clone)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    converter: Converter,
}

/// Just what a label selector looks at.
#[derive(Deserialize)]
struct Labelled {
    metadata: Labels,
}

#[derive(Deserialize)]
struct Labels {
    labels: Option<Map<String, Value>>,
}

impl Selection {
    pub(crate) fn parse(call: &Call<'_>) -> Result<Self, Failure> {
        let labels = LabelSelector::parse(call.query.text("labelSelector"));
        let labels = labels
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = FieldSelector::parse(call.query.text("fieldSelector"));
        let fields = fields.map_err(Failure::bad_request)?;
        let known: Vec<&str> = call
            .target
            .version
            .fields
            .iter()
            .map(String::as_str)
            .collect();
        fields.check(&known).map_err(Failure::bad_request)?;
        Ok(Self {
            labels,
            fields,
            converter: call.converter.clone(),
        })
    }

    pub(crate) fn selects_all(&self) -> bool {
        self.labels.selects_all() && self.fields.selects_all()
    }

    /// Whether it takes more than names, namespaces and labels to tell.
    pub(crate) fn looks_inside(&self) -> bool {
        !self.fields.selects_all()
    }

    /// The one name that can be chosen, if there is only one.
    pub(crate) fn only_name(&self) -> Option<&str> {
        self.fields.required("metadata.name")
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        if self
            .fields
            .required("metadata.name")
            .is_some_and(|name| name != object.name())
        {
            return false;
        }
        if !self.labels.selects_all() {
            let Ok(labelled) = serde_json::from_slice::<Labelled>(object.json()) else {
                return false;
            };
            if !self.labels.matches(labelled.metadata.labels.as_ref()) {
                return false;
            }
        }
        self.fields.selects_all() || self.fields.matches(&self.converter.value(object))
    }
}
