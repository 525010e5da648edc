//! `supportal check` and `supportal config`: exit codes, sentences, precedence.

mod probes;
mod refused_starts;

use std::ffi::OsStr;
use std::process::{Command, Output};

struct Run {
    code: Option<i32>,
    stdout: String,
    all: String,
}

fn run_with<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supportal"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied());
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary runs");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let all = format!("{stdout}{}", String::from_utf8_lossy(&stderr));
    Run {
        code: status.code(),
        stdout,
        all,
    }
}

fn run(arguments: &[&str]) -> Run {
    run_with(arguments, &[])
}

/// `check` of a file with this text.
fn check(text: &str) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("supportal.toml");
    std::fs::write(&file, text).expect("the file");
    run_with(
        &[
            OsStr::new("check"),
            OsStr::new("--config"),
            file.as_os_str(),
        ],
        &[],
    )
}

#[test]
fn the_default_configuration_is_legal_and_its_memory_is_printed() {
    let run = run(&["check"]);
    assert_eq!(run.code, Some(0), "{}", run.all);
    assert!(run.all.to_lowercase().contains("memory"), "{}", run.all);
}

#[test]
fn every_shipped_configuration_is_legal() {
    let folder = crate::support::repository().join("config");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).expect("config/") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".toml") && name != "faq.toml" {
            let run = run_with(
                &[
                    OsStr::new("check"),
                    OsStr::new("--config"),
                    path.as_os_str(),
                ],
                &[],
            );
            assert_eq!(run.code, Some(0), "{name}: {}", run.all);
            checked += 1;
        }
    }
    assert!(checked > 0, "no configuration is shipped");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    let run = check("[queue]\ncapacity = 5\nexpirey = \"5s\"\n");
    assert_eq!(run.code, Some(64), "{}", run.all);
    for part in ["expirey", "expiry", "3"] {
        assert!(run.all.contains(part), "no {part} in: {}", run.all);
    }
}

#[test]
fn bad_configurations_exit_64_and_name_the_key() {
    let table = [
        ("[queu]\ncapacity = 5\n", "queue"),
        ("[queue]\ncapacity = 0\n", "queue.capacity"),
        ("[queue]\ncapacity = -1\n", "capacity"),
        ("[queue]\ncapacity = \"many\"\n", "capacity"),
        ("[queue]\nexpiry = 60\n", "\"60s\""),
        ("[queue]\nexpiry = \"60\"\n", "60s"),
        ("[queue]\nexpiry = \"0s\"\n", "expiry"),
        ("[queue]\noverflow = \"explode\"\n", "overflow"),
        ("[queue]\nbytes_max = 0\n", "bytes_max"),
        ("[server]\nlisten = \"nowhere\"\n", "listen"),
        ("[server]\nlisten = \"127.0.0.1\"\n", "listen"),
        ("[server]\nlisten = \"127.0.0.1:99999\"\n", "listen"),
        ("[server]\nworkers = -1\n", "workers"),
        ("[server]\ncontrol_threads = 0\n", "control_threads"),
        (
            "[server]\nhandshake_timeout = \"0s\"\n",
            "handshake_timeout",
        ),
        ("[server]\nping_interval = \"0s\"\n", "ping_interval"),
        ("[server]\ndrain_grace = \"1 fortnight\"\n", "drain_grace"),
        ("[chat]\ndialect = \"klingon\"\n", "dialect"),
        ("[chat]\ndeliver = \"nobody\"\n", "deliver"),
        ("[chat]\nwelcome = \"yes\"\n", "welcome"),
        ("[chat]\ntext_bytes_max = 0\n", "text_bytes_max"),
        ("[limits]\nmessage_bytes = 0\n", "message_bytes"),
        ("[limits]\nfragments = 0\n", "fragments"),
        ("[limits]\nheaders = 0\n", "headers"),
        ("[limits]\nheader_bytes = 0\n", "header_bytes"),
        ("[limits]\nuri_bytes = 0\n", "uri_bytes"),
        ("[limits]\nhandshakes = 0\n", "handshakes"),
        ("[limits]\nmessage_timeout = \"soon\"\n", "message_timeout"),
        ("[broker]\nmailbox_capacity = 0\n", "mailbox_capacity"),
        ("[assistant]\nkind = \"oracle\"\n", "kind"),
        (
            "[assistant]\nkind = \"faq\"\nknowledge = \"/nowhere/faq.toml\"\n",
            "knowledge",
        ),
        ("[admin]\nlisten = \"0.0.0.0:9000\"\n", "admin.token"),
        ("[admin]\nlisten = \"[::]:9000\"\n", "admin.token"),
        ("[log]\nformat = \"xml\"\n", "format"),
        ("[log]\nlevel = \"supportal=loud\"\n", "level"),
        (
            "[[routes]]\npath = \"/x\"\nhandler = \"chat\"\n",
            "business_id",
        ),
        ("[[routes]]\npath = \"x\"\nhandler = \"echo\"\n", "path"),
        (
            "[[routes]]\npath = \"/x\"\nhandler = \"proxy\"\n",
            "handler",
        ),
        (
            "[[routes]]\npath = \"/x\"\nhandler = \"echo\"\n[[routes]]\npath = \"/x\"\nhandler = \"echo\"\n",
            "/x",
        ),
        ("[origin]\nallowed = \"example.com\"\n", "allowed"),
        ("[queue]\ncapacity = 1\ncapacity = 2\n", "duplicate key"),
        ("not toml at all", "1"),
    ];
    let mut wrong = Vec::new();
    for (text, part) in table {
        let run = check(text);
        if run.code != Some(64) || !run.all.contains(part) {
            wrong.push(format!(
                "{:?}, wanted 64 and `{part}`: {text:?} said {}",
                run.code, run.all
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_command_lines_exit_64() {
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["--listen", "nowhere"],
        &["--set", "queue.capacity"],
        &["--set", "queue.capcity=1"],
        &["check", "--config", "/nowhere/supportal.toml"],
        &["config", "--format", "xml"],
        &["--workers", "many"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(64), "{arguments:?}: {}", run.all);
    }
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("supportal.toml");
    std::fs::write(
        &file,
        "[queue]\ncapacity = 2\nbytes_max = 200002\nexpiry = \"22s\"\n",
    )
    .expect("write");
    let file = file.display().to_string();
    let environment = [
        ("SUPPORTAL_QUEUE__CAPACITY", "3"),
        ("SUPPORTAL_QUEUE__BYTES_MAX", "300003"),
        ("REDIS_URL", ""),
    ];
    let arguments = [
        "config",
        "--format",
        "toml",
        "--config",
        file.as_str(),
        "--set",
        "queue.capacity=4",
    ];
    let run = run_with(&arguments, &environment);
    assert_eq!(run.code, Some(0), "{}", run.all);
    for part in [
        "capacity = 4",
        "bytes_max = 300003",
        "expiry = \"22s\"",
        "drop_newest",
    ] {
        assert!(run.stdout.contains(part), "no `{part}` in: {}", run.stdout);
    }
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_with_the_nearest_key() {
    let run = run_with(&["check"], &[("SUPPORTAL_QUEUE__CAPCITY", "3")]);
    assert_eq!(run.code, Some(64), "{}", run.all);
    assert!(run.all.contains("SUPPORTAL_QUEUE__CAPACITY"), "{}", run.all);
}

#[test]
fn a_list_of_origins_with_an_entry_that_cannot_be_read_never_starts_a_server() {
    for entry in [
        "https://example.com:99999",
        "https://user@example.com",
        "https://",
        "exam ple.com",
    ] {
        let set = format!("origin.allowed=[\"a.example\", {entry:?}]");
        for command in ["serve", "check", "config"] {
            let run = run(&[command, "--listen", "127.0.0.1:0", "--set", &set]);
            assert_eq!(run.code, Some(64), "{command} {entry}: {}", run.all);
            assert!(run.all.contains(&format!("{entry:?}")), "{}", run.all);
        }
    }
}

#[test]
fn an_empty_variable_leaves_the_list_of_the_file_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("supportal.toml");
    std::fs::write(&file, "[origin]\nallowed = [\"a.example\"]\n").expect("the file");
    let file = file.display().to_string();
    for (text, shown) in [
        ("", "allowed = [\"a.example\"]"),
        (" ", "allowed = [\"a.example\"]"),
        ("b.example", "allowed = [\"b.example\"]"),
        ("[]", "allowed = []"),
    ] {
        let environment = [
            ("SUPPORTAL_ORIGIN__ALLOWED", text),
            ("PORT", ""),
            ("REDIS_URL", ""),
        ];
        let run = run_with(&["config", "--config", &file], &environment);
        assert_eq!(run.code, Some(0), "{}", run.all);
        assert!(run.stdout.contains(shown), "{text:?}: {}", run.stdout);
    }
    for text in [",", "b.example,", "[\"\"]"] {
        let environment = [("SUPPORTAL_ORIGIN__ALLOWED", text)];
        let run = run_with(&["config", "--config", &file], &environment);
        assert_eq!(run.code, Some(64), "{text}: {}", run.all);
    }
    let run = run(&["check", "--config", &file, "--set", "origin.allowed="]);
    assert_eq!(run.code, Some(64), "{}", run.all);
}

#[test]
fn variables_of_orchestrators_do_not_stop_the_start_and_bytes_that_are_no_text_do() {
    let environment = [
        ("SUPPORTAL_PORT", "tcp://10.0.0.1:8000"),
        ("SUPPORTAL_SERVICE_HOST", "10.0.0.1"),
        ("SUPPORTAL_GATEWAY_SERVICE_PORT_HTTP", "8000"),
        ("SUPPORTAL_REDIS_PORT_6379_TCP_ADDR", "10.0.0.2"),
        ("SUPPORTAL_NAME", "/web/supportal"),
        ("SUPPORTAL_ENV_PATH", "/bin"),
    ];
    let run = run_with(&["check"], &environment);
    assert_eq!(run.code, Some(0), "{}", run.all);
    for slip in ["SUPPORTAL_QUEUE_CAPACITY", "supportal_queue__capacity"] {
        let run = run_with(&["check"], &[(slip, "5")]);
        assert_eq!(run.code, Some(64), "{}", run.all);
        assert!(run.all.contains("SUPPORTAL_QUEUE__CAPACITY"), "{}", run.all);
    }
    let bytes: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xffhunter2");
    for name in [
        "SUPPORTAL_ADMIN__TOKEN",
        "SUPPORTAL_BRIDGE__PREFIX",
        "REDIS_URL",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_supportal"))
            .arg("check")
            .env_clear()
            .env(name, bytes)
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{name}: {text}");
        assert!(
            text.contains("is not UTF-8") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn the_port_of_the_environment_moves_the_listener() {
    let run = run_with(&["config", "--format", "toml"], &[("PORT", "8123")]);
    assert_eq!(run.code, Some(0), "{}", run.all);
    assert!(run.stdout.contains(":8123"), "{}", run.stdout);
}

#[test]
fn printed_configuration_is_legal_and_hides_secrets() {
    let text = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"hunter2hunter2\"\n";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("supportal.toml");
    std::fs::write(&file, text).expect("the file");
    for format in ["toml", "env", "markdown"] {
        let arguments = [
            OsStr::new("config"),
            OsStr::new("--format"),
            OsStr::new(format),
            OsStr::new("--config"),
            file.as_os_str(),
        ];
        let run = run_with(&arguments, &[]);
        assert_eq!(run.code, Some(0), "{}", run.all);
        assert!(
            !run.all.contains("hunter2"),
            "{format} shows the token: {}",
            run.all
        );
    }
    let run = run(&["config", "--format", "toml", "--default"]);
    assert_eq!(check(&run.stdout).code, Some(0), "{}", run.stdout);
}

#[test]
fn help_and_version_exit_0() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["check", "--help"],
        &["config", "--help"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.all);
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_prints_each_limit_once_and_none_of_what_is_off() {
    const STREAMS: &str = "[bridge]\nmode = \"streams\"\nurls = [\"redis://localhost\"]\n";
    const CHANNELS: &str = "[channels]\nenabled = true\n";
    const NOBODY: &str = "[assistant]\nkind = \"none\"\n";
    let off = ["history.", "bridge."];
    for (text, there, absent) in [
        (
            "",
            &["assistant.", "limits.receive_buffer_bytes"][..],
            &off[..],
        ),
        (NOBODY, &["queue."], &["assistant.", "history.", "prompts"]),
        (
            STREAMS,
            &["history.bytes_max", "bridge.order_timeout", "in Redis"],
            &["channels."],
        ),
        (
            CHANNELS,
            &["channels.capacity", "bridge.outbox_bytes"],
            &["history.", "bridge.order_timeout"],
        ),
    ] {
        let run = check(text);
        assert_eq!(run.code, Some(0), "{}", run.all);
        let (_banner, limits) = run
            .stdout
            .split_once("\nlimits\n")
            .expect("a list of limits");
        for key in supportal::config::keys::all() {
            let line = format!("  {} = ", key.path);
            let times = limits.matches(key.path).count()
                - limits.matches(&format!("{}_", key.path)).count();
            assert!(
                times <= 1,
                "{} is printed {times} times\n{limits}",
                key.path
            );
            assert!(times == limits.matches(&line).count(), "{}", key.path);
        }
        for part in there {
            assert!(limits.contains(part), "{part} is missing\n{limits}");
        }
        for part in absent {
            assert!(!limits.contains(part), "{part} is off\n{limits}");
        }
        assert!(!limits.contains("(0 x"), "{limits}");
    }
}
