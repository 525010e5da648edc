//! placeholder until merge
use super::*;
pub const KNOWLEDGE_BYTES_MAX: u64 = 1 << 20;
#[derive(Debug)] pub struct Faq;
impl Faq { pub fn load(_: Option<&std::path::Path>) -> Result<Self, Error> { Ok(Self) } }
impl Assistant for Faq { fn answer(&self, _q: Question) -> Replies { let (tx, r) = Replies::channel(); let _ = tx.try_send(Ok("hello".into())); r } fn name(&self) -> &'static str { "faq" } }
