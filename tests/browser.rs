//! The chat page in a real browser (headless Chromium), two tabs in one chat.
//!
//! The steps are in `tests/browser/chat.mjs`. Screenshots go to `target/artefacts/browser/`, also
//! those of a failed run. Needs: `apt-get install -y chromium` and `npm ci --prefix tests/browser`.

use crate::clients::Script;
use crate::support::proxy::{Proxy, Weather};
use crate::support::{Gateway, repository};

/// Where the screenshots go.
const ARTEFACTS: &str = "target/artefacts/browser";

fn run(url: &str, mode: &[&str]) -> Script {
    let artefacts = repository().join(ARTEFACTS);
    let artefacts = artefacts.to_str().expect("a path in UTF-8");
    Script::node("browser", "chat.mjs", &[&[url, artefacts], mode].concat())
}

fn chat(gateway: &Gateway, mode: &str) -> Script {
    run(&gateway.http_url("/"), &[mode])
}

#[test]
fn two_tabs_chat_and_the_page_behaves() {
    let gateway = Gateway::start(&["assistant.kind=faq"]);
    chat(&gateway, "chat").finish();
    for file in ["chat-desktop.png", "chat-phone-360.png"] {
        assert!(
            repository().join(ARTEFACTS).join(file).is_file(),
            "no screenshot {file}"
        );
    }
}

#[test]
fn both_tabs_come_back_after_a_restart() {
    let mut gateway = Gateway::start(&["assistant.kind=faq"]);
    let mut script = chat(&gateway, "restart");
    script.wait_line("READY-FOR-RESTART");
    gateway.restart();
    script.tell("RESTARTED");
    script.finish();
}

#[test]
fn a_tab_notices_a_dead_connection_and_says_nothing_twice() {
    let gateway = Gateway::start(&["assistant.kind=faq"]);
    let direct = gateway.http_url("/");
    let proxy = Proxy::start(([127, 0, 0, 1], gateway.port()).into());
    let url = format!("http://{}/", proxy.address());
    let mut script = run(&url, &["dead", &direct]);
    script.wait_line("READY-FOR-SILENCE");
    proxy.set(Weather::Silence);
    script.tell("SILENT");
    script.wait_line("READY-FOR-FAIR");
    proxy.set(Weather::Fair);
    script.tell("FAIR");
    script.finish();
}
