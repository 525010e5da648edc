//! One Redis of the model: what it holds, who is connected, and what it does with a command.

use super::scripts;
use super::store::{Refusal, Store};
use bytes::Bytes;
use std::collections::BTreeSet;
use supportal::internal::redis::{CommandError, ErrorKind, RedisCommand, RedisValue};

/// What is asked of Redis.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// A connection.
    Connect,
    /// Any command by its name.
    Command(RedisCommand),
    /// PING.
    Ping,
    /// PUBLISH.
    Publish(String, Bytes),
    /// SCRIPT LOAD.
    Load(&'static str),
    /// EVALSHA.
    Evaluate(String, Vec<String>, Vec<Bytes>),
    /// SUBSCRIBE, and the PING behind it.
    Subscribe(Vec<String>),
    /// UNSUBSCRIBE.
    Unsubscribe(Vec<String>),
    /// The client has gone.
    Leave,
}

/// What becomes of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) published: Vec<(String, Bytes)>,
    pub(super) subscribed: Vec<String>,
    pub(super) unsubscribed: Vec<String>,
}

/// How Redis is.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// The process is not there.
    pub(super) is_down: bool,
    /// It stands still: SIGSTOP.
    pub(super) stands_still: bool,
    /// It reads its data set.
    pub(super) is_loading: bool,
    /// It follows another one.
    pub(super) is_replica: bool,
    /// It has no memory left.
    pub(super) is_full: bool,
}

/// The process.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) store: Store,
    pub(super) health: Health,
    functions: BTreeSet<&'static str>,
    /// Counts its starts.
    pub(super) life: u64,
    /// Its data set as it was once saved.
    pub(super) saved: Store,
}

fn refused(Refusal(text): &Refusal) -> CommandError {
    CommandError::new(ErrorKind::Refused, "Unknown Error", text)
}

fn ok(text: &str) -> RedisValue {
    RedisValue::from(text)
}

/// An id as `milliseconds-number`.
fn id(text: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(text).expect("an id");
    let (millis, number) = text.split_once('-').expect("an id");
    (
        millis.parse().expect("an id"),
        number.parse().expect("an id"),
    )
}

impl Server {
    /// It forgets its functions: SCRIPT FLUSH, and every start.
    pub(super) fn forget_functions(&mut self) {
        self.functions.clear();
    }

    fn is_writable(&self) -> Result<(), Refusal> {
        if self.health.is_replica {
            return Err("READONLY You can't write against a read only replica.".into());
        }
        if self.health.is_full {
            return Err("OOM command not allowed when used memory > 'maxmemory'.".into());
        }
        Ok(())
    }

    /// Does what is asked, at `now` (microseconds since 1970).
    pub(super) fn execute(
        &mut self,
        now: u64,
        asked: Asked,
        done: &mut Done,
    ) -> Result<RedisValue, CommandError> {
        self.store.pass(now, self.life);
        let loading: Refusal = "LOADING Redis is loading the dataset in memory".into();
        if self.health.is_loading && !matches!(asked, Asked::Connect | Asked::Leave) {
            return Err(refused(&loading));
        }
        let answer = match asked {
            Asked::Connect | Asked::Leave => Ok(ok("OK")),
            Asked::Ping => Ok(ok("PONG")),
            Asked::Publish(channel, bytes) => {
                done.published.push((channel, bytes));
                Ok(RedisValue::Integer(0))
            }
            Asked::Load(function) => self.load(function),
            Asked::Evaluate(function, keys, arguments) => {
                self.evaluate(&function, &keys, &arguments, done)
            }
            Asked::Subscribe(channels) => {
                done.subscribed = channels;
                Ok(RedisValue::Nil)
            }
            Asked::Unsubscribe(channels) => {
                done.unsubscribed = channels;
                Ok(RedisValue::Nil)
            }
            Asked::Command(command) => self.command(&command),
        };
        answer.map_err(|refusal| refused(&refusal))
    }

    fn load(&mut self, function: &'static str) -> Result<RedisValue, Refusal> {
        let name = match function {
            scripts::APPEND => "append",
            scripts::READ => "read",
            _ => return Err("ERR the model does not know this function".into()),
        };
        self.functions.insert(name);
        Ok(ok(name))
    }

    fn evaluate(
        &mut self,
        function: &str,
        keys: &[String],
        arguments: &[Bytes],
        done: &mut Done,
    ) -> Result<RedisValue, Refusal> {
        if !self.functions.contains(function) {
            return Err("NOSCRIPT No matching script. Please use EVAL.".into());
        }
        if function == "read" {
            return scripts::read(&self.store, keys, arguments);
        }
        let is_writable = self.is_writable();
        let (answer, published) = scripts::append(&mut self.store, keys, arguments, &is_writable)?;
        done.published = published;
        Ok(answer)
    }

    fn command(&mut self, command: &RedisCommand) -> Result<RedisValue, Refusal> {
        let words = &command.arguments;
        let word = |place: usize| Bytes::copy_from_slice(&words[place]);
        let key = words.first().map_or(&[][..], |key| &key[..]);
        let store = &mut self.store;
        Ok(match command.name {
            "ROLE" if self.health.is_replica => RedisValue::Array(vec![ok("slave")]),
            "ROLE" => RedisValue::Array(vec![ok("master")]),
            "INFO" => ok(&format!("# Server\r\nrun_id:{}\r\n", store.life())),
            "SET" => {
                store.set(key);
                ok("OK")
            }
            "DEL" => RedisValue::Integer(store.delete(key).into()),
            "XADD" => {
                let fields = (2..words.len()).map(word).collect();
                store.add(key, id(&words[1]), fields)?;
                RedisValue::Bytes(word(1))
            }
            "XLEN" => {
                let all = store.range(key, ((0, 0), true), usize::MAX)?;
                RedisValue::Integer(all.len() as i64)
            }
            "HSET" => {
                store.put(key, &words[1], word(2))?;
                RedisValue::Nil
            }
            "HGETALL" => {
                let fields = store.fields(key)?.into_iter();
                let texts = fields.flat_map(|(name, value)| [name, value]);
                RedisValue::Array(texts.map(RedisValue::Bytes).collect())
            }
            "HDEL" => RedisValue::Integer(store.remove(key, &words[1])?.into()),
            name => return Err(Refusal(format!("ERR unknown command '{name}'"))),
        })
    }
}
