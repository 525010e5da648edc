//! The chat contract on axum and tokio-tungstenite: a broadcast channel a room, two halves of a socket a connection.

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use chrono::{SecondsFormat, Utc};
use dashmap::DashMap;
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

/// Messages a member may lag behind its room before it misses some.
const ROOM_MESSAGES: usize = 1024;
/// Error frames that wait for one member.
const ERRORS: usize = 16;
const TEXT_MAX: usize = 4096;

type Rooms = Arc<DashMap<String, broadcast::Sender<Utf8Bytes>>>;

#[derive(Deserialize, Serialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Sender {
    #[default]
    User,
    System,
}

#[derive(Deserialize)]
struct Command {
    message: String,
    #[serde(default, rename = "type")]
    sender: Sender,
}

#[derive(Serialize)]
struct Event<'a> {
    message: &'a str,
    sender: Sender,
    timestamp: String,
}

#[derive(Serialize)]
struct Refusal {
    error: &'static str,
    sender: Sender,
}

fn event(message: &str, sender: Sender) -> Utf8Bytes {
    let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    json(&Event {
        message,
        sender,
        timestamp,
    })
}

fn refusal(error: &'static str) -> Utf8Bytes {
    json(&Refusal {
        error,
        sender: Sender::System,
    })
}

fn json(frame: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(frame)
        .expect("invariant: strings always serialize")
        .into()
}

/// What a command says to the room.
fn read(text: &str) -> Result<Utf8Bytes, &'static str> {
    let command: Command = serde_json::from_str(text).map_err(|_| "Invalid message format")?;
    if command.message.trim().is_empty() {
        return Err("Empty message received");
    }
    if command.message.len() > TEXT_MAX {
        return Err("Message too long");
    }
    Ok(event(&command.message, command.sender))
}

fn legal(business: &str, session: &str) -> bool {
    let digits = business.bytes().all(|b| b.is_ascii_digit());
    let zeros = business.len() > 1 && business.starts_with('0');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    digits
        && !zeros
        && (1..=18).contains(&business.len())
        && (1..=64).contains(&session.len())
        && session.bytes().all(plain)
}

async fn upgrade(
    Path((business, session)): Path<(String, String)>,
    State(rooms): State<Rooms>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !legal(&business, &session) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let room = format!("chat_{business}_{session}");
    upgrade
        .max_message_size(65536)
        .on_upgrade(|socket| member(socket, rooms, room))
}

/// One connection, from joining its room to leaving it.
async fn member(socket: WebSocket, rooms: Rooms, room: String) {
    let (publish, events) = {
        let publish = rooms
            .entry(room.clone())
            .or_insert_with(|| broadcast::channel(ROOM_MESSAGES).0);
        (publish.clone(), publish.subscribe())
    };
    let (sink, mut stream) = socket.split();
    let (errors, errors_in) = mpsc::channel(ERRORS);
    let welcome = event(&format!("Connected to {room}"), Sender::System);
    let writer = tokio::spawn(write(sink, welcome, events, errors_in));
    while let Some(Ok(message)) = stream.next().await {
        let answer = match &message {
            Message::Text(text) => read(text),
            Message::Binary(_) => Err("Invalid message format"),
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let alive = match answer {
            Ok(event) => publish.send(event).is_ok(),
            Err(error) => errors.send(refusal(error)).await.is_ok(),
        };
        if !alive {
            break;
        }
    }
    writer.abort();
    // The receiver of the writer counts until the task is gone.
    drop(writer.await);
    rooms.remove_if(&room, |_, publish| publish.receiver_count() == 0);
}

/// The room's events and the member's own errors, until the socket closes.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    welcome: Utf8Bytes,
    mut events: broadcast::Receiver<Utf8Bytes>,
    mut errors: mpsc::Receiver<Utf8Bytes>,
) {
    let mut next = welcome;
    while sink.send(Message::Text(next)).await.is_ok() {
        next = tokio::select! {
            Some(error) = errors.recv() => error,
            event = events.recv() => match event {
                Ok(event) => event,
                // Too slow: it has missed messages, so it shall come back.
                Err(RecvError::Lagged(_) | RecvError::Closed) => break,
            },
        };
    }
    drop(sink.close().await);
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let address = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind(address).await?.tap_io(|stream| {
        drop(stream.set_nodelay(true));
    });
    let router = Router::new()
        .route("/ws/chat/{business}/{session}/", any(upgrade))
        .with_state(Rooms::default());
    axum::serve(listener, router).await
}
