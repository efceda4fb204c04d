//! Works out where a volume may be made: CSI's accessibility requirements.
//!
//! Does not know how nodes are watched, nor what a driver makes of its answer.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Topology keys and the value of each: all of them hold at once.
pub type Segments = BTreeMap<String, String>;

/// One node, as far as this driver is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// Topology keys the driver registered there (`CSINode`); empty if it is not there.
    pub keys: Vec<String>,
    /// `metadata.labels`; none if only the `CSINode` exists.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One term of `allowedTopologies`: keys, and the values each may have.
pub type AllowedTerm = Vec<(String, Vec<String>)>;

/// What a volume is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Name of the claim: spreads the volumes of a StatefulSet.
    pub claim: &'a str,
    /// `allowedTopologies` of the class.
    pub allowed: &'a [AllowedTerm],
    /// The node the consumer was placed on, with late binding.
    pub selected: Option<&'a str>,
    /// `--strict-topology`.
    pub strict: bool,
    /// `--immediate-topology`.
    pub immediate: bool,
    /// From where the source of the data can be reached; empty if nobody knows.
    pub source: &'a [Segments],
}

/// `accessibility_requirements` of `CreateVolume`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirement {
    /// The volume must be reachable from one of these.
    pub requisite: Vec<Segments>,
    /// The same, best first.
    pub preferred: Vec<Segments>,
}

/// Why there is no place to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lack {
    /// The selected node, or its `CSINode`, is gone.
    NodeGone,
    /// The driver has registered no topology on the selected node.
    NoKeys,
    /// The selected node lacks a label for a key the driver registered.
    NoLabel,
    /// The selected node is not in `allowedTopologies`.
    NotAllowed,
    /// The driver is on no node yet.
    Nowhere,
}

/// The requirement for a volume; none if it may be anywhere.
///
/// external-provisioner's table: late or immediate binding, strict or not, with or without
/// `allowedTopologies`. Beyond it, with immediate binding a copy is preferred where its source is.
pub fn requirement(ask: &Ask<'_>, nodes: &[Node]) -> Result<Option<Requirement>, Lack> {
    let selected = ask.selected.map(|name| of_node(name, nodes)).transpose()?;
    let mut requisite = match &selected {
        Some((here, _)) if ask.strict => {
            let allowed = flatten(ask.allowed);
            if !allowed.is_empty() && !allowed.iter().any(|it| is_within(it, here)) {
                return Err(Lack::NotAllowed);
            }
            vec![here.clone()]
        }
        _ if !ask.allowed.is_empty() => flatten(ask.allowed),
        None if !ask.immediate => return Ok(None),
        Some((_, keys)) => aggregate(keys, nodes),
        None => {
            let keys = nodes.iter().map(|it| &it.keys).find(|it| !it.is_empty());
            keys.map_or_else(Vec::new, |keys| aggregate(keys, nodes))
        }
    };
    requisite.sort_by(compare);
    requisite.dedup();
    if requisite.is_empty() {
        return if ask.allowed.is_empty() {
            Err(Lack::Nowhere)
        } else {
            Ok(None)
        };
    }
    let first = match &selected {
        Some((here, _)) => requisite.iter().position(|it| is_within(it, here)),
        None => Some(first_of_immediate(ask, &requisite)),
    };
    let mut preferred = requisite.clone();
    preferred.rotate_left(first.ok_or(Lack::NotAllowed)?);
    Ok(Some(Requirement {
        requisite,
        preferred,
    }))
}

/// The requirement that says: where the source of the data is, and nowhere else.
pub fn at_source(source: &[Segments]) -> Requirement {
    Requirement {
        requisite: source.to_vec(),
        preferred: source.to_vec(),
    }
}

/// A node with this topology can reach a volume with this node affinity; no affinity, everybody can.
pub fn reachable(affinity: &[Segments], here: &Segments) -> bool {
    affinity.is_empty() || affinity.iter().any(|it| is_within(it, here))
}

fn of_node(name: &str, nodes: &[Node]) -> Result<(Segments, Vec<String>), Lack> {
    let node = nodes.iter().find(|it| it.name == name);
    let node = node.ok_or(Lack::NodeGone)?;
    let labels = node.labels.as_ref().ok_or(Lack::NodeGone)?;
    if node.keys.is_empty() {
        return Err(Lack::NoKeys);
    }
    let here = segments(&node.keys, labels).ok_or(Lack::NoLabel)?;
    Ok((here, node.keys.clone()))
}

/// The topology the driver has registered on a node; none if it has none there, or a label lacks.
pub fn of(node: &Node) -> Option<Segments> {
    let labels = node.labels.as_ref().filter(|_| !node.keys.is_empty())?;
    segments(&node.keys, labels)
}

fn segments(keys: &[String], labels: &BTreeMap<String, String>) -> Option<Segments> {
    keys.iter()
        .map(|key| Some((key.clone(), labels.get(key)?.clone())))
        .collect()
}

/// The topologies of all nodes that have these keys.
fn aggregate(keys: &[String], nodes: &[Node]) -> Vec<Segments> {
    let labels = nodes.iter().filter_map(|it| it.labels.as_ref());
    labels.filter_map(|it| segments(keys, it)).collect()
}

/// Every combination of values, term by term: (a or b) and (c or d) is four segments.
fn flatten(allowed: &[AllowedTerm]) -> Vec<Segments> {
    let mut all = Vec::new();
    for term in allowed {
        let mut combined: Vec<Segments> = Vec::new();
        for (key, values) in term {
            let bases = if combined.is_empty() {
                vec![Segments::new()]
            } else {
                combined
            };
            combined = values
                .iter()
                .flat_map(|value| {
                    bases.iter().map(move |base| {
                        let mut one = base.clone();
                        one.insert(key.clone(), value.clone());
                        one
                    })
                })
                .collect();
        }
        all.extend(combined);
    }
    all
}

/// Everything the first says is true of the second.
fn is_within(part: &Segments, whole: &Segments) -> bool {
    part.iter()
        .all(|(key, value)| whole.get(key) == Some(value))
}

/// Shorter ones first, then by key and value: upstream's order.
fn compare(one: &Segments, two: &Segments) -> Ordering {
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

fn first_of_immediate(ask: &Ask<'_>, requisite: &[Segments]) -> usize {
    let near = |it: &Segments| {
        let fits = |source: &Segments| is_within(source, it) || is_within(it, source);
        ask.source.iter().any(fits)
    };
    if let Some(at) = requisite.iter().position(near) {
        return at;
    }
    let (hash, index) = spread(ask.claim);
    hash.wrapping_add(index) as usize % requisite.len()
}

/// Kubernetes' spreading of StatefulSets: the hash of the set's name, and the ordinal.
///
/// Claims of a set are named CLAIM-SET-ORDINAL; all claims of one ordinal come to the same place.
fn spread(claim: &str) -> (u32, u32) {
    let digits = |it: &&str| it.bytes().all(|byte| byte.is_ascii_digit());
    let ordinal = |(name, last)| Some((name, Some(last).filter(digits)?.parse::<u32>().ok()?));
    match claim.rsplit_once('-').and_then(ordinal) {
        Some((name, index)) => {
            let set = name.rsplit_once('-').map_or(name, |(_, set)| set);
            (fnv(set), index)
        }
        None => (fnv(claim), 0),
    }
}

/// FNV-1, 32 bits.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(pairs: &[(&str, &str)]) -> Segments {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn node(name: &str, labels: &[(&str, &str)]) -> Node {
        Node {
            name: name.to_owned(),
            keys: vec!["zone".to_owned()],
            labels: Some(segments(labels)),
        }
    }

    fn nodes() -> Vec<Node> {
        vec![
            node("n1", &[("zone", "a")]),
            node("n2", &[("zone", "b")]),
            node("n3", &[("zone", "c"), ("rack", "9")]),
        ]
    }

    const PLAIN: Ask<'static> = Ask {
        claim: "data",
        allowed: &[],
        selected: None,
        strict: false,
        immediate: true,
        source: &[],
    };

    fn zones(list: &[Segments]) -> String {
        let zone = |it: &Segments| it.get("zone").cloned().unwrap_or_default();
        list.iter().map(zone).collect()
    }

    #[track_caller]
    fn check(ask: &Ask<'_>, requisite: &str, preferred: &str) {
        let found = requirement(ask, &nodes()).unwrap().unwrap();
        assert_eq!(zones(&found.requisite), requisite);
        assert_eq!(zones(&found.preferred), preferred);
    }

    #[test]
    fn late_binding_asks_for_the_selected_node() {
        let late = Ask {
            selected: Some("n2"),
            ..PLAIN
        };
        check(&late, "abc", "bca");
        let strict = Ask {
            strict: true,
            ..late
        };
        check(&strict, "b", "b");
        let allowed = [vec![(
            "zone".to_owned(),
            vec!["c".to_owned(), "b".to_owned()],
        )]];
        let both = Ask {
            allowed: &allowed,
            ..late
        };
        check(&both, "bc", "bc");
        let elsewhere = Ask {
            selected: Some("n1"),
            strict: true,
            ..both
        };
        assert_eq!(requirement(&elsewhere, &nodes()), Err(Lack::NotAllowed));
    }

    #[test]
    fn a_node_without_topology_is_told_from_one_that_is_gone() {
        let asked = |name| {
            let ask = Ask {
                selected: Some(name),
                ..PLAIN
            };
            let mut nodes = nodes();
            nodes[1].keys.clear();
            nodes[2].keys.push("host".to_owned());
            requirement(&ask, &nodes)
        };
        assert_eq!(asked("gone"), Err(Lack::NodeGone));
        assert_eq!(asked("n2"), Err(Lack::NoKeys));
        assert_eq!(asked("n3"), Err(Lack::NoLabel));
        assert_eq!(requirement(&PLAIN, &[]), Err(Lack::Nowhere));
    }

    #[test]
    fn immediate_binding_spreads_unless_it_is_told_not_to_ask() {
        for (claim, preferred) in [
            ("data-web-0", "abc"),
            ("logs-web-0", "abc"),
            ("data-web-1", "bca"),
            ("data-web-2", "cab"),
        ] {
            check(&Ask { claim, ..PLAIN }, "abc", preferred);
        }
        let silent = Ask {
            immediate: false,
            ..PLAIN
        };
        assert_eq!(requirement(&silent, &nodes()), Ok(None));
        assert_eq!(fnv("a"), 0x050c_5d7e, "FNV-1 of its reference page");
    }

    #[test]
    fn a_copy_is_preferred_where_its_source_is() {
        let source = [segments(&[("zone", "c"), ("host", "h")])];
        let copy = Ask {
            source: &source,
            ..PLAIN
        };
        check(&copy, "abc", "cab");
        let late = Ask {
            selected: Some("n1"),
            ..copy
        };
        check(&late, "abc", "abc");
        assert_eq!(zones(&at_source(&source).requisite), "c");
    }

    #[test]
    fn values_are_distributed_over_keys() {
        let values = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let allowed = [vec![
            ("zone".to_owned(), values(&["a", "b"])),
            ("rack".to_owned(), values(&["1", "2"])),
        ]];
        assert_eq!(
            flatten(&allowed),
            [
                segments(&[("zone", "a"), ("rack", "1")]),
                segments(&[("zone", "b"), ("rack", "1")]),
                segments(&[("zone", "a"), ("rack", "2")]),
                segments(&[("zone", "b"), ("rack", "2")]),
            ]
        );
    }

    #[test]
    fn a_volume_is_reachable_from_the_nodes_of_its_affinity() {
        let here = segments(&[("zone", "a"), ("host", "x")]);
        assert!(reachable(&[], &here));
        assert!(reachable(&[segments(&[("zone", "a")])], &here));
        assert!(!reachable(&[segments(&[("zone", "b")])], &here));
    }
}
