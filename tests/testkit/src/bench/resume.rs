//! Viewers that lose their connection at random and resume, on every surface that can: what each got, event by event,
//! against what the log gives to a viewer who reads it whole.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde::Serialize;
use serde_json::{Value, json};
use sse_stream::SseByteStream;
use tokio::time::timeout;

use super::{
    paced_model::{PacedModel, Work},
    random::Random,
};
use crate::{
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Stack},
};

/// The longest silence of a stream.
const SILENCE: Duration = Duration::from_mins(1);
/// Conversations at a time, each with a viewer per surface.
const CONVERSATIONS_AT_ONCE: usize = 8;
/// A viewer has so many events at most before it loses its connection.
const MOST_EVENTS: u32 = 8;
/// Deltas of an answer, one every 20 ms.
const DELTAS: u32 = 60;

/// The size of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct ResumeOptions {
    /// At least so many lost connections, over all surfaces.
    pub disconnects: usize,
    /// The same seed gives connections that are lost after as many events.
    pub seed: u64,
}

impl Default for ResumeOptions {
    fn default() -> Self {
        Self {
            disconnects: 500,
            seed: 1,
        }
    }
}

/// What viewers of each surface got.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ResumeReport {
    pub disconnects: usize,
    pub surfaces: BTreeMap<&'static str, Outcome>,
}

/// What the viewers of one surface got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub viewers: usize,
    pub disconnects: usize,
    /// Events that a viewer who reads the log whole gets.
    pub events: usize,
    /// Of these, events that a viewer who resumed did not get, got more than once, or got with another content.
    pub gaps: usize,
    pub duplicates: usize,
    pub different: usize,
}

impl ResumeReport {
    /// The promises that did not hold.
    pub fn broken_promises(&self) -> Vec<String> {
        let broken = self.surfaces.iter().filter(|(_, outcome)| {
            outcome.gaps + outcome.duplicates + outcome.different > 0 || outcome.events == 0 || outcome.disconnects == 0
        });
        broken
            .map(|(surface, outcome)| format!("{surface}: {outcome:?}"))
            .collect()
    }
}

/// A stream of events that can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    /// The events of the log.
    Events,
    /// Agentex's frames.
    Agentex,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Agents API.
    Sessions,
}

impl Surface {
    const ALL: [Self; 4] = [Self::Events, Self::Agentex, Self::Responses, Self::Sessions];

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Agentex => "agentex",
            Self::Responses => "responses",
            Self::Sessions => "sessions",
        }
    }

    /// The path of the stream after the last event that a viewer has.
    fn path(self, conversation: &Conversation, last: Option<&str>) -> String {
        let Conversation { response, task } = conversation;
        let simple = task.replace('-', "");
        match (self, last) {
            (Self::Events, last) => format!("/tasks/{task}/stream?format=events&after={}", last.unwrap_or("0")),
            (Self::Agentex, last) => format!("/tasks/{task}/stream?after={}", last.unwrap_or("0")),
            (Self::Responses, None) => format!("/v1/responses/{response}?stream=true"),
            (Self::Responses, Some(last)) => format!("/v1/responses/{response}?stream=true&starting_after={last}"),
            // Without a position, a session is told from now on.
            (Self::Sessions, None) => format!("/v1/agents/sessions/sess_{simple}/events"),
            (Self::Sessions, Some(last)) => format!("/v1/agents/sessions/sess_{simple}/events?after={last}"),
        }
    }

    /// The position of an event, by which a viewer resumes; `None` for one that the next event completes.
    fn position(self, event: &sse_stream::Sse, data: &Value) -> Option<String> {
        match self {
            Self::Events | Self::Agentex => event.id.clone(),
            Self::Responses => Some(data["sequence_number"].as_u64()?.to_string()),
            Self::Sessions => Some(data["event_id"].as_str()?.to_owned()),
        }
    }

    /// Whether the turn has ended with this event.
    fn is_last(self, data: &Value) -> bool {
        match self {
            Self::Events => data["type"] == "turn_ended",
            Self::Agentex => data["type"] == "done" && data["parent_task_message"]["content"]["author"] == "agent",
            Self::Responses => data["type"] == "response.completed",
            Self::Sessions => data["type"] == "agent.session.idle",
        }
    }
}

/// A conversation of one turn.
#[derive(Clone, Debug)]
struct Conversation {
    response: String,
    task: String,
}

/// The events of a viewer, with the position of each.
type Events = Vec<(String, Value)>;

/// Runs the benchmark on a stack.
pub async fn run(stack: &Stack, options: ResumeOptions) -> anyhow::Result<ResumeReport> {
    let model = PacedModel::start()?;
    let base_url = model.base_url();
    let setup = AgentSetup::new("resume", |_| Reply::text("The model of the bench answers instead."))
        .configure(move |spec| spec.model.base_url = base_url);
    let agent = stack.agent(setup).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let driver = Driver {
        agent: &agent,
        http,
        url: stack.url(),
    };
    let mut report = ResumeReport::default();
    let mut number = 0;
    while report.disconnects < options.disconnects {
        let conversations =
            (number..number + CONVERSATIONS_AT_ONCE).map(|number| driver.conversation(number, options.seed));
        for outcomes in try_join_all(conversations).await? {
            for (surface, outcome) in outcomes {
                report.disconnects += outcome.disconnects;
                report.surfaces.entry(surface.name()).or_default().add(outcome);
            }
        }
        number += CONVERSATIONS_AT_ONCE;
        tracing::info!("{} connections were lost", report.disconnects);
    }
    Ok(report)
}

/// What every conversation needs.
struct Driver<'a> {
    agent: &'a Agent,
    http: reqwest::Client,
    url: String,
}

impl Driver<'_> {
    /// A conversation with a viewer per surface, from its beginning to its end.
    async fn conversation(&self, number: usize, seed: u64) -> anyhow::Result<Vec<(Surface, Outcome)>> {
        let (conversation, session) = self.begin(number).await?;
        let conversation = &conversation;
        let mut session = Some(session);
        let viewers = Surface::ALL.into_iter().enumerate().map(|(place, surface)| {
            let opened = session.take_if(|_| surface == Surface::Sessions);
            async move {
                let place = u64::try_from(number * Surface::ALL.len() + place)?;
                let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(place));
                let watched = self.watch(surface, conversation, opened, &mut random).await;
                let (got, disconnects) = watched.with_context(|| format!("watch {}", surface.name()))?;
                anyhow::Ok((surface, got, disconnects))
            }
        });
        let watched = try_join_all(viewers).await?;
        stream::iter(watched)
            .then(|(surface, got, disconnects)| async move {
                // A session can be read from its first event on, and not from before.
                let known = usize::from(surface == Surface::Sessions);
                let after = got.first().filter(|_| known > 0).map(|(position, _)| position.as_str());
                let opened = self.open(surface, conversation, after).await?;
                let whole = read(surface, opened, usize::MAX).await?.0;
                Ok((
                    surface,
                    Outcome::of(got.get(known..).unwrap_or_default(), &whole, disconnects),
                ))
            })
            .try_collect()
            .await
    }

    /// A session whose stream is open before its turn begins: before its first event it has no position.
    async fn begin(&self, number: usize) -> anyhow::Result<(Conversation, reqwest::Response)> {
        let client = self.agent.client();
        let body = json!({"agent_id": self.agent.name(), "environment": {"type": "none"}});
        let session = client.post("/v1/agents/sessions", body.to_string()).await?.success()?;
        let id = session["id"].as_str().and_then(|id| id.strip_prefix("sess_"));
        let id = id.context("find the id of the session")?;
        let mut conversation = Conversation {
            response: String::new(),
            task: uuid::Uuid::parse_str(id)?.to_string(),
        };
        let stream = self.open(Surface::Sessions, &conversation, None).await?;
        let work = Work {
            run: format!("resume-{number}"),
            calls: 0,
            result_bytes: 0,
            deltas: DELTAS,
            pace_ms: 20,
        };
        let body = json!({
            "model": self.agent.name(), "input": work.to_string(), "background": true,
            "conversation": format!("conv_{id}"),
        });
        let created = client.post("/v1/responses", body.to_string()).await?.success()?;
        let response = created["id"].as_str().context("find the id of the response")?;
        response.clone_into(&mut conversation.response);
        Ok((conversation, stream))
    }

    /// Watches to the end of the turn, with a connection that is lost again and again.
    async fn watch(
        &self,
        surface: Surface,
        conversation: &Conversation,
        mut opened: Option<reqwest::Response>,
        random: &mut Random,
    ) -> anyhow::Result<(Events, usize)> {
        let (mut got, mut disconnects) = (Events::new(), 0);
        loop {
            let budget = usize::try_from(random.below(MOST_EVENTS) + 1)?;
            let last = got.last().map(|(position, _)| position.as_str());
            let stream = match opened.take() {
                Some(opened) => opened,
                None => self.open(surface, conversation, last).await?,
            };
            let (more, has_ended) = read(surface, stream, budget).await?;
            got.extend(more);
            if has_ended {
                return Ok((got, disconnects));
            }
            disconnects += 1;
        }
    }

    /// Opens a stream after an event.
    async fn open(
        &self,
        surface: Surface,
        conversation: &Conversation,
        last: Option<&str>,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{}", self.url, surface.path(conversation, last));
        let response = self.http.get(&url).send().await.context("open a stream")?;
        ensure!(response.status() == 200, "{url}: {}", response.status());
        Ok(response)
    }
}

/// Reads so many events, or to the end of the turn. What comes after the last position is not kept.
async fn read(surface: Surface, response: reqwest::Response, budget: usize) -> anyhow::Result<(Events, bool)> {
    let mut stream = SseByteStream::new(response.bytes_stream());
    let mut events = Events::new();
    while events.len() < budget {
        let next = timeout(SILENCE, stream.next()).await;
        let event = next
            .context("the stream is silent")?
            .context("the stream ended early")??;
        let Some(text) = event.data.as_deref() else { continue };
        let data: Value = serde_json::from_str(text).with_context(|| format!("read {text}"))?;
        if data["type"] == "connected" {
            continue;
        }
        if data["type"] == "error" {
            bail!("{data}");
        }
        let is_last = surface.is_last(&data);
        if let Some(position) = surface.position(&event, &data) {
            events.push((position, data));
        }
        if is_last {
            return Ok((events, true));
        }
    }
    Ok((events, false))
}

impl Outcome {
    fn of(got: &[(String, Value)], whole: &[(String, Value)], disconnects: usize) -> Self {
        let mut times: HashMap<&str, (usize, &Value)> = HashMap::new();
        for (position, data) in got {
            times.entry(position).or_insert((0, data)).0 += 1;
        }
        let count = |is_wrong: &dyn Fn(&str, &Value) -> bool| {
            whole.iter().filter(|(position, data)| is_wrong(position, data)).count()
        };
        Self {
            viewers: 1,
            disconnects,
            events: whole.len(),
            gaps: count(&|position, _| !times.contains_key(position)),
            duplicates: got.len() - times.len(),
            different: count(&|position, data| times.get(position).is_some_and(|(_, other)| *other != data)),
        }
    }

    fn add(&mut self, other: Self) {
        self.viewers += other.viewers;
        self.disconnects += other.disconnects;
        self.events += other.events;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.different += other.different;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(positions: &[&str]) -> Events {
        positions
            .iter()
            .map(|at| ((*at).to_owned(), json!({ "at": at })))
            .collect()
    }

    #[test]
    fn gaps_duplicates_and_other_contents_are_told_apart() {
        let whole = events(&["1", "2", "3"]);
        assert_eq!(
            Outcome::of(&events(&["1", "2", "3"]), &whole, 2),
            Outcome {
                viewers: 1,
                disconnects: 2,
                events: 3,
                ..Outcome::default()
            }
        );
        let mut wrong = events(&["1", "1", "3"]);
        wrong[2].1 = json!("another");
        let outcome = Outcome::of(&wrong, &whole, 0);
        assert_eq!((outcome.gaps, outcome.duplicates, outcome.different), (1, 1, 1));
    }
}
