//! Redis behind TLS, with ACL users, and found by Sentinel.

use std::time::Duration;

use clap::Parser;
use steadfast_eventlog::{EventLog, LogError, LogReader, LogSettings, RedisArgs, RedisConnector, reader::From};
use steadfast_process::{ErrorChain, crypto};
use steadfast_testkit::{
    CertificateAuthority, ClientCertificates, Redis, RedisOptions, RedisTls, Sentinel, wait::until,
};

use super::support::{TASK, TIMEOUT, append, begin, done, ids, next_entry, numbered};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    redis: RedisArgs,
}

fn log(arguments: impl IntoIterator<Item = String>) -> EventLog {
    crypto::install();
    let arguments = std::iter::once("program".to_owned()).chain(arguments);
    let args = Program::try_parse_from(arguments).unwrap().redis;
    EventLog::new(RedisConnector::new(&args).unwrap(), LogSettings::default())
}

async fn redis_with_tls(authority: &CertificateAuthority, clients: ClientCertificates, users: &[&str]) -> Redis {
    Redis::start_with(RedisOptions {
        tls: Some(RedisTls {
            authority,
            names: &["localhost"],
            clients,
        }),
        users,
        ..RedisOptions::default()
    })
    .await
    .unwrap()
}

fn tls_url(redis: &Redis) -> String {
    format!("--redis-url=rediss://localhost:{}", redis.tls_port())
}

fn trust(authority: &CertificateAuthority) -> String {
    format!("--redis-tls-ca-path={}", authority.certificate().display())
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_it_is_set() {
    let authority = CertificateAuthority::new().unwrap();
    let redis = redis_with_tls(&authority, ClientCertificates::Optional, &[]).await;
    let log_of_stranger = log([tls_url(&redis)]);
    let error = log_of_stranger.ping().await.unwrap_err();
    assert!(matches!(error, LogError::Connect(_)), "{error:?}");
    let chain = ErrorChain(&error).to_string();
    assert!(chain.contains("UnknownIssuer"), "{chain}");
    let log = log([tls_url(&redis), trust(&authority)]);
    log.ping().await.unwrap();
}

#[tokio::test]
async fn appends_and_subscriptions_use_the_client_certificate() {
    let authority = CertificateAuthority::new().unwrap();
    let redis = redis_with_tls(&authority, ClientCertificates::Required, &[]).await;
    let without = log([tls_url(&redis), trust(&authority)]);
    without.ping().await.unwrap_err();
    let files = authority.client("program").unwrap();
    let log = log([
        tls_url(&redis),
        trust(&authority),
        format!("--redis-tls-cert-path={}", files.certificate.display()),
        format!("--redis-tls-key-path={}", files.key.display()),
    ]);
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let reader = LogReader::start(log.clone());
    let mut live = reader.subscribe(&TASK, From::Tail).await.unwrap();
    let second = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap();
    assert_eq!(next_entry(&mut live).await.0, second.last);
}

#[tokio::test]
async fn an_acl_user_signs_in_and_a_wrong_password_is_told() {
    let authority = CertificateAuthority::new().unwrap();
    let users = ["alice on >right ~* &* +@all", "bob on >right ~other:* +@all"];
    let redis = redis_with_tls(&authority, ClientCertificates::Optional, &users).await;
    let sign_in = |user: &str, password: &str| {
        log([
            tls_url(&redis),
            trust(&authority),
            format!("--redis-username={user}"),
            format!("--redis-password={password}"),
        ])
    };
    let alice = sign_in("alice", "right");
    begin(&alice, &numbered(1, [done("a")])).await;
    let clients = redis.command("CLIENT LIST").await.unwrap();
    assert!(clients.contains("user=alice"), "{clients}");

    let error = sign_in("alice", "wrong").ping().await.unwrap_err();
    assert!(matches!(error, LogError::Unauthorized(_)), "{error:?}");
    // The user may not use these keys.
    let error = sign_in("bob", "right").tail(&TASK).await.unwrap_err();
    assert!(matches!(error, LogError::Unauthorized(_)), "{error:?}");
}

#[tokio::test]
async fn after_a_failover_appends_and_subscriptions_continue_at_the_new_master() {
    let master = Redis::start().await.unwrap();
    let replica = Redis::start_with(RedisOptions {
        replica_of: Some(&master),
        ..RedisOptions::default()
    })
    .await
    .unwrap();
    let sentinel = Sentinel::start("main", &master, 1).await.unwrap();
    let log = log([format!(
        "--redis-url=redis-sentinel://127.0.0.1:{}/0?sentinelMasterId=main",
        sentinel.port()
    )]);
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let reader = LogReader::start(log.clone());
    let mut live = reader.subscribe(&TASK, From::Tail).await.unwrap();
    until("the replica to have the entry", TIMEOUT, async || {
        let length = replica.command(&format!("XLEN {}", log.key(&TASK))).await?;
        anyhow::ensure!(length == ":2\r\n", "{length}");
        Ok(())
    })
    .await
    .unwrap();

    master.kill().await.unwrap();
    let second = until("an append at the new master", Duration::from_mins(1), async || {
        Ok(append(&log, "model", &numbered(1, [done("b")]), Some(first.last)).await?)
    })
    .await
    .unwrap();
    assert_eq!((second.added, second.opened_epoch), (1, false));
    assert_eq!(next_entry(&mut live).await.0, second.last);
    assert_eq!(ids(&log.snapshot(&TASK).await.unwrap().messages), ["a", "b"]);
    let role = replica.command("ROLE").await.unwrap();
    assert!(role.contains("master"), "{role}");
}
