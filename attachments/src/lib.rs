//! What a message may carry besides its text: images and files. History and the log hold an [`Attachment`], which says
//! what it is and where its bytes are; the bytes are in a store. Pure: reads what a client sends, checks it against the
//! [limits], and names the objects of the store.

mod attachment;
mod given;
pub mod limits;
pub mod media_type;
mod object_name;
mod public_url;
mod refusal;

pub use attachment::{Attachment, Detail, Kind, Source};
pub use given::{Checked, Given, GivenContent, check_message};
pub use object_name::{is_sha256, object_of, sha256_of, task_prefix};
pub use refusal::Refusal;
