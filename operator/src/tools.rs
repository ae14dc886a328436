//! AgentTools: the rules for one, and the controller that writes their status.
//! Knows no Agent but by name; Agents read the tools themselves.

pub(crate) mod controller;
pub(crate) mod offers;
pub(crate) mod reconcile;
pub(crate) mod status;
pub(crate) mod text_fields;
pub(crate) mod validate;

use kube::core::DeserializeGuard;
use steadfast_crds::AgentTool;

/// An AgentTool from the watch, or the reason why it cannot be decoded.
pub(crate) type GuardedTool = DeserializeGuard<AgentTool>;
