//! Makes a struct with `metadata` a Kubernetes kind: its address, and its form on the wire.
//!
//! Knows nothing of what the kinds mean.

use serde::{Deserialize, Deserializer};

/// Reads a value whose absence and `null` both mean "empty".
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Implements `Resource` and `Serialize` (which adds `apiVersion` and `kind`) for a kind of single
/// snapshots, or of the API group named first.
///
/// After `;` come the fields beside `metadata`: plain ones are always written, those in `[…]` only when set.
macro_rules! kind {
    ($kind:ident, $plural:literal, $scope:ident; $($fields:tt)*) => {
        kind!(crate::GROUP, crate::API_VERSION => $kind, $plural, $scope; $($fields)*);
    };
    ($group:expr, $api_version:expr => $kind:ident, $plural:literal, $scope:ident; $($name:literal: $field:ident),*; $([$opt_name:literal: $opt_field:ident]),*) => {
        impl kube_core::Resource for $kind {
            type DynamicType = ();
            type Scope = k8s_openapi::$scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                stringify!($kind).into()
            }
            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version((): &()) -> std::borrow::Cow<'_, str> {
                crate::VERSION.into()
            }
            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("apiVersion", $api_version)?;
                map.serialize_entry("kind", stringify!($kind))?;
                map.serialize_entry("metadata", &self.metadata)?;
                $(map.serialize_entry($name, &self.$field)?;)*
                $(if let Some(value) = &self.$opt_field {
                    map.serialize_entry($opt_name, value)?;
                })*
                map.end()
            }
        }
    };
}
pub(crate) use kind;
