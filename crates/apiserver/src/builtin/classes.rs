//! Fills in and checks storage classes, drivers, attachments and what goes with them.
//!
//! Does not know volumes or claims.

use serde_json::{Value, json};

use super::values::{default, has, list, one_of, required, text, unchanged};
use crate::names::qualified_name_problems;
use crate::schema::error::FieldError;

/// StorageClass.
pub(super) fn class(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    default(new, "", "reclaimPolicy", "Delete");
    default(new, "", "volumeBindingMode", "Immediate");
    let mut errors = Vec::new();
    let provisioner = text(new, "/provisioner");
    if provisioner.is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    } else {
        let problems = qualified_name_problems(&provisioner.to_lowercase());
        errors.extend(
            problems
                .iter()
                .map(|p| FieldError::invalid_text("provisioner", provisioner, p)),
        );
    }
    errors.extend(one_of(
        new,
        "/reclaimPolicy",
        "reclaimPolicy",
        &["Delete", "Retain"],
    ));
    let modes = ["Immediate", "WaitForFirstConsumer"];
    errors.extend(one_of(
        new,
        "/volumeBindingMode",
        "volumeBindingMode",
        &modes,
    ));
    if let Some(old) = old {
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if same_or_empty(new, field) != same_or_empty(old, field) {
                errors.push(FieldError::forbidden(
                    field,
                    &format!("updates to {field} are forbidden."),
                ));
            }
        }
        errors.extend(unchanged(
            new,
            old,
            "/volumeBindingMode",
            "volumeBindingMode",
        ));
    }
    errors
}

/// No parameters and an empty map of them are the same.
fn same_or_empty<'a>(object: &'a Value, field: &str) -> &'a Value {
    object
        .get(field)
        .filter(|v| v.as_object().is_none_or(|m| !m.is_empty()))
        .unwrap_or(&Value::Null)
}

/// CSIDriver.
pub(super) fn driver(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    default(new, "/spec", "attachRequired", true);
    default(new, "/spec", "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default(new, "/spec", "podInfoOnMount", false);
    default(new, "/spec", "requiresRepublish", false);
    default(new, "/spec", "seLinuxMount", false);
    default(new, "/spec", "storageCapacity", false);
    default(new, "/spec", "volumeLifecycleModes", json!(["Persistent"]));
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    let mut errors: Vec<FieldError> =
        one_of(new, "/spec/fsGroupPolicy", "spec.fsGroupPolicy", &policies)
            .into_iter()
            .collect();
    for mode in list(new, "/spec/volumeLifecycleModes") {
        if !matches!(mode.as_str(), Some("Persistent" | "Ephemeral")) {
            let all = ["Ephemeral", "Persistent"].map(String::from);
            errors.push(FieldError::not_supported(
                "spec.volumeLifecycleModes",
                mode,
                &all,
            ));
        }
    }
    if let Some(old) = old {
        errors.extend(unchanged(
            new,
            old,
            "/spec/attachRequired",
            "spec.attachedRequired",
        ));
        errors.extend(unchanged(
            new,
            old,
            "/spec/volumeLifecycleModes",
            "spec.volumeLifecycleModes",
        ));
    }
    errors
}

/// VolumeAttachment.
pub(super) fn attachment(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(required(new, "/spec/attacher", "spec.attacher"));
    errors.extend(required(new, "/spec/nodeName", "spec.nodeName"));
    let name = has(new, "/spec/source/persistentVolumeName");
    let inline = has(new, "/spec/source/inlineVolumeSpec");
    match (name, inline) {
        (false, false) => {
            let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::required("spec.source", why));
        }
        (true, true) => {
            let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(FieldError::forbidden("spec.source", why));
        }
        _ => {}
    }
    errors.extend(old.and_then(|old| unchanged(new, old, "/spec", "spec")));
    errors
}

/// VolumeAttributesClass.
pub(super) fn attributes_class(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required(new, "/driverName", "driverName")
        .into_iter()
        .collect();
    if new
        .get("parameters")
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty)
    {
        errors.push(FieldError::required(
            "parameters",
            "must contain at least one key/value pair",
        ));
    }
    if let Some(old) = old {
        errors.extend(unchanged(new, old, "/driverName", "driverName"));
        errors.extend(unchanged(new, old, "/parameters", "parameters"));
    }
    errors
}

/// CSIStorageCapacity.
pub(super) fn capacity(new: &mut Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required(new, "/storageClassName", "storageClassName")
        .into_iter()
        .collect();
    if let Some(old) = old {
        errors.extend(unchanged(new, old, "/nodeTopology", "nodeTopology"));
        errors.extend(unchanged(new, old, "/storageClassName", "storageClassName"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::told::errors;

    #[test]
    fn classes_do_not_change() {
        let class = json!({"metadata": {"name": "c"}, "provisioner": "csi.example.com", "parameters": {"a": "b"}, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
        assert!(errors("StorageClass", class.clone(), None).is_empty());
        let mut other = class.clone();
        other["parameters"]["a"] = "c".into();
        other["allowVolumeExpansion"] = true.into();
        assert_eq!(
            errors("StorageClass", other, Some(&class)),
            ["parameters: Forbidden: updates to parameters are forbidden."]
        );
        let mut other = class.clone();
        other["volumeBindingMode"] = "WaitForFirstConsumer".into();
        assert_eq!(
            errors("StorageClass", other, Some(&class)),
            ["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"]
        );
        assert_eq!(
            errors("StorageClass", json!({"reclaimPolicy": "Recycle"}), None),
            [
                "provisioner: Required value",
                "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\""
            ]
        );
    }
}
