//! The paths to other modules that one source file writes down.

use std::collections::BTreeMap;

use anyhow::anyhow;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// `crate`, `self` or one `super` for each level, and the names that follow.
pub(super) type Path = Vec<String>;

/// Paths of one file, without those below `#[cfg(test)]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SourcePaths {
    pub paths: Vec<Path>,
    /// Names that `use` brings into the module, and what they stand for.
    pub imports: BTreeMap<String, Path>,
    /// Modules that are declared below `#[cfg(test)]`, in files of their own.
    pub test_modules: Vec<String>,
}

impl SourcePaths {
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        // A lexer error is not `Send`.
        let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
        let mut found = Self::default();
        found.scan(tokens, 0);
        Ok(found)
    }

    /// `inline` is the number of modules with braces around these tokens.
    fn scan(&mut self, tokens: TokenStream, inline: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let [TokenTree::Group(attribute), item @ ..] = after
                        && is_for_tests(&attribute.stream().to_string())
                    {
                        rest = self.skip_item(item);
                    }
                }
                TokenTree::Ident(word) if word == "use" => rest = self.take_import(after, inline),
                TokenTree::Ident(word) if word == "mod" => {
                    if let [TokenTree::Ident(_), TokenTree::Group(body), following @ ..] = after {
                        self.scan(body.stream(), inline + 1);
                        rest = following;
                    }
                }
                TokenTree::Ident(word) if is_root(&word.to_string()) && is_separator(after) => {
                    let mut leaves = Vec::new();
                    rest = read_tree(Vec::new(), std::slice::from_ref(first), after, &mut leaves);
                    let paths = leaves.into_iter().filter_map(|(_, path)| outside(path, inline));
                    self.paths.extend(paths);
                }
                TokenTree::Group(group) => self.scan(group.stream(), inline),
                _ => {}
            }
        }
    }

    fn take_import<'t>(&mut self, tokens: &'t [TokenTree], inline: usize) -> &'t [TokenTree] {
        let tokens = if is_separator(tokens) { &tokens[2..] } else { tokens };
        let mut leaves = Vec::new();
        let rest = match tokens {
            [first, after @ ..] => read_tree(Vec::new(), std::slice::from_ref(first), after, &mut leaves),
            [] => tokens,
        };
        for (name, mut path) in leaves {
            if !path.first().is_some_and(|name| is_root(name)) {
                // A child of this module, or another crate.
                path.insert(0, "self".to_owned());
            }
            let Some(path) = outside(path, inline) else { continue };
            self.paths.push(path.clone());
            if inline == 0 {
                self.imports.insert(name, path);
            }
        }
        rest
    }

    /// What follows the item that these tokens begin with.
    fn skip_item<'t>(&mut self, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let end = tokens.iter().position(|token| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        });
        let (item, rest) = tokens.split_at(end.map_or(tokens.len(), |end| end + 1));
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)] = item
            && word == "mod"
        {
            self.test_modules.push(name.to_string());
        }
        rest
    }
}

/// Reads `first` and `rest` as a tree of paths below `path`, adds each leaf with the name it is known by, and returns
/// what follows the tree.
fn read_tree<'t>(
    mut path: Path,
    first: &'t [TokenTree],
    rest: &'t [TokenTree],
    leaves: &mut Vec<(String, Path)>,
) -> &'t [TokenTree] {
    match first {
        [TokenTree::Ident(name)] => {
            path.push(name.to_string());
            if is_separator(rest)
                && let [next, following @ ..] = &rest[2..]
                && matches!(next, TokenTree::Ident(_) | TokenTree::Group(_))
            {
                return read_tree(path, std::slice::from_ref(next), following, leaves);
            }
            match rest {
                [TokenTree::Ident(keyword), TokenTree::Ident(alias), following @ ..] if keyword == "as" => {
                    leaves.push((alias.to_string(), path));
                    following
                }
                _ => {
                    leaves.push((name.to_string(), path));
                    rest
                }
            }
        }
        [TokenTree::Group(group)] => {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            for branch in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
                if let [first, following @ ..] = branch {
                    read_tree(path.clone(), std::slice::from_ref(first), following, leaves);
                }
            }
            rest
        }
        _ => rest,
    }
}

fn is_root(name: &str) -> bool {
    matches!(name, "crate" | "super" | "self")
}

fn is_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(one), TokenTree::Punct(two), ..] if one.as_char() == ':' && two.as_char() == ':')
}

fn is_for_tests(attribute: &str) -> bool {
    let attribute: String = attribute.split_whitespace().collect();
    attribute.starts_with("cfg(test") || attribute.starts_with("cfg(all(test")
}

/// The path as the file's own module writes it. `None` when it stays inside of the modules with braces.
fn outside(mut path: Path, inline: usize) -> Option<Path> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    if inline == 0 || path.first().is_some_and(|name| name == "crate") {
        return Some(path);
    }
    if supers < inline {
        return None;
    }
    path.drain(..inline);
    if supers == inline {
        path.insert(0, "self".to_owned());
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let found = SourcePaths::read(text).unwrap();
        found.paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn every_leaf_of_a_use_tree_is_a_path() {
        assert_eq!(
            paths("use crate::{a, b::{C, self as d}}; pub(crate) use super::super::e::F;"),
            ["crate::a", "crate::b::C", "crate::b::self", "super::super::e::F"]
        );
    }

    #[test]
    fn paths_in_expressions_types_and_macros_count() {
        assert_eq!(
            paths("fn f(x: &crate::a::A) { select! { _ = super::b::wait::<u8>() => {} } }"),
            ["crate::a::A", "super::b::wait"]
        );
    }

    #[test]
    fn code_for_tests_does_not_count() {
        let text = "#[cfg(test)] mod cases; #[cfg(test)] mod tests { use crate::a; } use crate::b;";
        let found = SourcePaths::read(text).unwrap();
        assert_eq!(found.paths, [["crate", "b"]]);
        assert_eq!(found.test_modules, ["cases"]);
    }

    #[test]
    fn modules_with_braces_belong_to_their_file() {
        assert_eq!(
            paths("mod inner { use super::a; use super::super::b; }"),
            ["self::a", "super::b"]
        );
    }
}
