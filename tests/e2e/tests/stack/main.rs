//! Steadfast end to end without Kubernetes: gateway and workers as processes, with
//! a real Temporal, a real Redis and a scripted model.
//!
//! Tests share one stack, each with an agent and workers of its own. A test that
//! kills a shared service starts its own stack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod a2a;
mod agentex_clients;
mod agentex_frames;
mod agents;
mod api_docs;
mod approvals;
mod attachments;
mod bad_input;
mod chat_completions;
mod cli;
mod collector;
mod console;
mod console_agents;
mod console_approvals;
mod console_attachments;
mod console_bench;
mod console_cards;
mod console_keyboard;
mod console_keyboard_losses;
mod console_pictures;
mod console_rights;
mod console_sign_in;
mod console_timeline;
mod continue_as_new;
mod continue_as_new_state;
mod conversation;
mod cross_namespace;
mod encryption;
mod gateway_load;
mod gateway_loss;
mod guardrails;
mod history;
mod hooks;
mod hosted;
mod http_server;
mod ledger;
mod limits;
mod litellm;
mod mcp;
mod metrics;
mod model_faults;
mod model_quirks;
mod model_servers;
mod moves;
mod noise;
mod openai_api;
mod pool;
mod provider_changes;
mod proxies;
mod redis_loss;
mod rollouts;
mod secured;
mod server_limits;
mod steps;
mod stopping;
mod task_identity;
mod tasks_in_memory;
mod tools;
mod tracing;
mod turn_cost;
mod visibility;
mod whose_queue;
mod work;
mod worker_loss;
mod worker_versions;
