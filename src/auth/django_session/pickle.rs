//! A session as Python's `pickle` writes it, which Django's cache of Redis and django-redis do unless told otherwise.
//!
//! A pickle is a program, and running one is how servers are taken over. Here none is run: what builds plain data (texts,
//! numbers, bytes, lists, tuples, dictionaries) is followed, and every other operation, such as the name of a class or a
//! call, ends the reading. Protocols 4 and 5, which Python has written by default since 3.8 and at most since then
//! (Lib/pickletools.py lists the operations).
//!
//! Limits: no value takes less than a byte of the pickle, whose length is bounded by the caller.

use super::login::SessionLogin;
use std::borrow::Cow;

/// The first byte of every pickle that is read: no JSON begins so.
pub(super) const PROTO: u8 = 0x80;

/// Most bytes that a pickle is read into, for each of its own: a value of one byte, its places on the stack, in the memo
/// and in a dictionary, in tables that double as they grow, and the pickle itself.
pub const READ_FACTOR: usize =
    1 + 2 * (size_of::<PickledValue<'static>>() + 4 * size_of::<usize>());

/// What a login leaves behind in a pickled dictionary; `None` if the pickle is no dictionary of plain data.
pub(super) fn read_login(pickle: &[u8]) -> Option<SessionLogin<'_>> {
    PickleReader::new(pickle).run()
}

/// A value, as far as somebody asks for it.
#[derive(Debug)]
enum PickledValue<'p> {
    Text(&'p str),
    /// Pairs of places.
    Dict(Vec<(usize, usize)>),
    List,
    /// A number, bytes, a tuple, `None`, `True` or `False`.
    Plain,
}

/// The machine that a pickle is a program of.
struct PickleReader<'p> {
    rest: &'p [u8],
    values: Vec<PickledValue<'p>>,
    /// Places of values.
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    /// Places of values.
    memo: Vec<usize>,
}

impl<'p> PickleReader<'p> {
    fn new(rest: &'p [u8]) -> Self {
        Self {
            rest,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
        }
    }

    fn run(mut self) -> Option<SessionLogin<'p>> {
        if self.byte()? != PROTO || !matches!(self.byte()?, 4 | 5) {
            return None;
        }
        loop {
            match self.byte()? {
                b'.' => break,
                operation => self.step(operation)?,
            }
        }
        let is_whole = self.rest.is_empty() && self.marks.is_empty() && self.stack.len() == 1;
        let root = self.stack.pop().filter(|_| is_whole)?;
        self.login(root)
    }

    /// One operation, by the names of pickletools.
    fn step(&mut self, operation: u8) -> Option<()> {
        match operation {
            0x95 => self.take(8).map(drop), // FRAME
            b'(' => {
                self.marks.push(self.stack.len());
                Some(())
            }
            b'}' => self.push(PickledValue::Dict(Vec::new())),
            b']' => self.push(PickledValue::List),
            b')' | b'N' | 0x88 | 0x89 => self.push(PickledValue::Plain), // EMPTY_TUPLE, NONE, NEWTRUE, NEWFALSE
            b'K' => self.plain(1),                                       // BININT1
            b'M' => self.plain(2),                                       // BININT2
            b'J' => self.plain(4),                                       // BININT
            b'G' => self.plain(8),                                       // BINFLOAT
            0x8a | b'C' => self.length(1).and_then(|bytes| self.plain(bytes)), // LONG1, SHORT_BINBYTES
            b'B' => self.length(4).and_then(|bytes| self.plain(bytes)),        // BINBYTES
            0x8c => self.length(1).and_then(|bytes| self.text(bytes)),         // SHORT_BINUNICODE
            b'X' => self.length(4).and_then(|bytes| self.text(bytes)),         // BINUNICODE
            0x94 => {
                self.memo.push(*self.stack.last()?); // MEMOIZE
                Some(())
            }
            b'h' => self.length(1).and_then(|place| self.recall(place)), // BINGET
            b'j' => self.length(4).and_then(|place| self.recall(place)), // LONG_BINGET
            0x85..=0x87 => self.tuple(usize::from(operation - 0x84)),    // TUPLE1, TUPLE2, TUPLE3
            b't' => {
                self.above_mark()?; // TUPLE
                self.push(PickledValue::Plain)
            }
            b'a' => {
                self.stack.pop()?; // APPEND
                self.list()
            }
            b'e' => {
                self.above_mark()?; // APPENDS
                self.list()
            }
            b's' => {
                let value = self.stack.pop()?; // SETITEM
                let name = self.stack.pop()?;
                self.set(&[name, value])
            }
            b'u' => {
                let items = self.above_mark()?; // SETITEMS
                self.set(&items)
            }
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, bytes: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    /// A length or a place in so many bytes, the lowest first.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        let digits = self.take(bytes)?.iter().rev();
        Some(digits.fold(0, |length, byte| (length << 8) | usize::from(*byte)))
    }

    fn push(&mut self, value: PickledValue<'p>) -> Option<()> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Some(())
    }

    fn plain(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes)?;
        self.push(PickledValue::Plain)
    }

    fn text(&mut self, bytes: usize) -> Option<()> {
        let text = str::from_utf8(self.take(bytes)?).ok()?;
        self.push(PickledValue::Text(text))
    }

    fn recall(&mut self, place: usize) -> Option<()> {
        self.stack.push(*self.memo.get(place)?);
        Some(())
    }

    fn tuple(&mut self, members: usize) -> Option<()> {
        let height = self.stack.len().checked_sub(members)?;
        self.stack.truncate(height);
        self.push(PickledValue::Plain)
    }

    /// What was pushed since the last mark.
    fn above_mark(&mut self) -> Option<Vec<usize>> {
        let height = self.marks.pop()?;
        (height <= self.stack.len()).then(|| self.stack.split_off(height))
    }

    /// Is a list on top?
    fn list(&self) -> Option<()> {
        let top = self.values.get(*self.stack.last()?)?;
        matches!(top, PickledValue::List).then_some(())
    }

    /// Puts names and values, in turn, into the dictionary on top.
    fn set(&mut self, items: &[usize]) -> Option<()> {
        let PickledValue::Dict(pairs) = self.values.get_mut(*self.stack.last()?)? else {
            return None;
        };
        let (whole, rest) = items.as_chunks::<2>();
        pairs.extend(whole.iter().map(|[name, value]| (*name, *value)));
        rest.is_empty().then_some(())
    }

    fn login(&self, root: usize) -> Option<SessionLogin<'p>> {
        let PickledValue::Dict(pairs) = self.values.get(root)? else {
            return None;
        };
        let mut login = SessionLogin::default();
        for (name, value) in pairs {
            let PickledValue::Text(name) = self.values.get(*name)? else {
                continue;
            };
            let field = match *name {
                "_auth_user_id" => &mut login.user,
                "_auth_user_backend" => &mut login.backend,
                _ => continue,
            };
            let PickledValue::Text(value) = self.values.get(*value)? else {
                return None;
            };
            if field.replace(Cow::Borrowed(*value)).is_some() {
                return None; // A name twice: two truths.
            }
        }
        Some(login)
    }
}
