use serde_json::json;

use super::*;

fn listing(tools: Value) -> Listing {
    let Value::Array(tools) = tools else { panic!("a list") };
    check_tools(tools, &Redactor::default())
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[test]
fn a_tool_that_cannot_be_used_is_left_out_and_the_others_stay() {
    let listing = listing(json!([
        {"name": "plain", "inputSchema": {"type": "object"}},
        {"name": "no-schema"},
        {"name": "null-schema", "inputSchema": null},
        {"name": "text", "inputSchema": {"type": "string"}},
        {"name": "pattern", "inputSchema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}},
        {"name": "gone", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}}},
        {"name": "header", "inputSchema": {"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}}},
        {"description": "nameless"},
        {"name": 7},
        "tool",
        {"name": "plain", "description": "again"},
    ]));
    assert_eq!(names(&listing), ["plain", "no-schema", "null-schema"]);
    let expected = [
        "\"text\" is left out: it does not take an object",
        "\"pattern\" is left out: its parameter schema is invalid",
        "\"gone\" is left out: its parameter schema refers to",
        "\"header\" is left out: x-mcp-header",
        "without a name",
        "without a name",
        "without a name",
        "lists \"plain\" more than once",
    ];
    assert_eq!(listing.problems.len(), expected.len(), "{:?}", listing.problems);
    for (problem, expected) in listing.problems.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_schema_that_nests_without_end_is_left_out() {
    let mut schema = json!({"type": "string"});
    for _ in 0..10_000 {
        schema = json!({"type": "array", "items": schema});
        if steadfast_bounds::json::is_deeper_than(&schema, 90) {
            break;
        }
    }
    let listing = listing(
        json!([{"name": "deep", "inputSchema": {"type": "object", "properties": {"a": schema}}}, {"name": "b"}]),
    );
    assert!(names(&listing).contains(&"b"));
}

#[test]
fn hints_and_notes_of_a_tool_are_kept() {
    let listing = listing(json!([{
        "name": "t", "title": "Title", "annotations": {"idempotentHint": true, "readOnlyHint": "yes"},
        "inputSchema": {"anyOf": [{"required": ["a"], "properties": {"a": {"type": "string"}}}, {"required": []}]},
    }]));
    let tool = &listing.tools[0];
    assert!(tool.idempotent && !tool.read_only);
    assert_eq!(
        tool.description,
        "Title\nGive one of these groups of parameters: (a) or ()."
    );
}

#[test]
fn a_page_may_lack_everything_but_must_be_an_object() {
    let page = |result: Value| read_page(result).map(|page| (page.tools.len(), page.next, page.ttl));
    assert_eq!(page(json!({})), Ok((0, None, None)));
    assert_eq!(page(json!({"tools": null, "nextCursor": null})), Ok((0, None, None)));
    assert_eq!(
        page(json!({"tools": {"a": {}}, "nextCursor": 7})),
        Ok((1, Some(json!(7)), None))
    );
    assert_eq!(page(json!({"nextCursor": {"page": 2}})), Ok((0, None, None)));
    let ttl = Some(Duration::from_millis(1_500));
    assert_eq!(
        page(json!({"tools": [{}], "nextCursor": "", "ttlMs": 1_500})),
        Ok((1, Some(json!("")), ttl))
    );
    assert_eq!(page(json!({"tools": [], "ttlMs": -1})), Ok((0, None, None)));
    assert!(page(json!("tools")).is_err());
    assert!(page(json!({"tools": "a"})).is_err());
}
