//! The habits of model servers: how a request must look that one of them takes. They begin with a profile and change by
//! lessons, which the refusals of the server teach. Pure.

use std::{borrow::Cow, collections::BTreeSet};

use steadfast_crds::model::ModelDialect;
use url::Url;

/// One habit of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Habit {
    /// Chat: the limit of tokens is `max_completion_tokens`, not `max_tokens`.
    MaxCompletionTokens,
    /// Chat: `prompt_cache_key` is known.
    PromptCacheKey,
    /// The ids of calls have nine letters and digits.
    NineCharacterIds,
    /// Chat: the content of a message is a text, also where it is empty.
    TextInEveryMessage,
    /// Chat: every message of the assistant has `reasoning_content`.
    ReasoningInEveryAnswer,
    /// Chat: between the results of tools and a user's message there is a message of the assistant.
    AnswerAfterTools,
    /// Chat: the first call of an answer has a thought signature of Google's.
    ThoughtSignatures,
    /// Chat: there is no system role.
    NoSystemRole,
}

impl Habit {
    /// The name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::PromptCacheKey => "prompt_cache_key",
            Self::NineCharacterIds => "nine_character_ids",
            Self::TextInEveryMessage => "text_in_every_message",
            Self::ReasoningInEveryAnswer => "reasoning_in_every_answer",
            Self::AnswerAfterTools => "answer_after_tools",
            Self::ThoughtSignatures => "thought_signatures",
            Self::NoSystemRole => "no_system_role",
        }
    }
}

/// What a refusal of a server teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    Adopt(Habit),
    /// A member of the body, by its path, is not sent.
    Omit(String),
    /// A member of messages or of calls is not sent.
    OmitOfMessages(String),
}

impl Lesson {
    /// The name in metrics.
    pub(crate) fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Adopt(habit) => habit.name().into(),
            Self::Omit(path) => format!("omit {path}").into(),
            Self::OmitOfMessages(name) => format!("omit messages.{name}").into(),
        }
    }
}

/// The habits of one model at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    habits: BTreeSet<Habit>,
    omitted: BTreeSet<String>,
    omitted_of_messages: BTreeSet<String>,
}

impl Dialect {
    /// The habits before the server has refused anything.
    pub(crate) fn initial(dialect: ModelDialect, base_url: &Url) -> Self {
        let dialect = match dialect {
            ModelDialect::Learned => guess(base_url),
            chosen => chosen,
        };
        let habits: &[Habit] = match dialect {
            ModelDialect::Learned => &[],
            ModelDialect::OpenAI => &[Habit::MaxCompletionTokens, Habit::PromptCacheKey],
            ModelDialect::DeepSeek => &[Habit::ReasoningInEveryAnswer],
            ModelDialect::Gemini => &[Habit::ThoughtSignatures],
            ModelDialect::Mistral => &[Habit::NineCharacterIds, Habit::AnswerAfterTools],
            ModelDialect::ChatTemplate => &[Habit::TextInEveryMessage],
        };
        Self {
            habits: habits.iter().copied().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    /// The paths of members of the body that are not sent.
    pub(crate) fn omitted(&self) -> impl Iterator<Item = &str> {
        self.omitted.iter().map(String::as_str)
    }

    /// Whether a member of the body, by its path, is not sent.
    pub(crate) fn omits(&self, path: &str) -> bool {
        self.omitted.contains(path)
    }

    /// Whether a member of messages or calls is not sent.
    pub(crate) fn omits_of_messages(&self, name: &str) -> bool {
        self.omitted_of_messages.contains(name)
    }

    /// Returns whether the lesson is new.
    pub(crate) fn learn(&mut self, lesson: &Lesson) -> bool {
        match lesson {
            Lesson::Adopt(habit) => self.habits.insert(*habit),
            Lesson::Omit(path) => self.omitted.insert(path.clone()),
            Lesson::OmitOfMessages(name) => {
                if name == "reasoning_content" {
                    self.habits.remove(&Habit::ReasoningInEveryAnswer);
                }
                self.omitted_of_messages.insert(name.clone())
            }
        }
    }
}

/// The profile of a known host. It saves the first refusals; a wrong guess is corrected by them.
fn guess(base_url: &Url) -> ModelDialect {
    let host = base_url.host_str().unwrap_or_default();
    let is_below = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|name| name.ends_with('.'));
    let hosts = [
        ("openai.com", ModelDialect::OpenAI),
        ("openai.azure.com", ModelDialect::OpenAI),
        ("services.ai.azure.com", ModelDialect::OpenAI),
        ("deepseek.com", ModelDialect::DeepSeek),
        ("googleapis.com", ModelDialect::Gemini),
        ("mistral.ai", ModelDialect::Mistral),
    ];
    let known = hosts.iter().find(|(domain, _)| is_below(domain));
    known.map_or(ModelDialect::Learned, |(_, dialect)| *dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initial(dialect: ModelDialect, url: &str) -> Dialect {
        Dialect::initial(dialect, &Url::parse(url).unwrap())
    }

    #[test]
    fn a_known_host_begins_with_its_profile_and_any_other_with_none() {
        let learned = |url| initial(ModelDialect::Learned, url);
        for (url, dialect) in [
            ("https://api.openai.com/v1", ModelDialect::OpenAI),
            ("https://res.openai.azure.com/openai/v1", ModelDialect::OpenAI),
            ("https://api.mistral.ai/v1", ModelDialect::Mistral),
            ("https://api.deepseek.com", ModelDialect::DeepSeek),
            (
                "https://generativelanguage.googleapis.com/v1beta/openai",
                ModelDialect::Gemini,
            ),
        ] {
            assert_eq!(learned(url), initial(dialect, "http://localhost/"), "{url}");
        }
        for url in [
            "http://vllm:8000/v1",
            "https://notopenai.com/v1",
            "https://openai.com.evil.test/",
        ] {
            assert_eq!(learned(url), Dialect::default(), "{url}");
        }
    }

    #[test]
    fn a_chosen_profile_counts_on_every_host() {
        let mistral = initial(ModelDialect::Mistral, "https://api.openai.com/v1");
        assert!(mistral.has(Habit::NineCharacterIds) && !mistral.has(Habit::PromptCacheKey));
    }

    #[test]
    fn a_lesson_is_new_once() {
        let mut dialect = Dialect::default();
        for lesson in [
            Lesson::Adopt(Habit::NineCharacterIds),
            Lesson::Omit("store".to_owned()),
            Lesson::OmitOfMessages("reasoning".to_owned()),
        ] {
            assert!(dialect.learn(&lesson), "{lesson:?}");
            assert!(!dialect.learn(&lesson), "{lesson:?}");
        }
        assert!(dialect.omits("store") && dialect.omits_of_messages("reasoning"));
    }
}
