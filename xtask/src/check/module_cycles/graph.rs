//! Which module depends on which, and the circles in that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::{Path, SourcePaths};

/// Re-exports of re-exports are followed this far.
const MAX_REEXPORTS: usize = 8;

/// The modules of one crate by their path from its root.
pub(super) struct Modules(BTreeMap<Path, SourcePaths>);

/// Siblings by their full path, and the siblings that each depends on.
type Siblings = BTreeMap<Path, BTreeSet<Path>>;

impl Modules {
    pub(super) fn new(modules: BTreeMap<Path, SourcePaths>) -> Self {
        Self(modules)
    }

    /// One circle of each group of siblings that depend on each other, for example `a → b → a`.
    pub(super) fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let mut reported = BTreeSet::new();
        let mut circles = Vec::new();
        for start in edges.keys() {
            let Some(circle) = shortest_circle(start, &edges) else {
                continue;
            };
            if circle.iter().any(|module| reported.contains(module)) {
                continue;
            }
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            circles.push(names.join(" → "));
            reported.extend(circle);
        }
        circles
    }

    fn edges(&self) -> Siblings {
        let mut edges = Siblings::new();
        for (module, source) in &self.0 {
            for path in &source.paths {
                let Some(target) = self.resolve(module, path, MAX_REEXPORTS) else {
                    continue;
                };
                let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if module.len() > shared && target.len() > shared {
                    let (from, to) = (module[..=shared].to_vec(), target[..=shared].to_vec());
                    edges.entry(from).or_default().insert(to);
                }
            }
        }
        edges
    }

    /// The module that holds what `path` names, as seen from `module`.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Path> {
        let mut names = path.iter();
        let mut current = match path.first()?.as_str() {
            "crate" => {
                names.next();
                Path::new()
            }
            "self" => {
                names.next();
                module.to_vec()
            }
            _ => module.to_vec(),
        };
        for name in names {
            if name == "self" {
                continue;
            }
            if name == "super" {
                current.pop()?;
                continue;
            }
            let child: Path = current.iter().cloned().chain([name.clone()]).collect();
            if self.0.contains_key(&child) {
                current = child;
                continue;
            }
            let import = self.0.get(&current)?.imports.get(name);
            return match import {
                Some(import) if depth > 0 && current != module => self.resolve(&current, import, depth - 1),
                _ => Some(current),
            };
        }
        Some(current)
    }
}

/// The shortest way from a module back to itself, with the module at both ends.
fn shortest_circle(start: &Path, edges: &Siblings) -> Option<Vec<Path>> {
    let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for next in edges.get(module).into_iter().flatten() {
            if next == start {
                let mut circle = vec![start.clone(), module.clone()];
                let mut at = module;
                while at != start {
                    at = came_from.get(at)?;
                    circle.push(at.clone());
                }
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, module);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(modules: &[(&str, &str)]) -> Vec<String> {
        let modules = modules.iter().map(|(module, text)| {
            let path = module.split("::").filter(|name| !name.is_empty()).map(str::to_owned);
            (path.collect(), SourcePaths::read(text).unwrap())
        });
        Modules::new(modules.collect()).circles()
    }

    #[test]
    fn a_circle_of_three_is_found_below_different_parents() {
        assert_eq!(
            circles(&[
                ("", ""),
                ("a", ""),
                ("a::deep", "use crate::b::B;"),
                ("b", "use super::c;"),
                ("c", "use crate::a::deep::D;"),
            ]),
            ["a → b → c → a"]
        );
    }

    #[test]
    fn a_parent_and_its_children_may_use_each_other() {
        assert_eq!(
            circles(&[
                ("", "mod a;"),
                ("a", "use child::Child; fn helper() {}"),
                ("a::child", "use super::helper;"),
            ]),
            [""; 0]
        );
    }

    #[test]
    fn a_name_that_the_parent_reexports_leads_to_the_sibling() {
        assert_eq!(
            circles(&[
                ("", "mod a; mod b; pub use b::B;"),
                ("a", "use crate::B;"),
                ("b", "use crate::a::A;"),
            ]),
            ["a → b → a"]
        );
    }
}
