//! Streams as servers write them. The comments name the server that was seen to do it.

use super::*;

/// A fragment by its parts; an empty part is absent, and arguments may be any JSON.
fn piece(index: Value, id: &str, name: &str, arguments: Value) -> Value {
    let mut call = json!({"function": {}});
    let mut put = |pointer: &str, member: &str, value: Value| {
        if !value.is_null() && value != json!("") {
            call.pointer_mut(pointer).unwrap()[member] = value;
        }
    };
    put("", "index", index);
    put("", "id", json!(id));
    put("/function", "name", json!(name));
    put("/function", "arguments", arguments);
    call
}

/// One chunk for each fragment.
fn stream(pieces: &[Value]) -> Vec<Value> {
    pieces.iter().map(|piece| fragments(json!([piece]))).collect()
}

const NO_INDEX: Value = Value::Null;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn fragments_of_a_call_belong_together_in_every_way_that_servers_write_them() {
    let expected = [call("c1", "get_weather", "{\"x\":1}")];
    for (server, pieces) in [
        (
            "OpenAI",
            vec![
                piece(json!(0), "c1", "get_weather", json!("")),
                piece(json!(0), "", "", json!("{\"x\"")),
                piece(json!(0), "", "", json!(":1}")),
            ],
        ),
        (
            "vLLM: the ID in every fragment",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x\"")),
                piece(json!(0), "c1", "", json!(":1}")),
            ],
        ),
        (
            "vLLM: another ID in every fragment",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x\"")),
                piece(json!(0), "c9", "", json!(":1}")),
            ],
        ),
        (
            "NIM: ID and name in every fragment",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{")),
                piece(json!(0), "c1", "get_weather", json!("\"x\":1")),
                piece(json!(0), "c1", "get_weather", json!("}")),
            ],
        ),
        (
            "the name in every fragment, and no IDs after the first",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x\"")),
                piece(json!(0), "", "get_weather", json!(":1}")),
                piece(json!(0), "", "get_weather", json!("")),
            ],
        ),
        (
            "the name in pieces",
            vec![
                piece(json!(0), "c1", "get_", json!("")),
                piece(json!(0), "", "weather", json!("")),
                piece(json!(0), "", "", json!("{\"x\":1}")),
            ],
        ),
        (
            "the name so far in every fragment",
            vec![
                piece(json!(0), "c1", "get", json!("")),
                piece(json!(0), "c1", "get_weather", json!("")),
                piece(json!(0), "c1", "get_weather", json!("{\"x\":1}")),
            ],
        ),
        (
            "arguments before the name, and the ID last",
            vec![
                piece(json!(0), "", "", json!("{\"x\"")),
                piece(json!(0), "", "get_weather", json!(":1")),
                piece(json!(0), "c1", "", json!("}")),
            ],
        ),
        (
            "Ollama: no index",
            vec![piece(NO_INDEX, "c1", "get_weather", json!("{\"x\":1}"))],
        ),
        (
            "no index, in pieces",
            vec![
                piece(NO_INDEX, "c1", "get_weather", json!("")),
                piece(NO_INDEX, "", "", json!("{\"x\"")),
                piece(NO_INDEX, "c1", "", json!(":1}")),
            ],
        ),
        (
            "the index from the second fragment on",
            vec![
                piece(NO_INDEX, "c1", "get_weather", json!("")),
                piece(json!(0), "", "", json!("{\"x\":1}")),
            ],
        ),
        (
            "an index that is text",
            vec![
                piece(json!("0"), "c1", "get_weather", json!("{\"x\"")),
                piece(json!(0), "", "", json!(":1}")),
            ],
        ),
        (
            "the arguments under a wrong index",
            vec![
                piece(json!(0), "c1", "get_weather", json!("")),
                piece(json!(1), "", "", json!("{\"x\":1}")),
            ],
        ),
        (
            "arguments as JSON",
            vec![piece(json!(0), "c1", "get_weather", json!({"x": 1}))],
        ),
        (
            "arguments as JSON after their pieces",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x")),
                piece(json!(0), "c1", "", json!({"x": 1})),
            ],
        ),
        (
            "all of the arguments again at the end",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x\":1}")),
                piece(json!(0), "c1", "", json!("{\"x\":1}")),
            ],
        ),
        (
            "Qwen: the arguments so far in every fragment",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{")),
                piece(json!(0), "c1", "get_weather", json!("{\"x\":")),
                piece(json!(0), "c1", "get_weather", json!("{\"x\":1}")),
            ],
        ),
        (
            "vLLM: the end of the arguments twice",
            vec![
                piece(json!(0), "c1", "get_weather", json!("{\"x\":1}")),
                piece(json!(0), "", "", json!("}")),
            ],
        ),
        (
            "gpt-oss: tokens of the template in the name",
            vec![piece(
                json!(0),
                "c1",
                "get_weather<|channel|>commentary",
                json!("{\"x\":1}"),
            )],
        ),
        (
            "ID and name empty after the first fragment",
            vec![
                json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": null}}),
                json!({"index": 0, "id": "", "type": null, "function": {"name": "", "arguments": "{\"x\""}}),
                json!({"index": 0, "id": null, "function": {"name": null, "arguments": ":1}"}}),
            ],
        ),
        (
            "an index that is null, below zero or a fraction",
            vec![
                json!({"index": null, "id": "c1", "function": {"name": "get_weather", "arguments": "{"}}),
                json!({"index": -1, "id": "c1", "function": {"arguments": "\"x\""}}),
                json!({"index": 0.5, "function": {"arguments": ":1}"}}),
            ],
        ),
        (
            "no level `function`",
            vec![json!({"index": 0, "id": "c1", "name": "get_weather", "arguments": "{\"x\":1}"})],
        ),
    ] {
        assert_eq!(calls_of(&stream(&pieces)), expected, "{server}");
    }
}

#[test]
fn calls_are_told_apart_in_every_way_that_servers_number_them() {
    let (a, b) = (call("c1", "add", "{\"x\":1}"), call("c2", "mul", "{\"y\":2}"));
    for (server, pieces) in [
        (
            "OpenAI, one after the other",
            vec![
                piece(json!(0), "c1", "add", json!("{\"x\":1}")),
                piece(json!(1), "c2", "mul", json!("{\"y\":2}")),
            ],
        ),
        (
            "interleaved",
            vec![
                piece(json!(0), "c1", "add", json!("{\"x\"")),
                piece(json!(1), "c2", "mul", json!("{\"y\"")),
                piece(json!(0), "", "", json!(":1}")),
                piece(json!(1), "", "", json!(":2}")),
            ],
        ),
        (
            "SGLang, Dynamo: all 0, with IDs",
            vec![
                piece(json!(0), "c1", "add", json!("")),
                piece(json!(0), "", "", json!("{\"x\":1}")),
                piece(json!(0), "c2", "mul", json!("")),
                piece(json!(0), "", "", json!("{\"y\":2}")),
            ],
        ),
        (
            "numbers that begin at 1, with a gap",
            vec![
                piece(json!(1), "c1", "add", json!("{\"x\":1}")),
                piece(json!(5), "c2", "mul", json!("{\"y\":2}")),
            ],
        ),
        (
            "no numbers, with IDs in every fragment",
            vec![
                piece(NO_INDEX, "c1", "add", json!("{\"x\"")),
                piece(NO_INDEX, "c2", "mul", json!("{\"y\"")),
                piece(NO_INDEX, "c1", "", json!(":1}")),
                piece(NO_INDEX, "c2", "", json!(":2}")),
            ],
        ),
    ] {
        assert_eq!(calls_of(&stream(&pieces)), [a.clone(), b.clone()], "{server}");
    }
    // Without IDs they get IDs of ours.
    let (a, b) = (
        call("call_1_0_0", "add", "{\"x\":1}"),
        call("call_1_0_1", "mul", "{\"y\":2}"),
    );
    for index in [json!(0), NO_INDEX] {
        let pieces = [
            piece(index.clone(), "", "add", json!("{\"x\":1}")),
            piece(index, "", "mul", json!("{\"y\":2}")),
        ];
        assert_eq!(calls_of(&stream(&pieces)), [a.clone(), b.clone()]);
        assert_eq!(calls_of(&[fragments(json!(pieces))]), [a.clone(), b.clone()]);
    }
    let one_id = [
        piece(json!(0), "c1", "add", json!("{\"x\":1}")),
        piece(json!(1), "c1", "mul", json!("{\"y\":2}")),
    ];
    let expected = [call("c1", "add", "{\"x\":1}"), call("call_1_0_1", "mul", "{\"y\":2}")];
    assert_eq!(calls_of(&stream(&one_id)), expected);
}

#[test]
fn two_calls_of_one_tool_are_two_calls() {
    let of = |ids: [&str; 2]| [call(ids[0], "add", "{\"x\":1}"), call(ids[1], "add", "{\"x\":2}")];
    let ours = ["call_1_0_0", "call_1_0_1"];
    for (index, ids, expected) in [
        (json!(0), ["c1", "c2"], of(["c1", "c2"])),
        (NO_INDEX, ["c1", "c2"], of(["c1", "c2"])),
        (json!(0), ["", ""], of(ours)),
        (NO_INDEX, ["", ""], of(ours)),
    ] {
        let pieces = [
            piece(index.clone(), ids[0], "add", json!("{\"x\":1}")),
            piece(index, ids[1], "add", json!("{\"x\":2}")),
        ];
        assert_eq!(calls_of(&stream(&pieces)), expected, "{pieces:?}");
    }
    let without_arguments = fragments(json!([
        piece(NO_INDEX, "", "ping", json!("")),
        piece(NO_INDEX, "", "ping", json!(""))
    ]));
    assert_eq!(calls_of(&[without_arguments]), ours.map(|id| call(id, "ping", "")));
}

#[test]
fn other_forms_of_calls_are_calls() {
    let older = [
        delta(json!({"function_call": {"name": "add", "arguments": ""}})),
        delta(json!({"function_call": {"arguments": "{\"x\":1}"}})),
    ];
    assert_eq!(calls_of(&older), [call("call_1_0_0", "add", "{\"x\":1}")]);
    let no_list = [delta(json!({"tool_calls": piece(NO_INDEX, "c1", "add", json!("{}"))}))];
    assert_eq!(calls_of(&no_list), [call("c1", "add", "{}")]);
    // A gateway adds an empty one to each last chunk.
    let empty = [
        fragments(json!([piece(json!(0), "c1", "add", json!("{}"))])),
        delta(
            json!({"function_call": {"name": "", "arguments": ""}, "tool_calls": [{}, {"function": {"name": null}}]}),
        ),
    ];
    assert_eq!(calls_of(&empty), [call("c1", "add", "{}")]);
}

/// The reasoning and the text of a response.
fn said(chunks: &[Value]) -> (String, String) {
    let mut chunks = chunks.to_vec();
    chunks.push(end("stop"));
    let (messages, response) = run(&chunks);
    let items = response.unwrap().items;
    let shown: Vec<_> = messages.into_iter().map(|message| message.content).collect();
    let projected: Vec<_> = items.iter().filter_map(content_of_item).collect();
    assert_eq!(shown, projected, "{chunks:?}");
    let text_of = |kind: &str| -> String {
        let of_kind = items.iter().filter(|item| item["type"] == kind);
        of_kind.filter_map(|item| item["content"][0]["text"].as_str()).collect()
    };
    (text_of("reasoning"), text_of("message"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn reasoning_and_text_are_found_in_every_form() {
    for (server, deltas) in [
        (
            "DeepSeek",
            vec![
                json!({"reasoning_content": "h", "content": null}),
                json!({"reasoning_content": "m"}),
                json!({"content": "Hi"}),
            ],
        ),
        (
            "vLLM, Ollama",
            vec![json!({"reasoning": "hm", "content": ""}), json!({"content": "Hi"})],
        ),
        (
            "both names at once",
            vec![
                json!({"reasoning": "hm", "reasoning_content": "hm"}),
                json!({"content": "Hi"}),
            ],
        ),
        ("thinking", vec![json!({"thinking": "hm"}), json!({"content": "Hi"})]),
        (
            "OpenRouter",
            vec![
                json!({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]}),
                json!({"content": "Hi", "reasoning_details": []}),
            ],
        ),
        (
            "OpenRouter, details alone",
            vec![
                json!({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}),
                json!({"content": "Hi"}),
            ],
        ),
        (
            "LiteLLM",
            vec![
                json!({"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": ""}]}),
                json!({"content": "Hi", "thinking_blocks": null}),
            ],
        ),
        (
            "Mistral",
            vec![
                json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
                json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}], "closed": true}, {"type": "text", "text": "H"}]}),
                json!({"content": "i"}),
            ],
        ),
        (
            "parts",
            vec![
                json!({"content": [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "Hi"}, {"type": "reference", "reference_ids": [1]}]}),
            ],
        ),
        (
            "a part without a list",
            vec![json!({"reasoning": {"content": "hm"}, "content": {"type": "text", "text": "Hi"}})],
        ),
        (
            "tags",
            vec![
                json!({"content": "\n<th"}),
                json!({"content": "ink>hm</thin"}),
                json!({"content": "k>\n\nHi"}),
            ],
        ),
        (
            "tags in parts",
            vec![json!({"content": [{"type": "text", "text": "<think>hm</think>"}, {"type": "text", "text": "Hi"}]})],
        ),
        (
            "the opening tag in the prompt",
            vec![
                json!({"content": "h"}),
                json!({"content": "m</th"}),
                json!({"content": "ink>\n\nH"}),
                json!({"content": "i"}),
            ],
        ),
        (
            "the role in every chunk",
            vec![
                json!({"role": "assistant", "reasoning": "hm"}),
                json!({"role": "assistant", "content": "Hi"}),
            ],
        ),
    ] {
        let chunks: Vec<Value> = deltas.into_iter().map(delta).collect();
        assert_eq!(said(&chunks), ("hm".to_owned(), "Hi".to_owned()), "{server}");
    }
}

#[test]
fn a_tag_in_the_middle_of_a_text_is_text() {
    let text = "Write <think> before it, and <b>bold</b>.";
    assert_eq!(
        said(&[delta(json!({"content": text}))]),
        (String::new(), text.to_owned())
    );
}

#[test]
fn a_response_without_a_reason_for_its_end_counts_where_the_server_says_that_it_is_over() {
    let done = json!("[DONE]");
    let text = delta(json!({"content": "Hi"}));
    let whole_call = fragments(json!([piece(json!(0), "c1", "add", json!("{\"x\":1}"))]));
    let cut_call = fragments(json!([piece(json!(0), "c1", "add", json!("{\"x\":"))]));
    let reason = |reason: Value| json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    for (chunks, expected) in [
        // Servers in front of Gemini: the number of the reason, also as a text, and 0 while there is none.
        (vec![text.clone(), reason(json!(1))], Ok("stop")),
        (
            vec![reason(json!("0: ")), text.clone(), reason(json!("1: "))],
            Ok("stop"),
        ),
        (vec![text.clone(), reason(json!(2))], Err("model_output_truncated")),
        (vec![text.clone(), reason(json!("3"))], Err("content_policy")),
        (
            vec![text.clone(), reason(json!("FINISH_REASON_MAX_TOKENS"))],
            Err("model_output_truncated"),
        ),
        (
            vec![text.clone(), reason(json!("model_context_window_exceeded"))],
            Err("context_length_exceeded"),
        ),
        (vec![text.clone(), reason(json!("aborted"))], Err("model_stream_error")),
        // The absent reason as a text.
        (vec![text.clone(), reason(json!("null"))], Err("model_stream_ended")),
        (vec![text.clone(), reason(json!("None"))], Err("model_stream_ended")),
        (vec![text.clone(), reason(json!("null")), done.clone()], Ok("stop")),
        // vLLM: the model calls tools, and there is no call. A text is an answer.
        (vec![reason(json!("tool_calls"))], Err("model_stream_error")),
        (
            vec![delta(json!({"reasoning": "hm"})), reason(json!("tool_calls"))],
            Err("model_stream_error"),
        ),
        (vec![text.clone(), reason(json!("tool_calls"))], Ok("tool_calls")),
        (vec![whole_call.clone(), reason(json!("stop"))], Ok("stop")),
        (vec![text.clone(), done.clone()], Ok("stop")),
        (vec![whole_call.clone(), done.clone()], Ok("stop")),
        (vec![text.clone(), usage()], Ok("stop")),
        (vec![text.clone(), end("stop"), done.clone()], Ok("stop")),
        (vec![whole_call, end("stop")], Ok("stop")),
        (vec![text.clone(), end("")], Err("model_stream_ended")),
        (vec![text.clone()], Err("model_stream_ended")),
        (vec![done.clone()], Err("model_stream_ended")),
        (vec![cut_call, done], Err("model_stream_ended")),
        // Some servers send the usage with every chunk, or before the first one.
        (vec![usage(), text], Err("model_stream_ended")),
    ] {
        let response = run(&chunks).1;
        let reason = response
            .as_ref()
            .map(|response| response.finish_reason.as_deref().unwrap());
        let reason = reason.map_err(|failure| failure.category);
        assert_eq!(reason, expected, "{chunks:?}");
    }
}

#[test]
fn a_reason_that_comes_early_does_not_end_the_response() {
    // Open WebUI has it in every chunk of reasoning; others have it before the calls.
    let early = json!({"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": "stop"}]});
    let (_, interpreter) = read(std::slice::from_ref(&early));
    assert_eq!(interpreter.progress(), Progress::FinishedWithoutAnswer);
    assert_eq!(
        said(&[early, delta(json!({"content": "Hi"}))]),
        ("hm".to_owned(), "Hi".to_owned())
    );
    let before_calls = [
        delta(json!({"content": "I add."})),
        end("tool_calls"),
        fragments(json!([piece(json!(0), "c1", "add", json!("{}"))])),
    ];
    assert_eq!(calls_of(&before_calls), [call("c1", "add", "{}")]);
}

#[test]
fn a_whole_message_after_its_pieces_is_not_said_again() {
    let whole = json!({"choices": [{"index": 0, "finish_reason": "stop", "delta": {},
        "message": {"role": "assistant", "reasoning_content": "hm", "content": "Hi"}}]});
    let pieces = [
        delta(json!({"reasoning_content": "hm"})),
        delta(json!({"content": "Hi"})),
        whole.clone(),
    ];
    assert_eq!(said(&pieces), ("hm".to_owned(), "Hi".to_owned()));
    assert_eq!(said(std::slice::from_ref(&whole)), ("hm".to_owned(), "Hi".to_owned()));
    // A delta that says nothing beside it.
    let mut beside = whole;
    beside["choices"][0]["delta"] = json!({"role": "assistant", "content": ""});
    assert_eq!(said(&[beside]), ("hm".to_owned(), "Hi".to_owned()));
}

#[test]
fn calls_of_a_whole_message_are_called_beside_pieces_of_text() {
    let calls = json!([{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"x\":1}"}}]);
    let last = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": "I add.", "tool_calls": calls}}]});
    let chunks = [delta(json!({"content": "I add."})), last];
    assert_eq!(calls_of(&chunks), [call("c1", "add", "{\"x\":1}")]);
}

#[test]
fn the_choices_of_one_chunk_are_one_answer() {
    // GitHub Copilot in front of Claude: the text and each call in a choice of its own.
    let choice = |message: Value| json!({"finish_reason": "tool_calls", "message": message});
    let of = |id: &str| json!({"content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": "add", "arguments": "{}"}}]});
    let chunk = json!({"choices": [choice(json!({"content": "I add."})), choice(of("c1")), choice(of("c2"))]});
    assert_eq!(
        calls_of(std::slice::from_ref(&chunk)),
        [call("c1", "add", "{}"), call("c2", "add", "{}")]
    );
    let items = run(&[chunk]).1.unwrap().items;
    assert_eq!(items[0]["content"][0]["text"], "I add.");
}

#[test]
fn an_error_is_told_in_the_words_of_the_provider() {
    for (chunk, category, words) in [
        (
            json!({"error": {"message": "no such model", "type": "BadRequestError", "code": 400}}),
            "model_request_refused",
            "no such model",
        ),
        (json!({"error": "no such model"}), "model_stream_error", "no such model"),
        (
            json!({"detail": "no such model"}),
            "model_stream_error",
            "no such model",
        ),
        (
            json!({"message": "no such model", "statusCode": 404}),
            "model_not_found",
            "no such model",
        ),
        (
            json!({"id": "x", "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
                "error": {"code": 502, "message": "Provider disconnected"}}),
            "model_unavailable",
            "Provider disconnected",
        ),
        (
            json!({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "too fast"}}]}),
            "model_rate_limit",
            "too fast",
        ),
        (end("MAX_TOKENS"), "model_output_truncated", "token limit"),
        (end("guardrail_intervened"), "content_policy", "content filter"),
        (
            end("MALFORMED_FUNCTION_CALL"),
            "model_stream_error",
            "MALFORMED_FUNCTION_CALL",
        ),
    ] {
        let failure = run(&[delta(json!({"content": "He"})), chunk.clone()]).1.unwrap_err();
        assert_eq!(failure.category, category, "{chunk}");
        assert!(failure.message.contains(words), "{failure}");
    }
    let failure = run(&[delta(json!({"content": "He"})), json!("upstream went away")])
        .1
        .unwrap_err();
    assert_eq!(failure.category, "model_stream_ended");
    assert!(failure.message.ends_with("; it said: upstream went away"), "{failure}");
}

#[test]
fn the_usage_is_found_wherever_it_stands() {
    let tokens = json!({"prompt_tokens": 5, "completion_tokens": 3});
    for chunk in [
        json!({"choices": [], "usage": tokens}),
        json!({"usage": tokens}),
        json!({"choices": [{"delta": {}, "usage": tokens}]}),
        json!({"choices": [{"delta": {}}], "x_groq": {"usage": tokens}}),
        json!({"choices": [{"delta": {}}], "usage": {"input_tokens": 5, "output_tokens": 3}}),
        json!({"choices": null, "usage": {"prompt_tokens": 5.0, "completion_tokens": "3"}}),
    ] {
        let usage = run(&[delta(json!({"content": "Hi"})), end("stop"), chunk.clone()])
            .1
            .unwrap()
            .usage;
        assert_eq!((usage.input_tokens, usage.output_tokens), (5, 3), "{chunk}");
    }
}
