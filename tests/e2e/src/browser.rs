//! A browser as verbs: Debian's Chromium, driven by `node/browser.mjs`.

mod same_messages;

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use steadfast_testkit::{
    stack::{TIMEOUT, Task},
    tools, wait,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use self::same_messages::same;
use crate::backend::stack::node;

/// An answer that the browser got.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct NetworkAnswer {
    pub method: String,
    pub url: String,
    pub status: u16,
    /// What the request showed.
    pub authorization: Option<String>,
    /// Whether it is a stream of events, whose body is not here.
    pub stream: bool,
    pub body: Option<String>,
}

/// A browser with one page. It ends when the value is dropped.
pub struct Browser {
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    _process: Child,
}

impl Browser {
    /// A browser that shows this page.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let clients = tools::node_clients()?;
        let mut process = Command::new(clients.node)
            .arg(node("browser.mjs"))
            .arg(tools::installed("chromium")?)
            .env("NODE_CLIENTS", clients.package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the browser")?;
        let stdin = process.stdin.take().context("the input of the browser")?;
        let stdout = process.stdout.take().context("the output of the browser")?;
        let browser = Self {
            pipes: Mutex::new((stdin, BufReader::new(stdout).lines())),
            _process: process,
        };
        browser.command("open", json!({ "url": url })).await?;
        Ok(browser)
    }

    /// Goes to a page of the console by the fragment of its URL.
    pub async fn go(&self, hash: &str) -> anyhow::Result<()> {
        self.command("go", json!({ "hash": hash })).await.map(drop)
    }

    pub async fn reload(&self) -> anyhow::Result<()> {
        self.command("reload", json!({})).await.map(drop)
    }

    /// Writes into the field with this label.
    pub async fn fill(&self, label: &str, text: &str) -> anyhow::Result<()> {
        self.command("fill", json!({ "label": label, "text": text }))
            .await
            .map(drop)
    }

    /// Chooses files, by name and content, for the message that is being written.
    pub async fn attach(&self, files: &[(&str, &[u8])]) -> anyhow::Result<()> {
        let options = json!({ "files": payloads(files) });
        self.command("attach", options).await.map(drop)
    }

    /// The same with the keyboard alone: presses a key on what has the focus, and chooses in the window that opens.
    pub async fn choose(&self, key: &str, files: &[(&str, &[u8])]) -> anyhow::Result<()> {
        let options = json!({ "key": key, "files": payloads(files) });
        self.command("choose", options).await.map(drop)
    }

    /// Waits until the page has given a file of this name to the user.
    pub async fn until_downloaded(&self, name: &str) -> anyhow::Result<()> {
        wait::until(format!("the file {name}"), TIMEOUT, async || {
            let downloads = self.command("downloads", json!({})).await?;
            ensure!(downloads == json!([name]), "it has given {downloads}");
            Ok(())
        })
        .await
    }

    /// Waits until the conversation shows pictures with exactly these names.
    pub async fn until_pictures(&self, names: &[&str]) -> anyhow::Result<()> {
        wait::until(format!("the pictures {names:?}"), TIMEOUT, async || {
            let shown = self.command("pictures", json!({})).await?;
            ensure!(shown == json!(names), "it shows {shown}");
            Ok(())
        })
        .await
    }

    /// Presses a key, such as `Enter`.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        self.command("press", json!({ "key": key })).await.map(drop)
    }

    /// Writes with the keyboard, where it is.
    pub async fn write(&self, text: &str) -> anyhow::Result<()> {
        self.command("type", json!({ "text": text })).await.map(drop)
    }

    /// Goes with the Tab key to what has this name, or a name that begins so.
    pub async fn tab_to(&self, name: &str) -> anyhow::Result<()> {
        self.command("tab_to", json!({ "name": name })).await.map(drop)
    }

    /// The same within the first element that matches a CSS selector.
    pub async fn tab_to_within(&self, within: &str, name: &str) -> anyhow::Result<()> {
        self.command("tab_to", json!({ "name": name, "within": within }))
            .await
            .map(drop)
    }

    /// What the servers answered since the page was opened, or since [`forget_answers`](Self::forget_answers).
    pub async fn answers(&self) -> anyhow::Result<Vec<NetworkAnswer>> {
        Ok(serde_json::from_value(self.command("network", json!({})).await?)?)
    }

    pub async fn forget_answers(&self) -> anyhow::Result<()> {
        self.command("clear_network", json!({})).await.map(drop)
    }

    /// The URL of the page, with its fragment.
    pub async fn location(&self) -> anyhow::Result<String> {
        let location = self.command("location", json!({})).await?;
        Ok(location.as_str().context("a URL")?.to_owned())
    }

    /// The URLs at other servers that were asked for since the last time. [`check_behaviour`](Self::check_behaviour) does
    /// not count them any more.
    pub async fn foreign_requests(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.command("foreign", json!({})).await?)?)
    }

    pub async fn click(&self, role: &str, name: &str) -> anyhow::Result<()> {
        self.command("click", json!({ "role": role, "name": name }))
            .await
            .map(drop)
    }

    /// Clicks within the first element that matches a CSS selector.
    pub async fn click_within(&self, within: &str, role: &str, name: &str) -> anyhow::Result<()> {
        self.command("click", json!({ "role": role, "name": name, "within": within }))
            .await
            .map(drop)
    }

    /// Waits until the page shows this text.
    pub async fn see(&self, text: &str) -> anyhow::Result<()> {
        self.command("see", json!({ "text": text })).await.map(drop)
    }

    /// Waits until an element that matches a CSS selector shows this text.
    pub async fn see_within(&self, within: &str, text: &str) -> anyhow::Result<()> {
        self.command("see", json!({ "text": text, "within": within }))
            .await
            .map(drop)
    }

    /// Waits until nothing in an element that matches a CSS selector shows this text.
    pub async fn until_gone(&self, within: &str, text: &str) -> anyhow::Result<()> {
        self.command("gone", json!({ "text": text, "within": within }))
            .await
            .map(drop)
    }

    /// Chooses from the list with this label.
    pub async fn select(&self, label: &str, option: &str) -> anyhow::Result<()> {
        self.command("select", json!({ "label": label, "option": option }))
            .await
            .map(drop)
    }

    /// Waits until the title contains this text.
    pub async fn until_title(&self, text: &str) -> anyhow::Result<()> {
        wait::until(format!("{text:?} in the title"), TIMEOUT, async || {
            let title = self.command("title", json!({})).await?;
            ensure!(
                title.as_str().is_some_and(|title| title.contains(text)),
                "it is {title}"
            );
            Ok(())
        })
        .await
    }

    /// The id of the task whose chat the page shows.
    pub async fn task_id(&self) -> anyhow::Result<String> {
        wait::until("the page of a task", TIMEOUT, async || {
            let hash = self.command("hash", json!({})).await?;
            let id = hash.as_str().and_then(|hash| hash.strip_prefix("#/tasks/"));
            id.map(str::to_owned).with_context(|| format!("the page is {hash}"))
        })
        .await
    }

    /// How many elements match a CSS selector.
    pub async fn count(&self, selector: &str) -> anyhow::Result<u64> {
        let count = self.command("count", json!({ "selector": selector })).await?;
        count.as_u64().context("a count")
    }

    /// Waits until the screen has the messages that `GET /messages` has, in the same order and with the same texts.
    pub async fn until_it_shows_the_messages_of(&self, task: &Task) -> anyhow::Result<()> {
        wait::until("the same messages on the screen", TIMEOUT, async || {
            let messages = task.messages().await?;
            let screen = self.command("messages", json!({})).await?;
            same(&messages, screen.as_array().context("the messages on the screen")?)
        })
        .await
    }

    /// An error if axe finds something serious on the page.
    pub async fn check_accessibility(&self) -> anyhow::Result<()> {
        let violations = self.command("axe", json!({})).await?;
        ensure!(violations == json!([]), "axe: {violations:#}");
        Ok(())
    }

    /// An error if the page ever had one, opened another, or asked a server that is not its own.
    pub async fn check_behaviour(&self) -> anyhow::Result<()> {
        let seen = self.command("seen", json!({})).await?;
        let nothing = json!({ "errors": [], "foreign": [], "dialogs": [], "pages": 0 });
        ensure!(seen == nothing, "the page did what it must not: {seen:#}");
        Ok(())
    }

    /// Waits until all of an element is in the view, with nothing over it.
    pub async fn until_in_view(&self, role: &str, name: &str) -> anyhow::Result<()> {
        wait::until(format!("the {role} {name} in the view"), TIMEOUT, async || {
            let seen = self.command("in_view", json!({ "role": role, "name": name })).await?;
            ensure!(seen == json!(true), "it is not");
            Ok(())
        })
        .await
    }

    /// An error if the page is wider than the window: a phone would scroll to the side.
    pub async fn check_width(&self) -> anyhow::Result<()> {
        let overflow = self.command("overflow", json!({})).await?;
        ensure!(overflow == json!(0), "the page is {overflow} px wider than the window");
        Ok(())
    }

    /// An error if anything moves for a user who wants no motion.
    pub async fn check_reduced_motion(&self) -> anyhow::Result<()> {
        let animations = self.command("animations", json!({})).await?;
        ensure!(animations == json!([]), "these run: {animations}");
        Ok(())
    }

    /// From now on nobody looks at the page, which may notify.
    pub async fn hide(&self) -> anyhow::Result<()> {
        self.command("hide", json!({})).await.map(drop)
    }

    /// Waits until the page has notified of exactly this since [`hide`](Self::hide).
    pub async fn until_notified(&self, expected: &[&str]) -> anyhow::Result<()> {
        wait::until(format!("the notifications {expected:?}"), TIMEOUT, async || {
            let seen = self.command("notifications", json!({})).await?;
            ensure!(seen == json!(expected), "they are {seen}");
            Ok(())
        })
        .await
    }

    /// The size of the window, and whether the user likes it dark.
    pub async fn view(&self, width: u32, height: u32, dark: bool) -> anyhow::Result<()> {
        let options = json!({ "width": width, "height": height, "dark": dark });
        self.command("viewport", options).await.map(drop)
    }

    pub async fn screenshot(&self, path: &Path) -> anyhow::Result<()> {
        self.command("screenshot", json!({ "path": path })).await.map(drop)
    }

    /// A command of `node/measures.mjs`.
    pub async fn measure(&self, command: &str, options: Value) -> anyhow::Result<Value> {
        self.command(command, options).await
    }

    async fn command(&self, command: &str, mut options: Value) -> anyhow::Result<Value> {
        options["command"] = json!(command);
        let (stdin, stdout) = &mut *self.pipes.lock().await;
        stdin.write_all(format!("{options}\n").as_bytes()).await?;
        let line = tokio::time::timeout(TIMEOUT, stdout.next_line());
        let line = line.await.context("the browser does not answer")??;
        let mut answer: Value = serde_json::from_str(&line.context("the browser has ended")?)?;
        match answer["error"].as_str() {
            Some(error) => bail!("{options}: {error}"),
            None => Ok(answer["value"].take()),
        }
    }
}

/// Files for the browser, by name and content.
fn payloads(files: &[(&str, &[u8])]) -> Vec<Value> {
    let payload = |(name, bytes): &(&str, &[u8])| json!({ "name": name, "base64": BASE64_STANDARD.encode(bytes) });
    files.iter().map(payload).collect()
}
