//! Marks of A1111 that change the prompt from step to step, or combine several prompts. Their first branch is read, and
//! a remark says so. (`modules/prompt_parser.py` of AUTOMATIC1111's program.)

use std::ops::Range;

use super::{Traced, quoted};

/// An opening bracket, and what stands directly inside it so far.
struct Open {
    round: bool,
    at: usize,
    /// The first `|`.
    bar: Option<usize>,
    /// The first two `:`, and how many there are.
    colons: [usize; 2],
    count: usize,
}

/// The text with `[a:b:0.5]` and `[a|b]` as their first branches.
pub(super) fn first_branches(prompt: &Traced, remarks: &mut Vec<String>) -> Traced {
    let text = prompt.as_str();
    let mut open: Vec<Open> = Vec::new();
    let mut dropped: Vec<Range<usize>> = Vec::new();
    let (mut scheduled, mut alternate) = (None, None);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'\\' => at += 1,
            b'(' | b'[' => open.push(Open { round: byte == b'(', at, bar: None, colons: [0; 2], count: 0 }),
            b')' if open.last().is_some_and(|open| open.round) => {
                open.pop();
            }
            b'|' => {
                if let Some(open) = open.last_mut() {
                    open.bar.get_or_insert(at);
                }
            }
            b':' => {
                if let Some(open) = open.last_mut() {
                    if let Some(colon) = open.colons.get_mut(open.count) {
                        *colon = at;
                    }
                    open.count += 1;
                }
            }
            b']' => {
                if let Some(closed) = open.pop_if(|open| !open.round) {
                    let whole = closed.at..at + 1;
                    let cut = match (closed.bar, closed.count) {
                        (Some(bar), _) => Some((bar, &mut alternate)),
                        (None, 1) if is_number(&text[closed.colons[0] + 1..at]) => Some((closed.at, &mut scheduled)),
                        (None, 2) if is_number(&text[closed.colons[1] + 1..at]) => {
                            Some((closed.colons[0], &mut scheduled))
                        }
                        _ => None,
                    };
                    if let Some((from, first)) = cut {
                        dropped.push(closed.at..closed.at + 1);
                        dropped.push(from..whole.end);
                        first.get_or_insert_with(|| (whole, from));
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    let branch = |(whole, from): (Range<usize>, usize)| {
        let first = text[whole.start + 1..from.max(whole.start + 1)].trim();
        let read = if first.is_empty() { "left out".to_owned() } else { format!("read as \"{}\"", quoted(first)) };
        (quoted(&text[whole]), read)
    };
    if let Some((whole, read)) = scheduled.map(branch) {
        remarks.push(format!("{whole} is {read}: a prompt cannot change between steps."));
    }
    if let Some((whole, read)) = alternate.map(branch) {
        remarks.push(format!("{whole} is {read}: a prompt cannot alternate between steps."));
    }
    if word_at(text, "AND").is_some() {
        remarks.push("AND is read as a word: several prompts cannot be combined.".to_owned());
    }
    without(prompt, dropped)
}

/// The text without these parts.
fn without(prompt: &Traced, mut dropped: Vec<Range<usize>>) -> Traced {
    if dropped.is_empty() {
        return prompt.clone();
    }
    dropped.sort_unstable_by_key(|range| range.start);
    let mut rest = Traced::default();
    let mut kept = 0;
    for range in dropped {
        // They may lie in one another.
        if range.start > kept {
            rest.push(prompt, kept..range.start);
        }
        kept = kept.max(range.end);
    }
    rest.push(prompt, kept..prompt.as_str().len());
    rest
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    let digits = |letter: char| letter.is_ascii_digit() || "+-.eE".contains(letter);
    // A longer number is none, so that nested brackets do not read one again and again.
    text.len() < 32 && text.chars().all(digits) && text.parse::<f64>().is_ok()
}

/// Where a word begins that has no letters, digits or underscores beside it.
pub(super) fn word_at(text: &str, word: &str) -> Option<usize> {
    let joins = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |&(at, _): &(usize, &str)| !text[..at].ends_with(joins) && !text[at + word.len()..].starts_with(joins);
    text.match_indices(word).find(alone).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(prompt: &str) -> (String, Vec<String>) {
        let mut remarks = Vec::new();
        let text = first_branches(&Traced::whole(prompt), &mut remarks);
        (text.as_str().to_owned(), remarks)
    }

    #[test]
    fn the_first_branch_is_read() {
        for (prompt, expected) in [
            ("a [red:blue:0.5] fox", "a red fox"),
            ("a [red fox::12] here", "a red fox here"),
            ("a [red: 0.25 ] fox", "a  fox"),
            ("a [:red:0.5] fox", "a  fox"),
            ("a [red|blue|green] fox", "a red fox"),
            ("a [|red] fox", "a  fox"),
            ("a [(red:1.2):blue:.5] fox", "a (red:1.2) fox"),
            ("a [[red|green]:blue:3] fox", "a red fox"),
            ("a [red:[green|blue]:3] fox", "a red fox"),
            ("a [[red:blue:0.5]] fox", "a [red] fox"),
        ] {
            let (text, remarks) = read(prompt);
            assert_eq!(text, expected, "{prompt}");
            assert!((1..=2).contains(&remarks.len()), "{prompt}: {remarks:?}");
        }
        assert_eq!(
            read("[red:blue:0.5] [a:b:1] [x|y] AND [0:1]").1,
            [
                "[red:blue:0.5] is read as \"red\": a prompt cannot change between steps.",
                "[x|y] is read as \"x\": a prompt cannot alternate between steps.",
                "AND is read as a word: several prompts cannot be combined."
            ]
        );
        assert_eq!(read("[red:0.5]").1, ["[red:0.5] is left out: a prompt cannot change between steps."]);
    }

    #[test]
    fn other_brackets_stay() {
        for prompt in [
            "a [red] fox",
            "[a:b]",
            "[a:b:c:0.5]",
            "(a:b:0.5)",
            "\\[a|b\\]",
            "[a\\|b]",
            "a|b",
            "[(a|b)]",
            "[a:1.2.3]",
            "[a (b] c:0.5)",
            "BRAND ANDES and",
            "[a:nan]",
            "[",
        ] {
            let (text, remarks) = read(prompt);
            assert_eq!((text.as_str(), remarks.len()), (prompt, 0));
        }
    }
}
