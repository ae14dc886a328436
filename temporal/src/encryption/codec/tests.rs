use std::collections::HashMap;

use steadfast_payload::{failure_message, foreign_json, pack, plain_json, unpack};
use temporalio_common::{
    data_converters::ActivitySerializationContext,
    protos::temporal::api::{
        common::v1::{Memo, Payloads, SearchAttributes},
        failure::v1::Failure,
        history::v1::{History, HistoryEvent, WorkflowExecutionFailedEventAttributes, history_event::Attributes},
        schedule::v1::{Schedule, ScheduleAction, schedule_action::Action},
        workflow::v1::{NewWorkflowExecutionInfo, WorkflowExecutionInfo},
        workflowservice::v1::{
            CreateScheduleRequest, GetWorkflowExecutionHistoryResponse, ListWorkflowExecutionsResponse,
            StartWorkflowExecutionRequest,
        },
    },
};

use super::*;
use crate::encryption::keys::testing::{add, directory};

fn codec(directory: &Path, active: &str) -> Codec {
    Codec::read(Some(directory), Some(active)).unwrap()
}

/// `pack` gives `Payload`s of both forms.
fn texts() -> [String; 2] {
    ["A word.".to_owned(), "A word. ".repeat(10_000)]
}

fn contains(payload: &Payload, word: &[u8]) -> bool {
    payload.data.windows(word.len()).any(|bytes| bytes == word)
}

#[test]
fn a_payload_comes_back_and_its_words_are_not_in_the_encrypted_one() {
    let keys = directory(&["a"]);
    let codec = codec(keys.path(), "a");
    for text in texts() {
        let plain = pack(&text).unwrap();
        let encoded = codec.encode(plain.clone()).unwrap();
        assert!(!contains(&encoded, b"word"));
        assert_eq!(encryption_key_id(&encoded), "a");
        assert_eq!(codec.decode(encoded).unwrap(), plain);
    }
}

#[test]
fn the_same_payload_is_never_encrypted_twice_to_the_same_bytes() {
    let keys = directory(&["a"]);
    let codec = codec(keys.path(), "a");
    let encode = || codec.encode(pack(&"the same").unwrap()).unwrap().data;
    assert_ne!(encode(), encode());
}

#[test]
fn after_a_rotation_both_old_and_new_payloads_are_read() {
    let keys = directory(&["old"]);
    let before = codec(keys.path(), "old").encode(pack(&1).unwrap()).unwrap();
    add(keys.path(), "new");
    let rotated = codec(keys.path(), "new");
    let after = rotated.encode(pack(&2).unwrap()).unwrap();
    assert_eq!(encryption_key_id(&after), "new");
    for (payload, value) in [(before, 1), (after, 2)] {
        assert_eq!(unpack::<u32>(&rotated.decode(payload).unwrap()).unwrap(), value);
    }
}

#[test]
fn without_an_active_key_old_payloads_are_read_and_new_ones_stay_plain() {
    let keys = directory(&["a"]);
    let before = codec(keys.path(), "a").encode(pack(&1).unwrap()).unwrap();
    let reader = Codec::read(Some(keys.path()), Some("")).unwrap();
    assert_eq!(unpack::<u32>(&reader.decode(before).unwrap()).unwrap(), 1);
    let plain = pack(&2).unwrap();
    assert_eq!(reader.encode(plain.clone()).unwrap(), plain);
    assert!(!reader.encrypts());
}

#[test]
fn changed_bytes_are_refused() {
    let keys = directory(&["a", "b"]);
    let codec = codec(keys.path(), "a");
    let encoded = codec.encode(pack(&"text").unwrap()).unwrap();
    for index in 0..encoded.data.len() {
        let mut changed = encoded.clone();
        changed.data[index] ^= 1;
        assert!(
            matches!(codec.decode(changed), Err(CipherError::Changed { .. })),
            "{index}"
        );
    }
    let mut cut = encoded.clone();
    cut.data.truncate(5);
    assert!(matches!(codec.decode(cut), Err(CipherError::Changed { .. })));
    let mut other_key = encoded;
    other_key.metadata.insert("encryption-key-id".to_owned(), b"b".to_vec());
    assert!(matches!(codec.decode(other_key), Err(CipherError::Changed { .. })));
}

#[test]
fn an_unknown_key_is_named_with_the_keys_that_are_there() {
    let keys = directory(&["old", "new"]);
    let payload = codec(keys.path(), "new").encode(pack(&1).unwrap()).unwrap();
    let others = directory(&["old"]);
    let error = codec(others.path(), "old").decode(payload.clone()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the key \"new\", which this program does not have (it has: old)"),
        "{error}"
    );
    let error = Codec::default().decode(payload).unwrap_err();
    assert!(error.to_string().contains("(it has: none)"), "{error}");
}

#[test]
fn payloads_for_foreign_programs_stay_plain_and_lose_their_mark() {
    let keys = directory(&["a"]);
    for codec in [codec(keys.path(), "a"), Codec::default()] {
        let payload = foreign_json(&"hello").unwrap();
        assert_eq!(codec.encode(payload).unwrap(), plain_json(&"hello").unwrap());
    }
}

#[tokio::test]
async fn an_activity_waits_for_a_key_that_arrives_later_and_a_workflow_does_not() {
    let both = directory(&["old", "new"]);
    let payload = codec(both.path(), "new").encode(pack(&1).unwrap()).unwrap();
    let keys = directory(&["old"]);
    let reader = codec(keys.path(), "old");
    let workflow = SerializationContextData::None;
    let refused = PayloadCodec::decode(&reader, &workflow, vec![payload.clone()]).await;
    assert!(refused.is_err());

    let activity = SerializationContextData::Activity(ActivitySerializationContext::new());
    let waiting = PayloadCodec::decode(&reader, &activity, vec![payload]);
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    add(keys.path(), "new");
    assert_eq!(unpack::<u32>(&waiting.await.unwrap()[0]).unwrap(), 1);
}

fn payloads(payload: Payload) -> Payloads {
    Payloads {
        payloads: vec![payload],
    }
}

#[tokio::test]
async fn a_request_is_encrypted_except_its_search_attributes() {
    let keys = directory(&["a"]);
    let codec = codec(keys.path(), "a");
    let plain = plain_json(&"word").unwrap();
    let mut request = StartWorkflowExecutionRequest {
        input: Some(payloads(plain.clone())),
        memo: Some(Memo {
            fields: HashMap::from([("m".to_owned(), plain.clone())]),
        }),
        search_attributes: Some(SearchAttributes {
            indexed_fields: HashMap::from([("s".to_owned(), plain.clone())]),
        }),
        ..Default::default()
    };
    codec.encode_message(&mut request).await.unwrap();
    assert!(is_encrypted(&request.input.unwrap().payloads[0]));
    assert!(is_encrypted(&request.memo.unwrap().fields["m"]));
    assert_eq!(request.search_attributes.unwrap().indexed_fields["s"], plain);
}

#[tokio::test]
async fn the_input_of_a_schedule_is_encrypted() {
    let keys = directory(&["a"]);
    let start = NewWorkflowExecutionInfo {
        input: Some(payloads(plain_json(&"word").unwrap())),
        ..Default::default()
    };
    let mut request = CreateScheduleRequest {
        schedule: Some(Schedule {
            action: Some(ScheduleAction {
                action: Some(Action::StartWorkflow(start)),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    codec(keys.path(), "a").encode_message(&mut request).await.unwrap();
    let action = request.schedule.unwrap().action.unwrap().action;
    let Some(Action::StartWorkflow(start)) = action else {
        panic!("{action:?}")
    };
    assert!(is_encrypted(&start.input.unwrap().payloads[0]));
}

#[tokio::test]
async fn the_message_of_a_failure_is_decrypted_with_its_causes() {
    let keys = directory(&["a"]);
    let codec = codec(keys.path(), "a");
    let attributes = |message: &str| {
        let attributes = HashMap::from([("message", message), ("stack_trace", "")]);
        Some(codec.encode(pack(&attributes).unwrap()).unwrap())
    };
    let failure = Failure {
        encoded_attributes: attributes("the tool failed"),
        cause: Some(Box::new(Failure {
            encoded_attributes: attributes("no such order"),
            ..Default::default()
        })),
        ..Default::default()
    };
    let mut response = GetWorkflowExecutionHistoryResponse {
        history: Some(History {
            events: vec![HistoryEvent {
                attributes: Some(Attributes::WorkflowExecutionFailedEventAttributes(
                    WorkflowExecutionFailedEventAttributes {
                        failure: Some(failure),
                        ..Default::default()
                    },
                )),
                ..Default::default()
            }],
        }),
        ..Default::default()
    };
    codec.decode_message(&mut response).await;
    let attributes = response.history.unwrap().events.remove(0).attributes;
    let Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) = attributes else {
        panic!("{attributes:?}")
    };
    let failure = failed.failure.unwrap();
    assert_eq!(failure_message(&failure), "the tool failed");
    assert_eq!(failure_message(failure.cause.as_deref().unwrap()), "no such order");
}

#[tokio::test]
async fn one_entry_with_an_unknown_key_does_not_spoil_a_list() {
    let both = directory(&["old", "new"]);
    let entry = |key: &str| WorkflowExecutionInfo {
        memo: Some(Memo {
            fields: HashMap::from([(
                "m".to_owned(),
                codec(both.path(), key).encode(pack(&key).unwrap()).unwrap(),
            )]),
        }),
        ..Default::default()
    };
    let mut list = ListWorkflowExecutionsResponse {
        executions: vec![entry("new"), entry("old")],
        ..Default::default()
    };
    let keys = directory(&["old"]);
    codec(keys.path(), "old").decode_message(&mut list).await;
    let read = |index: usize| unpack::<String>(&list.executions[index].memo.as_ref().unwrap().fields["m"]);
    assert!(read(0).unwrap_err().to_string().contains("\"new\""));
    assert_eq!(read(1).unwrap(), "old");
}

#[test]
fn a_digest_changes_with_the_text_and_with_the_key() {
    let keys = directory(&["a", "b"]);
    let (a, b) = (codec(keys.path(), "a"), codec(keys.path(), "b"));
    assert_eq!(a.keyed_digest(b"x"), a.keyed_digest(b"x"));
    assert_ne!(a.keyed_digest(b"x"), a.keyed_digest(b"y"));
    assert_ne!(a.keyed_digest(b"x"), b.keyed_digest(b"x"));
    assert_eq!(Codec::default().keyed_digest(b"x"), None);
}

#[test]
fn a_key_id_without_keys_is_refused() {
    assert!(matches!(Codec::read(None, Some("a")), Err(KeysError::NoDirectory(_))));
    assert!(!Codec::read(None, None).unwrap().encrypts());
}
