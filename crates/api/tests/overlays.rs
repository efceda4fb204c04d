//! Checks what is laid over the definitions: nothing unasked, and never more than was asked for.

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tintype_api::{ConversionWebhook, CrdOptions, crds, crds_with};

    fn laid(options: &CrdOptions) -> Vec<(Value, Value)> {
        crds()
            .unwrap()
            .into_iter()
            .zip(crds_with(options).unwrap())
            .collect()
    }

    fn version<'a>(definition: &'a Value, name: &str) -> Option<&'a Value> {
        let mut versions = definition["spec"]["versions"].as_array().unwrap().iter();
        versions.find(|it| it["name"] == name)
    }

    #[test]
    fn nothing_is_laid_over_unasked() {
        for (plain, laid) in laid(&CrdOptions::default()) {
            assert_eq!(plain, laid);
        }
    }

    /// Upstream's 8.4 and 8.5 converted this kind only, and no other differs in shape.
    #[test]
    fn the_bundle_is_written_only_where_the_webhook_converts() {
        let webhook = ConversionWebhook {
            ca_bundle: Some("QUJD".into()),
            ..ConversionWebhook::default()
        };
        let options = CrdOptions {
            conversion: Some(webhook),
            ..CrdOptions::default()
        };
        for (plain, laid) in laid(&options) {
            if laid["metadata"]["name"]
                != "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io"
            {
                assert_eq!(plain, laid);
                continue;
            }
            let conversion = &laid["spec"]["conversion"];
            assert_eq!(conversion["strategy"], "Webhook");
            let client = &conversion["webhook"]["clientConfig"];
            assert_eq!(client["caBundle"], "QUJD");
            assert_eq!(client["service"]["path"], "/convert");
            assert_eq!(
                client["service"]["name"],
                "snapshot-conversion-webhook-service"
            );
        }
        let options = CrdOptions {
            conversion: Some(ConversionWebhook::default()),
            ..options
        };
        let all = crds_with(&options).unwrap();
        assert!(!Value::from(all).to_string().contains("caBundle"));
    }

    #[test]
    fn the_old_version_of_snapshots_has_every_field_and_rule_of_the_new_one() {
        let options = CrdOptions {
            serve_legacy: true,
            ..CrdOptions::default()
        };
        let mut seen = 0;
        for (plain, laid) in laid(&options) {
            if laid["spec"]["group"] != tintype_api::GROUP {
                continue;
            }
            let old = version(&laid, "v1beta1").unwrap();
            assert_eq!(old["schema"], version(&plain, "v1").unwrap()["schema"]);
            assert_eq!(
                [&old["served"], &old["storage"], &old["deprecated"]],
                [true, false, true]
            );
            assert_eq!(version(&laid, "v1"), version(&plain, "v1"));
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn the_first_version_of_groups_is_served_and_takes_nothing() {
        let options = CrdOptions {
            serve_legacy: true,
            ..CrdOptions::default()
        };
        let mut seen = 0;
        for (plain, laid) in laid(&options) {
            if laid["spec"]["group"] != tintype_api::GROUP_OF_GROUPS {
                continue;
            }
            let first = version(&laid, "v1alpha1").unwrap();
            assert_eq!([&first["served"], &first["storage"]], [true, false]);
            let rules = &first["schema"]["openAPIV3Schema"]["x-kubernetes-validations"];
            assert_eq!(rules[0]["rule"], "false");
            for name in tintype_api::GROUP_VERSIONS {
                assert_eq!(version(&laid, name), version(&plain, name));
            }
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
