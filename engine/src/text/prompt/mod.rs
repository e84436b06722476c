//! What the marks in a prompt mean: emphasis in brackets, `BREAK`, `<lora:…>`. [`parse_prompt`] takes a prompt apart;
//! tokens and networks come later. Change here which marks are known; each kind of mark has a file of its own.
//!
//! All of it is linear in the length of the prompt, and nothing recurses: a prompt may be a pasted book, or a million
//! brackets.

use crate::protocol::PromptSyntax;

mod a1111;

mod comfyui;

mod steps;

mod tags;

mod traced;

pub use tags::LoraTag;
pub(crate) use traced::Traced;

/// Largest weight of a word, either way. At a few dozen the attention to all other words is gone.
const MOST_WEIGHT: f32 = 1000.0;

/// What brackets without a number multiply by, or `[…]` divides by (A1111 and ComfyUI).
const BRACKET: f64 = 1.1;

/// Letters of the prompt that a remark repeats.
const QUOTED: usize = 40;

/// A prompt, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParsedPrompt {
    /// The text in stretches of one weight each, in order; at least one, which may be empty.
    pub pieces: Vec<Piece>,
    /// The LoRAs that the prompt names, in order.
    pub loras: Vec<LoraTag>,
    /// What of the prompt cannot be honoured, one sentence each.
    pub remarks: Vec<String>,
}

/// A stretch of a prompt that has one weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    pub(crate) text: Traced,
    /// How much its tokens count; 1 is as much as without emphasis.
    pub weight: f32,
    /// How many `BREAK`s stand before it; each ends a chunk.
    pub breaks: usize,
}

impl ParsedPrompt {
    /// The text without marks.
    pub fn text(&self) -> String {
        self.pieces.iter().map(Piece::text).collect()
    }
}

impl Piece {
    /// The text without marks.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }
}

/// Takes a prompt apart by the rules of a syntax.
pub fn parse_prompt(prompt: &str, syntax: PromptSyntax) -> ParsedPrompt {
    let typed = Traced::whole(prompt);
    let mut parsed = ParsedPrompt::default();
    match syntax {
        PromptSyntax::Off => parsed.pieces.push(Piece { text: typed, weight: 1.0, breaks: 0 }),
        PromptSyntax::A1111 => {
            let text = tags::take_out(&typed, &mut parsed);
            let text = steps::first_branches(&text, &mut parsed.remarks);
            parsed.pieces = a1111::pieces(&text);
        }
        PromptSyntax::ComfyUi => {
            let text = tags::take_out(&typed, &mut parsed);
            parsed.pieces = comfyui::pieces(&text);
        }
    }
    if parsed.pieces.iter().any(|piece| piece.weight.abs() > MOST_WEIGHT) {
        parsed.remarks.push(format!("A weight beyond {MOST_WEIGHT} counts as {MOST_WEIGHT}."));
        for piece in &mut parsed.pieces {
            piece.weight = piece.weight.clamp(-MOST_WEIGHT, MOST_WEIGHT);
        }
    }
    if parsed.pieces.is_empty() {
        parsed.pieces.push(Piece { weight: 1.0, ..Piece::default() });
    }
    parsed
}

/// A product of weights that stays a number.
fn product(weight: f64, factor: f64) -> f64 {
    const BOUND: f64 = 1e30;
    (weight * factor).clamp(-BOUND, BOUND)
}

/// A part of the prompt for a remark.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKED: [PromptSyntax; 2] = [PromptSyntax::A1111, PromptSyntax::ComfyUi];

    #[test]
    fn without_marks_a_prompt_is_one_piece() {
        for syntax in [PromptSyntax::A1111, PromptSyntax::ComfyUi, PromptSyntax::Off] {
            for prompt in ["", " a lake,  at: dusk | <cat-toy> {x}\n", "日本 \u{301}e"] {
                let parsed = parse_prompt(prompt, syntax);
                assert_eq!(parsed.pieces.len(), 1, "{syntax:?} {prompt:?}");
                assert_eq!((parsed.pieces[0].text(), parsed.pieces[0].weight), (prompt, 1.0));
                assert_eq!((parsed.loras.len(), parsed.remarks.len()), (0, 0));
            }
        }
        let marked = "a (b:1.3) [c] BREAK <lora:x:1> \\( [a:b:0.5]";
        assert_eq!(parse_prompt(marked, PromptSyntax::Off).text(), marked);
    }

    /// What grew with the square of the length would take hours here.
    #[test]
    fn hostile_prompts_give_finite_weights() {
        const MANY: usize = 100_000;
        let repeated = |part: &str| part.repeat(MANY / part.len());
        let mut prompts: Vec<String> = [
            "(",
            ")",
            "[",
            "]",
            ":",
            "\\",
            "<",
            "|",
            "()",
            "[]",
            "(a",
            "[a",
            "a)",
            "(:",
            ":1.1)",
            "(a:1.1)",
            "[a:b:",
            "[a|",
            "BREAK ",
            "<lora:",
            "<lora:x:1>",
            "(a:nan)",
            "(a:1e99)",
            "[a:b:0.5]",
            "AND ",
            "(a[b)c]",
            ":   ",
            "\\(",
            ":9",
            "((a)",
            "[|]",
            "[(a:b:1]",
            "é(",
        ]
        .map(repeated)
        .into();
        prompts.push(format!("{}a{}", repeated("("), repeated(")")));
        prompts.push(format!("{}a{}", repeated("["), repeated("]")));
        prompts.push(format!("{}a{}", repeated("("), repeated(":9)")));
        prompts.push(format!("{}a:{}{}", repeated("("), repeated("9"), repeated(")")));
        prompts.push(format!("{}a{}", repeated("(("), repeated(")")));
        for syntax in MARKED {
            for prompt in &prompts {
                let parsed = parse_prompt(prompt, syntax);
                assert!(parsed.pieces.iter().all(|piece| piece.weight.abs() <= MOST_WEIGHT), "{syntax:?}");
                assert!(parsed.remarks.len() < 8, "{syntax:?}: {} remarks", parsed.remarks.len());
            }
        }
    }
}
