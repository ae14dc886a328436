//! What an Agent learns of another one it names: that it exists, and what it
//! says it is for. Never its revision or its workers, so that agents which name
//! each other do not wake each other without end. Pure.

use std::collections::HashMap;

use crate::{agent_controller::GuardedAgent, cache::ObjectKey};

/// What one Agent learns of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Introduction {
    /// There is no such Agent.
    #[default]
    Missing,
    /// There is one, and this version cannot read it; why.
    Unreadable(String),
    /// There is one, with this description.
    Known(String),
}

impl Introduction {
    /// Of an Agent as the watch delivered it, if it did.
    #[must_use]
    pub fn of(agent: Option<&GuardedAgent>) -> Self {
        match agent.map(|agent| &agent.0) {
            None => Self::Missing,
            Some(Err(invalid)) => Self::Unreadable(invalid.to_string()),
            Some(Ok(agent)) => Self::Known(agent.spec.description.clone()),
        }
    }
}

/// Whether news of an Agent are news to the Agents that name it.
#[derive(Debug, Default)]
pub struct Introductions(HashMap<ObjectKey, Introduction>);

impl Introductions {
    /// Takes over what is now known of an Agent; true when it differs from what was.
    pub fn update(&mut self, agent: &ObjectKey, now: Introduction) -> bool {
        let news = self.0.get(agent).unwrap_or(&Introduction::Missing) != &now;
        if now == Introduction::Missing {
            self.0.remove(agent);
        } else if news {
            self.0.insert(agent.clone(), now);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_woken_when_an_agent_appears_changes_its_description_or_is_gone() {
        let mut introductions = Introductions::default();
        let key = ObjectKey::new("team", "researcher");
        let known = |description: &str| Introduction::Known(description.to_owned());
        for (now, news) in [
            (Introduction::Missing, false),
            (known("Finds things."), true),
            (known("Finds things."), false),
            (known("Finds papers."), true),
            (Introduction::Missing, true),
            (Introduction::Missing, false),
        ] {
            assert_eq!(introductions.update(&key, now.clone()), news, "{now:?}");
        }
    }
}
