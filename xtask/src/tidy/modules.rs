//! Finds source files that no `mod` statement reaches: they look alive and are never compiled.
//!
//! Knows just enough of Rust to follow `mod name;`, `#[path = "…"]` and `include!("….rs")`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::Metadata;

use super::{File, Finding};

/// The files Cargo starts compiling at, from the root.
pub(super) fn roots(metadata: &Metadata, root: &Path) -> Vec<String> {
    metadata
        .workspace_packages()
        .iter()
        .flat_map(|package| &package.targets)
        .filter_map(|target| target.src_path.as_std_path().strip_prefix(root).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

/// Every source file must be reached from a root.
pub(super) fn check(files: &[File], roots: &[String]) -> Vec<Finding> {
    let sources: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.extension() == "rs")
        .map(|file| (file.path.as_str(), file.text.as_deref().unwrap_or_default()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut next: Vec<(String, bool)> = roots.iter().map(|it| (it.clone(), true)).collect();
    while let Some((path, is_root)) = next.pop() {
        let Some(text) = sources.get(path.as_str()) else {
            continue;
        };
        if reached.insert(path.clone()) {
            next.extend(
                named_by(&path, is_root, text)
                    .into_iter()
                    .map(|it| (it, false)),
            );
        }
    }
    sources
        .keys()
        .filter(|path| !reached.contains(**path))
        .map(|path| Finding::of(path, "no `mod` statement reaches it, so it is not compiled"))
        .collect()
}

/// Paths that a file's statements may mean; some do not exist.
fn named_by(path: &str, is_root: bool, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = if is_root || path.ends_with("/mod.rs") {
        folder.to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    let mut found = Vec::new();
    let mut given = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = module(line) {
            if let Some(path) = given.take() {
                found.push(format!("{folder}/{path}"));
            }
            found.push(format!("{below}/{name}.rs"));
            found.push(format!("{below}/{name}/mod.rs"));
        } else if let Some(path) = quoted(line, "#[path = ") {
            given = Some(path);
        } else if let Some(path) = quoted(line, "include!(") {
            found.push(format!("{folder}/{path}"));
        }
    }
    found
}

/// The name in `mod name;`, whatever its visibility.
fn module(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        None => line,
        Some(rest) => rest
            .strip_prefix('(')
            .map_or(rest, |it| it.split_once(')').map_or("", |(_, rest)| rest)),
    };
    let name = line
        .trim_start()
        .strip_prefix("mod ")?
        .split_once(';')?
        .0
        .trim();
    name.chars()
        .all(|it| it.is_alphanumeric() || it == '_')
        .then_some(name)
}

fn quoted<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let text = line.strip_prefix(before)?.strip_prefix('"')?;
    text.split_once('"').map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphans(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: Some((*text).to_owned()),
            })
            .collect();
        let roots = ["c/src/lib.rs".to_owned(), "c/tests/t.rs".to_owned()];
        check(&files, &roots)
            .into_iter()
            .map(|it| it.file)
            .collect()
    }

    #[test]
    fn follows_modules_of_every_spelling() {
        let files = [
            (
                "c/src/lib.rs",
                "mod a;\npub(crate) mod b;\npub mod c; // why\n#[cfg(test)]\nmod d;\n",
            ),
            ("c/src/a.rs", "mod inner;\n"),
            ("c/src/a/inner.rs", ""),
            ("c/src/b/mod.rs", "pub(in crate::b) mod deep;\n"),
            ("c/src/b/deep.rs", ""),
            (
                "c/src/c.rs",
                "#[path = \"odd_name.rs\"]\nmod odd;\nmod made {\n    include!(\"gen/x.rs\");\n}\n",
            ),
            ("c/src/odd_name.rs", ""),
            ("c/src/gen/x.rs", ""),
            ("c/src/d.rs", ""),
            ("c/tests/t.rs", "mod beside;\n"),
            ("c/tests/beside.rs", ""),
        ];
        assert_eq!(orphans(&files), [""; 0]);
    }

    #[test]
    fn finds_what_nothing_names() {
        let files = [
            ("c/src/lib.rs", "// mod gone;\nmod a;\nmodel b;\n"),
            ("c/src/a.rs", ""),
            ("c/src/gone.rs", "mod below;\n"),
            ("c/src/gone/below.rs", ""),
            ("c/src/b.rs", ""),
            ("c/src/a/b.rs", ""),
            ("c/tests/t.rs", ""),
        ];
        assert_eq!(
            orphans(&files),
            [
                "c/src/a/b.rs",
                "c/src/b.rs",
                "c/src/gone.rs",
                "c/src/gone/below.rs"
            ]
        );
    }
}
