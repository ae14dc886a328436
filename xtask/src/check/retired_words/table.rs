//! The retired words, and the word that stands for each.

/// Where a retired word is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// In prose, in names and in file names, however it is written: `hand_over`, `HandOver`, `hand over`.
    Everywhere,
    /// Within one name of the code: `made_by`, `MadeBy`, `is_made_by`, but not "made by".
    Name,
    /// As the name of a module or type: a plain English word that is fine elsewhere.
    Item,
    /// As the name of a function too.
    Function,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    /// Words in lower case, with a space between them.
    pub word: &'static str,
    pub scope: Scope,
    pub instead: &'static str,
}

const fn everywhere(word: &'static str, instead: &'static str) -> Retired {
    Retired {
        word,
        scope: Scope::Everywhere,
        instead,
    }
}

const fn name(word: &'static str, instead: &'static str) -> Retired {
    Retired {
        word,
        scope: Scope::Name,
        instead,
    }
}

const fn item(word: &'static str, instead: &'static str) -> Retired {
    Retired {
        word,
        scope: Scope::Item,
        instead,
    }
}

const fn function(word: &'static str, instead: &'static str) -> Retired {
    Retired {
        word,
        scope: Scope::Function,
        instead,
    }
}

pub(super) const TABLE: &[Retired] = &[
    // Continue-as-new.
    everywhere("hand over", "continue as new (Temporal), or handoff (between agents)"),
    everywhere("handover", "continue as new (Temporal), or handoff (between agents)"),
    everywhere(
        "handed over",
        "continued as new (Temporal), or handed off (between agents)",
    ),
    name("carry over", "continue as new"),
    everywhere("fetch carried", "fetch state page"),
    item("carried", "continue as new state, or durable state"),
    function("carry", "take batch, or state pages"),
    item("paged", "state pages"),
    // Workflow.
    everywhere("segment store", "segment cache"),
    name("note ran", "record interval"),
    name("made by", "output source"),
    name("take up", "agent started"),
    name("put down", "agent ended"),
    name("tell of", "emit"),
    name("take back", "retract"),
    everywhere("carrier comes", "piggyback pending"),
    everywhere("is complete run", "schema version"),
    everywhere("word to stop", "shutdown signal"),
    name("stop running", "cancel running calls"),
    everywhere("stop unsaid", "cancel pending"),
    item("drive", "driver"),
    item("people", "human approval"),
    item("clock", "deadlines"),
    item("acting", "active agent"),
    item("ran", "interval"),
    item("telling", "events"),
    function("say", "send message"),
    function("pump", "relay"),
    function("settle", "ack"),
    item("left", "call outcome"),
    item("call end", "call outcome"),
    item("called", "call outcome"),
    item("calling", "tool call context"),
    item("delegate", "child workflow"),
    item("ruling", "decision"),
    item("decided", "decision"),
    item("approval verdict", "verdict"),
    item("check verdict", "guardrail result"),
    item("misfit", "mismatch"),
    item("made up", "synthetic"),
    // Worker.
    everywhere("curtain", "output gate"),
    item("known", "run history"),
    item("keeper", "schedule syncer"),
    item("board", "message tracker, or desired schedules"),
    item("pace", "concurrency limit"),
    item("held", "withheld"),
    item("deliver", "deliver message"),
    item("delivery", "scheduled message"),
    item("delivered", "delivered to"),
    // Operator.
    everywhere("housekeeping", "garbage collection"),
    everywhere("applied marks", "last applied"),
    name("store feed", "reflector feed"),
    name("object key", "namespaced name"),
    item("introduction", "agent summary"),
    item("found", "dereferenced"),
    item("finding", "validation error"),
    item("defect", "validation error"),
    item("contents", "secret hash cache"),
    item("kept", "secret hash cache"),
    item("texts", "secret hash cache"),
    item("marks", "last applied"),
    item("transitions", "events"),
    item("sight", "observed"),
    item("candidate", "lease lock"),
    function("look", "get"),
    function("give back", "release"),
    // Event log.
    everywhere("genesis", "first batch"),
    // Gateway.
    item("inbound", "extractors"),
    item("translation", "agentex frames"),
    // Command line.
    item("questions", "prompt"),
    item("heard", "reply"),
    item("remarks", "notices"),
    item("wanted", "filter"),
    item("listed", "row"),
    item("unheard", "unanswered"),
    // Tests.
    item("site", "install root"),
    item("home", "data dir"),
    item("reach", "network access"),
    everywhere("patience", "timeout"),
    // All.
    everywhere("folder", "directory"),
    everywhere("folders", "directories"),
    everywhere("shown.md", "verification.md"),
];
