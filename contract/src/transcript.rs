//! The transcript of a task: its segments in order, which of them the model calls of this run have
//! been given, and where each one stands in the history.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use steadfast_agent_loop::{Body, ModelText, Segment, SegmentRef, StepId, ToolCall, ToolOutput, tool_call::arguments};

use crate::{activities::NewSegment, tool_calls::tool_calls};

/// The transcript of a task: ordered segments. As JSON it is their list; what belongs to one run is
/// not written, and a transcript that is read begins a run. Its segments are shared with the activities of the process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Vec<Segment>")]
pub struct Transcript {
    entries: Vec<Entry>,
    /// How many of the entries the model calls of this run have been given.
    announced: usize,
    /// Calls that have no output yet.
    open: BTreeMap<(u32, u32, u32), ToolCall>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    segment: Arc<Segment>,
    /// Its index among the segments that this run inherited from the run before.
    inherited_as: Option<u32>,
}

impl From<Vec<Segment>> for Transcript {
    /// Begins a run with the segments of the run before.
    fn from(segments: Vec<Segment>) -> Self {
        let mut transcript = Self::default();
        for (index, segment) in (0..).zip(segments) {
            transcript.add(Arc::new(segment), Some(index));
        }
        transcript
    }
}

impl Serialize for Transcript {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.segments())
    }
}

impl Transcript {
    /// Adds what has come into being in this run.
    pub fn push(&mut self, segment: impl Into<Arc<Segment>>) {
        self.add(segment.into(), None);
    }

    fn add(&mut self, segment: Arc<Segment>, inherited_as: Option<u32>) {
        match &segment.body {
            Body::Model { items, .. } => {
                for call in tool_calls(items, &BTreeMap::new()) {
                    self.open.insert((segment.turn, segment.step, call.index), call);
                }
            }
            Body::Tool { index, .. } => {
                self.open.remove(&(segment.turn, segment.step, *index));
            }
            Body::User { .. } | Body::Note { .. } | Body::Handoff { .. } | Body::Summary { .. } => {}
        }
        self.entries.push(Entry { segment, inherited_as });
    }

    /// What the next model call must be told: how much it knows, and what is new.
    pub fn announce(&mut self) -> (u32, Vec<NewSegment>) {
        let base = self.announced;
        let new = self.entries[base..].iter().map(Entry::refer).collect();
        self.announced = self.entries.len();
        (u32::try_from(base).unwrap_or(u32::MAX), new)
    }

    /// A model call was not made: the history knows no more than it did before.
    pub fn not_announced(&mut self, base: u32) {
        self.announced = usize::try_from(base).unwrap_or(usize::MAX).min(self.announced);
    }

    /// The whole of it, as the next run finds it in the history of this one.
    pub fn references(&self) -> Vec<NewSegment> {
        self.entries.iter().map(Entry::refer).collect()
    }

    /// Puts a summary in the place of everything but the last `kept` segments.
    pub fn compact(&mut self, summary: impl Into<Arc<Segment>>, kept: usize) {
        let tail = self.entries.split_off(self.entries.len().saturating_sub(kept));
        self.entries = vec![Entry {
            segment: summary.into(),
            inherited_as: None,
        }];
        self.entries.extend(tail);
        self.announced = 0;
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.shared().map(Arc::as_ref)
    }

    /// The segments, oldest first, to be kept elsewhere too.
    pub fn shared(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.entries.iter().map(|entry| &entry.segment)
    }

    /// How many segments it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no segment.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The output items of one model call.
    pub fn answer(&self, id: StepId) -> Option<&[Value]> {
        let reference = SegmentRef::Model(id.turn, id.step);
        self.segments()
            .rev()
            .find(|segment| segment.reference() == reference)
            .and_then(|segment| match &segment.body {
                Body::Model { items, .. } => Some(items.as_slice()),
                _ => None,
            })
    }

    /// One output item of a model call.
    pub fn item(&self, id: StepId, index: u32) -> Option<&Value> {
        self.answer(id)?.get(usize::try_from(index).ok()?)
    }

    /// The arguments of a call, from the model's answer.
    pub fn arguments(&self, id: StepId, index: u32) -> Result<Value, String> {
        let item = self
            .item(id, index)
            .ok_or_else(|| "the call is not in the model's answer".to_owned())?;
        arguments(item).map_err(|error| format!("the arguments are not JSON: {error}"))
    }

    /// Outputs for the calls that have none: a provider refuses a conversation with an open call.
    pub fn outputs_of_open_calls(&self, now: jiff::Timestamp, reason: &str) -> Vec<Segment> {
        self.open
            .iter()
            .map(|((turn, step, index), call)| Segment {
                turn: *turn,
                step: *step,
                at: now,
                body: Body::Tool {
                    index: *index,
                    output: ToolOutput {
                        call_id: call.call_id.clone(),
                        name: call.name.clone(),
                        kind: call.kind,
                        content: reason.into(),
                        is_error: true,
                        text: ModelText::default(),
                    },
                    by_task: true,
                },
            })
            .collect()
    }

    /// The output items of the newest model call; none before the first.
    pub fn newest_answer(&self) -> &[Value] {
        self.segments()
            .rev()
            .find_map(|segment| match &segment.body {
                Body::Model { items, .. } => Some(items.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }
}

impl Entry {
    fn refer(&self) -> NewSegment {
        match self.inherited_as {
            Some(index) => NewSegment::Ref(SegmentRef::Inherited(index)),
            None if self.segment.body.is_by_task() => NewSegment::Whole(Box::new(Segment::clone(&self.segment))),
            None => NewSegment::Ref(self.segment.reference()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_agent_loop::UserContent;

    use super::*;

    fn user(turn: u32, text: &str) -> Segment {
        Segment {
            turn,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::User {
                message_id: text.to_owned(),
                idempotency_key: None,
                content: UserContent::Text(text.to_owned()),
                sender: String::new(),
            },
        }
    }

    fn call(turn: u32) -> Segment {
        let items = vec![json!({"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"})];
        Segment {
            turn,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::Model {
                items,
                agent: "a".to_owned(),
                origin: String::new(),
            },
        }
    }

    fn summary() -> Segment {
        Segment {
            turn: 2,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::Summary {
                generation: 1,
                text: "s".to_owned(),
            },
        }
    }

    #[test]
    fn a_call_is_told_of_what_is_new_and_where_it_stands() {
        let mut transcript = Transcript::from(vec![user(1, "one")]);
        transcript.push(call(1));
        let expected = vec![
            NewSegment::Ref(SegmentRef::Inherited(0)),
            NewSegment::Ref(SegmentRef::Model(1, 0)),
        ];
        assert_eq!(transcript.announce(), (0, expected));
        transcript.push(user(2, "two"));
        assert_eq!(
            transcript.announce(),
            (2, vec![NewSegment::Ref(SegmentRef::Message("two".to_owned()))])
        );
    }

    #[test]
    fn a_summary_stands_for_what_is_gone_and_carried_segments_keep_their_numbers() {
        let mut transcript = Transcript::from(vec![user(1, "one"), user(2, "two")]);
        transcript.announce();
        transcript.compact(summary(), 1);
        let expected = vec![
            NewSegment::Whole(Box::new(summary())),
            NewSegment::Ref(SegmentRef::Inherited(1)),
        ];
        assert_eq!(transcript.announce(), (0, expected));
    }

    #[test]
    fn open_calls_get_outputs_and_answered_ones_do_not() {
        let mut transcript = Transcript::default();
        transcript.push(call(1));
        let outputs = transcript.outputs_of_open_calls(jiff::Timestamp::UNIX_EPOCH, "stopped");
        assert_eq!(outputs.len(), 1);
        transcript.push(outputs[0].clone());
        assert_eq!(
            transcript.outputs_of_open_calls(jiff::Timestamp::UNIX_EPOCH, "stopped"),
            Vec::new()
        );
    }
}
