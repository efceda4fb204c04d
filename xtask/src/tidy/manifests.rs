//! Checks manifests: every crate takes the workspace's lints, every YAML document is what it says.
//!
//! Does not know the schemas of what the documents describe.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{File, Finding};

/// Where the definitions are, and the source that carries them into the program.
const DEFINITIONS: &str = "deploy/crds/";
const CARRIER: &str = "crates/api/src/crd.rs";

/// Everything wrong with manifests.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let carrier = files
        .iter()
        .find(|it| it.path == CARRIER)
        .and_then(|it| it.text.as_deref());
    let mut found = Vec::new();
    for file in files {
        let Some(text) = &file.text else { continue };
        if file.name() == "Cargo.toml" && file.path != "Cargo.toml" && !takes_lints(text) {
            found.push(Finding::of(
                &file.path,
                "lacks `[lints]` with `workspace = true`",
            ));
        }
        let for_servers = file.path.starts_with("deploy/") || file.path.starts_with("examples/");
        let template = file.path.contains("/templates/");
        if for_servers && !template && file.extension() == "yaml" {
            found.extend(documents(file, text, carrier.unwrap_or_default()));
        }
    }
    found
}

fn takes_lints(text: &str) -> bool {
    let mut below = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    below.find(|line| !line.is_empty()) == Some("workspace = true")
}

fn documents(file: &File, text: &str, carrier: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = match <Value as serde::Deserialize>::deserialize(document) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            Err(error) => {
                found.push(Finding::of(&file.path, format!("not YAML: {error}")));
                return found;
            }
        };
        let field = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let chart = ["Chart.yaml", "values.yaml", "values.schema.yaml"].contains(&file.name());
        if !chart && (field("/apiVersion").is_empty() || field("/kind").is_empty()) {
            found.push(Finding::of(
                &file.path,
                "a document without apiVersion or kind",
            ));
        }
        let identity =
            ["/kind", "/metadata/namespace", "/metadata/name"].map(|it| field(it).to_owned());
        if !identity[2].is_empty() && !names.insert(identity) {
            let what = format!(
                "{} {} is there twice",
                field("/kind"),
                field("/metadata/name")
            );
            found.push(Finding::of(&file.path, what));
        }
        if file.path.starts_with(DEFINITIONS) {
            found.extend(definition(file, field, carrier));
        }
    }
    found
}

fn definition<'a>(file: &File, field: impl Fn(&str) -> &'a str, carrier: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let (group, plural) = (field("/spec/group"), field("/spec/names/plural"));
    if field("/kind") != "CustomResourceDefinition" {
        found.push(Finding::of(&file.path, "not a CustomResourceDefinition"));
    }
    if field("/metadata/name") != format!("{plural}.{group}") {
        found.push(Finding::of(
            &file.path,
            format!("must be named {plural}.{group}"),
        ));
    }
    if file.name() != format!("{group}_{plural}.yaml") {
        found.push(Finding::of(
            &file.path,
            format!("the file must be called {group}_{plural}.yaml"),
        ));
    }
    if !carrier.contains(&format!("/{}\"", file.path)) {
        found.push(Finding::of(
            &file.path,
            format!("{CARRIER} does not carry it"),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: Some((*text).to_owned()),
            })
            .collect();
        check(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn crates_must_take_the_lints_of_the_workspace() {
        assert_eq!(
            found(&[
                ("Cargo.toml", "[workspace]\n"),
                (
                    "crates/a/Cargo.toml",
                    "[package]\n\n[lints]\nworkspace = true\n"
                ),
                (
                    "crates/b/Cargo.toml",
                    "[package]\nworkspace = true\n[lints]\n[dependencies]\n"
                ),
            ]),
            ["crates/b/Cargo.toml: lacks `[lints]` with `workspace = true`"]
        );
    }

    #[test]
    fn documents_for_servers_must_parse_and_say_what_they_are() {
        assert_eq!(
            found(&[
                (
                    "examples/a.yaml",
                    "# Words.\n---\napiVersion: v1\nkind: Secret\n---\n"
                ),
                ("examples/b.yaml", "kind: Secret\n"),
                (
                    "deploy/c.yaml",
                    "apiVersion: v1\nkind: A\nmetadata: {name: x}\n---\napiVersion: v1\nkind: A\nmetadata: {name: x}\n"
                ),
                ("deploy/helm/templates/d.yaml", "{{ if }}: {{"),
                ("deploy/helm/Chart.yaml", "name: a\n"),
            ]),
            [
                "examples/b.yaml: a document without apiVersion or kind",
                "deploy/c.yaml: A x is there twice"
            ]
        );
        assert!(found(&[("deploy/a.yaml", "a: [")])[0].starts_with("deploy/a.yaml: not YAML: "));
    }

    #[test]
    fn definitions_must_be_carried_under_their_own_names() {
        let text = "apiVersion: v1\nkind: CustomResourceDefinition\nmetadata:\n  name: as.g\n\
            spec:\n  group: g\n  names:\n    plural: as\n";
        let carrier = (CARRIER, "include_str!(\"../deploy/crds/g_as.yaml\")");
        assert_eq!(found(&[("deploy/crds/g_as.yaml", text), carrier]), [""; 0]);
        assert_eq!(
            found(&[
                ("deploy/crds/as.yaml", &text.replace("as.g", "as")),
                carrier
            ]),
            [
                "deploy/crds/as.yaml: must be named as.g",
                "deploy/crds/as.yaml: the file must be called g_as.yaml",
                "deploy/crds/as.yaml: crates/api/src/crd.rs does not carry it",
            ]
        );
    }
}
