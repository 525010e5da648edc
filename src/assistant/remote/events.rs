//! Server-sent events (WHATWG HTML §9.2.6), of which only the data is of interest, and lines of JSON: bytes in, events out.
//!
//! No crate: none that was looked at bounds a line or an event, and a server that never ends its line would be a leak.
//! Limit: `event_bytes` of the assistant's settings, for a line and for an event. What is not UTF-8 is refused over whole
//! lines, since the pieces that bytes come in divide characters.

/// Why there is no next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventFault {
    /// A line or an event is too long.
    TooLong,
    /// A line is not UTF-8.
    NotText,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerEvent {
    /// The lines of its data, with a line feed between two.
    pub(super) data: String,
    /// Does its type say that it is an error?
    pub(super) is_error: bool,
}

/// How events stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventForm {
    /// Server-sent: fields, and an empty line behind each event.
    Sent,
    /// Each line that is not empty is one (NDJSON).
    Lines,
}

/// What makes events of bytes, however they are cut.
#[derive(Debug)]
pub(super) struct EventReader {
    form: EventForm,
    /// Most bytes of a line, and of an event.
    most: usize,
    /// The line so far.
    line: Vec<u8>,
    /// The event so far.
    event: ServerEvent,
    has_data: bool,
    /// The last byte ended a line: a line feed after it belongs to it.
    was_return: bool,
    /// Nothing has come to its end yet: a byte order mark may.
    is_first: bool,
}

impl EventReader {
    pub(super) fn new(form: EventForm, most: usize) -> Self {
        Self {
            form,
            most,
            line: Vec::new(),
            event: ServerEvent::default(),
            has_data: false,
            was_return: false,
            is_first: true,
        }
    }

    /// The next event that ends in `bytes`, of which is left what comes after it. `None`: all of them are taken.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<ServerEvent>, EventFault> {
        while let Some((&first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.was_return) && first == b'\n' {
                *bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + part.len() > self.most {
                return Err(EventFault::TooLong);
            }
            self.line.extend_from_slice(part);
            let Some((end, rest)) = rest.split_first() else {
                *bytes = rest;
                return Ok(None);
            };
            (self.was_return, *bytes) = (*end == b'\r', rest);
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The last event of a body that has ended: it needs no end of its own then. The standard would throw it away; servers
    /// that forget the last empty line mean it.
    pub(super) fn end(&mut self) -> Result<Option<ServerEvent>, EventFault> {
        if !self.line.is_empty()
            && let Some(event) = self.end_line()?
        {
            return Ok(Some(event));
        }
        let event = std::mem::take(&mut self.event);
        Ok(std::mem::take(&mut self.has_data).then_some(event))
    }

    /// Takes the line that has ended. An event if that was the end of one.
    fn end_line(&mut self) -> Result<Option<ServerEvent>, EventFault> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_no_text| EventFault::NotText)?;
        let text = match std::mem::take(&mut self.is_first) {
            true => line.strip_prefix('\u{feff}').unwrap_or(&line),
            false => &line,
        };
        if self.form == EventForm::Lines {
            return Ok((!text.trim().is_empty()).then(|| ServerEvent {
                data: text.to_owned(),
                is_error: false,
            }));
        }
        if text.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.event.data.len() + value.len() >= self.most {
                    return Err(EventFault::TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => self.event.is_error = value == "error",
            // Comments, ids, waits, and what nobody knows.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything that comes of these pieces, and how that ends.
    fn read<'b>(
        most: usize,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> (Vec<ServerEvent>, Option<EventFault>) {
        read_as(EventForm::Sent, most, pieces)
    }

    fn read_as<'b>(
        form: EventForm,
        most: usize,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> (Vec<ServerEvent>, Option<EventFault>) {
        let (mut reader, mut events) = (EventReader::new(form, most), Vec::new());
        for mut piece in pieces {
            loop {
                match reader.next(&mut piece) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(fault) => return (events, Some(fault)),
                }
            }
            assert!(piece.is_empty(), "all of a piece is taken");
        }
        (events, None)
    }

    fn data(text: &str) -> Vec<String> {
        let (events, fault) = read(1_000, [text.as_bytes()]);
        assert_eq!(fault, None, "{text:?}");
        events.into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("data: a\n\n", &["a"][..]),
            ("data:a\n\n", &["a"]),
            ("data:  a\n\n", &[" a"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\n", &[""]),
            ("data: \n\n", &[""]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data: \u{feff}a\n\n", &["\u{feff}a"]),
            ("data: a\n\n\u{feff}data: b\n\n", &["a"]),
            (": comment\n\n: another\ndata: a\n\n", &["a"]),
            ("id: 1\nretry: 5\nevent: x\ndata: a\nunknown: b\n\n", &["a"]),
            ("\n\n\n", &[]),
            ("id: 1\n\n", &[]),
            ("data: unfinished\n", &[]),
            ("data: unfinished", &[]),
            ("DATA: a\n\n", &[]),
            (" data: a\n\n", &[]),
            ("data: a:b: c\n\n", &["a:b: c"]),
        ] {
            assert_eq!(data(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_of_type_error_says_so_and_the_next_one_does_not() {
        let text = b"event: error\ndata: a\n\nevent: message\ndata: b\n\ndata: c\n\n";
        let (events, _) = read(100, [&text[..]]);
        let errors: Vec<bool> = events.iter().map(|event| event.is_error).collect();
        assert_eq!(errors, [true, false, false]);
    }

    #[test]
    fn lines_and_events_are_bounded_and_so_is_what_is_kept() {
        let long = format!("data: {}", "x".repeat(100));
        assert_eq!(read(100, [long.as_bytes()]).1, Some(EventFault::TooLong));
        let comment = format!(":{}", "x".repeat(100));
        assert_eq!(read(100, [comment.as_bytes()]).1, Some(EventFault::TooLong));
        let lines = "data: 0123456789\n".repeat(20);
        assert_eq!(read(100, [lines.as_bytes()]).1, Some(EventFault::TooLong));
        let empty = "data:\n".repeat(200);
        assert_eq!(read(100, [empty.as_bytes()]).1, Some(EventFault::TooLong));
        let endless = std::iter::repeat_n(&b"xxxxxxxxxx"[..], 1_000);
        assert_eq!(read(100, endless).1, Some(EventFault::TooLong));
    }

    #[test]
    fn what_is_not_utf_8_is_refused_and_a_character_may_be_cut() {
        assert_eq!(
            read(99, [&b"data: \xff\n\n"[..]]).1,
            Some(EventFault::NotText)
        );
        let whole = "data: \u{1f600}\n\n".as_bytes();
        for cut in 0..=whole.len() {
            let (events, fault) = read(99, [&whole[..cut], &whole[cut..]]);
            assert_eq!((events.len(), fault), (1, None), "cut at {cut}");
            assert_eq!(events[0].data, "\u{1f600}");
        }
    }

    #[test]
    fn lines_are_events_each_and_empty_ones_are_none() {
        let text = "\u{feff}{\"a\": 1}\n\n \r\n{\"b\": 2}\r\ndata: x\n{\"unfinished\"";
        let (events, fault) = read_as(EventForm::Lines, 100, [text.as_bytes()]);
        let data: Vec<&str> = events.iter().map(|event| &*event.data).collect();
        assert_eq!(data, ["{\"a\": 1}", "{\"b\": 2}", "data: x"]);
        for (form, last) in [
            (EventForm::Lines, Some("data: done")),
            (EventForm::Sent, Some("done")),
        ] {
            let (mut reader, mut bytes) = (EventReader::new(form, 100), &b"data: done"[..]);
            assert_eq!(reader.next(&mut bytes), Ok(None));
            let end = reader.end().expect("text");
            assert_eq!(end.as_ref().map(|event| &*event.data), last);
            assert_eq!(reader.end(), Ok(None), "once");
        }
        assert_eq!(fault, None);
        let singles = read_as(EventForm::Lines, 100, text.as_bytes().chunks(1));
        assert_eq!(singles, (events, None));
        let endless = std::iter::repeat_n(&b"xxxxxxxxxx"[..], 1_000);
        let (_, fault) = read_as(EventForm::Lines, 100, endless);
        assert_eq!(fault, Some(EventFault::TooLong));
        let (_, fault) = read_as(EventForm::Lines, 100, [&b"\xff\n"[..]]);
        assert_eq!(fault, Some(EventFault::NotText));
    }

    proptest! {
        #[test]
        fn bytes_mean_the_same_however_they_are_cut(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "data: ", "data", "event: error", ":", "\n", "\n\n", "\r", "\r\n", "a", "\u{e4}\u{1f600}",
                    "\u{feff}", "{}", "[DONE]", "id: 1", " ",
                ]),
                0..40,
            ),
            stray in prop::option::of(any::<u8>()),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut bytes: Vec<u8> = words.concat().into_bytes();
            bytes.extend(stray);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[start..cut]);
                start = cut;
            }
            let singles: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = read(40, [&bytes[..]]);
            prop_assert_eq!(&read(40, pieces), &whole);
            prop_assert_eq!(&read(40, singles), &whole);
        }
    }
}
