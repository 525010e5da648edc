//! The context view of `config/django`, asked by a node whose model answers.

use super::*;
use crate::assistant::{Model, ask};
use crate::support::{redis::free_port, wait};

/// Rows of one session as the package has them: more than the view gives, one of them the site's own.
const ROWS: &str = "
from django_supportal.models import ChatMessage, ChatSession
session = ChatSession.objects.get(session_id='abc')
for number in range(12):
    kind = 'SYSTEM' if number == 9 else ('USER', 'ASSISTANT')[number % 2]
    ChatMessage.objects.create(session=session, message_type=kind, content=f'row {number} – über')
";

/// The site behind uvicorn, until it is dropped; its port.
fn serve(site: &PackageSite) -> (Running, u16) {
    let port = free_port();
    let mut command = site.python("site/serve.py");
    let command = command.arg(port.to_string()).stdout(Stdio::null());
    let running = Running(command.spawn().expect("uvicorn starts"));
    wait::until("uvicorn listens", PATIENCE, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (running, port)
}

#[test]
fn a_conversation_that_began_at_the_site_goes_on_here() {
    let site = PackageSite::new(None, &["abc", "new"]);
    site.manage(&["shell", "-c", ROWS]);
    let (_server, port) = serve(&site);
    let model = Model::parrot();
    let gateway = |token: &str| {
        Gateway::start(&[
            "assistant.kind=openai",
            "assistant.openai.context_timeout=20s",
            &format!("assistant.openai.base_url={}", model.base_url()),
            &format!(
                "assistant.openai.context_url=http://127.0.0.1:{port}/supportal-gateway/context/"
            ),
            &format!("api.token={token}"),
        ])
    };
    let known = gateway(TOKEN);
    for session in ["abc", "new", "nobody"] {
        ask(&mut known.join(session), "And now?");
    }
    let stranger = gateway("another-token-0123456789");
    ask(&mut stranger.join("abc"), "And now?");
    let asked: Vec<Value> = model.asked();
    let said = |at: usize| -> Vec<(String, String)> {
        let messages = asked[at]["messages"].as_array().expect("messages").iter();
        let messages = messages.filter(|one| one["role"] != "system");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let said = messages.map(|one| (text(&one["role"]), text(&one["content"])));
        said.collect()
    };
    let question = ("user".to_owned(), "And now?".to_owned());
    let rows = (2..12).filter(|number| *number != 9).map(|number| {
        let role = ["user", "assistant"][number % 2];
        (role.to_owned(), format!("row {number} – über"))
    });
    let expected: Vec<_> = rows.chain([question.clone()]).collect();
    assert_eq!(
        said(0),
        expected,
        "the last ten rows without the site's own"
    );
    for at in 1..4 {
        assert_eq!(said(at), std::slice::from_ref(&question), "{at}");
    }
    let of = |gateway: &Gateway, outcome: &str| {
        let series = format!("supportal_assistant_contexts_total{{outcome=\"{outcome}\"}}");
        gateway.metric(&series) as usize
    };
    assert_eq!((of(&known, "found"), of(&known, "nothing")), (1, 2));
    assert_eq!(of(&stranger, "refused"), 1);
}
