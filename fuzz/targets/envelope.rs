//! The bridge's envelope. Whatever bytes come: they are read or refused, nothing is allocated for an
//! announced length, and what was read is written again as the same bytes; every frame in it is one
//! that the strict decoder of a client would take.
#![no_main]

use libfuzzer_sys::fuzz_target;
use supportal::internal::bridge::envelope::{Envelope, EnvelopeEntry, EnvelopeWriter};

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::read(bytes) else {
        return;
    };
    let mut writer = EnvelopeWriter::new(envelope.head(), 0);
    for entry in envelope.entries() {
        if let EnvelopeEntry::Message { frame, .. } = entry {
            assert_eq!(frame[0], 0x81, "final, text, no extension");
            assert_eq!(frame[1] & 0x80, 0, "unmasked");
            let header = match frame[1] {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            assert!(std::str::from_utf8(&frame[header..]).is_ok());
        }
        writer.push(entry);
    }
    assert_eq!(writer.finish(), bytes, "read and written again");
});
