//! `steadfast api-keys`.

use clap::{Args, Subcommand};
use jiff::Span;

use super::output::OutputFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeysCommand {
    /// Make an API key for the gateway.
    ///
    /// Prints the key, which is shown only this once, and the command that adds its hash to a Secret of the gateway.
    /// Nothing is changed and nothing is sent anywhere. Bind roles to the user or to a group of the key as to any other
    /// user. Make a second key with another name to replace one without a pause, and remove the entry of the old one
    /// when nobody uses it.
    Create(CreateApiKeyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CreateApiKeyArguments {
    /// Name of the key: letters, digits, `-`, `_` and `.`. The audit log shows it.
    pub(crate) name: String,
    /// User as whom the bearer of the key acts.
    #[arg(long)]
    pub(crate) user: String,
    /// Group of the user. Repeat it for several.
    #[arg(long = "group")]
    pub(crate) groups: Vec<String>,
    /// How long the key is valid, such as 90d or 12h. Default: until its entry is removed.
    #[arg(long)]
    pub(crate) expires_in: Option<Span>,
    /// The Secret, one of the Helm value gateway.apiKeys.secretNames.
    #[arg(long, default_value = "steadfast-api-keys")]
    pub(crate) secret: String,
    /// Namespace of the gateway.
    #[arg(long, short, default_value = "steadfast-system")]
    pub(crate) namespace: String,
    /// Format of the output.
    #[arg(long, short, value_enum, default_value = "text")]
    pub(crate) output: OutputFormat,
}
