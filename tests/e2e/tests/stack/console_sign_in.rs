//! Sign-in to the console, in a real browser: at an OpenID Connect issuer, at a proxy, and with a token. Kubernetes itself
//! says who may do what.

use serde_json::json;
use steadfast_e2e::browser::Browser;
use steadfast_testkit::{
    ControlPlane, ControlPlaneOptions, NewUser, OidcIssuer, ReverseProxy,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, GatewayAccess, GatewayOptions, Stack, TIMEOUT},
    wait,
};

/// Lets a group talk to the agents of the namespace.
const GRANT: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: chat, namespace: default}
rules:
- {apiGroups: [steadfast.dev], resources: [agents], verbs: [get, list]}
- {apiGroups: [steadfast.dev], resources: [agents/tasks], verbs: [get, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: chat, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: chat}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: chat}]
";

/// A stack whose gateway asks a real API server.
pub(crate) struct Guarded {
    pub stack: Stack,
    pub cluster: ControlPlane,
}

impl Guarded {
    /// Users of the group `chat` may talk to agents.
    pub(crate) async fn start(users: &[NewUser], variables: Vec<(&'static str, String)>) -> Self {
        let users = users.to_vec();
        let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("grant.yaml");
        std::fs::write(&file, GRANT).unwrap();
        cluster
            .kubectl(&["apply", "--filename", file.to_str().unwrap()])
            .await
            .unwrap();
        let stack = Stack::start_with_gateway(GatewayOptions {
            access: Some(GatewayAccess {
                kubeconfig: cluster.kubeconfig(),
                token: cluster.admin().token.clone(),
            }),
            variables,
            ..GatewayOptions::default()
        })
        .await
        .unwrap();
        Self { stack, cluster }
    }
}

async fn echo(stack: &Stack) -> Agent {
    let setup = AgentSetup::new("echo", |request| {
        Reply::text(format!("Yes: {}", request.last_user_text()))
    });
    stack.agent(setup).await.unwrap()
}

/// Writes to the agent, and reads its answer.
async fn chat(browser: &Browser) {
    browser.go("#/agents/echo").await.unwrap();
    browser.fill("Message to echo", "Hello.").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within("[data-status=done]", "Yes: Hello.").await.unwrap();
}

#[tokio::test]
async fn people_sign_in_at_the_issuer_stay_signed_in_and_are_told_when_it_ends() {
    let issuer = OidcIssuer::start().await.unwrap();
    issuer.sign_in_as("alice", json!({"groups": ["chat"]}));
    let variables = vec![
        ("STEADFAST_OIDC_ISSUER", issuer.url.clone()),
        ("STEADFAST_OIDC_AUDIENCES", "console".to_owned()),
        ("STEADFAST_OIDC_CLIENT_ID", "console".to_owned()),
        ("STEADFAST_OIDC_USERNAME_PREFIX", "-".to_owned()),
        ("STEADFAST_OIDC_GROUPS_CLAIM", "groups".to_owned()),
    ];
    let Guarded { stack, .. } = &Guarded::start(&[], variables).await;
    let _agent = echo(stack).await;
    let host = issuer.url.strip_prefix("http://").unwrap();
    let button = format!("Sign in at {host}");
    let browser = Browser::open(&format!("{}/#/agents/echo", stack.url())).await.unwrap();
    browser.see(&button).await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.click("button", &button).await.unwrap();
    // Tokens that end at once are renewed with each request.
    issuer.token_seconds(20);
    browser.click("link", "Go on as alice").await.unwrap();
    browser.see("None yet.").await.unwrap();
    // The page is the one that asked, and the code is gone from its address.
    assert_eq!(
        browser.location().await.unwrap(),
        format!("{}/#/agents/echo", stack.url())
    );
    chat(&browser).await;
    assert_eq!(issuer.grants()[0], "authorization_code");
    assert!(issuer.grants()[1..].iter().all(|grant| grant == "refresh_token"));
    assert!(issuer.grants().len() > 1, "{:?}", issuer.grants());
    issuer.token_seconds(3600);
    browser.reload().await.unwrap();
    browser.see_within("[data-status=done]", "Yes: Hello.").await.unwrap();

    let page = stack.url();
    for answer in browser.answers().await.unwrap() {
        // The gateway gets the token, the issuer never does.
        assert!(
            answer.url.starts_with(&page) || answer.authorization.is_none(),
            "{answer:?}"
        );
        assert!(!answer.url.contains("eyJ"), "a token in a URL: {answer:?}");
    }
    let foreign = browser.foreign_requests().await.unwrap();
    assert!(foreign.iter().all(|url| url.starts_with(&issuer.url)), "{foreign:?}");

    // From now on the issuer gives tokens that have ended, and then none.
    issuer.token_seconds(-3600);
    browser.click("button", "Sign out").await.unwrap();
    browser.click("button", &button).await.unwrap();
    browser.click("link", "Go on as alice").await.unwrap();
    browser.see("it has expired").await.unwrap();
    browser.check_accessibility().await.unwrap();
    issuer.renew(false);
    issuer.token_seconds(20);
    browser.click("button", &button).await.unwrap();
    browser.click("link", "Go on as alice").await.unwrap();
    browser.see_within("[data-status=done]", "Yes: Hello.").await.unwrap();
    browser.foreign_requests().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_the_page_has_not_asked_for_signs_nobody_in() {
    let issuer = OidcIssuer::start().await.unwrap();
    let variables = vec![
        ("STEADFAST_OIDC_ISSUER", issuer.url.clone()),
        ("STEADFAST_OIDC_AUDIENCES", "console".to_owned()),
        ("STEADFAST_OIDC_CLIENT_ID", "console".to_owned()),
    ];
    let Guarded { stack, .. } = &Guarded::start(&[], variables).await;
    // Somebody sends the user a link with a code of their own.
    let browser = Browser::open(&format!("{}/?code=stolen&state=forged", stack.url()))
        .await
        .unwrap();
    browser.see("not begun in this tab").await.unwrap();
    assert_eq!(browser.location().await.unwrap(), format!("{}/", stack.url()));
    assert_eq!(issuer.grants(), [""; 0]);
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn who_has_signed_in_at_the_proxy_is_not_asked_again() {
    let variables = vec![
        ("STEADFAST_TRUSTED_PROXIES", "127.0.0.1/32".to_owned()),
        ("STEADFAST_PROXY_USER_HEADER", "X-Forwarded-User".to_owned()),
        ("STEADFAST_PROXY_GROUPS_HEADER", "X-Forwarded-Groups".to_owned()),
    ];
    let Guarded { stack, .. } = &Guarded::start(&[], variables).await;
    let _agent = echo(stack).await;
    let upstream = stack.url().strip_prefix("http://").unwrap().to_owned();
    let directive = |value: &str| ("proxy_set_header".to_owned(), value.to_owned());
    let directives = [
        directive("X-Forwarded-User alice@example.com"),
        directive("X-Forwarded-Groups chat"),
        ("proxy_buffering".to_owned(), "off".to_owned()),
    ];
    let proxy = ReverseProxy::nginx(&upstream, &directives).await.unwrap();
    let browser = Browser::open(&proxy.url()).await.unwrap();
    browser.see_within("[data-agent]", "echo").await.unwrap();
    chat(&browser).await;
    assert_eq!(browser.count("text=Sign out").await.unwrap(), 0);
    browser.check_behaviour().await.unwrap();

    // Who comes past the proxy's sign-in is asked.
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser
        .see("A proxy in front of the gateway signs you in")
        .await
        .unwrap();
    browser.check_accessibility().await.unwrap();
    browser.check_behaviour().await.unwrap();
}

#[tokio::test]
async fn a_token_signs_in_until_the_user_signs_out() {
    let users = [NewUser::new("alice", &["chat"])];
    let Guarded { stack, cluster } = &Guarded::start(&users, Vec::new()).await;
    let _agent = echo(stack).await;
    let token = cluster.user("alice").await.unwrap().token;
    let browser = Browser::open(&stack.url()).await.unwrap();
    browser.see("Sign in to Steadfast").await.unwrap();
    browser.check_accessibility().await.unwrap();
    browser.fill("Token", "forged").await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see("the bearer token is not valid").await.unwrap();
    browser.fill("Token", &token).await.unwrap();
    browser.press("Enter").await.unwrap();
    browser.see_within("[data-agent]", "echo").await.unwrap();
    chat(&browser).await;
    browser.click("button", "Sign out").await.unwrap();
    browser.see("Sign in to Steadfast").await.unwrap();
    browser.forget_answers().await.unwrap();
    browser.reload().await.unwrap();
    browser.see("Sign in to Steadfast").await.unwrap();
    wait::until("nothing but refusals", TIMEOUT, async || {
        let answers = browser.answers().await?;
        let of_user = answers.iter().filter(|answer| answer.url.contains("/approvals"));
        anyhow::ensure!(of_user.clone().count() > 0, "the page has not asked");
        anyhow::ensure!(of_user.clone().all(|answer| answer.status == 401), "{answers:?}");
        anyhow::ensure!(
            answers.iter().all(|answer| answer.authorization.is_none()),
            "{answers:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    browser.check_behaviour().await.unwrap();
}
