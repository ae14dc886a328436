//! The Agents of the files: their revisions, and which model answers. Reads the
//! files again whenever they change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use steadfast_crds::{
    Agent, AgentRevision, AgentRevisionSpec, WorkerPool,
    manifests::{self, Manifest, Origin},
    names::revision_name,
};
use steadfast_operator::{
    lint::{Report, Severity},
    offline::{self, Plan},
};
use steadfast_stand_in_model::Fixtures;

use super::{
    INSTALL,
    environment::{CredentialsUser, Environment},
    local_worker::{LocalWorker, WorkerHome},
    queues::{self, ToolQueue},
    state_dir::StateDir,
    status,
};
use crate::args::LocalArguments;

/// Where an example has the answers of the stand-in for a model, beside its manifests.
const FIXTURES: &str = "model/fixtures.json";
/// The key that the stand-in accepts, like any other.
const STAND_IN_KEY: &str = "stand-in";

/// An Agent that can be run.
#[derive(Clone, Debug)]
pub(super) struct LocalAgent {
    pub(super) name: String,
    agent: Agent,
    /// Why the stand-in answers; absent if the model does.
    pub(super) stand_in: Option<StandIn>,
}

/// Why the stand-in answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StandIn {
    /// The variable of the API key is not set.
    NoKey,
    /// The command line says so.
    Wanted,
    /// It answers for another Agent of the same WorkerPool, whose process has one address for models.
    OnPool(String),
}

/// The Agents of the files.
#[derive(Debug)]
pub(super) struct Fleet {
    paths: Vec<PathBuf>,
    namespace: String,
    environment: Environment,
    revisions: PathBuf,
    agents: BTreeMap<String, LocalAgent>,
    /// The WorkerPools of the files.
    pools: BTreeMap<String, WorkerPool>,
    /// The names of the Agents in the order of the files.
    order: Vec<String>,
    /// The files as they were read last.
    contents: BTreeMap<PathBuf, String>,
    /// The task queues of the tools.
    queues: Vec<ToolQueue>,
    /// The stand-in answers in place of every model.
    all_stand_in: bool,
}

impl Fleet {
    pub(super) fn new(
        paths: Vec<PathBuf>,
        arguments: &LocalArguments,
        environment: Environment,
        state: &StateDir,
    ) -> anyhow::Result<Self> {
        let fleet = Self {
            paths,
            namespace: arguments.namespace.clone(),
            environment,
            revisions: state.revisions(),
            agents: BTreeMap::new(),
            pools: BTreeMap::new(),
            order: Vec::new(),
            contents: BTreeMap::new(),
            queues: Vec::new(),
            all_stand_in: arguments.stand_in,
        };
        fleet.files().context("read the manifests")?;
        Ok(fleet)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = &LocalAgent> {
        self.agents.values()
    }

    /// The agent to chat with: the named one, or else the first one of the files.
    pub(super) fn chosen(&self, name: Option<&str>) -> anyhow::Result<String> {
        let names = || self.order.join(", ");
        match name {
            Some(name) if self.agents.contains_key(name) => Ok(name.to_owned()),
            Some(name) => bail!("there is no Agent {name:?} in these files; there are: {}", names()),
            None => self
                .order
                .first()
                .cloned()
                .context("no Agent in these files can be run"),
        }
    }

    /// The variables that every child process gets.
    pub(super) fn passed_on(&self) -> BTreeMap<String, String> {
        self.environment.passed_on()
    }

    /// The worker processes that the Agents need, by the name of their log.
    pub(super) fn workers(&self) -> BTreeMap<String, LocalWorker> {
        let mut workers: BTreeMap<String, LocalWorker> = BTreeMap::new();
        let value = |name: &str| self.environment.get(name);
        for agent in self.agents.values() {
            let spec = &agent.agent.spec;
            let home = WorkerHome::of(&agent.name, spec.pool());
            let worker = workers.entry(home.key()).or_insert_with(|| {
                let mut worker = LocalWorker::new(home, self.environment.passed_on());
                let of_pool = spec.pool().and_then(|pool| self.pools.get(pool));
                let credentials = of_pool.map_or(&spec.credentials, |pool| &pool.spec.credentials);
                worker.add_credentials(credentials, value);
                worker
            });
            worker.agents.insert(agent.name.clone());
            worker.has_stand_in |= agent.stand_in.is_some();
            let key = &spec.model.api_key_env_var;
            if agent.stand_in.is_some() && !key.is_empty() {
                worker.variables.insert(key.clone(), STAND_IN_KEY.to_owned());
            }
        }
        workers
    }

    /// The environment and `.env`.
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The task queues of the tools.
    pub(super) fn queues(&self) -> &[ToolQueue] {
        &self.queues
    }

    /// The directories that the files are in.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = Vec::new();
        for path in &self.paths {
            let directory = if path.is_dir() {
                path.clone()
            } else {
                path.parent()
                    .filter(|parent| *parent != Path::new(""))
                    .map_or_else(|| PathBuf::from("."), Path::to_owned)
            };
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        directories
    }

    /// The fixtures beside the manifests.
    pub(super) fn fixtures(&self) -> anyhow::Result<Fixtures> {
        let mut fixtures = Fixtures::default();
        for directory in self.directories() {
            let path = directory.join(FIXTURES);
            match fs::read_to_string(&path) {
                Ok(text) => fixtures
                    .add(&text)
                    .with_context(|| format!("read {}", path.display()))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
            }
        }
        Ok(fixtures)
    }

    /// Reads the files and writes the revisions that are new. What is wrong is printed; an Agent with errors keeps its
    /// last revision.
    pub(super) async fn load(&mut self) -> anyhow::Result<()> {
        self.contents = self.files()?;
        let Some(manifests) = self.parse() else {
            return Ok(());
        };
        let with_secrets = self.with_secrets(&manifests);
        let newest = self.newest_revisions()?;
        let Plan {
            report,
            agents: planned,
            pools,
        } = offline::plan(&with_secrets, &self.namespace, INSTALL, &newest).await?;
        let mut refused = print_report(report);
        for pool in pools.into_iter().filter(|pool| pool.key.namespace == self.namespace) {
            // A pool with errors goes on as it was.
            self.pools.insert(pool.key.name, pool.pool);
        }
        for planned in &planned {
            let name = &planned.key.name;
            let pool = planned.agent.spec.pool();
            if let Some(pool) = pool.filter(|pool| !self.pools.contains_key(*pool) && !refused.contains(name)) {
                status(&format!("{name}: WorkerPool {pool} cannot be run"));
                refused.insert(name.clone());
            }
        }
        self.queues = queues::of_tools(&with_secrets);
        let mut order = Vec::new();
        // An Agent with errors goes on as it was.
        let mut agents = self.agents.clone();
        agents.retain(|name, _| refused.contains(name));
        for planned in planned {
            let name = planned.key.name;
            if refused.contains(&name) {
                let last = newest.iter().find(|spec| spec.agent == name);
                if let Some(last) = last
                    && !agents.contains_key(&name)
                {
                    status(&format!("{name}: goes on with revision {}", last.sequence));
                    agents.insert(name.clone(), self.local(name.clone(), planned.agent));
                }
                order.extend(agents.contains_key(&name).then_some(name));
                continue;
            }
            if planned.key.namespace != self.namespace {
                status(&format!(
                    "{name} is in the namespace {}: pass --namespace {0} to run it",
                    planned.key.namespace
                ));
                continue;
            }
            if let Some(revision) = planned.revision {
                self.publish(&revision)?;
                status(&format!("{name}: revision {}", revision.spec.sequence));
            }
            let agent = self.local(name.clone(), planned.agent);
            order.push(name.clone());
            agents.insert(name, agent);
        }
        share_stand_ins(&mut agents);
        for (name, agent) in &agents {
            if self.agents.get(name).map(|known| &known.stand_in) != Some(&agent.stand_in) {
                status(&model_line(agent));
            }
        }
        self.remove_revisions_of_others(&agents)?;
        self.order = order;
        self.agents = agents;
        Ok(())
    }

    /// Reads the files again if one of them, or `.env`, has changed. Returns whether they were read.
    pub(super) async fn reload(&mut self) -> anyhow::Result<bool> {
        // An editor may replace a file in several steps; it can be read the next time.
        let is_edited = self.files().is_ok_and(|contents| contents != self.contents);
        let has_new_values = self.environment.reload().unwrap_or_else(|error| {
            status(&format!("{error:#}"));
            false
        });
        let changed = is_edited || has_new_values;
        if changed {
            self.load().await?;
        }
        Ok(changed)
    }

    fn local(&self, name: String, agent: Agent) -> LocalAgent {
        let variable = &agent.spec.model.api_key_env_var;
        let stand_in = if self.all_stand_in {
            Some(StandIn::Wanted)
        } else {
            (!variable.is_empty() && self.environment.get(variable).is_none()).then_some(StandIn::NoKey)
        };
        LocalAgent { name, agent, stand_in }
    }

    /// Every file with its content.
    fn files(&self) -> anyhow::Result<BTreeMap<PathBuf, String>> {
        let mut files = BTreeMap::new();
        for path in &self.paths {
            let of_path = if path.is_dir() {
                manifests::files_in(path, false)?
            } else {
                vec![path.clone()]
            };
            for file in of_path {
                let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
                files.insert(file, text);
            }
        }
        Ok(files)
    }

    /// The objects of all files; nothing if one of them cannot be parsed.
    fn parse(&self) -> Option<Vec<Manifest>> {
        let mut all = Vec::new();
        let mut broken = false;
        for (file, text) in &self.contents {
            match manifests::parse(file, text) {
                Ok(manifests) => all.extend(manifests),
                Err(error) => {
                    let cause =
                        std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
                    status(&format!("{error}{cause}"));
                    broken = true;
                }
            }
        }
        (!broken).then_some(all)
    }

    /// The manifests, and in place of their Secrets those that the environment has.
    fn with_secrets(&self, manifests: &[Manifest]) -> Vec<Manifest> {
        let mut all: Vec<Manifest> = manifests
            .iter()
            .filter(|manifest| manifest.kind() != "Secret")
            .cloned()
            .collect();
        all.extend(self.environment.secrets(&credentials_users(manifests), &self.namespace));
        all
    }

    fn newest_revisions(&self) -> anyhow::Result<Vec<AgentRevisionSpec>> {
        let mut newest: BTreeMap<String, AgentRevisionSpec> = BTreeMap::new();
        for revision in manifests::read_dir_of::<AgentRevision>(&self.revisions)? {
            let known = newest.get(&revision.spec.agent);
            if known.is_none_or(|known| known.sequence < revision.spec.sequence) {
                newest.insert(revision.spec.agent.clone(), revision.spec);
            }
        }
        Ok(newest.into_values().collect())
    }

    /// Adds a revision at once: a worker never reads a half of it.
    fn publish(&self, revision: &AgentRevision) -> anyhow::Result<()> {
        let spec = &revision.spec;
        let path = self
            .revisions
            .join(format!("{}.json", revision_name(&spec.agent, spec.sequence)));
        let unfinished = path.with_extension("unfinished");
        let text = serde_json::to_string_pretty(revision).context("encode a revision")?;
        fs::write(&unfinished, text).with_context(|| format!("write {}", unfinished.display()))?;
        fs::rename(&unfinished, &path).with_context(|| format!("name {}", path.display()))?;
        // A turn that runs has its revision in the history of its task.
        for older in manifests::files_in(&self.revisions, false)? {
            let of_agent = older
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.rsplit_once('-'));
            if older != path && of_agent.is_some_and(|(agent, _)| agent == spec.agent) {
                fs::remove_file(&older).with_context(|| format!("remove {}", older.display()))?;
            }
        }
        Ok(())
    }

    /// The gateway serves the Agents that have a revision.
    fn remove_revisions_of_others(&self, agents: &BTreeMap<String, LocalAgent>) -> anyhow::Result<()> {
        for file in manifests::files_in(&self.revisions, false)? {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if stem
                .rsplit_once('-')
                .is_some_and(|(agent, _)| !agents.contains_key(agent))
            {
                fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// The Agents and WorkerPools with their credentials. The Agents on a pool use its keys for their models.
fn credentials_users(manifests: &[Manifest]) -> Vec<(CredentialsUser, Origin)> {
    let mut users = Vec::new();
    let mut keys_on_pools: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for manifest in manifests.iter().filter(|manifest| manifest.is::<Agent>()) {
        let Ok(agent) = manifest.decode::<Agent>() else {
            continue;
        };
        let key = agent.spec.model.api_key_env_var.clone();
        if let Some(pool) = agent.spec.pool() {
            keys_on_pools.entry(pool.to_owned()).or_default().insert(key.clone());
        }
        let user = CredentialsUser {
            namespace: agent.metadata.namespace,
            credentials: agent.spec.credentials,
            model_keys: BTreeSet::from([key]),
        };
        users.push((user, manifest.origin.clone()));
    }
    for manifest in manifests.iter().filter(|manifest| manifest.is::<WorkerPool>()) {
        let Ok(pool) = manifest.decode::<WorkerPool>() else {
            continue;
        };
        let name = pool.metadata.name.unwrap_or_default();
        let user = CredentialsUser {
            namespace: pool.metadata.namespace,
            credentials: pool.spec.credentials,
            model_keys: keys_on_pools.remove(&name).unwrap_or_default(),
        };
        users.push((user, manifest.origin.clone()));
    }
    users
}

/// One process has one address for models: where the stand-in answers for one Agent of a pool, it answers for all.
fn share_stand_ins(agents: &mut BTreeMap<String, LocalAgent>) {
    let pool_of = |agent: &LocalAgent| agent.agent.spec.pool().map(str::to_owned);
    let with_stand_in = agents.values().filter(|agent| agent.stand_in.is_some());
    let pools: BTreeSet<String> = with_stand_in.filter_map(pool_of).collect();
    for agent in agents.values_mut().filter(|agent| agent.stand_in.is_none()) {
        agent.stand_in = pool_of(agent).filter(|pool| pools.contains(pool)).map(StandIn::OnPool);
    }
}

/// Prints what `steadfast lint` finds. Returns the names of the Agents with errors.
fn print_report(report: Report) -> BTreeSet<String> {
    let mut refused = BTreeSet::new();
    for diagnostic in report.diagnostics {
        if diagnostic.kind == "Agent" {
            // Without a Secret, too, an Agent has no workers.
            refused.insert(diagnostic.object.name.clone());
        }
        let message = match diagnostic.severity {
            Severity::Error => diagnostic.message,
            // In place of `kubectl create secret`.
            Severity::Warning => format!(
                "{} (here: set the variable of the credential in the environment or in .env)",
                diagnostic.message
            ),
        };
        status(&format!(
            "{}: {} {}: {}: {message}",
            diagnostic.origin, diagnostic.kind, diagnostic.object, diagnostic.reason
        ));
    }
    refused
}

/// Which model answers.
fn model_line(agent: &LocalAgent) -> String {
    let model = &agent.agent.spec.model;
    match &agent.stand_in {
        Some(StandIn::NoKey) => format!(
            "{}: a stand-in answers in place of {}, because {} is not set",
            agent.name, model.name, model.api_key_env_var
        ),
        Some(StandIn::OnPool(pool)) => format!(
            "{}: a stand-in answers in place of {}, because it does for another agent of WorkerPool {pool}",
            agent.name, model.name
        ),
        Some(StandIn::Wanted) => format!("{}: a stand-in answers in place of {}", agent.name, model.name),
        None => format!("{}: {} at {} answers", agent.name, model.name, model.base_url),
    }
}
