//! Emphasis as ComfyUI reads it (`comfy/sd1_clip.py`): `(x:1.3)` sets the weight, whatever stands around it; `(x)`
//! multiplies by 1.1; square brackets are letters. Two of its habits: a bracket that is never closed is a letter, and
//! with it all that follows; a bracket that closes nothing makes the next opening one a letter.

use std::ops::Range;

use super::{BRACKET, Piece, Traced, product};

/// Letters of a number, at most, so that nested brackets do not read a long one again and again.
const LONGEST_NUMBER: usize = 64;

/// A bracket that is no letter.
struct Bracket {
    at: usize,
    opens: bool,
    /// Where the bracket is that closes this one.
    closed_at: Option<usize>,
}

/// The pieces of a prompt.
pub(super) fn pieces(prompt: &Traced) -> Vec<Piece> {
    let text = prompt.as_str();
    let (brackets, colons) = read(text);
    let mut pieces = Vec::new();
    // What is still to be read, the next part last.
    let mut parts = vec![(0..text.len(), 1.0)];
    while let Some((part, weight)) = parts.pop() {
        let first = brackets.partition_point(|bracket| bracket.at < part.start);
        let open = brackets[first..].iter().take_while(|bracket| bracket.at < part.end).find(|bracket| bracket.opens);
        let Some(open) = open else {
            push(&mut pieces, prompt, part, weight);
            continue;
        };
        push(&mut pieces, prompt, part.start..open.at, weight);
        let inside = if let Some(at) = open.closed_at.filter(|&at| at < part.end) {
            parts.push((at + 1..part.end, weight));
            Some(open.at + 1..at)
        } else {
            // The last bracket of such a part counts as its end.
            let last = brackets.partition_point(|bracket| bracket.at < part.end).checked_sub(1);
            let last = last.map(|last| &brackets[last]).filter(|last| !last.opens && last.at + 1 == part.end);
            last.map(|last| open.at + 1..last.at)
        };
        match inside {
            Some(inside) => parts.push(weighed(text, inside, weight, &colons)),
            None => push(&mut pieces, prompt, open.at..part.end, weight),
        }
    }
    pieces
}

/// The inside of a pair of brackets without its number, and its weight.
fn weighed(text: &str, inside: Range<usize>, weight: f64, colons: &[usize]) -> (Range<usize>, f64) {
    let colon = colons[..colons.partition_point(|&colon| colon < inside.end)].last();
    let number = colon.filter(|&&colon| colon > inside.start).and_then(|&colon| {
        let number = text.get(colon + 1..inside.end).filter(|number| number.len() <= LONGEST_NUMBER)?;
        Some((colon, number.trim().parse().ok().filter(|number: &f64| number.is_finite())?))
    });
    match number {
        Some((colon, number)) => (inside.start..colon, product(number, 1.0)),
        None => (inside, product(weight, BRACKET)),
    }
}

/// The brackets of a text that are no letters, and its colons.
fn read(text: &str) -> (Vec<Bracket>, Vec<usize>) {
    let (mut brackets, mut colons) = (Vec::new(), Vec::new());
    let mut open: Vec<usize> = Vec::new();
    // Brackets that close nothing.
    let mut stray = 0_usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' if !escaped && stray > 0 => stray -= 1,
            b'(' if !escaped => {
                open.push(brackets.len());
                brackets.push(Bracket { at, opens: true, closed_at: None });
            }
            b')' if !escaped => match open.pop() {
                Some(opened) => {
                    brackets[opened].closed_at = Some(at);
                    brackets.push(Bracket { at, opens: false, closed_at: None });
                }
                None => stray += 1,
            },
            b':' => colons.push(at),
            _ => {}
        }
        escaped = byte == b'\\';
    }
    (brackets, colons)
}

/// Adds a text; `\(` and `\)` are brackets that are letters.
fn push(pieces: &mut Vec<Piece>, prompt: &Traced, range: Range<usize>, weight: f64) {
    if range.is_empty() {
        return;
    }
    let bytes = prompt.as_str().as_bytes();
    let mut text = Traced::default();
    let mut kept = range.start;
    for at in range.clone() {
        if bytes[at] == b'\\' && at + 1 < range.end && matches!(bytes[at + 1], b'(' | b')') {
            text.push(prompt, kept..at);
            kept = at + 1;
        }
    }
    text.push(prompt, kept..range.end);
    pieces.push(Piece { text, weight: weight as f32, breaks: 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_as_comfyui_reads_them() {
        for (prompt, expected) in [
            ("a (red:1.3) fox", &[("a ", 1.0), ("red", 1.3), (" fox", 1.0)][..]),
            ("((red)) [x]", &[("red", 1.21), (" [x]", 1.0)]),
            ("(big (red:1.5) house:1.2)", &[("big ", 1.2), ("red", 1.5), (" house", 1.2)]),
            ("(a:nan) (b:inf) (c:1e1)", &[("a:nan", 1.1), (" ", 1.0), ("b:inf", 1.1), (" ", 1.0), ("c", 10.0)]),
            ("(:2) (a:b:2)", &[(":2", 1.1), (" ", 1.0), ("a:b", 2.0)]),
            ("a ((b:1.3) c.", &[("a ", 1.0), ("((b:1.3) c.", 1.0)]),
            ("((b)", &[("(b", 1.1)]),
            ("((a)(b)", &[("a", 1.21), ("(b", 1.1)]),
            ("a) (b) ((c)", &[("a) (b) (", 1.0), ("c", 1.1)]),
            ("\\(a\\) (b\\)) \\c", &[("(a) ", 1.0), ("b)", 1.1), (" \\c", 1.0)]),
            ("()", &[]),
        ] {
            let found: Vec<(String, f32)> = pieces(&Traced::whole(prompt))
                .into_iter()
                .map(|piece| (piece.text().to_owned(), (piece.weight * 1e6).round() / 1e6))
                .collect();
            let expected: Vec<(String, f32)> =
                expected.iter().map(|&(text, weight)| (text.to_owned(), weight)).collect();
            assert_eq!(found, expected, "{prompt}");
        }
    }
}
