//! Whether a text is a valid template.

use std::error::Error;

use minijinja::Environment;
use steadfast_bounds::template;
use steadfast_crds::conditions::Reason;

use crate::validation::ValidationError;

/// Checks that `text` parses as a template; `field` names it in the message.
pub(crate) fn check_template(field: &str, text: &str) -> Result<(), ValidationError> {
    let invalid = |error: &dyn Error| {
        ValidationError::not_accepted(
            Reason::InvalidTemplate,
            format!("{field} is not a valid template: {error}"),
        )
    };
    template::parse_with(text, |text| Environment::empty().template_from_str(text).map(drop))
        .map_err(|error| invalid(&error))?
        .map_err(|error| invalid(&error))
}
