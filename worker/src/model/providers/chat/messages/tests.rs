//! Answers of the Chat Completions API on their way back: streams in, the messages of the next request out.

use jiff::Timestamp;
use steadfast_agent_loop::{Body, ModelText, Segment, ToolOutput, UserContent};
use steadfast_crds::model::{ModelApi, ModelDialect};
use url::Url;

use super::*;
use crate::model::{
    attachments::{Earlier, NONE, testing::message},
    conversation::{CallForm, CallIds, Past, Reader, conversation},
    dialect::Lesson,
    providers::chat::ChatInterpreter,
    test_support::CALL,
};

const READER: Reader<'static> = Reader {
    attachments: &NONE,
    earlier_attachments: Earlier::Sent,
    agent: "a",
    origin: "chat/here/m",
    api: ModelApi::ChatCompletions,
    past: Past::Own,
    calls: CallForm::Items,
    ids: CallIds::Any,
};

fn segment(body: Body) -> Segment {
    Segment {
        turn: 1,
        step: 0,
        at: Timestamp::UNIX_EPOCH,
        body,
    }
}

fn user(text: &str) -> Segment {
    segment(Body::User {
        message_id: text.into(),
        idempotency_key: None,
        content: UserContent::Text(text.into()),
        sender: String::new(),
    })
}

/// The answer that these deltas of a stream make.
fn answer(deltas: &[Value]) -> Segment {
    let mut interpreter = ChatInterpreter::new(CALL);
    for delta in deltas {
        let chunk = json!({"choices": [{"index": 0, "delta": delta}]});
        interpreter.read(&chunk, Timestamp::UNIX_EPOCH);
    }
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    interpreter.read(&end, Timestamp::UNIX_EPOCH);
    interpreter.close(Timestamp::UNIX_EPOCH);
    segment(Body::Model {
        items: interpreter.finish().unwrap().items,
        agent: "a".into(),
        origin: READER.origin.into(),
    })
}

fn output(index: u32, text: &str) -> Segment {
    segment(Body::Tool {
        index,
        output: ToolOutput {
            call_id: "c1".into(),
            name: "t".into(),
            kind: CallKind::Function,
            content: json!(text),
            is_error: false,
            text: ModelText::default(),
        },
        by_task: false,
    })
}

fn call(id: &str) -> Value {
    json!({"index": 0, "id": id, "type": "function", "function": {"name": "t", "arguments": "{\"a\":1}"}})
}

fn sent(transcript: &[Segment], reader: Reader<'_>, dialect: &Dialect) -> Vec<Value> {
    let transcript: Vec<&Segment> = transcript.iter().collect();
    let conversation = conversation(&transcript, &reader);
    let (messages, _) = messages("be brief", &conversation.entries, dialect);
    messages
        .iter()
        .map(|message| serde_json::to_value(message).unwrap())
        .collect()
}

fn of(dialect: ModelDialect) -> Dialect {
    Dialect::initial(dialect, &Url::parse("http://localhost/").unwrap())
}

fn wire_call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "t", "arguments": "{\"a\":1}"}})
}

#[test]
fn a_conversation_becomes_messages() {
    let transcript = [
        user("weather?"),
        answer(&[json!({"content": "I look."}), json!({"tool_calls": [call("c1")]})]),
        output(1, "warm"),
        segment(Body::Note {
            text: "answer in JSON".into(),
        }),
    ];
    assert_eq!(
        sent(&transcript, READER, &Dialect::default()),
        [
            json!({"role": "system", "content": "be brief"}),
            json!({"role": "user", "content": "weather?"}),
            json!({"role": "assistant", "content": "I look.", "tool_calls": [wire_call("c1")]}),
            json!({"role": "tool", "content": "warm", "tool_call_id": "c1"}),
            json!({"role": "user", "content": "answer in JSON"}),
        ]
    );
}

#[test]
fn an_image_is_a_part_of_the_message_and_a_message_without_one_stays_a_text() {
    let image = |detail: Option<&str>| {
        serde_json::from_value(json!({
            "kind": "image", "detail": detail, "source": {"url": "https://example.com/tea.png"},
        }))
        .unwrap()
    };
    let conversation = [
        user("Look:"),
        message(1, "See:", vec![image(Some("low")), image(None)]),
        user("And?"),
    ];
    let url = "https://example.com/tea.png";
    assert_eq!(
        sent(&conversation, READER, &Dialect::default())[1..],
        [json!({"role": "user", "content": [
            {"type": "text", "text": "Look:"},
            {"type": "text", "text": "See:"},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "And?"},
        ]})]
    );
    let told = Reader {
        earlier_attachments: Earlier::Told,
        ..READER
    };
    assert_eq!(
        sent(&conversation[1..2], told, &Dialect::default())[1..],
        [json!({"role": "user", "content": format!(
            "See:\n\n{0}\n\n{0}", format_args!("[The user sent the image {url} here, which you cannot see now.]")
        )})]
    );
}

#[test]
fn reasoning_goes_back_under_the_name_that_it_came_under() {
    for name in ["reasoning_content", "reasoning"] {
        let mut thought = json!({"role": "assistant", "content": null});
        thought[name] = json!("hm");
        let transcript = [
            user("hi"),
            answer(&[thought, json!({"tool_calls": [call("c1")]})]),
            output(1, "x"),
        ];
        let messages = sent(&transcript, READER, &Dialect::default());
        assert_eq!(messages[2][name], "hm");
        assert_eq!(messages[2]["tool_calls"], json!([wire_call("c1")]));
        // Another model does not get it.
        let other = Reader {
            origin: "chat/there/m",
            ..READER
        };
        let foreign = sent(&transcript, other, &Dialect::default());
        assert_eq!(foreign[2][name], Value::Null);
        assert_eq!(foreign[2]["tool_calls"][0]["id"].as_str().map(str::len), Some(9));
    }
}

#[test]
fn what_a_server_puts_on_a_call_or_a_message_goes_back_on_it() {
    let signature = json!({"google": {"thought_signature": "s"}});
    let mut signed = call("c1");
    signed["extra_content"] = signature.clone();
    signed["function"]["note"] = json!("n");
    let transcript = [
        user("hi"),
        answer(&[
            json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d", "index": 0}]}),
            json!({"tool_calls": [signed]}),
        ]),
        output(0, "x"),
    ];
    let message = &sent(&transcript, READER, &of(ModelDialect::Gemini))[2];
    assert_eq!(message["tool_calls"][0]["extra_content"], signature);
    assert_eq!(message["tool_calls"][0]["function"]["note"], "n");
    assert_eq!(
        message["reasoning_details"],
        json!([{"type": "reasoning.encrypted", "data": "d", "index": 0}])
    );
    let text = [
        user("hi"),
        answer(&[json!({"content": "Hi.", "extra_content": signature})]),
    ];
    assert_eq!(sent(&text, READER, &Dialect::default())[2]["extra_content"], signature);
}

#[test]
fn a_member_that_the_server_refused_is_not_sent_again() {
    let mut dialect = of(ModelDialect::DeepSeek);
    dialect.learn(&Lesson::OmitOfMessages("reasoning_content".to_owned()));
    let transcript = [
        user("hi"),
        answer(&[json!({"reasoning_content": "hm", "content": "Hi."})]),
    ];
    let message = &sent(&transcript, READER, &dialect)[2];
    assert_eq!(*message, json!({"role": "assistant", "content": "Hi."}));
}

#[test]
fn an_answer_of_nothing_but_reasoning_is_no_message() {
    let transcript = [user("hi"), answer(&[json!({"reasoning_content": "hm"})]), user("well?")];
    assert_eq!(
        sent(&transcript, READER, &of(ModelDialect::DeepSeek))[1..],
        [json!({"role": "user", "content": "hi\n\nwell?"})]
    );
}

#[test]
fn a_thinking_server_gets_reasoning_in_every_answer_and_gemini_a_signature() {
    let foreign = Reader {
        origin: "chat/there/m",
        ..READER
    };
    let transcript = [
        user("hi"),
        answer(&[json!({"tool_calls": [call("c1")]})]),
        output(0, "x"),
    ];
    let deepseek = &sent(&transcript, foreign, &of(ModelDialect::DeepSeek))[2];
    assert_eq!(deepseek["reasoning_content"], "");
    let gemini = &sent(&transcript, foreign, &of(ModelDialect::Gemini))[2];
    assert_eq!(
        gemini["tool_calls"][0]["extra_content"]["google"]["thought_signature"],
        SKIPPED_SIGNATURE
    );
}

#[test]
fn mistral_gets_an_answer_between_tools_and_a_user() {
    let mistral = of(ModelDialect::Mistral);
    let reader = Reader {
        ids: CallIds::NineCharacters,
        ..READER
    };
    let transcript = [
        user("hi"),
        answer(&[json!({"tool_calls": [call("call_1")]})]),
        output(0, "x"),
        user("more"),
    ];
    let messages = sent(&transcript, reader, &mistral);
    let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user"]);
    let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!((id.len(), &messages[3]["tool_call_id"]), (9, &json!(id)));
}

#[test]
fn a_message_that_only_calls_tools_has_null_or_an_empty_text() {
    let transcript = [
        user("hi"),
        answer(&[json!({"tool_calls": [call("c1")]})]),
        output(0, "x"),
    ];
    let content = |dialect| sent(&transcript, READER, &dialect)[2]["content"].clone();
    assert_eq!(content(Dialect::default()), Value::Null);
    assert_eq!(content(of(ModelDialect::ChatTemplate)), "");
}

#[test]
fn messages_of_one_role_are_one_and_the_last_is_never_the_assistants() {
    let transcript = [
        user("one"),
        user("two"),
        answer(&[json!({"content": "a"})]),
        answer(&[json!({"content": "b"})]),
    ];
    let mut without_system = Dialect::default();
    without_system.learn(&Lesson::Adopt(Habit::NoSystemRole));
    assert_eq!(
        sent(&transcript, READER, &without_system),
        [
            json!({"role": "user", "content": "be brief\n\none\n\ntwo"}),
            json!({"role": "assistant", "content": "a\n\nb"}),
            json!({"role": "user", "content": GO_ON}),
        ]
    );
}

#[test]
fn without_tools_no_message_has_calls() {
    let reader = Reader {
        calls: CallForm::Text,
        ..READER
    };
    let transcript = [
        user("hi"),
        answer(&[json!({"reasoning_content": "hm", "tool_calls": [call("c1")]})]),
        output(1, "warm"),
        user("more"),
    ];
    let messages = sent(&transcript, reader, &Dialect::default());
    let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(messages.iter().all(|message| message.get("tool_calls").is_none()));
    assert_eq!(messages[3]["content"], "The result of the tool t:\nwarm\n\nmore");
}
