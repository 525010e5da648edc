//! Every form of an address in `hosts`, and what is refused.

use super::*;

#[derive(Deserialize)]
struct File {
    hosts: Vec<HostAddress>,
}

fn read(host: &str) -> Result<HostAddress, String> {
    let file: Result<File, _> = toml::from_str(&format!("hosts = [{host}]"));
    let file = file.map_err(|error| error.message().to_owned())?;
    Ok(file.hosts.into_iter().next().expect("one"))
}

/// What is written, and the address that it is. Passwords are `hunter2`.
const HOSTS: &[(&str, &str)] = &[
    (r#""redis://a""#, "redis://a:6379"),
    (r#""redis://:hunter2@a:1/1""#, "redis://(hidden)@a:1/1"),
    (r#""rediss://a""#, "rediss://a:6379"),
    (r#""unix:///run/redis""#, "unix:///run/redis"),
    (r#"["b", 1]"#, "redis://b:1"),
    (r#"["b", "1"]"#, "redis://b:1"),
    (r#"["::1", 1]"#, "redis://[::1]:1"),
    ("{}", "redis://localhost:6379"),
    (r#"{ host = "c", db = 3 }"#, "redis://c:6379/3"),
    (r#"{ host = "c", port = "7", db = "3" }"#, "redis://c:7/3"),
    (
        r#"{ port = 7, password = "hunter2" }"#,
        "redis://(hidden)@localhost:7",
    ),
    (
        r#"{ host = "c", username = "hunter2" }"#,
        "redis://(hidden)@c:6379",
    ),
    (r#"{ host = "c", password = "" }"#, "redis://c:6379"),
    (r#"{ host = "c", ssl = true }"#, "rediss://c:6379"),
    (
        r#"{ host = "c", ssl = true, ssl_ca_certs = "/ca.pem", ssl_certfile = "c", ssl_keyfile = "k" }"#,
        "rediss://c:6379?ssl_ca_certs=/ca.pem&ssl_certfile=c&ssl_keyfile=k",
    ),
    (
        r#"{ host = "c", socket_timeout = 1.5, retry_on_timeout = true }"#,
        "redis://c:6379",
    ),
    (r#"{ address = "redis://a" }"#, "redis://a:6379"),
    (
        r#"{ address = "redis://a", db = 2, password = "hunter2" }"#,
        "redis://(hidden)@a:6379/2",
    ),
    (r#"{ db = 2, address = "redis://a/0" }"#, "redis://a:6379"),
    (r#"{ db = 2, address = "redis://a/1" }"#, "redis://a:6379/1"),
    (
        r#"{ address = "unix:///run/r", db = 2 }"#,
        "unix:///run/r?db=2",
    ),
    (
        r#"{ address = "rediss://a", ssl_check_hostname = false, ssl_cert_reqs = "required" }"#,
        "rediss://a:6379?ssl_check_hostname=false",
    ),
    (
        r#"{ sentinels = [["d", 26379], ["e", 1]], master_name = "m", password = "hunter2", db = 1 }"#,
        "redis-sentinel://(hidden)@d:26379/1?sentinelServiceName=m&node=e:1",
    ),
    (
        r#"{ sentinels = [["d", 1]], master_name = "m", sentinel_kwargs = { password = "hunter2" } }"#,
        "redis-sentinel://d:1?sentinelServiceName=m",
    ),
    (
        r#"{ sentinels = [["d", 1]], master_name = "m", ssl = true, sentinel_kwargs = { ssl = true } }"#,
        "rediss-sentinel://d:1?sentinelServiceName=m",
    ),
];

#[test]
fn every_form_of_the_layer_is_read() {
    for (host, address) in HOSTS {
        let read = read(host).unwrap_or_else(|what| panic!("{host}: {what}"));
        assert_eq!(read.address().to_string(), *address, "{host}");
        let shown = format!("{read:?} {}", serde_json::to_string(&read).expect("JSON"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn what_a_url_says_wins_over_what_stands_beside_it() {
    let host = r#"{ address = "redis://u:a@h", username = "v", password = "b" }"#;
    let login = read(host).expect(host).0.login;
    assert_eq!(login.username.as_deref(), Some("u"));
    let password = login.password.as_ref().map(crate::config::Secret::expose);
    assert_eq!(password, Some("a"));
    let host = r#"{ address = "redis://u@h", password = "b \"c" }"#;
    let login = read(host).expect(host).0.login;
    let password = login.password.as_ref().map(crate::config::Secret::expose);
    assert_eq!(password, Some("b \"c"));
}

#[test]
fn what_is_no_host_is_refused_with_the_reason_and_without_a_password() {
    for (host, part) in [
        ("\"localhost\"", "scheme"),
        ("6379", "no text, pair or table"),
        ("[]", "pair"),
        ("[\"hunter2\"]", "pair"),
        ("[1, \"hunter2\"]", "pair"),
        ("[\"a\", 70000]", "port"),
        ("[\"a\", 0]", "port"),
        ("[\"hunter2!\", 1]", "host"),
        ("\"redis-cluster://a\"", "Cluster"),
        ("{ hots = \"hunter2\" }", "`hots`"),
        ("{ hunter2 = \"a\" }", "unknown option"),
        ("{ host = 1 }", "`host`"),
        ("{ host = \"hunter2!\" }", "host"),
        ("{ host = \"a\", db = \"hunter2\" }", "database"),
        ("{ host = \"a\", password = [\"hunter2\"] }", "`password`"),
        ("{ host = \"a\", ssl_ca_certs = \"x\" }", "rediss"),
        (
            "{ host = \"a\", connection_class = \"x\" }",
            "`connection_class`",
        ),
        ("{ host = \"a\", node = \"b:1\" }", "`node`"),
        ("{ address = \"redis://:hun/ter2@h\" }", "percent-encoded"),
        ("{ address = \"redis://a\", host = \"b\" }", "mixes"),
        ("{ address = \"redis://a\", ssl = true }", "rediss"),
        ("{ address = 1 }", "`address`"),
        ("{ sentinels = [[\"d\", 1]] }", "master_name"),
        ("{ master_name = \"d\" }", "sentinels"),
        ("{ sentinels = [], master_name = \"d\" }", "`sentinels`"),
        ("{ sentinels = [\"d\"], master_name = \"d\" }", "pair"),
        ("{ sentinels = \"d\", master_name = \"d\" }", "`sentinels`"),
        (
            "{ sentinels = [[\"d\", 1]], master_name = \"m\", ssl = true }",
            "both sides",
        ),
        (
            "{ sentinels = [[\"d\", 1]], master_name = \"m\", sentinel_kwargs = { pasword = \"hunter2\" } }",
            "`pasword`",
        ),
    ] {
        let what = read(host).expect_err(host);
        assert!(
            what.contains(part) && !what.contains("hunter2"),
            "{host}: {what}"
        );
    }
}
