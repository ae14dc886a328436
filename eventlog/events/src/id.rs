//! Deterministic ids: a retried attempt, a rebuilt log and the live log name
//! the same message alike.

use uuid::Uuid;

/// Where in a task a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlace<'a> {
    pub task_id: &'a str,
    pub turn: u32,
    /// Empty at the top; names the tool call of a nested agent.
    pub call_path: &'a str,
    /// The step within the turn, counted from 0.
    pub step: u32,
    /// `output` for what a model said, `response` for a tool's answer, …
    pub part: &'a str,
    pub index: u32,
}

/// Namespace of all derived message ids (a fixed random UUID).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_9a3e_52c4_4b7d_8e0f_3b9a_7c21_d4e5);

/// The id of the message at a place.
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
