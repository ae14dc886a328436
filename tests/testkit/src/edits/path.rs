//! Finds and sets the field of a path in an object. `[]` is the first item that has the
//! rest of the path, `[1]` is the second item, and `{}` is the first value of a map.

use serde_json::Value;

/// The JSON Pointer of the field, if the object has it.
pub(super) fn find(object: &Value, path: &str) -> Option<String> {
    let Some((name, rest)) = step(path) else {
        return Some(String::new());
    };
    let members: Vec<(String, &Value)> = match (name, object) {
        ("[]", Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        ("{}", Value::Object(members)) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        (name, Value::Array(items)) => {
            let index = name.trim_matches(['[', ']']);
            vec![(index.to_owned(), items.get(index.parse::<usize>().ok()?)?)]
        }
        (name, object) => vec![(name.to_owned(), object.get(name)?)],
    };
    members
        .into_iter()
        .find_map(|(name, value)| Some(format!("/{name}{}", find(value, rest)?)))
}

/// Sets the field, which may be a new member of an object; null removes it. `None` if there is no place for it.
pub(super) fn set(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if let Some(pointer) = find(object, path)
        && !value.is_null()
    {
        *object.pointer_mut(&pointer)? = value;
        return Some(());
    }
    let (parent, name) = path.rsplit_once('.')?;
    let pointer = find(object, parent)?;
    let members = object.pointer_mut(&pointer)?.as_object_mut()?;
    if value.is_null() {
        members.remove(name)?;
    } else {
        members.insert(name.to_owned(), value);
    }
    Some(())
}

/// The first step of a path and the rest: `tools[].name` is `tools` and `[].name`.
fn step(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    let end = match path.find(['[', '{', '.']) {
        Some(0) => path.find([']', '}'])? + 1,
        Some(end) => end,
        None => path.len(),
    };
    Some((&path[..end], &path[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_searched_for_the_item_that_has_the_field() {
        let object = json!({"spec": {"tools": [{"tool": "a"}, {"agent": "b"}], "limits": {"cpu": 1}, "events": ["x"]}});
        for (path, pointer) in [
            ("spec.tools[].agent", Some("/spec/tools/1/agent")),
            ("spec.tools[0].tool", Some("/spec/tools/0/tool")),
            ("spec.limits{}", Some("/spec/limits/cpu")),
            ("spec.events[]", Some("/spec/events/0")),
            ("spec.tools[].name", None),
            ("spec.tools[7].tool", None),
        ] {
            assert_eq!(find(&object, path).as_deref(), pointer, "{path}");
        }
    }

    #[test]
    fn a_field_is_changed_added_or_removed() {
        let mut object = json!({"spec": {"tools": [{"tool": "a"}], "old": 1}});
        set(&mut object, "spec.tools[].tool", json!("b")).unwrap();
        set(&mut object, "spec.old", Value::Null).unwrap();
        set(&mut object, "spec.new", json!(2)).unwrap();
        assert_eq!(object, json!({"spec": {"tools": [{"tool": "b"}], "new": 2}}));
        assert_eq!(set(&mut object, "spec.none.at", json!(2)), None);
        assert_eq!(set(&mut object, "spec.none", Value::Null), None);
    }
}
