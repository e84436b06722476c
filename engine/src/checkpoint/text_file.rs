//! Text files of a model folder as people and programs leave them: with a byte order mark, in UTF-16, with Python's NaN;
//! and what is in their place if a download or a merge went wrong.

use serde_json::Value;

/// What a file is instead of itself, as a sentence whose subject, the file, is left out; `None` if nothing speaks for it.
/// The beginning of the file is enough, except for the marks of a merge.
pub(super) fn instead(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"version https://git-lfs") {
        return Some("is a Git LFS pointer, not the file itself: fetch it with `git lfs pull`");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins_with =
        |word: &str| bytes.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if begins_with("<!doctype html") || begins_with("<html") {
        return Some(
            "is a web page (HTML), not the file itself: fetch it again, with an account if the page asks for one",
        );
    }
    None
}

/// The text in a file: UTF-8 or, if it begins with its byte order mark, UTF-16. The mark itself is left out.
///
/// # Errors
/// A sentence whose subject, the file, is left out.
pub fn decode(bytes: &[u8]) -> Result<String, String> {
    if let Some(instead) = instead(bytes) {
        return Err(instead.into());
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => from_utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => from_utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => from_utf8(rest)?,
        bytes => from_utf8(bytes)?,
    };
    if has_conflict(&text) {
        return Err("holds both sides of a conflict that Git left (<<<<<<< to >>>>>>>): keep one side".into());
    }
    Ok(text)
}

/// The JSON in a file. Python's `NaN`, `Infinity` and `-Infinity`, which JSON does not have, become texts of the same
/// letters, so that they do no harm unless something counts on a number there.
///
/// # Errors
/// A sentence whose subject, the file, is left out.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, String> {
    let text = decode(bytes)?;
    let error = match serde_json::from_str(&text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    serde_json::from_str(&quote_numbers(&text)).map_err(|_| format!("is not valid JSON ({error}): fetch it again"))
}

fn from_utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "is not UTF-8 text: fetch it again, or save it as UTF-8".into())
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let wrong = || "begins as UTF-16 text, but is not: save it as UTF-8".to_owned();
    if !rest.is_empty() {
        return Err(wrong());
    }
    char::decode_utf16(units.iter().copied().map(unit)).collect::<Result<_, _>>().map_err(|_| wrong())
}

/// Whether Git's marks stand at the beginnings of lines, in their order.
fn has_conflict(text: &str) -> bool {
    let mut marks = ["<<<<<<< ", "=======", ">>>>>>> "].into_iter().peekable();
    for line in text.lines() {
        if marks.peek().is_some_and(|mark| line.starts_with(mark)) {
            marks.next();
        }
    }
    marks.peek().is_none()
}

/// Puts the numbers that only Python has into quotation marks, except inside of strings.
fn quote_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | 'N' | 'I' => {
                let number = ["-Infinity", "Infinity", "NaN"].into_iter().find(|number| rest.starts_with(number));
                if let Some(number) = number {
                    out.push('"');
                    out.push_str(number);
                    out.push('"');
                    rest = &rest[number.len()..];
                    continue;
                }
                1
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// Bytes of the string that a text begins with, its quotation marks included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use instaflow_test_support::assert_error;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_byte_order_mark_decides_how_text_is_read() {
        for bytes in [
            &b"{\"a\": \"\xc3\xa9\"}"[..],
            b"\xef\xbb\xbf{\"a\": \"\xc3\xa9\"}",
            b"\xff\xfe{\0\"\0a\0\"\0:\0\"\0\xe9\0\"\0}\0",
            b"\xfe\xff\0{\0\"\0a\0\"\0:\0\"\0\xe9\0\"\0}",
        ] {
            assert_eq!(json(bytes), Ok(json!({"a": "é"})), "{bytes:?}");
        }
        for (bytes, says) in [
            (&b"{\"a\": \"\xe9\"}"[..], "not UTF-8"),
            (b"\xff\xfe{", "begins as UTF-16"),
            (b"\xff\xfe\x00\xd8", "begins as UTF-16"),
            (b"{\"a\":", "not valid JSON"),
        ] {
            assert_error(json(bytes), says);
        }
    }

    #[test]
    fn numbers_of_python_become_texts_outside_of_strings() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN, \" -Infinity", "d": -1, "é": 2}"#;
        let expected = json!({"a": "NaN", "b": ["-Infinity", "Infinity"], "c": "NaN, \" -Infinity", "d": -1, "é": 2});
        assert_eq!(json(text.as_bytes()), Ok(expected));
        for broken in [r#"{"a": NaN"#, r#"{"a": ""#, r#"{"a": "\"#, "NaNaN", "- Infinity"] {
            assert_error(json(broken.as_bytes()), "not valid JSON");
        }
    }

    #[test]
    fn what_is_in_a_files_place_is_named() {
        for (bytes, says) in [
            ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
            ("<!DOCTYPE HTML>", "web page"),
            ("\u{feff} \n<html lang=\"en\">", "web page"),
            ("{\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> theirs\n}", "conflict"),
        ] {
            assert_error(decode(bytes.as_bytes()), says);
        }
        for text in ["", "<", "# A heading\n=======\n", "<<<<<<< only one mark\n"] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(text));
        }
    }
}
