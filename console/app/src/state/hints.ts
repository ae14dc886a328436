// What to do next about a failed turn. The categories are those of docs/troubleshooting.md.

const HINTS: Record<string, string> = {
  model_authentication: "The API key is wrong or may not use this model. Whoever runs the Agent corrects the Secret; then send your message again.",
  insufficient_quota: "The provider's quota or credit is used up. Whoever pays for the model can raise it; then send your message again.",
  model_not_found: "Check model.name and model.baseUrl of the Agent.",
  model_request_refused: "The provider refused the request. The usual cause is a setting or a schema that it does not support.",
  model_configuration: "The Agent must be changed: the message names the field.",
  model_credentials: "The worker lacks a credential: the message names it.",
  context_length_exceeded: "The conversation is too long for the model. Begin a new one, or enable context.compaction in the Agent.",
  model_output_truncated: "The answer reached its token limit. Ask for a shorter one, or raise model.settings.maxOutputTokens.",
  content_policy: "The provider's content filter stopped this. Say it in another way.",
  model_rate_limit: "The provider is busy. Send your message again in a while.",
  model_unavailable: "The provider is not available now. Send your message again in a while.",
  model_connection: "The provider cannot be reached now. Send your message again in a while.",
  model_unknown_host: "Check model.baseUrl of the Agent: its host does not exist.",
  model_tls: "The certificate of the model's server is not trusted: check model.baseUrl.",
  max_model_calls: "The turn reached its limit of model calls. Ask for less at a time, or raise the limit in the Agent.",
};

export function hintFor(category: string): string {
  return HINTS[category] ?? "The task goes on: your next message begins a new turn.";
}
