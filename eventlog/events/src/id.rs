//! Deterministic ids: a retried attempt, a rebuilt log and the live log give the
//! same message the same id.

use uuid::Uuid;

/// Position of a message in its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlace<'a> {
    /// The task.
    pub task_id: &'a str,
    /// Turn of the task.
    pub turn: u32,
    /// Path of tool calls to a nested agent; empty at the top.
    pub call_path: &'a str,
    /// The step within the turn, counted from 0.
    pub step: u32,
    /// `output` for the output of a model, `response` for the result of a tool, …
    pub part: &'a str,
    /// Number among the messages of that part, counted from 0.
    pub index: u32,
}

/// Namespace of all derived message ids (a fixed random UUID).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_9a3e_52c4_4b7d_8e0f_3b9a_7c21_d4e5);

/// Namespace of the ids of users' messages (a fixed random UUID): none is the id of another message.
const USER_MESSAGES: Uuid = Uuid::from_u128(0xb3f7_08d2_4c15_4e96_9a21_d8e4_5f0b_76ac);

/// The id of the message that a user sent to a task under an idempotency key. The same key of another user is another
/// message.
pub fn user_message_id(task_id: &str, sender: &str, idempotency_key: &str) -> String {
    // Neither a task id nor the name of a user contains a NUL.
    let name = format!("{task_id}\0{sender}\0{idempotency_key}");
    Uuid::new_v5(&USER_MESSAGES, name.as_bytes()).to_string()
}

/// The id of the message at a position.
pub fn message_id(place: MessagePlace<'_>) -> String {
    let MessagePlace {
        task_id,
        turn,
        call_path,
        step,
        part,
        index,
    } = place;
    Uuid::new_v5(
        &NAMESPACE,
        format!("{task_id}/{turn}/{call_path}/{step}/{part}/{index}").as_bytes(),
    )
    .to_string()
}
