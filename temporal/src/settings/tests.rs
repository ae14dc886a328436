use clap::Parser;

use super::*;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    temporal: TemporalArgs,
}

fn settings(arguments: &[&str]) -> Result<TemporalSettings, SettingsError> {
    let arguments = ["program"].iter().chain(arguments);
    TemporalSettings::new(&Program::try_parse_from(arguments).unwrap().temporal)
}

fn target(arguments: &[&str]) -> String {
    settings(arguments).unwrap().target.to_string()
}

fn refusal(arguments: &[&str]) -> String {
    settings(arguments).unwrap_err().to_string()
}

#[test]
fn the_scheme_or_a_setting_turns_tls_on() {
    for (arguments, expected) in [
        (&["--temporal-address=temporal:7233"][..], "http://temporal:7233/"),
        (&["--temporal-address=http://temporal:7233"], "http://temporal:7233/"),
        (&["--temporal-address=https://temporal:7233"], "https://temporal:7233/"),
        (
            &["--temporal-address=temporal:7233", "--temporal-tls"],
            "https://temporal:7233/",
        ),
        (
            &["--temporal-address=temporal:7233", "--temporal-tls=true"],
            "https://temporal:7233/",
        ),
        (
            &["--temporal-address=temporal:7233", "--temporal-tls=false"],
            "http://temporal:7233/",
        ),
        (
            &["--temporal-address=temporal:7233", "--temporal-api-key=k"],
            "https://temporal:7233/",
        ),
        (
            &["--temporal-address=temporal:7233", "--temporal-tls-server-name=n"],
            "https://temporal:7233/",
        ),
    ] {
        assert_eq!(target(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn an_address_without_a_port_gets_temporals() {
    assert_eq!(target(&["--temporal-address=temporal"]), "http://temporal:7233/");
    assert_eq!(
        target(&["--temporal-address=temporal", "--temporal-tls"]),
        "https://temporal:7233/"
    );
    assert_eq!(
        target(&["--temporal-address=temporal:443", "--temporal-tls"]),
        "https://temporal/"
    );
}

#[test]
fn an_api_key_without_tls_is_refused_with_the_way_out() {
    assert_eq!(
        refusal(&["--temporal-address=http://temporal:7233", "--temporal-api-key=k"]),
        "TEMPORAL_API_KEY needs TLS, but the address begins with http://: set TEMPORAL_ADDRESS to HOST:PORT or \
         https://HOST:PORT and do not set TEMPORAL_TLS=false"
    );
    assert_eq!(
        refusal(&[
            "--temporal-address=temporal:7233",
            "--temporal-api-key=k",
            "--temporal-tls=false"
        ]),
        "TEMPORAL_API_KEY needs TLS, but TEMPORAL_TLS is false: set TEMPORAL_ADDRESS to HOST:PORT or \
         https://HOST:PORT and do not set TEMPORAL_TLS=false"
    );
}

#[test]
fn contradictions_about_tls_are_refused() {
    for arguments in [
        &["--temporal-address=https://temporal:7233", "--temporal-tls=false"][..],
        &["--temporal-address=http://temporal:7233", "--temporal-tls"],
        &[
            "--temporal-address=http://temporal:7233",
            "--temporal-tls-server-name=n",
        ],
    ] {
        assert!(
            matches!(settings(arguments), Err(SettingsError::TlsOff { .. })),
            "{arguments:?}"
        );
    }
    assert!(matches!(
        settings(&["--temporal-address=redis://temporal:7233"]),
        Err(SettingsError::Scheme(_))
    ));
}

#[test]
fn an_empty_api_key_is_none() {
    let settings = settings(&["--temporal-address=temporal:7233", "--temporal-api-key="]).unwrap();
    assert!(settings.api_key.is_none() && settings.tls.is_none());
}

#[test]
fn debug_output_holds_no_secret() {
    let settings = settings(&["--temporal-address=temporal:7233", "--temporal-api-key=hunter2"]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn the_environment_for_others_holds_no_secret() {
    let program = Program::try_parse_from([
        "program",
        "--temporal-address=temporal:7233",
        "--temporal-namespace=team",
        "--temporal-api-key=hunter2",
        "--temporal-tls",
        "--temporal-tls-server-name=frontend",
    ]);
    let environment = program.unwrap().temporal.environment();
    let expected = [
        ("TEMPORAL_ADDRESS", "temporal:7233"),
        ("TEMPORAL_NAMESPACE", "team"),
        ("TEMPORAL_TLS", "true"),
        ("TEMPORAL_TLS_SERVER_NAME", "frontend"),
    ];
    assert_eq!(environment, expected.map(|(name, value)| (name, value.to_owned())));
}
