//! Workers that die in the middle of an answer.

use std::time::Duration;

use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::{Gate, ModelRequest, Outcome, Reply, Text};
use steadfast_testkit::stack::{AgentSetup, Line, PATIENCE, Program, Seen, Stack};
use steadfast_testkit::{Redis, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::shared::stack;

const ANSWER: &str = "One two three four five six seven eight nine ten.";

/// The first call says the first seven words and then waits for ever; the next says all.
fn stuck_at_first(gate: &Gate) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    let gate = gate.clone();
    move |request| {
        let text = Text::words(ANSWER).every(Duration::from_millis(60));
        Reply::text(if request.number == 1 {
            text.hold_after(7, &gate)
        } else {
            text
        })
    }
}

/// The worker that streams the answer is the one the model has a connection to.
async fn kill_the_streaming_worker(workers: &[Program], port: u16) {
    let streaming = workers.iter().find(|worker| has_connection_to(worker, port));
    streaming
        .expect("no worker is connected to the model")
        .kill()
        .await
        .unwrap();
}

/// Looks among the sockets of a process for an open connection to a local port.
fn has_connection_to(worker: &Program, port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let Some(process) = worker.service().process() else {
        return false;
    };
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", process.id()))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2].ends_with(&remote) && fields[3] == ESTABLISHED && sockets.iter().any(|inode| inode == fields[9])
    })
}

enum Replacement {
    /// It is started again, as Kubernetes does with a pod.
    Restarted,
    /// Another one that ran all along takes over.
    StandsBy,
}

async fn a_killed_worker_loses_nothing(name: &str, workers: usize, replacement: Replacement) {
    let gate = Gate::closed();
    let setup = AgentSetup::new(name, stuck_at_first(&gate)).workers(workers);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let stayed = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    let half = stayed
        .until("five deltas", |seen| seen.count("text_delta") >= 5)
        .await
        .unwrap();
    let left = half.last_id().unwrap();

    let port = agent.model().url().rsplit(':').next().unwrap().parse().unwrap();
    kill_the_streaming_worker(agent.workers(), port).await;
    if matches!(replacement, Replacement::Restarted) {
        agent.worker().launch().await.unwrap();
    }

    let ended = |seen: &Seen| seen.of_turn("turn_ended", 1).is_some();
    let seen = stayed.until("the end of the turn", ended).await.unwrap();
    let expected = [Line::user("Count."), Line::agent(ANSWER)];
    assert_eq!(seen.lines(), expected, "{}", seen.summary());
    seen.check_gapless().unwrap();
    for text in seen.texts() {
        assert!(ANSWER.starts_with(&text), "a viewer saw {text:?}");
    }
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 2);

    // Whoever left at five deltas and comes back is told the rest, and what to take back.
    let back = task.watch_after(&left.to_string()).await.unwrap();
    let rest = back.until("the end of the turn", ended).await.unwrap();
    let ids: Vec<_> = seen.ids().into_iter().filter(|id| *id > left).collect();
    assert_eq!(rest.ids(), ids);
    let replayed = task
        .watch()
        .await
        .unwrap()
        .until("the end of the turn", ended)
        .await
        .unwrap();
    assert_eq!(replayed.lines(), expected);
    assert_eq!(task.turn(2, "Again.").await.unwrap().status, TurnStatus::Completed);
}

#[tokio::test]
async fn the_only_worker_is_killed_in_the_middle_of_an_answer_and_restarted() {
    a_killed_worker_loses_nothing("kill-one", 1, Replacement::Restarted).await;
}

#[tokio::test]
async fn one_of_two_workers_is_killed_in_the_middle_of_an_answer() {
    a_killed_worker_loses_nothing("kill-of-two", 2, Replacement::StandsBy).await;
}

/// Sends one inline command and gives the first bytes of the answer.
async fn ask(redis: &Redis, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[tokio::test]
async fn a_finished_model_call_is_not_paid_twice() {
    let stack = Stack::start_durable().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("paid-once", move |_| Reply::text("It costs a fortune.").and_hold(&held));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Think hard.").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();

    // Temporal is away when the answer is complete: the worker cannot report it before it dies.
    stack.temporal().kill().await.unwrap();
    gate.open();
    let spill = format!("spill:{{{}}}", task.id());
    wait::until("the answer to stand in Redis", PATIENCE, async || {
        let keys = ask(stack.redis(), "KEYS *spill:*").await?;
        anyhow::ensure!(keys.contains(&spill), "the spills are {keys:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(agent.model().journal()[0].outcome, Outcome::Answered);
    agent.worker().kill().await.unwrap();
    stack.temporal().restart().await.unwrap();
    agent.worker().launch().await.unwrap();

    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let expected = [Line::user("Think hard."), Line::agent("It costs a fortune.")];
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_lets_its_answer_finish() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("drain", move |_| {
        Reply::text(Text::words("Almost done now.").hold_after(2, &held))
    });
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Finish this.").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    let (stopped, ()) = tokio::join!(agent.worker().stop(), async {
        wait::until("the worker to say that it stops", PATIENCE, async || {
            let log = std::fs::read_to_string(agent.worker().service().log())?;
            anyhow::ensure!(log.contains("SIGTERM"), "it does not say so");
            Ok(())
        })
        .await
        .unwrap();
        gate.open();
    });
    stopped.unwrap();
    agent.worker().launch().await.unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("Finish this."), Line::agent("Almost done now.")]
    );
    assert_eq!(agent.model().journal().len(), 1);
}
