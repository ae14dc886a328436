//! Whether a text is a valid template.

use minijinja::Environment;
use steadfast_crds::conditions::Reason;

use crate::validation::ValidationError;

/// Checks that `text` parses as a template; `field` names it in the message.
pub(crate) fn check_template(field: &str, text: &str) -> Result<(), ValidationError> {
    Environment::empty()
        .template_from_str(text)
        .map(|_| ())
        .map_err(|error| {
            ValidationError::not_accepted(
                Reason::InvalidTemplate,
                format!("{field} is not a valid template: {error}"),
            )
        })
}
