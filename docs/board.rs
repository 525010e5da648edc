//! A node with routes, an assistant, and settings of a program's own: docs/library.md shows it.
use supportal::config::load::Loader;
use supportal::node::{Server, Signals};
use supportal::{Assistant, Consumer, Context, Message, Question, Received, Replies, Verdict};

#[derive(Clone)]
struct Counter(u32);
impl Consumer for Counter {
    fn message(&mut self, cx: &mut Context<'_>, _message: Message<'_>) -> Verdict {
        self.0 += 1;
        cx.publish(&format!("message {}", self.0));
        Verdict::Done
    }
}

struct Parrot;
impl Assistant for Parrot {
    fn answer(&self, question: Question) -> Replies {
        Replies::of(async { Ok(question.text) })
    }
    fn name(&self) -> &'static str {
        "parrot"
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signals = Signals::block()?; // first of all, before there is a second thread
    Ok(Server::builder()
        .config(Loader::of_process().load()?.config)
        .assistant(Parrot)
        .route("/ws/board/{id:int}/", Counter(0))
        .route_async("/ws/task/{id:int}/", |mut session| async move {
            while let Some(Received::Text(text)) = session.next().await {
                session.send(&text).await;
            }
        })
        .serve(signals)?)
}
