//! The same random calls, answered by the model and by a real Redis: so the model stays what it is a model of.

use super::scripts::{APPEND, READ};
use super::{ModelRedis, clock};
use crate::sim::seed::Choices;
use crate::sim::support::redis::Redis;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use supportal::config::redis::RedisAddress;
use supportal::internal::redis::{
    Deployment, Messages, RedisCommand, RedisConnection, RedisValue, SubscriptionEvent,
};

/// Calls that are compared.
const CALLS: usize = 600;

/// A Redis, of either kind.
struct Side {
    commands: RedisConnection,
    _subscriptions: RedisConnection,
    messages: Box<dyn Messages>,
    functions: [String; 2],
    /// Milliseconds since 1970 as it began.
    base: u64,
}

impl Side {
    async fn open(deployment: &Deployment, base: u64) -> Self {
        let commands = deployment.commander().await.expect("a connection");
        let subscriptions = deployment.subscriber().await.expect("a connection");
        let messages = subscriptions.client.messages();
        let channels = ROOMS.map(stream).to_vec();
        let subscribed = subscriptions.client.subscribe(channels).await;
        subscribed.expect("a subscription");
        let mut side = Self {
            commands,
            _subscriptions: subscriptions,
            messages,
            functions: Default::default(),
            base,
        };
        side.load().await;
        side
    }

    async fn load(&mut self) {
        let client = &self.commands.client;
        let append = client.load(APPEND).await.expect("a function");
        let read = client.load(READ).await.expect("a function");
        self.functions = [append, read];
    }

    async fn ask(&self, call: &Call, known: &[[Place; 2]], which: usize) -> Answered {
        let client = &self.commands.client;
        let answer = match call {
            Call::Append(keys, arguments) => {
                let function = self.functions[0].clone();
                client
                    .evaluate(function, keys.clone(), arguments.clone())
                    .await
            }
            Call::Read(room, after) => {
                let arguments = after.arguments(self.base, known, which);
                let function = self.functions[1].clone();
                client
                    .evaluate(function, vec![stream(room), origins(room)], arguments)
                    .await
            }
            Call::Add(room, shift, number, fields) => {
                let id = format!("{}-{number}", self.base.saturating_add_signed(*shift));
                let stream = stream(room);
                let mut command = RedisCommand::new("XADD", [stream.as_bytes(), id.as_bytes()]);
                command
                    .arguments
                    .extend(fields.iter().map(|field| field.as_bytes().to_vec()));
                client.send(command).await
            }
            Call::Other(name, words) => {
                let mut command = RedisCommand::new(name, []);
                command
                    .arguments
                    .extend(words.iter().map(|word| word.as_bytes().to_vec()));
                client.send(command).await
            }
        };
        answer.map_err(|error| error.to_string())
    }

    /// What was published, without what depends on a clock.
    async fn announced(&mut self) -> Vec<(String, Bytes)> {
        const END: Bytes = Bytes::from_static(b"that was all");
        let client = &self.commands.client;
        let published = client.publish(stream(ROOMS[0]), END).await;
        published.expect("published");
        let mut announced = Vec::new();
        loop {
            let (channel, bytes) = self.message().await;
            if bytes == END {
                return announced;
            }
            announced.push((channel, bytes.slice(16..)));
        }
    }

    async fn message(&mut self) -> (String, Bytes) {
        let next = tokio::time::timeout(Duration::from_secs(5), self.messages.next());
        match next.await.expect("a message") {
            SubscriptionEvent::Message { channel, bytes } => (channel.into(), bytes),
            other => panic!("{other:?}"),
        }
    }
}

type Answered = Result<RedisValue, String>;

/// An epoch and an id.
type Place = (Bytes, Bytes);

/// Where a read begins.
#[derive(Clone, Debug)]
enum After {
    Nothing,
    Newest(u64),
    /// Behind what was read before, up to so many entries and bytes.
    Known(usize, u64, u64),
    /// What is not older than this, of another life.
    Other(i64),
}

impl After {
    fn arguments(&self, base: u64, known: &[[Place; 2]], which: usize) -> Vec<Bytes> {
        let texts = match self {
            Self::Nothing => vec!["0".into(), "0".into()],
            Self::Newest(count) => vec![count.to_string(), "10000".into()],
            Self::Known(place, count, most) => {
                let (epoch, id) = &known[place % known.len()][which];
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (id, epoch) = (text(id), text(epoch));
                let (millis, number) = id.split_once('-').expect("an id");
                let (millis, number) = (millis.to_owned(), number.to_owned());
                vec![count.to_string(), most.to_string(), epoch, millis, number]
            }
            Self::Other(shift) => {
                let millis = base.saturating_add_signed(*shift).to_string();
                vec!["100".into(), "10000".into(), "7".into(), millis, "0".into()]
            }
        };
        texts.into_iter().map(Bytes::from).collect()
    }
}

#[derive(Clone, Debug)]
enum Call {
    Append(Vec<String>, Vec<Bytes>),
    Read(&'static str, After),
    Add(&'static str, i64, u64, Vec<String>),
    Other(&'static str, Vec<String>),
}

const ROOMS: [&str; 3] = ["chat_1_a", "chat_1_b", "chat_1_c"];

fn stream(room: &str) -> String {
    format!("model:stream:{{{room}}}")
}

fn origins(room: &str) -> String {
    format!("model:origins:{{{room}}}")
}

fn append(choices: &mut Choices, room: &str, sequences: &mut BTreeMap<u64, u64>) -> Call {
    let origin = if choices.percent(40) {
        choices.below(3)
    } else {
        choices.below(80)
    };
    let kept = *choices.pick(&[60_000, 3_600_000, 360_000]);
    let numbers = [
        *choices.pick(&[1, 3, 20, 1_000]),
        *choices.pick(&[300, 2_000, 9_000, 100_000]),
        kept,
        12 * kept,
    ];
    let mut arguments = vec![Bytes::from_static(b"PUBLISH")];
    arguments.extend(numbers.map(|number: u64| Bytes::from(number.to_string())));
    arguments.push(Bytes::from(format!("origin-{origin:09}")));
    // Redis is asked which it is, or another one is meant.
    arguments.push(
        choices
            .pick(&["", "", "", "", "another1", "another2"])
            .to_string()
            .into(),
    );
    arguments.extend([Bytes::new(), Bytes::new(), Bytes::new()]);
    let (mut keys, others) = (Vec::new(), choices.below(3) as usize);
    let rooms = [room].into_iter().chain(ROOMS).take(1 + others);
    for room in rooms.collect::<Vec<_>>() {
        keys.extend([stream(room), origins(room)]);
        messages(
            choices,
            sequences.entry(origin).or_default(),
            &mut arguments,
        );
    }
    Call::Append(keys, arguments)
}

/// What one room has to say. Of what was seen there, no two epochs are compared: they are moments.
fn messages(choices: &mut Choices, last: &mut u64, arguments: &mut Vec<Bytes>) {
    arguments.push(Bytes::from(vec![b'h'; 33]));
    let seen = *choices.pick(&[["", ""], ["", ""], ["", ""], ["7", "9"], ["nan", "-1"]]);
    arguments.extend(seen.map(|text| Bytes::from_static(text.as_bytes())));
    let count = choices.below(24);
    let behind = choices.pick(&["", "", "", "7"]).to_string().into();
    arguments.extend([Bytes::new(), behind, count.to_string().into()]);
    let mut sequence = last.saturating_sub(choices.below(3));
    for _ in 0..count {
        sequence += 1;
        arguments.push(sequence.to_string().into());
        let length = choices.between(1, 120);
        arguments.push(format!("{sequence}:{}", "m".repeat(length as usize)).into());
    }
    *last = sequence.max(*last);
}

/// An entry as older versions wrote it, or a stranger.
fn entry(choices: &mut Choices, room: &'static str) -> Call {
    let strange = ["e", "7", "h", "hhh", "m", "mmmm", "b", "nan"];
    let plain = &strange[..6];
    let mut fields: Vec<String> = match choices.below(4) {
        0 => vec!["x".into(), "y".into()],
        1 => plain.iter().map(|&field| field.into()).collect(),
        _ => strange.iter().map(|&field| field.into()).collect(),
    };
    if let Some(epoch) = fields.get_mut(1) {
        *epoch = (*choices.pick(&["7", "7", "7", "nan", ""])).to_owned();
    }
    if let Some(total) = fields.get_mut(7) {
        *total = (*choices.pick(&["nan", "-inf", "12", "100000", ""])).to_owned();
    }
    let shift = *choices.pick(&[-600_000, -100_000, 1_800_000]);
    Call::Add(room, shift, choices.between(1, 40), fields)
}

fn call(choices: &mut Choices, sequences: &mut BTreeMap<u64, u64>, is_any_known: bool) -> Call {
    let room = *choices.pick(&ROOMS);
    match choices.weighted(&[50, 8, 25, 6, 6, 2, 2, 4]) {
        0 => append(choices, room, sequences),
        1 => Call::Read(room, After::Newest(choices.between(1, 30))),
        2 if is_any_known => {
            let (count, most) = (choices.between(1, 40), choices.between(1, 900));
            let place = choices.index(1_000);
            Call::Read(room, After::Known(place, count, most))
        }
        3 => Call::Read(
            room,
            After::Other(*choices.pick(&[-700_000, -300_000, 900_000])),
        ),
        4 => Call::Other("HGETALL", vec![origins(room)]),
        5 => Call::Other("SET", vec![stream(room), "somebody else's".into()]),
        6 => entry(choices, room),
        7 => Call::Other("DEL", vec![stream(room)]),
        _ => Call::Read(room, After::Nothing),
    }
}

/// What does not depend on either's clock: the number of an id, the first word of a value of the origins.
fn number(id: &[u8]) -> String {
    let text = String::from_utf8_lossy(id);
    text.split_once('-').map_or_else(
        || text.clone().into_owned(),
        |(_, number)| number.to_owned(),
    )
}

fn texts(answer: RedisValue) -> Vec<Bytes> {
    let values = answer.into_array().into_iter();
    values.filter_map(RedisValue::into_bytes).collect()
}

fn first_word(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let word = text
        .split([' ', ':'])
        .find(|word| !word.is_empty() && *word != "Unknown Error");
    word.unwrap_or_default().to_owned()
}

/// The words of an error that say what it is.
fn code(error: &str) -> Option<&'static str> {
    let codes = [
        "WRONGTYPE",
        "FOREIGN",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "BEHIND",
        "smaller than the target",
    ];
    codes.into_iter().find(|code| error.contains(code))
}

/// Both answers without what depends on a clock; places of both that are the same go into `known`.
fn compare(call: &Call, answers: [Answered; 2], known: &mut Vec<[Place; 2]>) {
    let [model, real] = answers;
    let (model, real) = match (model, real) {
        (Ok(model), Ok(real)) => (model, real),
        (Err(model), Err(real)) => {
            let codes = (code(&model), code(&real));
            assert!(
                codes.0.is_some() && codes.0 == codes.1,
                "{call:?}: {model}, {real}"
            );
            return;
        }
        (model, real) => panic!("{call:?}: the model {model:?}, Redis {real:?}"),
    };
    match call {
        Call::Read(..) => compare_pages(call, [texts(model), texts(real)], known),
        Call::Other("HGETALL", _) => {
            // The tail is packed in one and words in the other; what it says shows in what is appended and read.
            let plain = |value| {
                let fields = texts(value);
                let fields = fields.as_chunks::<2>().0.iter();
                let plain = |[name, value]: &[Bytes; 2]| {
                    let is_tail = &name[..] == b"tail";
                    (name.clone(), (!is_tail).then(|| first_word(value)))
                };
                fields.map(plain).collect::<Vec<_>>()
            };
            assert_eq!(plain(model), plain(real), "{call:?}");
        }
        Call::Append(..) => {
            let rooms = model.into_array().into_iter().zip(real.into_array());
            for (model, real) in rooms {
                assert_eq!(of_room(model), of_room(real), "{call:?}");
            }
        }
        Call::Add(..) | Call::Other(..) => {}
    }
}

/// How many were appended, and the offset of the newest; or what is wrong.
fn of_room(answer: RedisValue) -> Result<(u64, u64), Option<&'static str>> {
    match answer {
        RedisValue::Array(values) => Ok((values[0].number(), values[2].number())),
        text => {
            let text = text.into_bytes().expect("a text");
            Err(code(&String::from_utf8_lossy(&text)))
        }
    }
}

/// In front of the entries of a page: epoch and id of the newest, and three numbers of the epoch before.
const PAGE_HEAD: usize = 5;

fn compare_pages(call: &Call, [model, real]: [Vec<Bytes>; 2], known: &mut Vec<[Place; 2]>) {
    assert_eq!(model.len(), real.len(), "{call:?}: {model:?}, {real:?}");
    for (place, pair) in model.iter().zip(&real).enumerate() {
        let is_epoch = [0, 2].contains(&place) || place >= PAGE_HEAD && place % 4 == 1;
        let is_id = place == 1 || place > PAGE_HEAD && place % 4 == 2;
        if is_epoch {
            assert_eq!(*pair.0 == model[0], *pair.1 == real[0], "{call:?}");
        } else if is_id {
            assert_eq!(number(pair.0), number(pair.1), "{call:?}");
            let places =
                [&model, &real].map(|texts| (texts[place - 1].clone(), texts[place].clone()));
            known.push(places);
        } else {
            assert_eq!(pair.0, pair.1, "{call:?}");
        }
    }
}

/// A stopped node is named by no address that is used.
async fn sides(server: &Redis) -> (ModelRedis, [Side; 2]) {
    let settings = supportal::config::Config::default().bridge;
    let address = RedisAddress::parse(&server.url()).expect("an address");
    let clock = clock();
    let redis = ModelRedis::new(Choices::new(1), clock);
    tokio::spawn(redis.clone().run());
    let connector = Arc::new(redis.connector(0, Duration::from_secs(1)));
    let model = Deployment::over(connector, &address, &settings);
    let real = Deployment::new(&address, &settings).expect("a deployment");
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    let base = u64::try_from(wall.as_millis()).expect("a time");
    let model = Side::open(&model, redis.now() / 1_000).await;
    (redis, [model, Side::open(&real, base).await])
}

async fn ask(sides: &[Side; 2], call: &Call, known: &mut Vec<[Place; 2]>) -> Answered {
    let model = sides[0].ask(call, known, 0).await;
    let real = sides[1].ask(call, known, 1).await;
    compare(call, [model.clone(), real], known);
    model
}

#[tokio::test]
async fn the_model_answers_as_a_real_redis_does() {
    let server = Redis::start(&[]);
    let (model, mut sides) = sides(&server).await;
    let mut choices = Choices::new(11);
    let (mut known, mut sequences) = (Vec::new(), BTreeMap::new());
    let mut announced = 0;
    for _ in 0..CALLS {
        let call = call(&mut choices, &mut sequences, !known.is_empty());
        drop(ask(&sides, &call, &mut known).await);
        if matches!(call, Call::Append(..)) {
            let [one, other] = &mut sides;
            let (one, other) = (one.announced().await, other.announced().await);
            assert_eq!(one, other, "{call:?}");
            announced += one.len();
        }
    }
    assert!(
        announced > CALLS / 5 && known.len() > CALLS / 2,
        "{announced}, {}",
        known.len()
    );
    // What Redis says when it cannot.
    let room = ROOMS[0];
    let say = |sequence: &str| {
        let settings = [
            "PUBLISH",
            "100",
            "10000",
            "60000",
            "600000",
            "origin-of-the-end",
            "",
            "",
            "",
            "",
        ];
        let of_room = ["head", "", "", "", "", "1", sequence, "m"];
        let arguments = settings.into_iter().chain(of_room);
        let arguments = arguments.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        Call::Append(vec![stream(room), origins(room)], arguments.collect())
    };
    ask(&sides, &Call::Other("DEL", vec![stream(room)]), &mut known)
        .await
        .expect("deleted");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    model.fill(true);
    assert!(ask(&sides, &say("1"), &mut known).await.is_err());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    model.fill(false);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    model.follow(true);
    assert!(ask(&sides, &say("2"), &mut known).await.is_err());
    let role = ask(&sides, &Call::Other("ROLE", Vec::new()), &mut known).await;
    let role = role.expect("a role").into_array().into_iter().next();
    assert_eq!(role, Some(RedisValue::from("slave")));
    server.command(&["REPLICAOF", "NO", "ONE"]);
    model.follow(false);
    server.command(&["SCRIPT", "FLUSH"]);
    model.forget_functions();
    assert!(ask(&sides, &say("3"), &mut known).await.is_err());
    for side in &mut sides {
        side.load().await;
    }
    assert!(ask(&sides, &say("4"), &mut known).await.is_ok());
}
