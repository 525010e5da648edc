//! Answers of a model as they pass through: as many at once, in how many pieces a second, how long a piece takes from the
//! model's write to whoever passes it on, and how soon the model hears that nobody waits any more.
//!
//! `cargo bench --bench answers`: some 15 seconds, 2,000 answers that begin within two seconds; `-- --answers 1000` of
//! another number, `-- --begin-at-once` of answers that all begin in one moment. Not criterion: what counts is each single
//! piece. The model is another process of this program, with one thread, which writes into each piece when it does.

#![expect(clippy::print_stdout, reason = "a bench says what it found")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use supportal::config::{AssistantKind, AssistantSettings};
use supportal::internal::assistant::OpenAi;
use supportal::internal::clock::wall;
use supportal::internal::metrics::Metrics;
use supportal::{Assistant, Piece, Question, Replies, RoomName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::{Instant, interval_at};

/// Answers at once, unless the command says otherwise; the time between the beginnings of two of them; pieces of each,
/// and the time between two of these: 50 a second for ten seconds.
const ANSWERS: usize = 2_000;
const BEGIN_EVERY: Duration = Duration::from_millis(1);
const PIECES: usize = 500;
const BETWEEN: Duration = Duration::from_millis(20);
/// Answers that are given up, one after the other.
const CANCELLED: usize = 200;

const SERVE: &str = "--serve";
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Microseconds since 1970.
fn now() -> u64 {
    let (seconds, micros) = wall();
    seconds * 1_000_000 + u64::from(micros)
}

/// One chunk of the body: an event with the time.
fn piece() -> Vec<u8> {
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{} \"}}}}]}}\n\n",
        now()
    );
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

/// Reads one request, and answers with pieces until the other end has gone.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut read = Vec::with_capacity(4096);
    let asks = |read: &[u8]| read.ends_with(b"}");
    while !asks(&read) {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(HEAD).await?;
    let mut ticks = interval_at(Instant::now() + BETWEEN, BETWEEN);
    let mut byte = [0];
    for _ in 0..PIECES {
        tokio::select! {
            _tick = ticks.tick() => stream.write_all(&piece()).await?,
            _end = stream.read(&mut byte) => {
                println!("{}", now());
                return Ok(());
            }
        }
    }
    let end = b"data: [DONE]\n\n";
    let end = [
        format!("{:x}\r\n", end.len()).as_bytes(),
        end,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    stream.write_all(&end).await
}

/// The model: says its port, then when each answer was given up.
async fn model() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    while let Ok((stream, _peer)) = listener.accept().await {
        stream.set_nodelay(true).expect("TCP");
        tokio::spawn(serve(stream));
    }
}

fn model_of_its_own() -> (Child, BufReader<ChildStdout>, SocketAddr) {
    let program = std::env::current_exe().expect("this program");
    let mut model = Command::new(program);
    let model = model.arg(SERVE).stdout(Stdio::piped()).spawn();
    let mut model = model.expect("the model");
    let mut says = BufReader::new(model.stdout.take().expect("its output"));
    let mut line = String::new();
    says.read_line(&mut line).expect("its address");
    let address = line.trim().parse().expect("an address");
    (model, says, address)
}

fn ask(assistant: &OpenAi, number: usize) -> Replies {
    assistant.answer(Question {
        room: RoomName::chat("1", &format!("session-{number}")).expect("a room"),
        user: None,
        text: "Where is my parcel?".to_owned(),
        past: Vec::new(),
    })
}

/// Microseconds that each piece of an answer took.
async fn delays(mut replies: Replies) -> Vec<u64> {
    let mut delays = Vec::with_capacity(PIECES);
    loop {
        match replies.next().await.expect("an end").expect("no failure") {
            Piece::Text(text) => {
                let now = now();
                // Pieces that were waiting come together.
                let written = text.split_whitespace().map(|at| at.parse::<u64>());
                delays.extend(written.map(|at| now.saturating_sub(at.expect("a time"))));
            }
            Piece::End => return delays,
            Piece::Meta(_) | Piece::Later | Piece::Unwanted => {
                unreachable!("no model says that")
            }
        }
    }
}

fn print(what: &str, mut micros: Vec<u64>) {
    micros.sort_unstable();
    let at = |share: f64| {
        let last = micros.len() - 1;
        let found = micros.get(((last as f64 * share) as usize).min(last));
        *found.expect("there are some") as f64 / 1000.0
    };
    println!(
        "{what:<34} {:>8} p50 {:7.2} ms  p99 {:7.2} ms  p99.9 {:7.2} ms  most {:7.2} ms",
        micros.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Seconds of processor time of this process.
fn processor_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let of = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next();
        first.and_then(|text| text.parse::<f64>().ok())
    };
    tasks
        .filter_map(|task| of(task.expect("a task").path()))
        .sum::<f64>()
        / 1e9
}

async fn measure(
    assistant: OpenAi,
    mut says: BufReader<ChildStdout>,
    count: usize,
    begin_every: Duration,
) {
    let (before, begin) = (processor_time(), Instant::now());
    let mut answers = Vec::new();
    for number in 0..count {
        let after = begin_every * u32::try_from(number).expect("some thousands");
        tokio::time::sleep_until(begin + after).await;
        answers.push(tokio::spawn(delays(ask(&assistant, number))));
    }
    let (mut first, mut all, mut whole) = (Vec::new(), Vec::new(), 0);
    for answer in answers {
        let delays = answer.await.expect("no panic");
        first.extend(delays.first());
        whole += usize::from(delays.len() == PIECES);
        all.extend(delays);
    }
    let spent = processor_time() - before;
    println!("{whole} of {count} answers whole, {PIECES} pieces each, 50 a second");
    let per_piece = spent * 1e6 / all.len() as f64;
    println!("processor time of a piece: {per_piece:.1} µs");
    print("first piece, written to passed on", first);
    print("every piece", all);
    let mut closed = Vec::new();
    let mut line = String::new();
    for number in 0..CANCELLED {
        let mut replies = ask(&assistant, number);
        assert!(matches!(replies.next().await, Some(Ok(Piece::Text(_)))));
        let given_up = now();
        drop(replies);
        line.clear();
        // Not on a thread whose tasks nobody else takes: one of them closes the connection.
        let closed_at = tokio::task::block_in_place(|| says.read_line(&mut line));
        closed_at.expect("when it was closed");
        let at: u64 = line.trim().parse().expect("a time");
        closed.push(at.saturating_sub(given_up));
    }
    print("given up, to closed at the model", closed);
}

fn main() {
    if std::env::args().any(|argument| argument == SERVE) {
        let runtime = Builder::new_current_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(model());
    }
    let arguments: Vec<String> = std::env::args().collect();
    let count = arguments.windows(2).find_map(|pair| match pair {
        [name, count] if name == "--answers" => Some(count.parse().expect("a number")),
        _ => None,
    });
    let count = count.unwrap_or(ANSWERS);
    let is_at_once = arguments.iter().any(|name| name == "--begin-at-once");
    let begin_every = if is_at_once {
        Duration::ZERO
    } else {
        BEGIN_EVERY
    };
    let (mut child, says, address) = model_of_its_own();
    let mut settings = AssistantSettings {
        kind: AssistantKind::OpenAi,
        concurrency: count,
        ..AssistantSettings::default()
    };
    settings.openai.base_url = format!("http://{address}/v1");
    settings.openai.model = Some("a-model".to_owned());
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let assistant = OpenAi::new(&settings, &Arc::new(Metrics::new()), None);
    let assistant = assistant.expect("good settings");
    runtime.block_on(async {
        tokio::spawn(measure(assistant, says, count, begin_every))
            .await
            .expect("no panic")
    });
    child.kill().expect("the model is ours");
    child.wait().expect("its end");
}
