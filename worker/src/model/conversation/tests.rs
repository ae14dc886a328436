#![allow(clippy::needless_pass_by_value, reason = "tests")]

use steadfast_agent_loop::{ModelText, UserContent};

use super::*;
use crate::model::attachments::NONE;

const OWN: &str = "responses/here/m";
const READER: Reader<'static> = Reader {
    attachments: &NONE,
    earlier_attachments: Earlier::Sent,
    agent: "a",
    origin: OWN,
    api: ModelApi::Responses,
    past: Past::Own,
    calls: CallForm::Items,
    ids: CallIds::Any,
};

fn read(transcript: &[Segment], reader: Reader<'_>) -> Vec<Value> {
    let transcript: Vec<&Segment> = transcript.iter().collect();
    let entries = conversation(&transcript, &reader).entries;
    entries
        .iter()
        .map(|entry| serde_json::to_value(entry).unwrap())
        .collect()
}

fn by(agent: &str) -> Reader<'_> {
    Reader { agent, ..READER }
}

fn at(origin: &str) -> Reader<'_> {
    Reader { origin, ..READER }
}

fn segment(body: Body) -> Segment {
    Segment {
        turn: 1,
        step: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        body,
    }
}

fn user(text: &str) -> Segment {
    segment(Body::User {
        message_id: "m".into(),
        idempotency_key: None,
        content: UserContent::Text(text.into()),
        sender: String::new(),
    })
}

fn said(items: Vec<Value>) -> Segment {
    segment(Body::Model {
        agent: "a".into(),
        origin: OWN.into(),
        items,
    })
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "t", "arguments": arguments})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

fn reasoning() -> Value {
    json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []})
}

fn answer() -> Segment {
    said(vec![
        reasoning(),
        json!({"type": "web_search_call", "id": "ws_1"}),
        message("I look."),
        call("c1", "{}"),
    ])
}

fn output_of(index: u32, kind: CallKind, call_id: &str, content: Value) -> Segment {
    segment(Body::Tool {
        index,
        output: ToolOutput {
            call_id: call_id.into(),
            name: "t".into(),
            kind,
            content,
            is_error: false,
            text: ModelText::default(),
        },
        by_task: false,
    })
}

fn output(index: u32) -> Segment {
    output_of(index, CallKind::Function, "c1", json!("done"))
}

fn handoff(messages_only: bool) -> Segment {
    segment(Body::Handoff {
        to: "b".into(),
        messages_only,
    })
}

#[test]
fn a_model_gets_its_own_items_back_unchanged() {
    let transcript = [user("hi"), answer(), output(3)];
    let items = read(&transcript, READER);
    let Body::Model { items: own, .. } = &transcript[1].body else {
        unreachable!()
    };
    assert_eq!(items[1..5], own[..]);
    assert_eq!(
        items[5],
        json!({"type": "function_call_output", "call_id": "c1", "output": "done"})
    );
    let mut unknown = transcript.clone();
    unknown[1].body = Body::Model {
        items: own.clone(),
        agent: String::new(),
        origin: String::new(),
    };
    assert_eq!(read(&unknown, READER), items);
}

#[test]
fn another_model_endpoint_or_agent_gets_what_any_model_can_read() {
    let transcript = [user("hi"), answer(), output(3), handoff(false)];
    let plain = Reader {
        past: Past::Plain,
        ..READER
    };
    for reader in [by("b"), at("responses/here/n"), at("chat/there/m"), plain] {
        let items = read(&transcript, reader);
        let id = items[2]["call_id"].clone();
        assert_eq!(
            items,
            [
                json!({"role": "user", "content": "hi"}),
                json!({"role": "assistant", "content": "I look."}),
                json!({"type": "function_call", "call_id": id, "name": "t", "arguments": "{}"}),
                json!({"type": "function_call_output", "call_id": id, "output": "done"}),
            ]
        );
        let id = id.as_str().unwrap();
        assert!(id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
        assert_eq!(items, read(&transcript, reader), "an id is the same in every request");
    }
}

#[test]
fn reasoning_that_is_not_whole_is_left_out_with_what_refers_to_it() {
    for lost in [
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}]}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": null, "content": []}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": ""}),
    ] {
        let items = read(
            &[
                user("hi"),
                said(vec![lost, message("I look."), call("c1", "{}")]),
                output(2),
            ],
            READER,
        );
        assert_eq!(items.len(), 4);
        assert!(items.iter().all(|item| item.get("id").is_none()), "{items:?}");
    }
    // Servers of open models have the text.
    let open = json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "why"}]});
    assert_eq!(read(&[said(vec![open.clone(), message("Hi.")])], READER)[0], open);
}

#[test]
fn an_answer_of_nothing_but_reasoning_is_not_sent() {
    assert_eq!(
        read(&[user("hi"), said(vec![reasoning()]), user("well?")], READER).len(),
        2
    );
    // Nor reasoning after the end of an answer.
    let items = read(&[said(vec![message("Hi."), reasoning()])], READER);
    assert_eq!(items, [message("Hi.")]);
}

#[test]
fn arguments_are_always_the_json_of_an_object() {
    for (written, sent) in [
        ("{\"n\": ", "{}"),
        ("null", "{}"),
        ("", "{}"),
        ("[1]", "{}"),
        ("[]", "{}"),
        ("\"text\"", "{}"),
        // The text of the object as JSON once more.
        (r#""{\"n\": 1.10}""#, "{\"n\":1.10}"),
        ("{\"n\": NaN}", "{}"),
        ("{ }", "{}"),
        ("{\"n\": 1.10}", "{\"n\": 1.10}"),
    ] {
        for reader in [READER, by("b")] {
            let items = read(&[said(vec![call("c1", written)]), output(0)], reader);
            assert_eq!(items[0]["arguments"], sent, "{written}");
        }
    }
    let mut object = call("c1", "");
    object["arguments"] = json!({"n": 1});
    assert_eq!(
        read(&[said(vec![object]), output(0)], READER)[0]["arguments"],
        "{\"n\":1}"
    );
}

#[test]
fn ids_that_the_server_refuses_are_replaced() {
    let nine = Reader {
        ids: CallIds::NineCharacters,
        ..READER
    };
    let ids = |given: &str, reader| {
        let items = read(&[said(vec![call(given, "{}")]), output(0)], reader);
        assert_eq!(items[0]["call_id"], items[1]["call_id"]);
        items[0]["call_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(ids("call_1", READER), "call_1");
    assert_eq!(ids("D681PevKs", nine), "D681PevKs");
    for refused in ["call_1", "call_0fypS1hVX", ""] {
        assert_eq!(ids(refused, nine).len(), 9);
    }
    assert_eq!(ids("", READER).len(), 9);
}

#[test]
fn two_calls_never_have_one_id() {
    let items = read(
        &[said(vec![call("c", "{}"), call("c", "{}")]), output(0), output(1)],
        READER,
    );
    assert_ne!(items[0]["call_id"], items[1]["call_id"]);
    assert_eq!(items[0]["call_id"], items[2]["call_id"]);
    assert_eq!(items[1]["call_id"], items[3]["call_id"]);
}

#[test]
fn without_tools_calls_and_their_results_are_text() {
    let text = Reader {
        calls: CallForm::Text,
        ..READER
    };
    assert_eq!(
        read(&[user("hi"), answer(), output(3)], text),
        [
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": "I look."}),
            json!({"role": "assistant", "content": "I called the tool t with the arguments {}"}),
            json!({"role": "user", "content": "The result of the tool t:\ndone"}),
        ]
    );
    // An answer without calls stays the model's own.
    let own = said(vec![reasoning(), message("Hi.")]);
    assert_eq!(read(&[own], text)[0], reasoning());
}

#[test]
fn a_call_without_a_result_is_not_sent() {
    let items = read(&[user("hi"), answer()], READER);
    assert_eq!(
        items,
        [
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": "I look."})
        ]
    );
}

#[test]
fn a_request_that_nothing_answers_is_not_sent_again_and_what_was_said_is() {
    let said = said(vec![
        reasoning(),
        message("I look."),
        json!({"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {}}),
        call("c1", "{}"),
    ]);
    for agent in ["a", "b"] {
        let items = read(&[said.clone(), output(3)], by(agent));
        let kinds: Vec<&Value> = items.iter().map(|item| &item["type"]).collect();
        assert_eq!(
            kinds,
            [&Value::Null, &json!("function_call"), &json!("function_call_output")]
        );
    }
}

#[test]
fn the_answer_to_an_approval_request_follows_the_request() {
    let asked = said(vec![
        json!({"type": "mcp_approval_request", "id": "mcpr_1", "name": "roll", "server_label": "s"}),
    ]);
    let decided = output_of(0, CallKind::McpApproval, "mcpr_1", ToolOutput::approval());
    let items = read(&[asked.clone(), decided.clone()], READER);
    assert_eq!(
        items[1],
        json!({"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": true})
    );
    // Another agent has other servers.
    assert_eq!(read(&[asked, decided], by("b")), [Value::Null; 0]);
}

#[test]
fn a_handoff_with_messages_only_keeps_only_messages() {
    // The output of the transfer call may follow the handoff: without its call it is not sent.
    let items = read(&[user("hi"), answer(), handoff(true), output(3), user("more")], by("b"));
    assert_eq!(
        items,
        [
            json!({"role": "user", "content": "hi"}),
            json!({"role": "assistant", "content": "I look."}),
            json!({"role": "user", "content": "more"}),
        ]
    );
}

#[test]
fn a_summary_replaces_everything_before_it() {
    let summary = segment(Body::Summary {
        generation: 1,
        text: "they greeted".into(),
    });
    let items = read(&[user("hi"), answer(), summary, output(3), user("more")], READER);
    assert_eq!(items.len(), 2);
    assert!(
        items[0]["content"]
            .as_str()
            .is_some_and(|text| text.ends_with("they greeted"))
    );
}

#[test]
fn a_note_is_a_message_of_the_user() {
    let note = segment(Body::Note { text: "again".into() });
    assert_eq!(read(&[note], READER), [json!({"role": "user", "content": "again"})]);
}

#[test]
fn an_agent_without_tools_that_takes_over_reads_the_users_message_last() {
    let transfer = said(vec![call("c1", "{}")]);
    let taken = output_of(0, CallKind::Function, "c1", json!({"agent": "b"}));
    let text = Reader {
        calls: CallForm::Text,
        ..by("b")
    };
    assert_eq!(
        read(&[user("hi"), transfer.clone(), taken.clone(), handoff(false)], text),
        [json!({"role": "user", "content": "hi"})]
    );
    // With tools, the call and its result are there.
    assert_eq!(read(&[user("hi"), transfer, taken, handoff(false)], by("b")).len(), 3);
}
