//! Compares who depends on whom with the table in ARCHITECTURE.md.
//!
//! The table is the rule, Cargo's graph the fact. Development dependencies are free: a test may use
//! whatever it needs. Knows no crate by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::{File, Finding};

const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Edges";

/// What Cargo says of this repository, for this machine's platform.
pub(super) fn metadata(root: &Path) -> anyhow::Result<Metadata> {
    MetadataCommand::new()
        .current_dir(root)
        // Other platforms' crates are not downloaded by a build, and need not be.
        .other_options([
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            host()?,
        ])
        .exec()
        .context("ask cargo for the dependency graph")
}

fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc)
        .arg("-vV")
        .output()
        .context("start rustc")?;
    let text = String::from_utf8_lossy(&said.stdout);
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("`rustc -vV` does not name its host"),
    }
}

/// Who depends on whom, development dependencies left out. Ours go by their short names.
#[derive(Debug, Default)]
pub(super) struct Graph {
    ours: BTreeSet<String>,
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

/// The graph in Cargo's answer.
pub(super) fn graph(metadata: &Metadata) -> Graph {
    let mut graph = Graph::default();
    for package in &metadata.packages {
        let ours = metadata.workspace_members.contains(&package.id);
        let name = if ours {
            short(&package.name)
        } else {
            &package.name
        };
        graph.names.insert(package.id.repr.clone(), name.to_owned());
        if ours {
            graph.ours.insert(package.id.repr.clone());
        }
    }
    for node in metadata.resolve.iter().flat_map(|it| &it.nodes) {
        let kept = node.deps.iter().filter(|dep| {
            dep.dep_kinds
                .iter()
                .any(|it| it.kind != DependencyKind::Development)
        });
        let to = kept.map(|dep| dep.pkg.repr.clone()).collect();
        graph.edges.insert(node.id.repr.clone(), to);
    }
    graph
}

fn short(name: &str) -> &str {
    name.strip_prefix("tintype-").unwrap_or(name)
}

impl Graph {
    fn name(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn below(&self, id: &str) -> &[String] {
        self.edges.get(id).map_or(&[], Vec::as_slice)
    }

    /// Names of everything that can be reached from a package, with the shortest way there.
    fn seen_from(&self, id: &str) -> BTreeMap<String, Vec<String>> {
        let mut ways = BTreeMap::new();
        let mut visited = BTreeSet::from([id.to_owned()]);
        let mut next = VecDeque::from([(id.to_owned(), vec![self.name(id)])]);
        while let Some((at, way)) = next.pop_front() {
            for to in self.below(&at) {
                if visited.insert(to.clone()) {
                    let mut way = way.clone();
                    way.push(self.name(to));
                    ways.entry(self.name(to)).or_insert_with(|| way.clone());
                    next.push_back((to.clone(), way));
                }
            }
        }
        ways
    }
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    name: String,
    /// None: any of ours.
    may: Option<BTreeSet<String>>,
    /// Not these, whatever `may` says.
    but: BTreeSet<String>,
    never: BTreeSet<String>,
}

/// Every dependency among ours must be in the table, and nothing forbidden be reachable.
pub(super) fn check(files: &[File], graph: &Graph) -> Vec<Finding> {
    let page = files
        .iter()
        .find(|file| file.path == PAGE)
        .and_then(|file| file.text.as_deref());
    let Some(page) = page else {
        return vec![Finding::of(
            PAGE,
            "is missing; the edges between crates are in it",
        )];
    };
    let rows = rows(page);
    let mut found = Vec::new();
    for row in &rows {
        if !graph.ours.iter().any(|id| graph.name(id) == row.name) {
            found.push(Finding::at(
                PAGE,
                row.line,
                format!("there is no crate `{}`", row.name),
            ));
        }
    }
    for id in &graph.ours {
        let name = graph.name(id);
        match rows.iter().find(|row| row.name == name) {
            Some(row) => found.extend(broken(row, id, graph)),
            None => found.push(Finding::of(
                PAGE,
                format!("crate `{name}` is not in the table of edges"),
            )),
        }
    }
    found
}

fn broken(row: &Row, id: &str, graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    for to in graph.below(id).iter().filter(|it| graph.ours.contains(*it)) {
        let to = graph.name(to);
        let allowed = row.may.as_ref().is_none_or(|may| may.contains(&to));
        if !allowed || row.but.contains(&to) {
            let what = format!(
                "`{}` depends on `{to}`, which this row does not allow",
                row.name
            );
            found.push(Finding::at(PAGE, row.line, what));
        }
    }
    for (name, way) in graph.seen_from(id) {
        if row.never.contains(&name) {
            let what = format!("`{}` may not see `{name}`: {}", row.name, way.join(" → "));
            found.push(Finding::at(PAGE, row.line, what));
        }
    }
    found
}

/// The rows of the table below the heading, without its head.
fn rows(page: &str) -> Vec<Row> {
    page.lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(at, line)| row(at + 1, line))
        .collect()
}

fn row(line: usize, text: &str) -> Option<Row> {
    let cells: Vec<&str> = text
        .trim()
        .strip_prefix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    let [name, may, never, ..] = cells.as_slice() else {
        return None;
    };
    let name = quoted(name).pop_first()?;
    let named = quoted(may);
    let (may, but) = if may.starts_with("all") {
        (None, named)
    } else {
        (Some(named), BTreeSet::new())
    };
    Some(Row {
        line,
        name,
        may,
        but,
        never: quoted(never),
    })
}

/// All words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Page\n\n## Edges\n\nWords with `code`.\n\n\
        | crate | may depend on | may not see |\n|---|---|---|\n\
        | `api` | – | `tokio`, an HTTP client |\n\
        | `core` | `api` | – |\n\
        | `all` | all but `door` | – |\n\
        | `door` | all | – |\n\n## Next\n\n| `other` | – | – |\n";

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.edges.insert(
                (*from).to_owned(),
                to.iter().map(|it| (*it).to_owned()).collect(),
            );
        }
        for ours in ["api", "core", "all", "door"] {
            graph.ours.insert(ours.to_owned());
        }
        graph
    }

    fn found(page: &str, graph: &Graph) -> Vec<String> {
        let file = File {
            path: PAGE.to_owned(),
            text: Some(page.to_owned()),
        };
        check(&[file], graph)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_graph_within_the_table_is_passed() {
        let graph = graph(&[
            ("api", &["serde"]),
            ("core", &["api"]),
            ("all", &["core", "tokio"]),
            ("door", &["all"]),
        ]);
        assert_eq!(found(TABLE, &graph), [""; 0]);
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        let graph = graph(&[
            ("api", &["core"]),
            ("all", &["door"]),
            ("core", &[]),
            ("door", &[]),
        ]);
        assert_eq!(
            found(TABLE, &graph),
            [
                "ARCHITECTURE.md:11: `all` depends on `door`, which this row does not allow",
                "ARCHITECTURE.md:9: `api` depends on `core`, which this row does not allow",
            ]
        );
    }

    #[test]
    fn a_forbidden_crate_is_found_with_the_way_to_it() {
        let graph = graph(&[
            ("api", &["kube", "serde"]),
            ("kube", &["hyper"]),
            ("hyper", &["tokio"]),
        ]);
        assert_eq!(
            found(TABLE, &graph),
            ["ARCHITECTURE.md:9: `api` may not see `tokio`: api → kube → hyper → tokio"]
        );
    }

    #[test]
    fn crates_and_rows_must_match() {
        let mut graph = graph(&[]);
        graph.ours.remove("core");
        graph.ours.insert("new".to_owned());
        assert_eq!(
            found(TABLE, &graph),
            [
                "ARCHITECTURE.md:10: there is no crate `core`",
                "ARCHITECTURE.md: crate `new` is not in the table of edges",
            ]
        );
        assert_eq!(found("# No table\n", &graph).len(), 4);
        assert_eq!(check(&[], &graph).len(), 1);
    }
}
