use std::{collections::VecDeque, sync::Arc};

use serde_json::{Value, json};
use steadfast_agent_loop::{Body, CallKind, ModelText, ToolOutput, UserContent};
use steadfast_crds::{AgentRevisionSpec, yaml};
use steadfast_egress::EgressPolicy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::{
    egress::{credentials::Credentials, http_client::Egress},
    failure::RetryClass,
    model::attachments::NONE,
};

const ANSWER: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Answers each request with the next of these; returns the bodies of the requests.
async fn serve(answers: Vec<(u16, String)>) -> (Url, JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let mut answers = VecDeque::from(answers);
        let mut bodies = Vec::new();
        while let Some((status, answer)) = answers.pop_front() {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let body = loop {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
                let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                let body = end.and_then(|end| serde_json::from_slice(&request[end + 4..]).ok());
                if let Some(body) = body {
                    break body;
                }
            };
            bodies.push(body);
            let kind = if status == 200 {
                "text/event-stream"
            } else {
                "application/json"
            };
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            connection.write_all((head + &answer).as_bytes()).await.unwrap();
        }
        bodies
    });
    (url, server)
}

fn client() -> ModelClient {
    steadfast_process::crypto::install();
    ModelClient::new(Arc::new(Credentials::new([])), &Egress::from(EgressPolicy::LOCAL), None).unwrap()
}

fn revision(model: &str) -> AgentRevisionSpec {
    yaml::from_str(&format!(
        "{{agent: a, sequence: 1, taskQueue: q, model: {{name: m, apiKeyEnvVar: '', {model}}},
          tools: [{{name: t, spec: {{description: d, activity: {{name: t, taskQueue: w}}, parameters: {{type: object}}}}}}]}}"
    ))
    .unwrap()
}

fn segment(turn: u32, body: Body) -> Segment {
    Segment {
        turn,
        step: 0,
        at: jiff::Timestamp::UNIX_EPOCH,
        body,
    }
}

fn user(turn: u32, text: &str) -> Segment {
    segment(
        turn,
        Body::User {
            message_id: text.into(),
            idempotency_key: None,
            content: UserContent::Text(text.into()),
            sender: String::new(),
        },
    )
}

/// Asks once; returns the adaptations, and the failure or none.
async fn ask(
    client: &ModelClient,
    revision: &AgentRevisionSpec,
    url: &Url,
    transcript: &[Segment],
) -> (Vec<String>, Option<CallFailure>) {
    let transcript: Vec<&Segment> = transcript.iter().collect();
    let question = Question {
        context: RequestContext {
            revision,
            instructions: "",
            task_id: "task-1",
            step: 0,
            listed: &[],
            attachments: &NONE,
            variable: &|_| Ok(String::new()),
        },
        base_url: url,
        transcript: &transcript,
        past: Past::Own,
        traceparent: None,
    };
    let mut adaptations = Vec::new();
    let stream = client
        .ask(question, |adaptation, _| adaptations.push(adaptation.label()))
        .await;
    (adaptations, stream.err())
}

fn refused(param: &str) -> (u16, String) {
    let message = format!("Unsupported parameter: '{param}' is not supported with this model.");
    let error = json!({"error": {"message": message, "param": param, "code": "unsupported_parameter"}});
    (400, error.to_string())
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_in_the_same_attempt_and_in_later_calls() {
    let answer = || (200, ANSWER.to_owned());
    let (url, server) = serve(vec![refused("max_tokens"), refused("temperature"), answer(), answer()]).await;
    let (client, revision) = (
        client(),
        revision("api: ChatCompletions, settings: {temperature: 0.5, maxOutputTokens: 9, topP: 0.5}"),
    );
    let (adapted, failure) = ask(&client, &revision, &url, &[user(1, "hi")]).await;
    assert_eq!(
        (adapted, failure),
        (vec!["omit max_tokens".to_owned(), "omit temperature".to_owned()], None)
    );
    let (adapted, failure) = ask(&client, &revision, &url, &[user(1, "hi")]).await;
    assert_eq!((adapted, failure), (Vec::new(), None));
    let bodies = server.await.unwrap();
    assert_eq!(bodies[0]["max_tokens"], 9);
    assert_eq!(
        (&bodies[1]["max_completion_tokens"], &bodies[1]["temperature"]),
        (&json!(9), &json!(0.5))
    );
    for body in &bodies[2..] {
        let members = body.as_object().unwrap();
        assert!(
            !members.contains_key("temperature") && !members.contains_key("max_tokens"),
            "{body}"
        );
        assert_eq!(
            (&body["max_completion_tokens"], &body["top_p"]),
            (&json!(9), &json!(0.5))
        );
    }
}

#[tokio::test]
async fn what_one_model_refuses_is_sent_to_another() {
    let (url, server) = serve(vec![
        refused("temperature"),
        (200, ANSWER.to_owned()),
        (200, ANSWER.to_owned()),
    ])
    .await;
    let client = client();
    let one = revision("api: ChatCompletions, settings: {temperature: 0.5}");
    let mut other = one.clone();
    "other".clone_into(&mut other.model.name);
    for revision in [one, other] {
        assert_eq!(ask(&client, &revision, &url, &[user(1, "hi")]).await.1, None);
    }
    let sent: Vec<Value> = server
        .await
        .unwrap()
        .iter()
        .map(|body| body["temperature"].clone())
        .collect();
    assert_eq!(sent, [json!(0.5), Value::Null, json!(0.5)]);
}

#[tokio::test]
async fn a_refusal_inside_of_a_stream_teaches_as_well() {
    let error = r#"{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options","code":400}}"#;
    let (url, server) = serve(vec![(200, format!("data: {error}\n\n")), (200, ANSWER.to_owned())]).await;
    let (adapted, failure) = ask(&client(), &revision("api: ChatCompletions"), &url, &[user(1, "hi")]).await;
    assert_eq!((adapted, failure), (vec!["omit stream_options".to_owned()], None));
    assert_eq!(server.await.unwrap()[1]["stream_options"], Value::Null);
}

/// A conversation with an answer of the model itself, of which nobody knows any more whether it can read it.
fn past() -> Vec<Segment> {
    let items = vec![
        json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}),
    ];
    let answer = Body::Model {
        items,
        agent: "a".to_owned(),
        origin: String::new(),
    };
    vec![user(1, "hi"), segment(1, answer), user(2, "more")]
}

fn completed() -> (u16, String) {
    (
        200,
        "data: {\"type\":\"response.completed\",\"response\":{\"output\":[]}}\n\n".to_owned(),
    )
}

#[tokio::test]
async fn a_past_that_is_refused_is_sent_as_text_and_the_task_goes_on() {
    for refusal in [
        r#"{"error":{"message":"The encrypted content gAAA could not be verified.","code":"invalid_encrypted_content"}}"#,
        r#"{"error":{"message":"Item 'rs_1' of type 'reasoning' was provided without its required following item.","param":"input"}}"#,
        r#"{"message":"bad request"}"#,
    ] {
        let (url, server) = serve(vec![(400, refusal.to_owned()), completed(), completed()]).await;
        let (client, revision) = (client(), revision("api: Responses"));
        for adapted in [vec!["plain past".to_owned()], Vec::new()] {
            assert_eq!(
                ask(&client, &revision, &url, &past()).await,
                (adapted, None),
                "{refusal}"
            );
        }
        let bodies = server.await.unwrap();
        assert_eq!(bodies[0]["input"][1]["id"], "rs_1");
        for body in &bodies[1..] {
            assert_eq!(
                body["input"],
                json!([
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": "Hi."},
                    {"role": "user", "content": "more"},
                ])
            );
        }
    }
    let missing = r#"{"error":{"message":"Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.","param":"input"}}"#;
    let (url, _server) = serve(vec![(404, missing.to_owned()), completed()]).await;
    let asked = ask(&client(), &revision("api: Responses"), &url, &past()).await;
    assert_eq!(asked, (vec!["plain past".to_owned()], None));
}

#[tokio::test]
async fn a_refusal_that_has_another_cause_is_told_in_the_first_words() {
    let error = |message: &str| (400, json!({"error": {"message": message}}).to_string());
    let (url, server) = serve(vec![error("the first"), error("the second")]).await;
    let (_, failure) = ask(&client(), &revision("api: Responses"), &url, &past()).await;
    let failure = failure.unwrap();
    assert!(failure.message.ends_with("the first"), "{failure}");
    assert_eq!(failure.retry, RetryClass::Permanent);
    assert_eq!(server.await.unwrap().len(), 2);
    // Without a past of its own there is nothing else to try.
    let (url, server) = serve(vec![error("no")]).await;
    assert!(
        ask(&client(), &revision("api: Responses"), &url, &[user(1, "hi")])
            .await
            .1
            .is_some()
    );
    assert_eq!(server.await.unwrap().len(), 1);
}

#[tokio::test]
async fn calls_that_are_refused_in_every_form_are_sent_as_text() {
    let mut transcript = past();
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "t", "arguments": "{}"});
    let answer = Body::Model {
        items: vec![call],
        agent: "a".to_owned(),
        origin: String::new(),
    };
    let output = Body::Tool {
        index: 0,
        output: ToolOutput {
            call_id: "c1".into(),
            name: "t".into(),
            kind: CallKind::Function,
            content: json!("warm"),
            is_error: false,
            text: ModelText::default(),
        },
        by_task: false,
    };
    transcript.extend([segment(2, answer), segment(2, output)]);
    let refusal = || {
        (
            400,
            r#"{"error":{"message":"something about this conversation"}}"#.to_owned(),
        )
    };
    let (url, server) = serve(vec![refusal(), refusal(), completed()]).await;
    let asked = ask(&client(), &revision("api: Responses"), &url, &transcript).await;
    assert_eq!(asked, (vec!["plain past".to_owned(), "past as text".to_owned()], None));
    let bodies = server.await.unwrap();
    let kinds = |body: &Value| -> Vec<Value> {
        body["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["type"].clone())
            .collect()
    };
    assert!(kinds(&bodies[1]).contains(&json!("function_call")));
    assert!(kinds(&bodies[2]).iter().all(Value::is_null), "{}", bodies[2]);
    assert!(bodies[2]["tools"].is_array());
}
