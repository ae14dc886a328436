//! What nobody may see does not reach the browser, and what anybody writes does nothing in it: the network is looked at,
//! and not the screen alone.

use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, shared_stack},
    browser::{Browser, NetworkAnswer},
};
use steadfast_testkit::{
    NewUser,
    scripted_model::Reply,
    stack::{AgentSetup, activity_tool},
};

use crate::console_sign_in::Guarded;

/// Words of the task of somebody else, in all its parts.
const SECRETS: [&str; 4] = ["kettle-question", "kettle-argument", "kettle-answer", "kettle-title"];
const AGENT: &str = "kettles";

/// Everything that a page of this task could ask for.
async fn look_everywhere(browser: &Browser, task: &str) -> Vec<NetworkAnswer> {
    for hash in ["#/agents", "#/approvals", "#/fleet"] {
        browser.go(hash).await.unwrap();
        browser.see("Sign out").await.unwrap();
    }
    browser.go(&format!("#/agents/{AGENT}")).await.unwrap();
    browser.see(AGENT).await.unwrap();
    browser.go(&format!("#/tasks/{task}")).await.unwrap();
    browser.see("The conversation cannot be followed").await.unwrap();
    browser.go(&format!("#/tasks/{task}/timeline")).await.unwrap();
    browser.see("you may not see it").await.unwrap();
    browser.check_accessibility().await.unwrap();
    let answers = browser.answers().await.unwrap();
    // The page itself is for everybody.
    let is_of_api = |answer: &NetworkAnswer| !answer.url.contains("/console/assets/");
    answers.into_iter().filter(is_of_api).collect()
}

async fn signed_in(url: &str, token: &str) -> Browser {
    let browser = Browser::open(url).await.unwrap();
    browser.fill("Token", token).await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see("Sign out").await.unwrap();
    browser
}

fn assert_none_has(answers: &[NetworkAnswer], words: &[&str]) {
    for answer in answers {
        assert!(!answer.stream, "a stream of a task of somebody else: {answer:?}");
        let body = answer.body.as_deref().unwrap_or_default();
        for word in words {
            assert!(!body.contains(word), "{word} in {answer:?}");
        }
    }
}

/// An empty list, or the figures of a fleet without agents.
fn has_nothing(answer: &NetworkAnswer) -> bool {
    let body = answer.body.as_deref().map(serde_json::from_str::<Value>);
    let Some(Ok(body)) = body else { return false };
    let is_empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
    let lists = ["agents", "namespaces", "intervals"];
    answer.status == 200 && (is_empty(&body) || lists.iter().all(|name| is_empty(&body[name])))
}

#[tokio::test]
async fn who_has_no_rights_gets_nothing_that_is_not_theirs_over_the_network() {
    let users = [NewUser::new("bob", &["chat"]), NewUser::new("mallory", &[])];
    let Guarded { stack, cluster } = &Guarded::start(&users, Vec::new()).await;
    let mut tool = activity_tool("pour", "nobody", &json!({"of": {"type": "string"}}));
    tool["approval"] = json!({"required": true});
    let setup = AgentSetup::new(AGENT, |_| {
        Reply::stream()
            .and_text("kettle-answer")
            .and_call("pour", &json!({"of": "kettle-argument"}))
    })
    .tool("pour", tool);
    let agent = stack.agent(setup).await.unwrap();
    let parameters = json!({"task_metadata": {"display_name": "kettle-title"}});
    let task = agent.task_with(parameters).await.unwrap();
    task.send("kettle-question").await.unwrap();
    task.until_approval_pending().await.unwrap();

    // The administrator sees it all, so that the words are where the others could find them.
    let admin = signed_in(&stack.url(), &cluster.admin().token).await;
    admin.go(&format!("#/tasks/{}", task.id())).await.unwrap();
    admin.see("kettle-answer").await.unwrap();
    admin.go("#/approvals").await.unwrap();
    admin.see("kettle-argument").await.unwrap();
    drop(admin);

    // Mallory may do nothing: not even the agent exists.
    let token = cluster.user("mallory").await.unwrap().token;
    let mallory = signed_in(&stack.url(), &token).await;
    let answers = look_everywhere(&mallory, task.id()).await;
    assert_none_has(&answers, &[&SECRETS[..], &["\"kettles\"", "Ready"]].concat());
    let of_api: Vec<_> = answers.iter().filter(|answer| answer.authorization.is_some()).collect();
    assert!(!of_api.is_empty(), "{answers:?}");
    for answer in of_api {
        assert!(has_nothing(answer) || answer.status == 404, "{answer:?}");
    }
    mallory.check_behaviour().await.unwrap();

    // Bob may talk to the agent, and sees no task but his own.
    let token = cluster.user("bob").await.unwrap().token;
    let bob = signed_in(&stack.url(), &token).await;
    let answers = look_everywhere(&bob, task.id()).await;
    assert_none_has(&answers, &SECRETS);
    bob.go(&format!("#/agents/{AGENT}")).await.unwrap();
    bob.see("None yet.").await.unwrap();
    bob.see_within("main", "ready").await.unwrap();
    let answers = bob.answers().await.unwrap();
    assert!(
        answers
            .iter()
            .any(|answer| answer.body.as_deref().is_some_and(|body| body.contains("\"kettles\""))),
        "bob sees the agent"
    );
    bob.check_behaviour().await.unwrap();
}

/// Whatever a browser could be made to do by what it shows.
const HOSTILE: &str = "<script>alert(1)</script> <img src=x onerror=alert(2)> <svg onload=alert(3)></svg> \
    <iframe src=https://example.com></iframe> <base href=https://example.com> <meta http-equiv=refresh content=0> \
    <link rel=stylesheet href=https://example.com/x.css> <style>body{display:none}</style> \
    <form action=https://example.com><button>go</button></form>\n\n\
    ![a picture](https://example.com/picture.png) ![another](data:image/svg+xml;base64,PHN2Zz4=) \
    [script](javascript:alert(4)) [hidden](javascript&colon;alert(5)) [data](data:text/html,alert) \
    [own](/#/approvals) [relative](//example.com/x) <https://example.com/auto> www.example.com/bare \
    [^1]\n\n[^1]: [note](vbscript:alert(6))\n\n<div style=position:fixed;inset:0>over all</div>\n\n";

#[tokio::test]
async fn hostile_text_does_nothing_wherever_it_is_shown() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("hostile", |request| match request.last_tool_output() {
        None => Reply::stream()
            .and_reasoning(HOSTILE)
            .and_text(HOSTILE)
            .and_call("nonce", &json!({"of": HOSTILE})),
        Some(_) => Reply::text(HOSTILE),
    })
    .tool("nonce", guarded_nonce_tool())
    .configure(|spec| spec.description = HOSTILE.to_owned());
    let agent = stack.agent(setup).await.unwrap();
    let parameters = json!({"task_metadata": {"display_name": HOSTILE}});
    let task = agent.task_with(parameters).await.unwrap();
    task.send(HOSTILE).await.unwrap();
    let pending = task.until_approval_pending().await.unwrap();
    let browser = Browser::open(&format!("{}/#/approvals", stack.url())).await.unwrap();
    let card = format!("[data-approval-id='{}']", pending.id().unwrap());
    browser.see_within(&card, "onerror=alert(2)").await.unwrap();
    browser.click_within(&card, "button", "Approve").await.unwrap();
    task.turn_completed(1).await.unwrap();

    let made = "main :is(script, img, iframe, style, link, base, meta, object, embed, form[action], [style*=fixed], \
                [onload], [onerror])";
    for (hash, text) in [
        (format!("#/tasks/{}", task.id()), "over all"),
        (format!("#/tasks/{}/timeline", task.id()), "Model call 2"),
        (format!("#/agents/{}", agent.name()), "onload=alert(3)"),
        ("#/agents".to_owned(), "onload=alert(3)"),
    ] {
        browser.go(&hash).await.unwrap();
        browser.see_within("main", text).await.unwrap();
        assert_eq!(browser.count(made).await.unwrap(), 0, "{hash}");
        // Links lead to other servers, in a tab of their own, and nowhere else.
        let links = "main a[href]:not([href^='#']):not([target=_blank][rel~=noopener][rel~=noreferrer])";
        assert_eq!(browser.count(links).await.unwrap(), 0, "{hash}");
        for scheme in ["javascript:", "data:", "vbscript:", "//"] {
            let found = format!("main :is([href^='{scheme}' i], [src^='{scheme}' i])");
            assert_eq!(browser.count(&found).await.unwrap(), 0, "{hash} {scheme}");
        }
    }
    let page = stack.url();
    for answer in browser.answers().await.unwrap() {
        assert!(answer.url.starts_with(&page), "{answer:?}");
    }
    // No error, dialog, tab or request to anywhere else came of it.
    browser.check_behaviour().await.unwrap();
}
