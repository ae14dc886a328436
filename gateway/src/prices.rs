//! What models cost, as whoever runs the gateway has written it down: read, checked, and found nowhere else. Pure, but
//! for the file in [`mod@file`].

mod file;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use steadfast_bounds::OutOfBounds;
use steadfast_crds::yaml::{self, ReadYamlError};
use utoipa::ToSchema;

pub use self::file::Prices;

/// Longest file: a ConfigMap has at most 1 MiB, and each page that shows costs is sent all prices.
const MAX_FILE_BYTES: usize = 64 * 1024;
/// Most models of a file.
const MAX_MODELS: usize = 500;
/// Longest name of a model.
const MAX_MODEL_BYTES: usize = 256;
/// No model costs as much; a price above it is in another unit.
const MAX_PRICE: f64 = 1_000_000.0;

/// The prices of models.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct PriceList {
    /// The currency of all prices: a code of ISO 4217, such as `USD`.
    pub(crate) currency: String,
    pub(crate) models: Vec<ModelPrice>,
}

/// What a million tokens of a model cost.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelPrice {
    /// Name of the model; with `*` at its end, of all whose names begin so. A whole name counts before a beginning, a
    /// long beginning before a short one.
    pub(crate) model: String,
    /// Tokens of prompts that are not from the provider's cache.
    pub(crate) input: f64,
    /// Tokens of prompts that are from the provider's cache.
    pub(crate) cached_input: f64,
    /// Tokens of answers, reasoning included.
    pub(crate) output: f64,
}

/// The file as people write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    currency: String,
    models: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    model: String,
    input: f64,
    cached_input: Option<f64>,
    output: f64,
}

/// Why a file has no prices.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PriceError {
    #[error("{0}")]
    Size(OutOfBounds),
    #[error("it is not text in UTF-8")]
    NoText,
    #[error(transparent)]
    Yaml(#[from] ReadYamlError),
    #[error("currency is {0:?}: it must be three capital letters, such as USD")]
    Currency(String),
    #[error("models[{index}]: the name of a model has 1 to {MAX_MODEL_BYTES} bytes, and no control characters")]
    Name { index: usize },
    #[error("models[{index}] ({model}): * may stand at the end of the name, and nowhere else")]
    Pattern { index: usize, model: String },
    #[error("models[{index}] ({model}): there is an earlier entry for the same name")]
    Twice { index: usize, model: String },
    #[error(
        "models[{index}] ({model}): {field} is {value}: a price of a million tokens is a number from 0 to {MAX_PRICE}"
    )]
    Price {
        index: usize,
        model: String,
        field: &'static str,
        value: f64,
    },
}

impl PriceList {
    /// Reads a file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, PriceError> {
        if file.len() > MAX_FILE_BYTES {
            return Err(PriceError::Size(OutOfBounds::TooLong {
                bytes: file.len(),
                limit: MAX_FILE_BYTES,
            }));
        }
        let text = str::from_utf8(file).map_err(|_| PriceError::NoText)?;
        let file: PriceFile = yaml::from_str(text)?;
        let is_code = file.currency.len() == 3 && file.currency.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_code {
            return Err(PriceError::Currency(file.currency));
        }
        if file.models.len() > MAX_MODELS {
            return Err(PriceError::Size(OutOfBounds::TooMany {
                what: "models",
                limit: MAX_MODELS,
            }));
        }
        let mut names = BTreeSet::new();
        let mut models = Vec::with_capacity(file.models.len());
        for (index, entry) in file.models.into_iter().enumerate() {
            let price = entry.checked(index)?;
            if !names.insert(price.model.clone()) {
                let model = price.model;
                return Err(PriceError::Twice { index, model });
            }
            models.push(price);
        }
        Ok(Self {
            currency: file.currency,
            models,
        })
    }
}

impl Entry {
    fn checked(self, index: usize) -> Result<ModelPrice, PriceError> {
        let model = self.model;
        if model.is_empty() || model.len() > MAX_MODEL_BYTES || model.chars().any(char::is_control) {
            return Err(PriceError::Name { index });
        }
        if model.strip_suffix('*').unwrap_or(&model).contains('*') {
            return Err(PriceError::Pattern { index, model });
        }
        let cached_input = self.cached_input.unwrap_or(self.input);
        for (field, value) in [
            ("input", self.input),
            ("cachedInput", cached_input),
            ("output", self.output),
        ] {
            // What is no number is in no range.
            if !(0.0..=MAX_PRICE).contains(&value) {
                return Err(PriceError::Price {
                    index,
                    model,
                    field,
                    value,
                });
            }
        }
        Ok(ModelPrice {
            model,
            input: self.input,
            cached_input,
            output: self.output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(file: &str) -> String {
        PriceList::parse(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_file_has_a_currency_and_the_prices_of_models() {
        let file = "
currency: EUR
models:
- {model: gpt-5.2, input: 1.25, cachedInput: 0.125, output: 10}
- {model: 'local/*', input: 0, output: 0}
";
        let price = |model: &str, input, cached_input, output| ModelPrice {
            model: model.to_owned(),
            input,
            cached_input,
            output,
        };
        assert_eq!(
            PriceList::parse(file.as_bytes()).unwrap(),
            PriceList {
                currency: "EUR".to_owned(),
                models: vec![price("gpt-5.2", 1.25, 0.125, 10.0), price("local/*", 0.0, 0.0, 0.0)],
            }
        );
    }

    #[test]
    fn cached_input_costs_as_much_as_input_where_nothing_else_is_said() {
        let file = "{currency: USD, models: [{model: a, input: 2, output: 3}]}";
        let prices = PriceList::parse(file.as_bytes()).unwrap();
        assert!((prices.models[0].cached_input - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let one = |entry: &str| error(&format!("{{currency: USD, models: [{entry}]}}"));
        for (found, expected) in [
            (
                error("{currency: dollars, models: []}"),
                "currency is \"dollars\": it must be three capital letters, such as USD",
            ),
            (
                one("{model: '', input: 1, output: 1}"),
                "models[0]: the name of a model has 1 to 256 bytes, and no control characters",
            ),
            (
                one("{model: 'a*b', input: 1, output: 1}"),
                "models[0] (a*b): * may stand at the end of the name, and nowhere else",
            ),
            (
                one("{model: a, input: 1, output: 1}, {model: a, input: 2, output: 1}"),
                "models[1] (a): there is an earlier entry for the same name",
            ),
            (
                one("{model: a, input: 1, output: -1}"),
                "models[0] (a): output is -1: a price of a million tokens is a number from 0 to 1000000",
            ),
            (
                one("{model: a, input: .nan, output: 1}"),
                "models[0] (a): input is NaN: a price of a million tokens is a number from 0 to 1000000",
            ),
            (
                error(&"#".repeat(MAX_FILE_BYTES + 1)),
                "it is 65537 bytes long; the limit is 65536 bytes",
            ),
        ] {
            assert_eq!(found, expected);
        }
        for (file, word) in [
            ("{currency: USD, models: [{model: a, input: 1}]}", "output"),
            ("{currency: USD, models: [{model: a, input: one, output: 1}]}", "float"),
            ("{currency: USD, model: []}", "model"),
            ("[", "line"),
        ] {
            assert!(error(file).contains(word), "{file}: {}", error(file));
        }
    }

    #[test]
    fn a_file_has_no_more_models_than_a_page_can_take() {
        let entries: Vec<String> = (0..=MAX_MODELS)
            .map(|number| format!("{{model: m{number}, input: 1, output: 1}}"))
            .collect();
        let found = error(&format!("{{currency: USD, models: [{}]}}", entries.join(", ")));
        assert_eq!(found, "it has more than 500 models");
    }
}
