//! What `supportal check` finds out beside the settings: folders, and whoever answers customers.

use super::{Run, run, run_with};
use crate::assistant::{Model, json_answer, whole};
use crate::upstream::puppet::Puppet;
use crate::webhook::{SECRET, View, says};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const KEY: &str = "sk-secret-of-the-tests";

/// `check --model` with these settings.
fn check_model(settings: &[&str]) -> Run {
    let mut arguments = vec!["check", "--model", "--set", "assistant.timeout=20s"];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let run = run(&arguments);
    for secret in [KEY, SECRET] {
        assert!(!run.all.contains(secret), "{}", run.all);
    }
    run
}

/// A check of a model at this address.
fn check_openai(base_url: &str, more: &[&str]) -> Run {
    let base_url = format!("assistant.openai.base_url={base_url}");
    let settings = [
        "assistant.kind=openai",
        "assistant.openai.retries=0",
        &base_url,
    ];
    check_model(&[&settings[..], more].concat())
}

/// A check of a view that says this.
fn check_webhook(answer: &'static [u8], secret: &str) -> Run {
    let view = View::start(move |request, _| request.say(answer));
    let url = format!("assistant.webhook.url=http://{}/", view.puppet.address());
    let secret = format!("assistant.webhook.secret={secret}");
    check_model(&[
        "assistant.kind=webhook",
        "assistant.webhook.retries=0",
        &url,
        &secret,
    ])
}

#[track_caller]
fn assert_said(run: &Run, code: i32, parts: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.all);
    for part in parts {
        assert!(run.stdout.contains(part), "{part}: {}", run.all);
    }
}

#[test]
fn a_model_is_asked_one_question_and_what_came_is_said() {
    let model = Model::parrot();
    let answered = check_openai(&model.base_url(), &[]);
    let base_url = format!("  openai {}, model small:1b\n", model.base_url());
    let said = [
        "assistant.openai.model is unset",
        &*base_url,
        "  answered in ",
        "the first word after ",
        " ms: re: This is a test by",
    ];
    assert_said(&answered, 0, &said);
    let asked = model.asked();
    assert_eq!(
        (asked.len(), &asked[0]["max_tokens"]),
        (1, &1000.into()),
        "as customers ask"
    );
    let key = format!("assistant.openai.api_key={KEY}");
    let refusal = whole(
        "401 Unauthorized",
        "Content-Type: application/json\r\n",
        format!(r#"{{"error":{{"code":"invalid_api_key","message":"{KEY}"}}}}"#),
    );
    let refusing = Puppet::start(move |request| {
        request.whole_body();
        request.say(&refusal)
    });
    let url = format!("http://{}/v1", refusing.address());
    let refused = check_openai(&url, &[&key, "assistant.openai.model=m"]);
    let said = [
        ", model m\n",
        "  NO ANSWER after ",
        "refused (invalid_api_key); look at assistant.openai.api_key",
    ];
    assert_said(&refused, 1, &said);
    assert!(!refused.all.contains("is unset"), "{}", refused.all);
    let others = Puppet::start(|request| request.say(json_answer(r#"{"data":[{"id":"bge-m3"}]}"#)));
    let none = check_openai(&format!("http://{}/v1", others.address()), &[]);
    assert_said(&none, 1, &["no_model; look at assistant.openai.model"]);
    let nobody = check_openai("http://127.0.0.1:1/v1", &["assistant.openai.model=m"]);
    assert_said(&nobody, 1, &["connect; look at assistant.openai.base_url"]);
}

#[test]
fn a_view_that_answers_is_asked_too_and_without_either_nobody_is() {
    let answer = says("Hi\u{1b}[31m").leak();
    assert_said(
        &check_webhook(answer, SECRET),
        0,
        &["  webhook http://", "ms: Hi\\u{1b}[31m\n"],
    );
    for (answer, secret, code, said) in [
        (
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
            SECRET,
            0,
            "will answer later (202)",
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            SECRET,
            0,
            "wants no answer to this (204)",
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            "another-secret-0123456789",
            1,
            "refused; look at assistant.webhook.secret",
        ),
    ] {
        assert_said(&check_webhook(answer.as_bytes(), secret), code, &[said]);
    }
    let faq = check_model(&["assistant.kind=faq"]);
    assert_said(&faq, 0, &["nobody is asked over the network"]);
    let unasked = run(&["check", "--set", "assistant.kind=openai"]);
    assert_said(
        &unasked,
        0,
        &["the first model answers that the server lists"],
    );
    assert!(!unasked.stdout.contains("answered in"), "{}", unasked.all);
}

#[test]
fn the_folder_of_the_journal_is_said_to_be_writable_and_whose_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = format!(
        "archive.path={}",
        folder.path().join("journal.db").display()
    );
    let check = |mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), mode).expect("its owner");
        let journal = [
            "check",
            "--set",
            "archive.mode=journal",
            "--set",
            &set,
            "--set",
        ];
        let token = ["api.token=token-of-the-tests-0123456789"];
        run(&[&journal[..], &token].concat())
    };
    let facts = std::fs::metadata(folder.path()).expect("a folder");
    let owner = format!("owner {}:{}, mode 0750, ", facts.uid(), facts.gid());
    let line = format!(
        "  archive.path: {} is writable for this user (",
        folder.path().display()
    );
    let good = check(0o750);
    assert_said(
        &good,
        0,
        &[
            "folders that are written into\n",
            &line,
            &owner,
            " bytes free",
        ],
    );
    // Root writes all the same.
    assert_said(&check(0o500), 0, &["mode 0500, "]);
    let off = run_with(&["check"], &[]);
    assert!(
        !off.all.contains("folders that are written into"),
        "{}",
        off.all
    );
}
