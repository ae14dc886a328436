//! Bounds of JSON Schemas. A validator applies a schema to every value, again for each
//! reference, and collects the errors of all alternatives: a small schema can make the
//! work double with every level of a value. Here every schema is seen as a graph whose
//! edges lead to the schemas that apply to the same value, or to a part of it.
//!
//! Allowed is what takes work in proportion to schema and value: references that, all
//! written out, give a limited number of schemas, and references to itself that apply
//! once to each part of a value, as in a tree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{OutOfBounds, json};

mod edges;

use self::edges::{Edge, Part, edges_of};

/// Largest schema, as JSON.
pub const MAXIMUM_BYTES: usize = 65_536;
/// Deepest JSON of a schema.
pub const MAXIMUM_DEPTH: usize = 48;
/// Most schemas in a schema.
pub const MAXIMUM_SCHEMAS: usize = 1_024;
/// Most schemas when every reference is replaced by what it refers to.
pub const MAXIMUM_EXPANDED: u64 = 4_096;
/// Longest regular expression in a schema.
pub const MAXIMUM_PATTERN_BYTES: usize = 1_024;

const NO_RECURSION: &str = "refer to another schema, or describe the value as any object";

/// The work that a schema takes: how many schemas apply to a value at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost(u64);

impl Cost {
    /// The work for a value, in schemas times values.
    pub fn for_value(self, value: &Value) -> u64 {
        let parts = u64::try_from(parts_of(value).count()).unwrap_or(u64::MAX);
        self.0.saturating_mul(parts)
    }
}

/// Gives a schema to `compile` if it is within the bounds.
pub fn compile_with<T>(schema: &Value, compile: impl FnOnce(&Value, Cost) -> T) -> Result<T, OutOfBounds> {
    let cost = check(schema)?;
    Ok(compile(schema, cost))
}

/// Checks that a schema is within the bounds.
pub fn check(schema: &Value) -> Result<Cost, OutOfBounds> {
    if json::is_deeper_than(schema, MAXIMUM_DEPTH) {
        return Err(OutOfBounds::TooDeep {
            what: "its parts",
            limit: MAXIMUM_DEPTH,
        });
    }
    let bytes = schema.to_string().len();
    if bytes > MAXIMUM_BYTES {
        return Err(OutOfBounds::TooLong {
            bytes,
            limit: MAXIMUM_BYTES,
        });
    }
    check_identifiers(schema)?;
    let graph = Graph::of(schema)?;
    let components = graph.components();
    graph.check_recursion(&components)?;
    let expanded = graph.expanded(&components);
    if expanded > MAXIMUM_EXPANDED {
        return Err(OutOfBounds::TooMany {
            what: "schemas when its references are replaced by what they refer to",
            limit: usize::try_from(MAXIMUM_EXPANDED).unwrap_or(usize::MAX),
        });
    }
    Ok(Cost(expanded))
}

/// Refuses a schema within the schema that has an identifier: references in it would begin there.
fn check_identifiers(schema: &Value) -> Result<(), OutOfBounds> {
    let is_old = schema["$schema"]
        .as_str()
        .is_some_and(|draft| draft.contains("draft-04"));
    let keyword = if is_old { "id" } else { "$id" };
    if parts_of(schema).skip(1).any(|part| part[keyword].is_string()) {
        return Err(OutOfBounds::not_allowed(
            format!("`{keyword}` within a schema"),
            "refer to it by a path such as #/$defs/name",
        ));
    }
    Ok(())
}

/// The values that a value consists of, itself first.
fn parts_of(value: &Value) -> impl Iterator<Item = &Value> {
    let mut open = vec![value];
    std::iter::from_fn(move || {
        let value = open.pop()?;
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Some(value)
    })
}

/// The schemas that a schema reaches. The first one is the schema itself.
struct Graph<'a> {
    nodes: Vec<Node<'a>>,
}

struct Node<'a> {
    edges: Vec<(Edge<'a>, usize)>,
    /// It has a keyword that applies its schemas a second time.
    is_doubled: bool,
}

/// For each schema, the number of its strongly connected component. A component has a higher number
/// than those that it refers to.
struct Components {
    of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn of(root: &'a Value) -> Result<Self, OutOfBounds> {
        let mut graph = Self { nodes: Vec::new() };
        // Keyed by address: a schema that two references reach is one schema.
        let mut known = BTreeMap::from([(address(root), 0)]);
        let mut reached = vec![root];
        while let Some(schema) = reached.get(graph.nodes.len()).copied() {
            let members = schema.as_object();
            let mut edges = Vec::new();
            let applied = members.map(|members| edges_of(members, root)).transpose()?;
            for (edge, target) in applied.into_iter().flatten() {
                let next = reached.len();
                let index = *known.entry(address(target)).or_insert(next);
                if index == next {
                    reached.push(target);
                }
                edges.push((edge, index));
            }
            if reached.len() > MAXIMUM_SCHEMAS {
                return Err(OutOfBounds::TooMany {
                    what: "schemas",
                    limit: MAXIMUM_SCHEMAS,
                });
            }
            graph.nodes.push(Node {
                edges,
                is_doubled: members.is_some_and(is_doubled),
            });
        }
        Ok(graph)
    }

    /// Tarjan's algorithm. The recursion is as deep as there are schemas at most.
    fn components(&self) -> Components {
        let mut search = Search {
            graph: self,
            indexes: vec![None; self.nodes.len()],
            low: vec![0; self.nodes.len()],
            stack: Vec::new(),
            found: 0,
            components: Components {
                of: vec![usize::MAX; self.nodes.len()],
                members: Vec::new(),
            },
        };
        search.visit(0);
        search.components
    }

    /// Checks that a schema that refers to itself does so once for each part of a value.
    fn check_recursion(&self, components: &Components) -> Result<(), OutOfBounds> {
        for members in components.members.iter().filter(|members| self.is_recursive(members)) {
            if members.iter().any(|member| self.nodes[*member].is_doubled) {
                return Err(OutOfBounds::not_allowed(
                    "`unevaluatedProperties` or `unevaluatedItems` in a schema that refers to itself",
                    "use additionalProperties or items",
                ));
            }
            for start in members {
                let mut parts = BTreeSet::new();
                self.collect_parts(*start, &components.of, members.len(), &mut parts)?;
                if parts
                    .iter()
                    .any(|part| part.any() != *part && parts.contains(&part.any()))
                {
                    return Err(applies_twice());
                }
            }
        }
        Ok(())
    }

    fn is_recursive(&self, members: &[usize]) -> bool {
        members.len() > 1
            || self.nodes[members[0]]
                .edges
                .iter()
                .any(|(_, target)| *target == members[0])
    }

    /// Collects the parts of a value to which the component of `node` applies when `node` applies to the value. Fails
    /// at the first part that is there already, so it follows no more paths than there are parts.
    fn collect_parts(
        &self,
        node: usize,
        component_of: &[usize],
        steps: usize,
        parts: &mut BTreeSet<Part<'a>>,
    ) -> Result<(), OutOfBounds> {
        for (edge, target) in &self.nodes[node].edges {
            match edge {
                _ if component_of[*target] != component_of[node] => {}
                Edge::Part(part) if !parts.insert(*part) => return Err(applies_twice()),
                Edge::Part(_) => {}
                Edge::Same if steps == 0 => {
                    return Err(OutOfBounds::not_allowed(
                        "a schema that refers to itself for the same value",
                        NO_RECURSION,
                    ));
                }
                Edge::Same => self.collect_parts(*target, component_of, steps - 1, parts)?,
            }
        }
        Ok(())
    }

    /// How many schemas there are with every reference replaced by what it refers to; those of a component count once.
    fn expanded(&self, components: &Components) -> u64 {
        let mut sizes: Vec<u64> = Vec::new();
        for (number, members) in components.members.iter().enumerate() {
            let size = members.iter().fold(0_u64, |size, member| {
                let node = &self.nodes[*member];
                let outside = node.edges.iter().map(|(_, target)| components.of[*target]);
                let own = outside
                    .filter(|target| *target != number)
                    .fold(1_u64, |own, target| own.saturating_add(sizes[target]));
                size.saturating_add(if node.is_doubled { own.saturating_mul(2) } else { own })
            });
            sizes.push(size);
        }
        components.of.first().map_or(0, |root| sizes[*root])
    }
}

fn applies_twice() -> OutOfBounds {
    OutOfBounds::not_allowed(
        "a schema that refers to itself more than once for the same part of a value",
        NO_RECURSION,
    )
}

fn address(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

fn is_doubled(schema: &Map<String, Value>) -> bool {
    ["unevaluatedProperties", "unevaluatedItems"]
        .iter()
        .any(|keyword| schema.contains_key(*keyword))
}

struct Search<'a> {
    graph: &'a Graph<'a>,
    indexes: Vec<Option<usize>>,
    low: Vec<usize>,
    stack: Vec<usize>,
    found: usize,
    components: Components,
}

impl Search<'_> {
    fn visit(&mut self, node: usize) {
        let index = self.found;
        self.found += 1;
        self.indexes[node] = Some(index);
        self.low[node] = index;
        self.stack.push(node);
        let graph = self.graph;
        for (_, target) in &graph.nodes[node].edges {
            match self.indexes[*target] {
                None => {
                    self.visit(*target);
                    self.low[node] = self.low[node].min(self.low[*target]);
                }
                Some(index) if self.components.of[*target] == usize::MAX => {
                    self.low[node] = self.low[node].min(index);
                }
                Some(_) => {}
            }
        }
        if self.low[node] != index {
            return;
        }
        let number = self.components.members.len();
        let start = self
            .stack
            .iter()
            .rposition(|member| *member == node)
            .unwrap_or_default();
        let members = self.stack.split_off(start);
        for member in &members {
            self.components.of[*member] = number;
        }
        self.components.members.push(members);
    }
}

#[cfg(test)]
mod tests;
