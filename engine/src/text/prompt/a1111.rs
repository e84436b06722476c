//! Emphasis and `BREAK` as AUTOMATIC1111's program reads them (`modules/prompt_parser.py`, `parse_prompt_attention`):
//! `(x)` multiplies by 1.1, `[x]` divides by it, `(x:1.3)` multiplies by the number; a backslash makes the next bracket a
//! letter; what is never closed holds to the end. Neighbours of one weight are one piece, because each is tokenized alone.

use std::ops::Range;

use super::steps::word_at;
use super::{BRACKET, Piece, Traced, product};

const BREAK: &str = "BREAK";

/// What is met on the way through a prompt.
enum Mark {
    Text(Range<usize>),
    Break,
    /// A bracket opens; its factor has this number.
    Open(Kind, usize),
    Close(Kind),
}

/// Round and square brackets know nothing of each other: `(a [b) c]` is two stretches that overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Round,
    Square,
}

/// The pieces of a prompt.
pub(super) fn pieces(prompt: &Traced) -> Vec<Piece> {
    let (marks, factors) = read(prompt.as_str());
    let mut pieces: Vec<Piece> = Vec::new();
    // Products of the factors of all brackets that are open.
    let (mut round, mut square) = (vec![1.0], vec![1.0]);
    let mut breaks = 0;
    for mark in marks {
        match mark {
            Mark::Text(range) => {
                let weight = product(*round.last().unwrap_or(&1.0), *square.last().unwrap_or(&1.0)) as f32;
                match pieces.last_mut() {
                    Some(last) if breaks == 0 && last.weight.to_bits() == weight.to_bits() => {
                        last.text.push(prompt, range);
                    }
                    _ => {
                        let mut text = Traced::default();
                        text.push(prompt, range);
                        pieces.push(Piece { text, weight, breaks });
                        breaks = 0;
                    }
                }
            }
            Mark::Break => breaks += 1,
            Mark::Open(kind, number) => {
                let products = if kind == Kind::Round { &mut round } else { &mut square };
                products.push(product(*products.last().unwrap_or(&1.0), factors[number]));
            }
            Mark::Close(kind) => {
                (if kind == Kind::Round { &mut round } else { &mut square }).pop();
            }
        }
    }
    if breaks > 0 {
        pieces.push(Piece { weight: 1.0, breaks, ..Piece::default() });
    }
    pieces
}

/// The marks of a text, and the factors of its brackets.
fn read(text: &str) -> (Vec<Mark>, Vec<f64>) {
    let (mut marks, mut factors) = (Vec::new(), Vec::new());
    let (mut round, mut square): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        let mut next = at + 1;
        match byte {
            b'\\' => {
                // Before anything else it is left out.
                if matches!(text.as_bytes().get(next), Some(b'(' | b')' | b'[' | b']' | b'\\')) {
                    marks.push(Mark::Text(next..next + 1));
                    next += 1;
                }
            }
            b'(' => {
                round.push(factors.len());
                marks.push(Mark::Open(Kind::Round, factors.len()));
                factors.push(BRACKET);
            }
            b'[' => {
                square.push(factors.len());
                marks.push(Mark::Open(Kind::Square, factors.len()));
                factors.push(1.0 / BRACKET);
            }
            b':' => match weight(&text[next..]) {
                Some((factor, length)) => {
                    next += length;
                    match round.pop() {
                        Some(open) => {
                            factors[open] = product(factor, 1.0);
                            marks.push(Mark::Close(Kind::Round));
                        }
                        None => marks.push(Mark::Text(at..next)),
                    }
                }
                None => marks.push(Mark::Text(at..next)),
            },
            b')' if round.pop().is_some() => marks.push(Mark::Close(Kind::Round)),
            b']' if square.pop().is_some() => marks.push(Mark::Close(Kind::Square)),
            b')' | b']' => marks.push(Mark::Text(at..next)),
            _ => {
                let marked = |letter: char| matches!(letter, '\\' | '(' | ')' | '[' | ']' | ':');
                next = text[at..].find(marked).map_or(text.len(), |length| at + length);
                split_at_breaks(text, at..next, &mut marks);
            }
        }
        at = next;
    }
    (marks, factors)
}

/// The number in `: 1.3 )`, of which the colon has been read, and the length of it all.
fn weight(text: &str) -> Option<(f64, usize)> {
    let number = text.trim_start();
    let digits = |letter: char| letter.is_ascii_digit() || letter == '.';
    let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
    let rest = unsigned.trim_start_matches(digits);
    let number = &number[..number.len() - rest.len()];
    let rest = rest.trim_start().strip_prefix(')')?;
    Some((number.parse().ok()?, text.len() - rest.len()))
}

/// Adds a text without brackets, and the breaks in it. The white space around them belongs to them.
fn split_at_breaks(text: &str, range: Range<usize>, marks: &mut Vec<Mark>) {
    let mut rest = range;
    while let Some(found) = word_at(&text[rest.clone()], BREAK) {
        let before = text[rest.start..rest.start + found].trim_end();
        if !before.is_empty() {
            marks.push(Mark::Text(rest.start..rest.start + before.len()));
        }
        marks.push(Mark::Break);
        let after = &text[rest.start + found + BREAK.len()..rest.end];
        rest.start = rest.end - after.trim_start().len();
    }
    if !rest.is_empty() {
        marks.push(Mark::Text(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(prompt: &str) -> Vec<(String, f32, usize)> {
        let pieces = pieces(&Traced::whole(prompt));
        pieces.into_iter().map(|piece| (piece.text().to_owned(), piece.weight, piece.breaks)).collect()
    }

    #[test]
    fn emphasis() {
        let down = (1.0 / 1.1) as f32;
        for (prompt, expected) in [
            ("a (red) [fox]", &[("a ", 1.0), ("red", 1.1), (" ", 1.0), ("fox", down)][..]),
            ("((a:1.5):2)", &[("a", 3.0)]),
            ("(a:-.5) b", &[("a", -0.5), (" b", 1.0)]),
            ("(a : 2 ) b", &[("a ", 2.0), (" b", 1.0)]),
            ("(a:1)b", &[("ab", 1.0)]),
            ("a (b (c", &[("a ", 1.0), ("b ", 1.1), ("c", 1.21)]),
            ("(a [b) c]", &[("a ", 1.1), ("b", 1.0), (" c", down)]),
            ("a) b] c:2)", &[("a) b] c:2)", 1.0)]),
            ("a\\\\b\\(c\\)\\d", &[("a\\b(c)d", 1.0)]),
            ("(a:1.2.3)", &[("a:1.2.3", 1.1)]),
            ("(a:x)", &[("a:x", 1.1)]),
            ("()a", &[("a", 1.0)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|&(text, weight)| (text.to_owned(), weight, 0)).collect();
            assert_eq!(parsed(prompt), expected, "{prompt}");
        }
    }

    #[test]
    fn breaks() {
        let texts = |prompt| parsed(prompt).into_iter().map(|(text, _, breaks)| (text, breaks)).collect::<Vec<_>>();
        for (prompt, expected) in [
            ("a fox BREAK a bird", &[("a fox", 0), ("a bird", 1)][..]),
            ("a\n BREAK, b", &[("a", 0), (", b", 1)]),
            ("BREAK BREAK a", &[("a", 2)]),
            ("a BREAK", &[("a", 0), ("", 1)]),
            ("BREAKFAST aBREAK BREAK_ break", &[("BREAKFAST aBREAK BREAK_ break", 0)]),
            ("(a BREAK b)", &[("a", 0), ("b", 1)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|&(text, breaks)| (text.to_owned(), breaks)).collect();
            assert_eq!(texts(prompt), expected, "{prompt}");
        }
    }
}
