//! Renders a reply as the actions of the server: the events of the stream, in the
//! order in which a provider sends them, and pauses and faults in between. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Gate,
    events::{
        ev_completed, ev_content_part, ev_created, ev_error, ev_failed, ev_in_progress, ev_incomplete, ev_of_item,
        ev_output_item_added, ev_output_item_done, ev_output_text_delta, ev_reasoning_summary_text_delta,
        ev_summary_part, response,
    },
    reply::{End, Part, Raw, USAGE},
    text::{Piece, Text},
};

/// One action of the server.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Event(Value),
    Bytes(Vec<u8>),
    Hold(Gate),
    Pause(Duration),
    Cut,
    End,
}

impl From<Raw> for Action {
    fn from(piece: Raw) -> Self {
        match piece {
            Raw::Bytes(bytes) => Self::Bytes(bytes),
            Raw::Hold(gate) => Self::Hold(gate),
            Raw::Cut => Self::Cut,
        }
    }
}

/// The actions of the response to request `number`.
pub(super) fn actions(number: usize, model: &str, parts: &[Part], end: &End) -> Vec<Action> {
    let mut stream = Stream::new(number);
    let response_id = format!("resp_{number}");
    let opened = response(&response_id, model, "in_progress");
    stream.event(ev_created(&opened));
    stream.event(ev_in_progress(&opened));
    for part in parts {
        stream.part(part);
    }
    let mut closed = response(&response_id, model, "completed");
    closed["output"] = Value::Array(stream.output.clone());
    closed["usage"] = usage();
    match end {
        End::Completed => stream.event(ev_completed(&closed)),
        End::Incomplete { reason } => {
            closed["status"] = "incomplete".into();
            closed["incomplete_details"] = json!({"reason": reason});
            stream.event(ev_incomplete(&closed));
        }
        End::Failed { code, message } => {
            closed["status"] = "failed".into();
            closed["error"] = json!({"code": code, "message": message});
            stream.event(ev_failed(&closed));
        }
        End::ErrorEvent { code, message } => stream.event(ev_error(code, message)),
        End::Cut => stream.actions.push(Action::Cut),
        End::Missing => {}
    }
    stream.actions.push(Action::End);
    stream.actions
}

struct Stream {
    number: usize,
    actions: Vec<Action>,
    /// The finished items.
    output: Vec<Value>,
    sequence_number: u64,
}

impl Stream {
    fn new(number: usize) -> Self {
        Self {
            number,
            actions: Vec::new(),
            output: Vec::new(),
            sequence_number: 0,
        }
    }

    fn event(&mut self, mut event: Value) {
        event["sequence_number"] = self.sequence_number.into();
        self.sequence_number += 1;
        self.actions.push(Action::Event(event));
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Event(event) => self.event(event.clone()),
            Part::Item(item) => {
                let index = self.output.len();
                self.event(ev_output_item_added(index, item));
                self.done(index, item.clone());
            }
            Part::Hold(gate) => self.actions.push(Action::Hold(gate.clone())),
            Part::Reasoning(summary) => self.reasoning(summary),
            Part::Message(text) => self.message(text),
            Part::Refusal(text) => self.refusal(text),
            Part::FunctionCall {
                call_id,
                name,
                arguments,
            } => self.function_call(call_id.as_deref(), name, arguments),
            Part::WebSearch { query } => self.web_search(query),
        }
    }

    fn reasoning(&mut self, summary: &Text) {
        let (index, id) = self.next_item("rs");
        self.event(ev_output_item_added(
            index,
            &json!({"id": id, "type": "reasoning", "summary": []}),
        ));
        self.event(ev_summary_part(
            "added",
            index,
            &id,
            &json!({"type": "summary_text", "text": ""}),
        ));
        self.pieces(summary, |delta| ev_reasoning_summary_text_delta(index, &id, delta));
        let text = summary.joined();
        self.event(ev_of_item(
            "response.reasoning_summary_text.done",
            index,
            &id,
            "text",
            &text,
        ));
        let part = json!({"type": "summary_text", "text": text});
        self.event(ev_summary_part("done", index, &id, &part));
        self.done(index, json!({"id": id, "type": "reasoning", "summary": [part]}));
    }

    fn message(&mut self, text: &Text) {
        let (index, id) = self.next_item("msg");
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        self.open_message(index, &id, &part(""));
        self.pieces(text, |delta| ev_output_text_delta(index, &id, delta));
        let text = text.joined();
        self.event(ev_of_item("response.output_text.done", index, &id, "text", &text));
        self.close_message(index, &id, &part(&text));
    }

    fn refusal(&mut self, text: &Text) {
        let (index, id) = self.next_item("msg");
        let part = |text: &str| json!({"type": "refusal", "refusal": text});
        self.open_message(index, &id, &part(""));
        self.pieces(text, |delta| {
            ev_of_item("response.refusal.delta", index, &id, "delta", delta)
        });
        let text = text.joined();
        self.event(ev_of_item("response.refusal.done", index, &id, "refusal", &text));
        self.close_message(index, &id, &part(&text));
    }

    fn open_message(&mut self, index: usize, id: &str, part: &Value) {
        let item = json!({"id": id, "type": "message", "role": "assistant", "status": "in_progress", "content": []});
        self.event(ev_output_item_added(index, &item));
        self.event(ev_content_part("added", index, id, part));
    }

    fn close_message(&mut self, index: usize, id: &str, part: &Value) {
        self.event(ev_content_part("done", index, id, part));
        let item = json!({"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]});
        self.done(index, item);
    }

    fn function_call(&mut self, call_id: Option<&str>, name: &str, arguments: &Text) {
        let (index, id) = self.next_item("fc");
        let call_id = call_id.map_or_else(|| format!("call_{}_{index}", self.number), str::to_owned);
        let item = |status: &str, arguments: &str| {
            json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            })
        };
        self.event(ev_output_item_added(index, &item("in_progress", "")));
        let delta_kind = "response.function_call_arguments.delta";
        self.pieces(arguments, |delta| ev_of_item(delta_kind, index, &id, "delta", delta));
        let arguments = arguments.joined();
        self.event(ev_of_item(
            "response.function_call_arguments.done",
            index,
            &id,
            "arguments",
            &arguments,
        ));
        let item = item("completed", &arguments);
        self.done(index, item);
    }

    fn web_search(&mut self, query: &str) {
        let (index, id) = self.next_item("ws");
        let begun = json!({"id": id, "type": "web_search_call", "status": "in_progress"});
        self.event(ev_output_item_added(index, &begun));
        for stage in ["in_progress", "searching", "completed"] {
            let kind = format!("response.web_search_call.{stage}");
            self.event(json!({"type": kind, "output_index": index, "item_id": id}));
        }
        let action = json!({"type": "search", "query": query});
        let item = json!({"id": id, "type": "web_search_call", "status": "completed", "action": action});
        self.done(index, item);
    }

    fn next_item(&self, prefix: &str) -> (usize, String) {
        let index = self.output.len();
        (index, format!("{prefix}_{}_{index}", self.number))
    }

    fn pieces(&mut self, text: &Text, event: impl Fn(&str) -> Value) {
        for piece in &text.pieces {
            match piece {
                Piece::Delta(delta) => self.event(event(delta)),
                Piece::Hold(gate) => self.actions.push(Action::Hold(gate.clone())),
                Piece::Pause(pause) => self.actions.push(Action::Pause(*pause)),
                Piece::Cut => self.actions.push(Action::Cut),
                Piece::EndEarly => self.actions.push(Action::End),
            }
        }
    }

    fn done(&mut self, index: usize, item: Value) {
        self.event(ev_output_item_done(index, &item));
        self.output.push(item);
    }
}

fn usage() -> Value {
    json!({
        "input_tokens": USAGE.input,
        "input_tokens_details": {"cached_tokens": USAGE.cached},
        "output_tokens": USAGE.output,
        "output_tokens_details": {"reasoning_tokens": USAGE.reasoning},
        "total_tokens": USAGE.input + USAGE.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(actions: &[Action]) -> Vec<String> {
        let kind = |action: &Action| match action {
            Action::Event(event) => event["type"].as_str().unwrap().to_owned(),
            Action::Bytes(_) => "bytes".to_owned(),
            Action::Hold(_) => "hold".to_owned(),
            Action::Pause(_) => "pause".to_owned(),
            Action::Cut => "cut".to_owned(),
            Action::End => "end".to_owned(),
        };
        actions.iter().map(kind).collect()
    }

    #[test]
    fn events_follow_the_order_of_the_protocol_and_are_numbered_from_zero() {
        let parts = [
            Part::Reasoning(Text::whole("why")),
            Part::Message(Text::words("a b")),
            Part::FunctionCall {
                call_id: None,
                name: "t".to_owned(),
                arguments: Text::whole("{}"),
            },
            Part::WebSearch { query: "q".to_owned() },
        ];
        let actions = actions(1, "m", &parts, &End::Completed);
        assert_eq!(
            kinds(&actions),
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_text.delta",
                "response.reasoning_summary_text.done",
                "response.reasoning_summary_part.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.web_search_call.in_progress",
                "response.web_search_call.searching",
                "response.web_search_call.completed",
                "response.output_item.done",
                "response.completed",
                "end",
            ]
        );
        let numbers: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Event(event) => event["sequence_number"].as_u64(),
                _ => None,
            })
            .collect();
        assert_eq!(numbers, (0..25).collect::<Vec<u64>>());
    }

    #[test]
    fn a_text_is_held_and_ends_early_after_the_given_number_of_deltas() {
        let gate = Gate::closed();
        let text = Text::words("a b c").hold_after(1, &gate).end_early_after(2);
        let actions = actions(1, "m", &[Part::Message(text)], &End::Completed);
        let kinds = kinds(&actions);
        assert_eq!(
            &kinds[4..9],
            [
                "response.output_text.delta",
                "hold",
                "response.output_text.delta",
                "end",
                "response.output_text.delta"
            ]
        );
    }
}
