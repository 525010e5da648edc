//! Text into the inside of a JSON string, appended in one pass.

/// Bytes looked at together. 32, because one AVX2 register holds them and the loop over a fixed
/// array compiles to a handful of vector instructions (`benches/protocol.rs`).
const BLOCK_BYTES: usize = 32;

/// Appends `text` with only the escapes JSON demands: `"`, `\` and below 0x20.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str) {
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK_BYTES>();
    for block in blocks {
        push_run(out, block);
    }
    push_run(out, rest);
}

#[inline]
fn push_run(out: &mut Vec<u8>, run: &[u8]) {
    // Without early exit, or the compiler does not vectorise it.
    let dirty = run.iter().fold(false, |dirty, &byte| {
        dirty | (byte < 0x20 || byte == b'"' || byte == b'\\')
    });
    if !dirty {
        out.extend_from_slice(run);
        return;
    }
    for &byte in run {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            push_escape(out, u16::from(byte));
        } else {
            out.push(byte);
        }
    }
}

/// Appends `text` as Python's `json.dumps` does: everything outside 0x20–0x7e is escaped.
pub(crate) fn push_ascii(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    loop {
        let clean = count_plain(rest.as_bytes());
        let (plain, dirty) = rest.split_at_checked(clean).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = dirty.chars();
        let Some(first) = chars.next() else { return };
        push_ascii_char(out, u32::from(first));
        rest = chars.as_str();
    }
}

/// How many bytes at the start `json.dumps` leaves as they are; whole blocks first.
fn count_plain(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<BLOCK_BYTES>();
    let is_clean = |block: &&[u8; BLOCK_BYTES]| {
        block
            .iter()
            .fold(true, |plain, &byte| plain & is_plain(byte))
    };
    let clean = blocks.iter().take_while(is_clean).count() * BLOCK_BYTES;
    let rest = text.get(clean..).unwrap_or_default();
    clean + rest.iter().take_while(|&&byte| is_plain(byte)).count()
}

/// Appends one code point, which may be a lone surrogate, as `json.dumps` does.
pub(super) fn push_ascii_char(out: &mut Vec<u8>, code_point: u32) {
    if let Ok(byte) = u8::try_from(code_point)
        && is_plain(byte)
    {
        out.push(byte);
        return;
    }
    if let Ok(unit) = u16::try_from(code_point) {
        push_escape(out, unit);
        return;
    }
    if let Some(character) = char::from_u32(code_point) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            push_escape(out, *unit);
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_escape(out: &mut Vec<u8>, unit: u16) {
    let short = match unit {
        0x22 => b'"',
        0x5c => b'\\',
        0x0a => b'n',
        0x0d => b'r',
        0x09 => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |shift: u16| hex_digit((unit >> shift) & 0xf);
            out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The lower-case hexadecimal digit of a value below 16.
pub(super) const fn hex_digit(value: u16) -> u8 {
    let value = (value & 0xf) as u8;
    if value < 10 {
        b'0' + value
    } else {
        b'a' + value - 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ascii(text: &str) -> String {
        let mut out = Vec::new();
        push_ascii(&mut out, text);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn ascii_escapes_are_those_of_json_dumps() {
        assert_eq!(
            ascii("a\"b\\c/d\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}<>&'é\u{2028}😀"),
            r#"a\"b\\c/d\b\f\n\r\t\u0000\u001f\u007f<>&'\u00e9\u2028\ud83d\ude00"#
        );
    }

    proptest! {
        #[test]
        fn escaped_text_reads_back_as_it_was(text in "(\\PC|[\\x00-\\x7f]){0,200}") {
            let mut json = vec![b'"'];
            push_json(&mut json, &text);
            json.push(b'"');
            prop_assert_eq!(&serde_json::from_slice::<String>(&json).expect("json"), &text);

            let quoted = format!("\"{}\"", ascii(&text));
            prop_assert!(quoted.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).expect("json"), text);
        }
    }
}
