use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    redis: RedisArgs,
}

fn connector(arguments: &[&str]) -> Result<RedisConnector, RedisSettingsError> {
    let arguments = ["program"].iter().chain(arguments);
    RedisConnector::new(&Program::try_parse_from(arguments).unwrap().redis)
}

fn server(arguments: &[&str]) -> ConnectionInfo {
    match connector(arguments).unwrap().target {
        Target::Server(client) => client.get_connection_info().clone(),
        Target::Sentinel(_) => panic!("Sentinel was not asked for"),
    }
}

fn sentinel(url: &str) -> (Vec<String>, String) {
    let url = sentinel_url(url).unwrap().unwrap();
    (url.nodes, url.master)
}

#[test]
fn user_and_password_come_from_the_url_unless_they_are_set_apart() {
    let of_url = server(&["--redis-url=redis://ann:secret@redis:7000/3"]);
    assert_eq!(of_url.addr().to_string(), "redis:7000");
    let redis = of_url.redis_settings();
    assert_eq!(
        (redis.username(), redis.password(), redis.db()),
        (Some("ann"), Some("secret"), 3)
    );
    let apart = server(&[
        "--redis-url=redis://ann:secret@redis:7000/3",
        "--redis-username=bob",
        "--redis-password=other",
    ]);
    let redis = apart.redis_settings();
    assert_eq!(
        (redis.username(), redis.password(), redis.db()),
        (Some("bob"), Some("other"), 3)
    );
    let empty = server(&["--redis-url=redis://redis", "--redis-username=", "--redis-password="]);
    assert_eq!(
        (empty.redis_settings().username(), empty.redis_settings().password()),
        (None, None)
    );
}

#[test]
fn the_scheme_decides_about_tls() {
    assert!(uses_tls(&server(&["--redis-url=rediss://redis"])));
    assert!(!uses_tls(&server(&["--redis-url=redis://redis"])));
}

#[test]
fn each_sentinel_gets_the_default_port_and_the_user_and_database_of_redis() {
    assert_eq!(
        sentinel("redis-sentinel://one,two:7000/5?sentinelMasterId=main"),
        (
            vec!["redis://one:26379/5".to_owned(), "redis://two:7000/5".to_owned()],
            "main".to_owned()
        )
    );
    assert_eq!(
        sentinel("rediss-sentinel://ann:secret@one:1?timeout=5s&sentinelMasterId=main"),
        (vec!["rediss://ann:secret@one:1/0".to_owned()], "main".to_owned())
    );
}

#[test]
fn a_sentinel_url_must_name_the_master() {
    let error = connector(&["--redis-url=redis-sentinel://one:26379"]).unwrap_err();
    assert!(matches!(error, RedisSettingsError::NoMasterName), "{error:?}");
}

#[test]
fn credentials_of_sentinels_need_sentinels() {
    let error = connector(&["--redis-url=redis://one", "--redis-sentinel-password=p"]).unwrap_err();
    assert!(
        matches!(error, RedisSettingsError::CredentialsWithoutSentinel),
        "{error:?}"
    );
}

#[test]
fn neither_arguments_nor_connector_show_a_password() {
    let program = Program::try_parse_from([
        "program",
        "--redis-url=redis://:hunter2@redis",
        "--redis-password=hunter2",
    ]);
    let redis = program.unwrap().redis;
    assert!(!format!("{redis:?}").contains("hunter2"));
    assert!(!format!("{:?}", RedisConnector::new(&redis)).contains("hunter2"));
}
