//! UUIDs as 32 hexadecimal digits without hyphens, as the ids of A2A and of OpenAI's APIs contain them. Pure.

use uuid::Uuid;

pub(crate) const HEX_DIGITS: usize = 32;

/// The text is no id of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchId;

pub(crate) fn read(hex: &str) -> Result<Uuid, NoSuchId> {
    if hex.len() != HEX_DIGITS {
        return Err(NoSuchId);
    }
    Uuid::try_parse(hex).map_err(|_| NoSuchId)
}
